"""What became of the records of a spool: shipped, superseded, or dropped by a named reason, and nothing else.

Superseded: the state of an attempt ("received", "started") that was not shipped because the attempt's end, read in the
same moment, says all of it again.
"""

import fcntl
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import orjson

DROPPED_QUOTA = "quota"
"""The spool was over its quota."""
DROPPED_REFUSED = "refused"
"""The collector said it will never take the record."""
DROPPED_CORRUPT = "corrupt"
"""The record's bytes on disk were not what had been written."""
DROPPED_UNREADABLE = "unreadable"
"""The record is whole, but nothing can be made of it: another version has written it, say."""
DROPPED_UNWRITTEN = "unwritten"
"""The record never reached the disk, and nobody has told why."""
DROPPED_TORN = "torn"
"""The process was killed while it wrote the record."""
DROPPED_DELETED = "deleted"
"""Somebody deleted the spool's files before they were shipped."""
DROPPED_MEMORY_FULL = "memory_full"
"""The spool could not be written to for so long that there was no room for the record in memory, either."""
DROPPED_NO_SPOOL = "no_spool"
"""The process ended while the spool could not be written to, and nobody could take what it had in memory."""

CHECKPOINT = "checkpoint.json"
"""A family's counts and positions, in its folder."""
_NAME = "ledger.json"
_MERGED = "merged"
"""Names of the families added last: one whose folder was not removed in time must not count twice."""
_MERGED_MOST = 1000


@dataclass(slots=True)
class Ledger:
    """Counts of records; what was written is always the sum of these and of what is still pending."""

    shipped: int = 0
    superseded: int = 0
    dropped: Counter[str] = field(default_factory=Counter)

    def add(self, other: "Ledger") -> None:
        """Add another ledger's counts to these."""
        self.shipped += other.shipped
        self.superseded += other.superseded
        self.dropped.update(other.dropped)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"shipped": self.shipped, "superseded": self.superseded, "dropped": dict(self.dropped)}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """From ``as_dict``; missing counts are zero."""
        return cls(int(data.get("shipped", 0)), int(data.get("superseded", 0)), Counter(data.get("dropped", {})))


def write_atomically(path: Path, data: Any) -> None:
    """Write JSON so that a reader sees the old or the new content, whole. Raises OSError."""
    hidden = path.with_name(f".{path.name}.{os.getpid()}")
    hidden.write_bytes(orjson.dumps(data))
    hidden.replace(path)


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file; empty when the file can't be read or is none."""
    try:
        data = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return {}
    return data if isinstance(data, dict) else {}


def past(spool: Path) -> Ledger:
    """The sum over the families that are gone."""
    return Ledger.from_dict(read_json(spool / _NAME))


def add_to_past(spool: Path, family: str, ledger: Ledger) -> None:
    """Add an ending family's counts, once however often it is said; several shippers may do so. Raises OSError."""
    with _locked(spool / "ledger.lock"):
        saved = read_json(spool / _NAME)
        merged = list(saved.get(_MERGED, ()))
        if family in merged:
            return
        total = Ledger.from_dict(saved)
        total.add(ledger)
        write_atomically(spool / _NAME, total.as_dict() | {_MERGED: [*merged, family][-_MERGED_MOST:]})


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
