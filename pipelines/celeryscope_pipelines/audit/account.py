"""What an audit counts, and whether it balances. Pure."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Account:
    """Counts of distinct records unless it says otherwise."""

    in_kafka: int = 0
    """Records in Kafka, repeated ones included."""
    distinct: int = 0
    found: Counter[str] = field(default_factory=Counter)
    """In Elasticsearch, by what stands for them: ``spans``, ``logs``, ``snapshots``."""
    dead_letters: int = 0
    missing: list[str] = field(default_factory=list)
    """Identities that are nowhere."""
    written: int | None = None
    """Records that the workers say they shipped, when that is known."""

    @property
    def repeated(self) -> int:
        """How often a record came more than once (a sender or collector was killed before it could note the answer)."""
        return self.in_kafka - self.distinct

    @property
    def unaccounted(self) -> int:
        """Records that the workers shipped and Kafka does not have (or the other way round, negative)."""
        return 0 if self.written is None else self.written - self.distinct

    @property
    def balanced(self) -> bool:
        """Whether nothing is missing anywhere."""
        return not self.missing and self.unaccounted == 0

    def as_dict(self) -> dict[str, Any]:
        """For JSON; at most 100 of the missing ones are named."""
        return {
            "balanced": self.balanced,
            "written": self.written,
            "kafka": {"records": self.in_kafka, "distinct": self.distinct, "repeated": self.repeated},
            "found": {name: self.found[name] for name in ("spans", "logs", "snapshots")},
            "dead_letters": self.dead_letters,
            "unaccounted": self.unaccounted,
            "missing": {"count": len(self.missing), "first": self.missing[:100]},
        }
