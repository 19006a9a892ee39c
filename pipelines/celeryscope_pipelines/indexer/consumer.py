"""Polls Kafka, lets threads process what comes, and commits offsets in order once their batches are done."""

import logging
import time
from collections.abc import Collection, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from threading import Event
from typing import Any, Final

from kafka import AsyncConsumerRebalanceListener, KafkaConsumer, TopicPartition
from kafka.errors import KafkaError
from kafka.structs import MemberState, OffsetAndMetadata

from celeryscope.errors import NotFound
from celeryscope_pipelines.decode import content_type
from celeryscope_pipelines.indexer import metrics
from celeryscope_pipelines.indexer.backlog import Backlog, Place
from celeryscope_pipelines.indexer.batch import Message
from celeryscope_pipelines.indexer.pipeline import Pipeline
from celeryscope_pipelines.kafka_errors import our_kafka_errors

logger = logging.getLogger(__name__)

_POLL_MS: Final = 200
_AWAY_PAUSE: Final = 2.0
_COMMIT_INTERVAL: Final = 0.2
_LAG_INTERVAL: Final = 5.0
_FLUSH_INTERVAL: Final = 2.0
_HAND_OVER: Final = 2.0
"""Seconds that a rebalance waits for batches in flight; well below the least session timeout that Kafka allows, 6 s."""
_FIRST_GUESS: Final = 64 * 1024
"""Bytes of a message, before any has come."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of it at a time."""

    workers: int
    batch_bytes: int
    batch_messages: int
    in_flight_bytes: int


class Consumer(AsyncConsumerRebalanceListener):  # type: ignore[misc]
    """One member of the consumer group; everything but the pipeline runs in the thread that calls ``run``.

    While too many bytes are in flight the partitions are paused, so that polling, and with it the membership, goes on.
    Offsets are committed in the order of the batches, each only after its batch and all before it are done. Partitions
    that go to another member are handed over: what waits of them is dropped, what is in flight is finished and
    committed, for at most two seconds; what takes longer the other member reads again, to no effect.
    """

    def __init__(self, consumer: KafkaConsumer, pipeline: Pipeline, limits: Limits) -> None:
        self._consumer = consumer
        self._pipeline = pipeline
        self._limits = limits
        self._backlog = Backlog(limits.workers, limits.batch_bytes, limits.batch_messages)
        # One thread more, for the failure clusters.
        self._threads = ThreadPoolExecutor(limits.workers + 1, thread_name_prefix="indexer")
        self._message_bytes = _FIRST_GUESS
        self._uncommitted: dict[Place, int] = {}
        self._commit_at = self._lag_at = self._flush_at = 0.0
        self._flush: Future[None] | None = None
        self.has_joined = False

    def run(self, topics: Sequence[str], stop: Event) -> None:
        """Consume until ``stop`` is set.

        Raises what the pipeline raises (e.g. TooManyDeadLetters), NotFound when a topic is missing, and Unavailable or
        Unauthorized when Kafka refuses to go on.
        """
        with our_kafka_errors():
            for topic in topics:
                if not self._consumer.partitions_for_topic(topic):
                    raise NotFound(f"Kafka has no topic {topic}. Run `celeryscope setup` first.")
            self._consumer.subscribe(list(topics), listener=self)
            while not stop.is_set():
                self._step(stop)

    def _step(self, stop: Event) -> None:
        self._take(self._poll(self._room(), stop))
        # Also without a partition: a spare one, or one to which none has moved yet.
        self.has_joined = self.has_joined or self._consumer.group_metadata().state is MemberState.STABLE
        self._settle()
        self._flush_clusters()
        self._tell_lag()

    def _poll(self, most: int, stop: Event) -> dict[TopicPartition, list[Any]]:
        """What has come; nothing while Kafka is away. Raises KafkaError when that won't be over by itself."""
        try:
            polled: dict[TopicPartition, list[Any]] = self._consumer.poll(timeout_ms=_POLL_MS, max_records=most)
        except KafkaError as error:
            if not error.retriable:
                raise
            logger.warning("Kafka is away, which loses nothing; it is tried again: %s", error)
            stop.wait(_AWAY_PAUSE)
            return {}
        return polled

    def finish(self, timeout: float) -> None:
        """Wait for what is in flight, commit it, and leave the group; what only waits is read again by the next one.

        Raises what a batch fails with meanwhile.
        """
        self._backlog.forget()
        try:
            self._backlog.wait(timeout)
            self._settle()
        finally:
            self._threads.shutdown(wait=False, cancel_futures=True)
            with our_kafka_errors():
                self._commit()
                self._consumer.close(autocommit=False)

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        """Hand these over; called on the thread of Kafka's client while ``run`` waits for it in a poll."""
        self._backlog.forget({(partition.topic, partition.partition) for partition in revoked})
        if not self._backlog.wait(_HAND_OVER):
            logger.info("Batches in flight are not done yet; who gets their partitions now reads them again.")
        self._uncommitted |= self._backlog.settle()
        if offsets := _offsets(self._uncommitted):
            try:
                await self._consumer.commit_async(offsets)
            except KafkaError as error:
                _tell_not_committed(error)
            else:
                metrics.commits.labels("done").inc()
        self._forget_offsets(revoked)

    async def on_partitions_lost(self, lost: Collection[TopicPartition]) -> None:
        """Others read these already: nothing of them can be committed any more."""
        self._backlog.forget({(partition.topic, partition.partition) for partition in lost})
        self._forget_offsets(lost)

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        """Start reading where the group stands."""
        logger.info("This indexer reads %d more partitions.", len(assigned))

    def _forget_offsets(self, partitions: Collection[TopicPartition]) -> None:
        for partition in partitions:
            self._uncommitted.pop((partition.topic, partition.partition), None)

    def _room(self) -> int:
        """How many messages to read now; none are read from paused partitions."""
        left = self._limits.in_flight_bytes - self._backlog.size
        if left <= 0:
            self._consumer.pause(*self._consumer.assignment())
        elif left > self._limits.in_flight_bytes // 4 and (paused := self._consumer.paused()):
            self._consumer.resume(*paused)
        return min(max(left // self._message_bytes, 1), self._limits.batch_messages)

    def _take(self, polled: dict[TopicPartition, list[Any]]) -> None:
        messages = [
            Message(
                item.topic, item.partition, item.offset, item.value or b"", content_type(item.headers), item.timestamp
            )
            for records in polled.values()
            for item in records
        ]
        if messages:
            self._message_bytes = sum(len(message.value) for message in messages) // len(messages) + 1
        for partition, records in polled.items():
            metrics.messages.labels(partition.topic).inc(len(records))
            metrics.read_time.labels(partition.topic, str(partition.partition)).set(records[-1].timestamp / 1000)
        for _ in range(self._backlog.add(messages)):
            self._threads.submit(self._work)
        metrics.in_flight.set(self._backlog.flights)
        metrics.in_flight_bytes.set(self._backlog.size)

    def _work(self) -> None:
        while flight := self._backlog.take():
            try:
                self._pipeline.process(flight.batch)
            except BaseException as error:  # noqa: BLE001 - it is raised again where the batch is settled
                self._backlog.done(flight, error)
            else:
                self._backlog.done(flight)

    def _settle(self) -> None:
        """Commit the batches at the head that are done; raises what one of them failed with."""
        self._uncommitted |= self._backlog.settle()
        failure = self._backlog.failure
        if failure is not None or time.monotonic() >= self._commit_at:
            self._commit()
        if failure is not None:
            raise failure

    def _commit(self) -> None:
        self._commit_at = time.monotonic() + _COMMIT_INTERVAL
        if not self._uncommitted:
            return
        try:
            self._consumer.commit(_offsets(self._uncommitted), timeout_ms=10_000)
        except KafkaError as error:
            _tell_not_committed(error)
        else:
            self._uncommitted.clear()
            metrics.commits.labels("done").inc()

    def _flush_clusters(self) -> None:
        """What batches left in memory is written also when no further batch comes."""
        if time.monotonic() < self._flush_at or (self._flush and not self._flush.done()):
            return
        if self._flush:
            self._flush.result()
        self._flush_at = time.monotonic() + _FLUSH_INTERVAL
        self._flush = self._threads.submit(self._pipeline.flush_clusters)

    def _tell_lag(self) -> None:
        if time.monotonic() < self._lag_at:
            return
        self._lag_at = time.monotonic() + _LAG_INTERVAL
        for partition in self._consumer.assignment():
            end = self._consumer.highwater(partition)
            if end is not None:
                behind = max(end - self._consumer.position(partition), 0)
                metrics.lag.labels(partition.topic, str(partition.partition)).set(behind)


def _offsets(positions: dict[Place, int]) -> dict[TopicPartition, OffsetAndMetadata]:
    return {TopicPartition(*place): OffsetAndMetadata(offset) for place, offset in positions.items()}


def _tell_not_committed(error: KafkaError) -> None:
    # It is tried again, or another indexer reads these again: every write is idempotent.
    metrics.commits.labels("failed").inc()
    logger.warning("Offsets could not be committed, which loses nothing: %s", error)
