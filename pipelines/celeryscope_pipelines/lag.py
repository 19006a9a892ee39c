"""How far the indexers are behind in Kafka, asked of Kafka itself: also right while no indexer runs."""

import socket
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from kafka import TopicPartition

from celeryscope import semconv
from celeryscope.errors import Unavailable
from celeryscope.service.kafka import KafkaSettings
from celeryscope_pipelines.kafka_admin import admin_client
from celeryscope_pipelines.kafka_errors import our_kafka_errors
from celeryscope_pipelines.topic_reader import places, read_at

_TOPICS: Final = (semconv.TOPIC_TRACES, semconv.TOPIC_LOGS)
_RATE_SECONDS: Final = 60


@dataclass(frozen=True, slots=True)
class PartitionLag:
    """Of one partition, in messages (each holds many records)."""

    topic: str
    partition: int
    behind: int
    """Messages that no indexer has done yet."""
    oldest: datetime | None
    """When the oldest of them was put into Kafka; None when there is none."""
    arriving: float
    """Messages a second that came during the last minute."""
    forgotten: int
    """Messages that Kafka forgot before any indexer had done them: lost, unless they are in the index all the same."""


def lag_of(kafka: KafkaSettings, group: str, now: datetime) -> list[PartitionLag]:
    """The lag of a consumer group, partition by partition.

    Raises Unavailable when Kafka is away, NotFound when the topics are missing, Unauthorized.
    """
    _require_reachable(kafka)
    with our_kafka_errors(), closing(admin_client(kafka, "celeryscope-status")) as admin:
        done: dict[TopicPartition, Any] = admin.list_group_offsets({group: None})[group]
    found: list[PartitionLag] = []
    for topic in _TOPICS:
        known = places(kafka, topic, now - timedelta(seconds=_RATE_SECONDS))
        # A group that has committed nothing yet begins where Kafka does.
        nexts = {place: max(done[place].offset, 0) if place in done else 0 for place in known}
        unread = {place: max(nexts[place], here.begin) for place, here in known.items()}
        behind = [(place.partition, offset) for place, offset in unread.items() if offset < known[place].end]
        times = {message.partition: message.timestamp for message in read_at(kafka, topic, behind)}
        for place, here in sorted(known.items()):
            found.append(
                PartitionLag(
                    topic=topic,
                    partition=place.partition,
                    behind=max(here.end - unread[place], 0),
                    oldest=_time(times.get(place.partition)),
                    arriving=(here.end - here.since) / _RATE_SECONDS,
                    forgotten=unread[place] - nexts[place] if place in done else 0,
                )
            )
    return found


def oldest_of(partitions: Iterable[PartitionLag]) -> datetime | None:
    """When the oldest message that nobody has done was put into Kafka."""
    return min((partition.oldest for partition in partitions if partition.oldest), default=None)


def _time(milliseconds: int | None) -> datetime | None:
    return None if milliseconds is None else datetime.fromtimestamp(milliseconds / 1000, UTC)


def _require_reachable(kafka: KafkaSettings) -> None:
    """Kafka's client takes seconds to give up."""
    for server in kafka.bootstrap_servers.split(","):
        host, _, port = server.strip().rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=2).close()
        except OSError:
            continue
        return
    raise Unavailable("Kafka does not answer. Is it running, and is CELERYSCOPE_KAFKA_BOOTSTRAP_SERVERS right?")
