"""Takes dead letters out of their topic for good.

Kafka deletes messages from the start of a partition only, so a purge is by age or by position, never by reason: what
is older than the last letter that goes, goes as well.
"""

from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime

from kafka import TopicPartition

from celeryscope import semconv
from celeryscope.service.kafka import KafkaSettings
from celeryscope_pipelines.dead_letters.reader import read_dead_letters
from celeryscope_pipelines.kafka_admin import admin_client
from celeryscope_pipelines.kafka_errors import our_kafka_errors


@dataclass(slots=True)
class Purge:
    """What a purge takes away, and what stays."""

    ends: dict[int, int] = field(default_factory=dict)
    """By partition, the offset of the first letter that stays."""
    going: Counter[str] = field(default_factory=Counter)
    """Letters that go, by reason."""
    staying: Counter[str] = field(default_factory=Counter)
    """Letters that stay, by reason."""
    oldest: datetime | None = None
    newest: datetime | None = None
    """Times of the first and the last letter that goes."""

    def carry_out(self, kafka: KafkaSettings) -> None:
        """Delete them; letters that came since this was planned stay. Raises Unavailable or Unauthorized."""
        ends = {TopicPartition(semconv.TOPIC_DEAD_LETTER, partition): end for partition, end in self.ends.items()}
        with our_kafka_errors(), closing(admin_client(kafka, "celeryscope-dead-letters")) as admin:
            admin.delete_records(ends)


def plan_purge(kafka: KafkaSettings, before: datetime | None, upto: tuple[int, int] | None) -> Purge:
    """What goes: all letters put there ``before`` a time, or up to a (partition, offset), or with neither all.

    Nothing is deleted yet. Raises NotFound when the topic is missing, Unavailable or Unauthorized.
    """
    purge, cut = Purge(), set[int]()
    for letter in read_dead_letters(kafka):
        partition, offset = letter.stored_partition, letter.stored_offset
        goes = before is None or letter.time < before
        goes = goes and (upto is None or (partition == upto[0] and offset <= upto[1]))
        # Clocks may run back: an old letter behind one that stays stays with it.
        if not goes or partition in cut:
            cut.add(partition)
            purge.staying[letter.reason] += 1
            continue
        purge.ends[partition] = offset + 1
        purge.going[letter.reason] += 1
        purge.oldest = min(purge.oldest or letter.time, letter.time)
        purge.newest = max(purge.newest or letter.time, letter.time)
    return purge
