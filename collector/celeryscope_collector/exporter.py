"""Messages into Kafka: acknowledged by all in-sync replicas, or the sender is told to keep its data."""

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Any, Final

import structlog
from kafka import KafkaProducer
from kafka.errors import KafkaError, MessageSizeTooLargeError

from celeryscope.errors import Unauthorized, Unavailable
from celeryscope_collector.budget import Budget
from celeryscope_collector.encode import Message
from celeryscope_collector.kafka_check import KafkaCheck, told
from celeryscope_collector.metrics import Metrics
from celeryscope_collector.records import SIGNALS, Signal

_CHECK_SECONDS: Final = 5.0
_CHECK_SECONDS_WHEN_AWAY: Final = 1.0
_RETRY_AFTER: Final = 5.0
_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Sending:
    """How messages are sent: seconds until Kafka must acknowledge, bytes that may wait for that, kafka-python's name
    of the compression (None for none), and milliseconds that a message waits for others of its partition, whoever sent
    them.
    """

    timeout: float
    bytes_in_flight: int
    compression: str | None
    linger_ms: int


class KafkaExporter:
    """Sends messages and knows whether Kafka is there.

    A background task asks Kafka every five seconds (every second while it is away) and replaces a producer that failed
    a delivery: after such a failure an idempotent producer's sequence can't be trusted. While Kafka is known to be
    away, requests are refused at once instead of piling up.
    """

    def __init__(
        self, options: Mapping[str, Any], sending: Sending, metrics: Metrics, signals: Sequence[Signal] = SIGNALS
    ) -> None:
        """``options`` are kafka-python's for the connection; ``signals`` those that are sent."""
        self._signals = signals
        self._options = dict(options)
        self._sending_as = sending
        self._timeout = sending.timeout
        self._budget = Budget(sending.bytes_in_flight, metrics.bytes_in_flight.labels("kafka").set)
        self._metrics = metrics
        self._producer: KafkaProducer | None = None
        self._check: KafkaCheck | None = None
        self._partitions: dict[str, int] = {}
        self._problem: str | None = "Kafka has not been reached yet"
        self._failed = threading.Event()
        self._keeper: asyncio.Task[None] | None = None
        # One thread keeps the connection, the other sends: neither may delay the other or the event loop.
        self._keeping = ThreadPoolExecutor(1, "kafka-keeper")
        self._sending = ThreadPoolExecutor(1, "kafka-send")

    @property
    def problem(self) -> str | None:
        """Why nothing can be sent now; None when all is well."""
        return self._problem

    def partitions(self, signal: Signal) -> int:
        """The number of partitions of the signal's topic; Unavailable while Kafka is away."""
        if self._problem is not None:
            raise Unavailable(self._problem, _RETRY_AFTER)
        return self._partitions[signal.topic]

    async def start(self, on_bug: Callable[[], None]) -> None:
        """Try to reach Kafka once, then keep trying in the background; Kafka may be away.

        ``on_bug`` is called should the background task end by itself; ``stop`` then raises its exception.
        """
        await self._keep_once()
        self._keeper = asyncio.create_task(self._keep())
        self._keeper.add_done_callback(lambda _task: on_bug())

    async def export(self, messages: Sequence[Message]) -> None:
        """Return when every message is acknowledged.

        Raises Unavailable when Kafka is away or too slow, or too much is in flight; some of the messages may be in
        Kafka nevertheless, so whoever sends them again must count on duplicates.
        """
        if not messages:
            return
        size = sum(len(message.value) for message in messages)
        self._budget.take(size)
        loop = asyncio.get_running_loop()
        delivery = _Delivery(loop, messages, self, self._producer)
        started = perf_counter()
        # Shielded: a sender that gives up, as gRPC's do at their deadline, would take it from the thread's queue, and
        # what was taken from the budget would never be given back.
        await asyncio.shield(loop.run_in_executor(self._sending, delivery.send))
        try:
            # The producer gives up by itself at its delivery timeout; the margin is for a producer that does not.
            await asyncio.wait_for(asyncio.shield(delivery.finished), self._timeout * 1.5)
        except TimeoutError:
            self._give_up("Kafka did not acknowledge in time", delivery.producer)
            raise Unavailable("Kafka did not acknowledge in time", _RETRY_AFTER) from None
        self._metrics.kafka_seconds.observe(perf_counter() - started)
        if delivery.error is not None:
            raise Unavailable(f"Kafka did not take the data: {delivery.error}", _RETRY_AFTER)

    async def stop(self) -> None:
        """Flush what was handed over and close; called when no request is under way any more."""
        if self._keeper is not None:
            self._keeper.cancel()
            with suppress(asyncio.CancelledError):
                await self._keeper
        await asyncio.to_thread(self._close)

    def settled(self, message: Message, error: Exception | None, producer: KafkaProducer | None) -> None:
        """Account for one message that the producer delivered or gave up; called from any thread."""
        self._budget.give_back(len(message.value))
        if error is None:
            self._metrics.kafka_messages.labels(message.topic).inc()
            self._metrics.kafka_bytes.labels(message.topic).inc(len(message.value))
            return
        self._metrics.kafka_failures.labels(type(error).__name__).inc()
        if isinstance(error, MessageSizeTooLargeError):
            # Nothing is lost, the sender keeps it, but it will come again until a person changes one of the two.
            _log.error(
                "Kafka refuses the size of a message: raise max.message.bytes or lower max_message_bytes",
                topic=message.topic,
                bytes=len(message.value),
            )
        else:
            self._give_up(f"Kafka did not take the data: {error}", producer)

    def _give_up(self, problem: str, producer: KafkaProducer | None) -> None:
        # What a producer that was replaced already still has to say is of no interest.
        if producer is self._producer:
            self._problem = problem
            self._failed.set()

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(_CHECK_SECONDS_WHEN_AWAY if self._problem else _CHECK_SECONDS)
            await self._keep_once()

    async def _keep_once(self) -> None:
        before = self._problem
        await asyncio.get_running_loop().run_in_executor(self._keeping, self._connect)
        self._metrics.ready.set(self._problem is None)
        if self._problem is None and before is not None:
            _log.info("Kafka is reachable", partitions=self._partitions)
        elif self._problem is not None and before is None:
            _log.warning("Kafka is away; senders keep their data", reason=self._problem)

    def _connect(self) -> None:
        # Runs in the keeper's thread only.
        failed = self._failed.is_set()
        try:
            if self._producer is None:
                self._producer = self._new_producer()
            if self._check is None:
                self._check = KafkaCheck(self._options, self._signals)
            self._partitions = self._check.partitions()
            if failed:
                old, self._producer = self._producer, self._new_producer()
                self._failed.clear()
                self._retire(old)
        except (Unavailable, Unauthorized) as error:
            self._problem = str(error)
        else:
            # A delivery that failed meanwhile is a problem until the next time.
            if not self._failed.is_set():
                self._problem = None

    def _new_producer(self) -> KafkaProducer:
        timeout_ms = int(self._timeout * 1000)
        try:
            return KafkaProducer(
                **self._options,
                client_id="celeryscope-collector",
                acks="all",
                enable_idempotence=True,
                compression_type=self._sending_as.compression,
                linger_ms=self._sending_as.linger_ms,
                batch_size=256 * 1024,
                max_request_size=8 * 1024 * 1024,
                max_block_ms=min(timeout_ms, 5000),
                request_timeout_ms=timeout_ms // 2,
                delivery_timeout_ms=timeout_ms,
                bootstrap_timeout_ms=3000,
                reconnect_backoff_max_ms=1000,
                allow_auto_create_topics=False,
            )
        except (KafkaError, OSError) as error:
            raise told(error) from None

    def _retire(self, producer: KafkaProducer) -> None:
        # Others' messages may still be under way in it: it is closed only when they have settled.
        threading.Thread(target=_close_producer, args=(producer, self._timeout * 1.5), daemon=True).start()

    def _close(self) -> None:
        self._sending.shutdown()
        self._keeping.shutdown()
        if self._producer is not None:
            _close_producer(self._producer, self._timeout)
        if self._check is not None:
            self._check.close()


def _close_producer(producer: KafkaProducer, timeout: float) -> None:
    with suppress(KafkaError):
        producer.close(timeout=timeout)


class _Delivery:
    """The messages of one request on their way; waits, across threads, until each is acknowledged or given up."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        messages: Sequence[Message],
        exporter: KafkaExporter,
        producer: KafkaProducer | None,
    ) -> None:
        self.finished: asyncio.Future[None] = loop.create_future()
        self.error: Exception | None = None
        self.producer = producer
        self._messages = messages
        self._loop = loop
        self._left = len(messages)
        self._exporter = exporter
        self._lock = threading.Lock()

    def send(self) -> None:
        """Hand all messages to the producer; blocks while it has to fetch metadata."""
        for message in self._messages:
            settle = partial(self._settle, message)
            if self.producer is None:
                settle(Unavailable("Kafka is away"))
                continue
            try:
                headers = [("content-type", message.media_type.encode())]
                future = self.producer.send(message.topic, message.value, headers=headers, partition=message.partition)
            except (KafkaError, ValueError) as error:
                # ValueError: the partition is not known any more, because the topic was made anew.
                settle(error)
            else:
                future.add_callback(lambda _metadata, settle=settle: settle(None))
                future.add_errback(settle)

    def _settle(self, message: Message, error: Exception | None) -> None:
        self._exporter.settled(message, error, self.producer)
        with self._lock:
            self._left -= 1
            self.error = self.error or error
            if self._left:
                return
        # The loop is gone only when the service has stopped waiting.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._finish)

    def _finish(self) -> None:
        if not self.finished.done():
            self.finished.set_result(None)
