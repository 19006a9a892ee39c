"""Reads topics from their start (or from a time) to their ends as they are now, then stops; joins no consumer group."""

from collections.abc import Iterable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from time import monotonic
from typing import Any, Final, NamedTuple

from kafka import KafkaConsumer, TopicPartition

from celeryscope.errors import NotFound, Unavailable
from celeryscope.service.kafka import KafkaSettings
from celeryscope_pipelines.kafka_errors import our_kafka_errors

_SILENCE: Final = 15.0
_AT_ONCE: Final = 50
"""Messages in memory at once; each may have megabytes."""


def read_to_end(
    kafka: KafkaSettings, topic: str, since: datetime | None = None, until: datetime | None = None
) -> Iterator[Any]:
    """kafka-python's messages; a partition's come in their order. With ``until``, those before that time.

    Raises NotFound when the topic is missing, Unavailable when Kafka is away or sends nothing for a while, Unauthorized
    when it refuses us.
    """
    with our_kafka_errors(), closing(_consumer(kafka)) as consumer:
        partitions = _partitions(consumer, topic)
        ends: dict[TopicPartition, int] = consumer.end_offsets(partitions)
        if until is not None:
            ends |= {place: offset for place, offset in _offsets_at(consumer, partitions, until).items() if offset >= 0}
        _begin(consumer, partitions, since)
        yield from _until(consumer, ends)


def read_at(kafka: KafkaSettings, topic: str, places: Iterable[tuple[int, int]]) -> Iterator[Any]:
    """The messages at these (partition, offset), in that order; those that are not there are left out; raises alike."""
    with our_kafka_errors(), closing(_consumer(kafka)) as consumer:
        partitions = _partitions(consumer, topic)
        begins, ends = consumer.beginning_offsets(partitions), consumer.end_offsets(partitions)
        for number, offset in places:
            place = TopicPartition(topic, number)
            if place in ends and begins[place] <= offset < ends[place]:
                consumer.assign([place])
                consumer.seek(place, offset)
                yield next(_until(consumer, {place: offset + 1}))


def complete_since(kafka: KafkaSettings, topics: Iterable[str]) -> datetime | None:
    """The time since when Kafka has all messages of the topics; None when it has forgotten none. Raises alike."""
    times: list[datetime] = []
    for topic in topics:
        with our_kafka_errors(), closing(_consumer(kafka)) as consumer:
            partitions = _partitions(consumer, topic)
            begins, ends = consumer.beginning_offsets(partitions), consumer.end_offsets(partitions)
        firsts = [(place.partition, begin) for place, begin in begins.items() if 0 < begin < ends[place]]
        times += [datetime.fromtimestamp(first.timestamp / 1000, UTC) for first in read_at(kafka, topic, firsts)]
    return max(times, default=None)


class Extent(NamedTuple):
    """The offsets of a partition."""

    begin: int
    """Of the first message that Kafka still has."""
    end: int
    """Of the message that comes next."""
    since: int
    """Of the first message since the time that was asked for; ``end`` when there is none."""


def places(kafka: KafkaSettings, topic: str, since: datetime) -> dict[TopicPartition, Extent]:
    """The partitions of the topic and where they begin and end. Raises alike."""
    with our_kafka_errors(), closing(_consumer(kafka)) as consumer:
        partitions = _partitions(consumer, topic)
        begins, ends = consumer.beginning_offsets(partitions), consumer.end_offsets(partitions)
        times = _offsets_at(consumer, partitions, since)
    return {
        place: Extent(begins[place], ends[place], times[place] if times[place] >= 0 else ends[place])
        for place in partitions
    }


def expired(kafka: KafkaSettings, topic: str) -> int:
    """How many messages of the topic Kafka has forgotten, or was told to delete. Raises alike."""
    with our_kafka_errors(), closing(_consumer(kafka)) as consumer:
        return sum(consumer.beginning_offsets(_partitions(consumer, topic)).values())


def _partitions(consumer: KafkaConsumer, topic: str) -> list[TopicPartition]:
    found = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic) or ()]
    if not found:
        raise NotFound(f"Kafka has no topic {topic}. Run `celeryscope setup`.")
    return found


def _consumer(kafka: KafkaSettings) -> KafkaConsumer:
    return KafkaConsumer(
        **kafka.client_options(),
        client_id="celeryscope-reader",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=100,
        max_poll_records=_AT_ONCE,
        bootstrap_timeout_ms=5000,
        reconnect_backoff_max_ms=1000,
        allow_auto_create_topics=False,
    )


def _begin(consumer: KafkaConsumer, partitions: list[TopicPartition], since: datetime | None) -> None:
    consumer.assign(partitions)
    if since is None:
        consumer.seek_to_beginning(*partitions)
        return
    for partition, offset in _offsets_at(consumer, partitions, since).items():
        if offset < 0:
            consumer.seek_to_end(partition)
        else:
            consumer.seek(partition, offset)


def _offsets_at(consumer: KafkaConsumer, partitions: list[TopicPartition], time: datetime) -> dict[TopicPartition, int]:
    """The first offset of that time or later in each partition; -1 where there is none."""
    # Kafka knows no time before 1970.
    milliseconds = max(int(time.timestamp() * 1000), 0)
    found = consumer.offsets_for_times(dict.fromkeys(partitions, milliseconds))
    return {partition: -1 if found[partition] is None else found[partition].offset for partition in partitions}


def _until(consumer: KafkaConsumer, ends: dict[TopicPartition, int]) -> Iterator[Any]:
    deadline = monotonic() + _SILENCE
    while any((consumer.position(partition, timeout_ms=1000) or 0) < end for partition, end in ends.items()):
        batches = consumer.poll(timeout_ms=500)
        if batches:
            deadline = monotonic() + _SILENCE
        elif monotonic() > deadline:
            raise Unavailable("Kafka sends nothing although there is more to read. Try again later.")
        for partition, messages in batches.items():
            yield from (message for message in messages if message.offset < ends[partition])
