"""Polls Kafka, hands batches to the pipeline's threads, and commits offsets in order once their batches are done."""

import logging
import time
from collections import deque
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event
from typing import Any, NamedTuple

from kafka import ConsumerRebalanceListener, KafkaConsumer, TopicPartition
from kafka.errors import KafkaError
from kafka.structs import OffsetAndMetadata

from celeryscope.errors import NotFound
from celeryscope_pipelines.indexer import metrics
from celeryscope_pipelines.indexer.batch import Batch, Message
from celeryscope_pipelines.indexer.patience import Stopped
from celeryscope_pipelines.indexer.pipeline import Pipeline
from celeryscope_pipelines.kafka_errors import our_kafka_errors

logger = logging.getLogger(__name__)

_POLL_MS = 200
_AWAY_PAUSE = 2.0
_LAG_INTERVAL = 5.0
_FLUSH_INTERVAL = 2.0


class _Flying(NamedTuple):
    batch: Batch
    future: "Future[None]"


class Consumer(ConsumerRebalanceListener):  # type: ignore[misc]
    """One member of the consumer group; everything but the pipeline runs in the thread that calls ``run``.

    Offsets are committed in the order of the batches, each only after its batch and all before it are done. While too
    many batches are in flight the partitions are paused, so that polling, and with it the membership, goes on. After a
    rebalance another member reads again what was in flight here, to no effect; a late commit of ours says only that all
    below it is done.
    """

    def __init__(
        self, consumer: KafkaConsumer, pipeline: Pipeline, workers: int, max_in_flight: int, max_messages: int
    ) -> None:
        self._consumer = consumer
        self._pipeline = pipeline
        self._max_in_flight = max_in_flight
        self._max_messages = max_messages
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="indexer")
        self._flying: deque[_Flying] = deque()
        self._lag_at = 0.0
        self._flush_at = 0.0
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
            self._consume(stop)

    def _consume(self, stop: Event) -> None:
        while not stop.is_set():
            self._regulate()
            self._take(self._poll(stop))
            self._reap()
            self._flush_clusters()
            self._tell_lag()

    def _poll(self, stop: Event) -> dict[TopicPartition, list[Any]]:
        """What has come; nothing while Kafka is away. Raises KafkaError when that won't be over by itself."""
        try:
            polled: dict[TopicPartition, list[Any]] = self._consumer.poll(
                timeout_ms=_POLL_MS, max_records=self._max_messages
            )
        except KafkaError as error:
            if not error.retriable:
                raise
            logger.warning("Kafka is away, which loses nothing; it is tried again: %s", error)
            stop.wait(_AWAY_PAUSE)
            return {}
        return polled

    def finish(self, timeout: float) -> None:
        """Wait for the batches in flight, commit them, and leave the group."""
        try:
            self._settle(timeout)
        finally:
            self._threads.shutdown(wait=False, cancel_futures=True)
            with our_kafka_errors():
                self._consumer.close(autocommit=False)

    def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Nothing to do: what is in flight is finished and committed in its order, which is true whoever reads on."""

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Start reading where the group stands."""
        partitions = list(assigned)
        self.has_joined = True
        logger.info("This indexer reads %d partitions.", len(partitions))

    def _regulate(self) -> None:
        if len(self._flying) >= self._max_in_flight:
            self._consumer.pause(*self._consumer.assignment())
        elif paused := self._consumer.paused():
            self._consumer.resume(*paused)

    def _take(self, polled: dict[TopicPartition, list[Any]]) -> None:
        messages = [
            Message(item.topic, item.partition, item.offset, item.value or b"")
            for records in polled.values()
            for item in records
        ]
        if not messages:
            return
        for partition, records in polled.items():
            metrics.messages.labels(partition.topic).inc(len(records))
            metrics.read_time.labels(partition.topic, str(partition.partition)).set(records[-1].timestamp / 1000)
        batch = Batch(messages)
        self._flying.append(_Flying(batch, self._threads.submit(self._pipeline.process, batch)))
        metrics.in_flight.set(len(self._flying))

    def _reap(self) -> None:
        """Commit the batches at the head that are done; raises what went wrong in one of them."""
        done: dict[tuple[str, int], int] = {}
        while self._flying and self._flying[0].future.done():
            flying = self._flying.popleft()
            try:
                flying.future.result()
            except BaseException:
                self._commit(done)
                # Whatever comes behind the batch that failed must be read again together with it.
                self._flying.clear()
                raise
            done |= flying.batch.next_offsets()
        self._commit(done)
        metrics.in_flight.set(len(self._flying))

    def _settle(self, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while self._flying and time.monotonic() < deadline and not self._flying[0].future.cancelled():
            try:
                self._flying[0].future.result(timeout=max(deadline - time.monotonic(), 0))
                self._reap()
            except (TimeoutError, Stopped):
                break

    def _commit(self, offsets: dict[tuple[str, int], int]) -> None:
        if not offsets:
            return
        positions = {
            TopicPartition(topic, partition): OffsetAndMetadata(offset)
            for (topic, partition), offset in offsets.items()
        }
        try:
            self._consumer.commit(positions, timeout_ms=10_000)
        except KafkaError as error:
            # The next commit covers these, or another indexer reads them again: every write is idempotent.
            metrics.commits.labels("failed").inc()
            logger.warning("Offsets could not be committed, which loses nothing: %s", error)
        else:
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
