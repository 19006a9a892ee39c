"""What one poll of Kafka brought, and what is to be written because of it."""

from dataclasses import dataclass, field
from typing import NamedTuple

from celeryscope_pipelines.dead_letters import DeadLetter
from celeryscope_pipelines.records import Record
from celeryscope_pipelines.writes import Write


class Message(NamedTuple):
    """A Kafka message's value and place."""

    topic: str
    partition: int
    offset: int
    value: bytes


@dataclass(slots=True)
class Batch:
    """Messages in the order they were read."""

    messages: list[Message]

    def next_offsets(self) -> dict[tuple[str, int], int]:
        """(topic, partition) -> the offset to go on from, once the batch is done."""
        return {(message.topic, message.partition): message.offset + 1 for message in self.messages}


class Sourced(NamedTuple):
    """A write, and the record and message that it comes from."""

    write: Write
    record: Record
    message: Message


@dataclass(slots=True)
class Transformed:
    """A batch as writes; what could not be transformed is a dead letter already."""

    writes: list[Sourced] = field(default_factory=list)
    letters: list[DeadLetter] = field(default_factory=list)
    records: int = 0
