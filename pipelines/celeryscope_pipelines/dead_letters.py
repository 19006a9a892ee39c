"""Dead letters: records that can't be indexed, kept in a topic of their own with the reason.

A letter's message has the record (or the original message, when it could not be decoded) as its value, so that it can
be put back on its topic as it is; what is known about it stands in the headers ``kind``, ``reason``, ``error``,
``topic``, ``partition`` and ``offset``. The message's timestamp is the time of the refusal.
"""

import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from kafka import KafkaProducer
from kafka.errors import KafkaError

from celeryscope import semconv
from celeryscope.errors import CeleryscopeError
from celeryscope.service.kafka import KafkaSettings
from celeryscope_pipelines.kafka_errors import our_kafka_errors
from celeryscope_pipelines.topic_reader import read_to_end

MAX_BYTES: Final = 16 * 1024 * 1024
"""Size of the largest letter; the topic takes as much (`celeryscope setup`). Larger than any message it may hold."""
_BOOTSTRAP_MS: Final = 5000
_MAX_ERROR: Final = 2000


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
        self._put(semconv.TOPIC_DEAD_LETTER, letter.value, headers=_headers(letter))

    def replay(self, letter: DeadLetter) -> None:
        """Put the record back on the topic it came from, into the same partition if there is one; raises like ``send``.

        A record has the same identity every time, so the replay of one that was indexed meanwhile changes nothing.
        """
        producer = self._connected()
        with our_kafka_errors():
            partitions = producer.partitions_for(letter.topic)
        partition = letter.partition if letter.partition in partitions else None
        content = "application/json" if letter.value[:1] == b"{" else "application/x-protobuf"
        self._put(letter.topic, letter.value, [("content-type", content.encode())], partition)

    def close(self) -> None:
        """Give the connection up. Nothing is under way in it, because every ``send`` waits."""
        with self._lock:
            producer, self._producer = self._producer, None
        if producer is not None:
            _close(producer)

    def _put(self, topic: str, value: bytes, headers: list[tuple[str, bytes]], partition: int | None = None) -> None:
        producer = self._connected()
        try:
            with our_kafka_errors():
                producer.send(topic, value, headers=headers, partition=partition).get(timeout=self._timeout)
        except CeleryscopeError:
            # After a delivery that failed an idempotent producer's sequence can't be trusted: the next one is new.
            self._forget(producer)
            raise

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


def read_dead_letters(kafka: KafkaSettings, since: datetime | None = None) -> Iterator[StoredLetter]:
    """All dead letters, from the start (or those put there since a time) to the end as it is now, then stop.

    A partition's letters come in their order. Raises NotFound when the topic is missing, Unavailable when Kafka is away
    or sends nothing for a while, Unauthorized when it refuses us.
    """
    return (_stored(message) for message in read_to_end(kafka, semconv.TOPIC_DEAD_LETTER, since))


def _headers(letter: DeadLetter) -> list[tuple[str, bytes]]:
    known = {
        "kind": letter.kind,
        "reason": letter.reason,
        "error": letter.error[:_MAX_ERROR],
        "topic": letter.topic,
        "partition": str(letter.partition),
        "offset": str(letter.offset),
    }
    return [(name, content.encode(errors="replace")) for name, content in known.items()]


def _stored(message: Any) -> StoredLetter:
    # Another program's message may lack the headers: it is shown nevertheless.
    known = {name: content.decode(errors="replace") for name, content in message.headers}
    return StoredLetter(
        value=message.value or b"",
        kind=known.get("kind", ""),
        reason=known.get("reason", "unknown"),
        error=known.get("error", ""),
        topic=known.get("topic", ""),
        partition=int(known.get("partition", -1)),
        offset=int(known.get("offset", -1)),
        stored_partition=message.partition,
        stored_offset=message.offset,
        time=datetime.fromtimestamp(message.timestamp / 1000, UTC),
    )


def _close(producer: KafkaProducer) -> None:
    with suppress(KafkaError):
        producer.close(timeout=1)
