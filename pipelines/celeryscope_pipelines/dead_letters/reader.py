"""Reads the topic of dead letters, one letter at a time: there may be millions."""

from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from celeryscope import semconv
from celeryscope.service.kafka import KafkaSettings
from celeryscope_pipelines.dead_letters.letter import DeadLetter, StoredLetter, stored
from celeryscope_pipelines.topic_reader import read_at, read_to_end


@dataclass(frozen=True, slots=True)
class Selection:
    """Which letters; what is None selects nothing by itself."""

    reason: str | None = None
    error: str | None = None
    """Part of the error's text."""

    def has(self, letter: DeadLetter) -> bool:
        """Whether the letter is one of them."""
        return self.reason in {None, letter.reason} and (self.error is None or self.error in letter.error)


def read_dead_letters(kafka: KafkaSettings, since: datetime | None = None) -> Generator[StoredLetter, None, None]:
    """All dead letters, from the start (or those put there since a time) to the end as it is now, then stop.

    A partition's letters come in their order. Raises NotFound when the topic is missing, Unavailable when Kafka is away
    or sends nothing for a while, Unauthorized when it refuses us.
    """
    for message in read_to_end(kafka, semconv.TOPIC_DEAD_LETTER, since):
        yield stored(message)


def letters_at(kafka: KafkaSettings, positions: Iterable[str]) -> Iterator[StoredLetter]:
    """The letters at these positions (``partition:offset``) that are there; reads nothing else; raises alike."""
    places = [(int(partition), int(offset)) for partition, _, offset in (one.partition(":") for one in positions)]
    return (stored(message) for message in read_at(kafka, semconv.TOPIC_DEAD_LETTER, places))
