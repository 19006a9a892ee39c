"""Puts letters into their topic, and their records back on the topics they came from."""

import threading
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any, Final, TypeVar

from kafka import KafkaProducer
from kafka.errors import KafkaError

from celeryscope import semconv
from celeryscope.errors import CeleryscopeError
from celeryscope.service.kafka import KafkaSettings
from celeryscope_pipelines.dead_letters.letter import MAX_BYTES, DeadLetter, headers_of
from celeryscope_pipelines.kafka_errors import our_kafka_errors

_BOOTSTRAP_MS: Final = 5000
_UNDER_WAY_BYTES: Final = 8 * 1024 * 1024
"""Records of a replay that Kafka has not acknowledged yet, about; one more may be larger than that."""

Letter = TypeVar("Letter", bound=DeadLetter)


class DeadLetters:
    """Puts letters into the topic of dead letters, and back; for any number of threads."""

    def __init__(self, kafka: KafkaSettings, timeout: float = 15.0) -> None:
        """Nothing is sent or connected yet; ``timeout`` in seconds until Kafka must have acknowledged a letter."""
        self._timeout = timeout
        self._options = kafka.client_options()
        self._lock = threading.Lock()
        self._producer: KafkaProducer | None = None

    def send(self, letter: DeadLetter) -> None:
        """Return when all in-sync replicas have the letter.

        Raises Unavailable when Kafka is away or too slow (the letter may be there nevertheless; a second one does no
        harm), NotFound when the topic is missing, Unauthorized when Kafka refuses us.
        """
        producer = self._connected()
        try:
            with our_kafka_errors():
                sent = producer.send(semconv.TOPIC_DEAD_LETTER, letter.value, headers=headers_of(letter))
                sent.get(timeout=self._timeout)
        except CeleryscopeError:
            # After a delivery that failed an idempotent producer's sequence can't be trusted: the next one is new.
            self._forget(producer)
            raise

    def replay(self, letters: Iterable[Letter]) -> Iterator[Letter]:
        """Put records back on the topics they came from, into the same partition if there is one.

        Reads on while Kafka acknowledges, with a bounded number under way, and yields each letter when its record is
        there; raises like ``send``. A record has the same identity every time, so the replay of one that was indexed
        meanwhile changes nothing.
        """
        under_way: deque[tuple[Letter, Any]] = deque()
        size = 0
        for letter in letters:
            under_way.append((letter, self._begin_replay(letter)))
            size += len(letter.value)
            while size > _UNDER_WAY_BYTES:
                size -= len(under_way[0][0].value)
                yield self._acknowledged(*under_way.popleft())
        while under_way:
            yield self._acknowledged(*under_way.popleft())

    def _begin_replay(self, letter: DeadLetter) -> Any:
        producer = self._connected()
        with our_kafka_errors():
            partitions = producer.partitions_for(letter.topic)
            partition = letter.partition if letter.partition in partitions else None
            content = "application/json" if letter.value[:1] == b"{" else "application/x-protobuf"
            headers = [("content-type", content.encode())]
            return producer.send(letter.topic, letter.value, headers=headers, partition=partition)

    def _acknowledged(self, letter: Letter, sent: Any) -> Letter:
        producer = self._connected()
        try:
            with our_kafka_errors():
                sent.get(timeout=self._timeout)
        except CeleryscopeError:
            self._forget(producer)
            raise
        return letter

    def close(self) -> None:
        """Give the connection up. Nothing is under way in it, because every ``send`` waits."""
        with self._lock:
            producer, self._producer = self._producer, None
        if producer is not None:
            _close(producer)

    def _connected(self) -> KafkaProducer:
        with self._lock, our_kafka_errors():
            if self._producer is None:
                self._producer = KafkaProducer(
                    **self._options,
                    client_id="celeryscope-dead-letters",
                    acks="all",
                    enable_idempotence=True,
                    compression_type="lz4",
                    max_request_size=MAX_BYTES,
                    max_block_ms=int(self._timeout * 500),
                    request_timeout_ms=int(self._timeout * 500),
                    delivery_timeout_ms=int(self._timeout * 1000),
                    bootstrap_timeout_ms=_BOOTSTRAP_MS,
                    reconnect_backoff_max_ms=1000,
                    allow_auto_create_topics=False,
                )
            return self._producer

    def _forget(self, producer: KafkaProducer) -> None:
        with self._lock:
            if self._producer is not producer:
                return
            self._producer = None
        _close(producer)


def _close(producer: KafkaProducer) -> None:
    with suppress(KafkaError):
        producer.close(timeout=1)
