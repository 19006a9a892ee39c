"""What is read from Kafka together, and what is to be written because of it."""

from dataclasses import dataclass, field
from typing import NamedTuple

from celeryscope_pipelines.dead_letters import DeadLetter
from celeryscope_pipelines.writes import Write


class Message(NamedTuple):
    """A Kafka message's value and place."""

    topic: str
    partition: int
    offset: int
    value: bytes
    content_type: str = ""
    timestamp: int = 0
    """Milliseconds since the Unix epoch: when it was put into Kafka."""

    @property
    def place(self) -> str:
        """``topic/partition/offset``."""
        return f"{self.topic}/{self.partition}/{self.offset}"


@dataclass(slots=True)
class Batch:
    """Messages in the order they were read."""

    messages: list[Message]

    def next_offsets(self) -> dict[tuple[str, int], int]:
        """(topic, partition) -> the offset to go on from, once the batch is done."""
        return {(message.topic, message.partition): message.offset + 1 for message in self.messages}


class Item(NamedTuple):
    """One document as lines of a bulk request, and the record that it comes from.

    The record itself is not kept: it takes ten times as much memory as the message, which can be decoded again.
    """

    lines: bytes
    """What to do, and the document, each with its line feed."""
    message: Message
    record: int
    """The record's number in its message."""
    entity: tuple[str, str] | None = None
    """(index, id) of an entity, of which only the latest snapshot is written; None for what is written once."""
    version: int = 0


@dataclass(slots=True)
class Transformed:
    """A batch as writes; what could not be transformed is a dead letter already."""

    items: list[Item] = field(default_factory=list)
    failures: list[Write] = field(default_factory=list)
    """Of failure clusters."""
    letters: list[DeadLetter] = field(default_factory=list)
    records: int = 0
