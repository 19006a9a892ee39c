"""A dead letter and its message in Kafka."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

MAX_BYTES: Final = 16 * 1024 * 1024
"""Size of the largest letter; the topic takes as much (`celeryscope setup`). Larger than any message it may hold."""
_MAX_ERROR: Final = 2000
_DIGITS: Final = 20


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record that was refused for good, and where it came from."""

    value: bytes
    """An OTLP/JSON request of this one record; the original message when it could not be decoded."""
    kind: str
    """``span`` or ``log``."""
    reason: str
    """A short name, e.g. ``undecodable``."""
    error: str
    """What was wrong, for people."""
    topic: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class StoredLetter(DeadLetter):
    """A dead letter with its own place in the topic of dead letters and the time it was put there (UTC)."""

    stored_partition: int
    stored_offset: int
    time: datetime

    @property
    def position(self) -> str:
        """Its name in commands: ``partition:offset``."""
        return f"{self.stored_partition}:{self.stored_offset}"


def headers_of(letter: DeadLetter) -> list[tuple[str, bytes]]:
    """What stands beside the record in the letter's message."""
    known = {
        "kind": letter.kind,
        "reason": letter.reason,
        "error": letter.error[:_MAX_ERROR],
        "topic": letter.topic,
        "partition": str(letter.partition),
        "offset": str(letter.offset),
    }
    return [(name, content.encode(errors="replace")) for name, content in known.items()]


def stored(message: Any) -> StoredLetter:
    """The letter that a message of kafka-python's is."""
    # Another program's message may lack the headers, or have others of these names: it is shown nevertheless.
    known = {name: (content or b"").decode(errors="replace") for name, content in message.headers}
    return StoredLetter(
        value=message.value or b"",
        kind=known.get("kind", ""),
        reason=known.get("reason", "unknown"),
        error=known.get("error", ""),
        topic=known.get("topic", ""),
        partition=_number(known.get("partition")),
        offset=_number(known.get("offset")),
        stored_partition=message.partition,
        stored_offset=message.offset,
        time=datetime.fromtimestamp(message.timestamp / 1000, UTC),
    )


def _number(text: str | None) -> int:
    """-1 when it is none."""
    return int(text) if text and text.isdecimal() and len(text) < _DIGITS else -1
