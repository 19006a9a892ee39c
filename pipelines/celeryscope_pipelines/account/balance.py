"""What the account counts, and whether it balances. Pure.

workers:        written = shipped + superseded + pending + dropped by reason
to Kafka:       shipped = distinct in Kafka + dropped by the collector, by processor
to the index:   distinct in Kafka = found + dead letters by reason + missing
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

_NAMED: Final = 100


@dataclass(slots=True)
class Workers:
    """What the senders say about their spools, in records."""

    source: str
    """``spools`` that were counted, ``heartbeats`` of workers, or ``stated`` by whoever asks."""
    shipped: int = 0
    superseded: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    pending: int | None = None
    """None when it isn't known in records."""
    pending_bytes: int | None = None
    families: int = 0
    by_sender: Counter[str] = field(default_factory=Counter)
    """Shipped, by service and host; only of heartbeats, which don't tell of processes that are no workers."""

    @property
    def exact(self) -> bool:
        """Whether these are all senders and all of their records; heartbeats are less than that."""
        return self.source != "heartbeats"

    @property
    def written(self) -> int | None:
        """All that became of the records together; None when what is pending isn't known in records."""
        if self.pending is None:
            return None
        return self.shipped + self.superseded + self.pending + self.dropped.total()

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "source": self.source,
            "families": self.families,
            "written": self.written,
            "shipped": self.shipped,
            "superseded": self.superseded,
            "pending": self.pending,
            "pending_bytes": self.pending_bytes,
            "dropped": dict(self.dropped),
        }


@dataclass(slots=True)
class Collectors:
    """What collectors did on purpose since they started."""

    reached: list[str] = field(default_factory=list)
    unreachable: dict[str, str] = field(default_factory=dict)
    """Why each that tells nothing does so, by its address."""
    accepted: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    """By reason; workers count these as dropped."""
    dropped: Counter[str] = field(default_factory=Counter)
    """By processor; their senders had them accepted all the same."""
    received: int = 0
    unavailable: int = 0
    """Answered with 503: their senders still have them."""

    @property
    def silent(self) -> list[str]:
        """For people: which tell nothing, and why."""
        return [f"the collector {why}" for why in self.unreachable.values()]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "reached": self.reached,
            "unreachable": list(self.unreachable),
            "received": self.received,
            "accepted": self.accepted,
            "unavailable": self.unavailable,
            "refused": dict(self.refused),
            "dropped": dict(self.dropped),
        }


@dataclass(slots=True)
class Account:
    """Counts of distinct records unless it says otherwise."""

    workers: Workers | None = None
    collectors: Collectors = field(default_factory=Collectors)
    in_kafka: int = 0
    """Records in Kafka, repeated ones included."""
    distinct: int = 0
    by_sender: Counter[str] = field(default_factory=Counter)
    """Distinct in Kafka, by service and host."""
    found: Counter[str] = field(default_factory=Counter)
    """In Elasticsearch, by what stands for them: ``spans``, ``logs``, ``snapshots``."""
    doubled: int = 0
    """Of those found, how many are in more than one index of their data stream."""
    put_aside: Counter[str] = field(default_factory=Counter)
    """Dead letters by reason."""
    missing: dict[str, str] = field(default_factory=dict)
    """Identities that are nowhere, with the message in Kafka that holds each: ``topic/partition/offset``."""
    letters_gone: int = 0
    """Dead letters that were purged or expired; their records can't be told from missing ones."""

    @property
    def repeated(self) -> int:
        """How often a record came more than once (a sender or collector was killed before it could note the answer)."""
        return self.in_kafka - self.distinct

    @property
    def short(self) -> dict[str, int]:
        """By service and host, how many records its workers shipped that are not in Kafka."""
        claims = self.workers.by_sender if self.workers else {}
        return {
            sender: count - self.by_sender[sender] for sender, count in claims.items() if count > self.by_sender[sender]
        }

    @property
    def unaccounted(self) -> int:
        """Records that were shipped and that Kafka does not have, nor a collector dropped (or more than were shipped,
        negative)."""
        if self.workers is None:
            return 0
        more = self.workers.shipped - self.distinct if self.workers.exact else sum(self.short.values())
        return max(more - self.collectors.dropped.total(), 0) if more > 0 else more

    @property
    def balanced(self) -> bool:
        """Whether nothing is missing anywhere."""
        return not self.missing and self.unaccounted == 0

    def as_dict(self) -> dict[str, Any]:
        """For JSON; at most 100 of the missing ones are named."""
        return {
            "balanced": self.balanced,
            "workers": self.workers.as_dict() if self.workers else None,
            "collectors": self.collectors.as_dict(),
            "kafka": {"records": self.in_kafka, "distinct": self.distinct, "repeated": self.repeated},
            "found": {name: self.found[name] for name in ("spans", "logs", "snapshots")},
            "doubled": self.doubled,
            "dead_letters": self.put_aside.total(),
            "dead_letters_by_reason": dict(self.put_aside),
            "dead_letters_gone": self.letters_gone,
            "unaccounted": self.unaccounted,
            "unaccounted_by_sender": self.short,
            "missing": {
                "count": len(self.missing),
                "first": sorted(self.missing)[:_NAMED],
            },
            "messages_of_missing": sorted({self.missing[one] for one in sorted(self.missing)[:_NAMED]}),
        }
