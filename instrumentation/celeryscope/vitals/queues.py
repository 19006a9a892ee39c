"""How deep the queues are, told by one worker for each queue.

Each worker looks after the queues that it consumes from; of all that consume from a queue the broker elects one. A
worker for each application would not do: workers of one application consume from different queues. The looks cost a
few commands each interval on a connection of their own, never the consumer's.
"""

import contextlib
import logging
import os
import secrets
import threading
from collections.abc import Callable
from typing import Any, Final, Protocol

from celeryscope import semconv
from celeryscope.guard import guarded
from celeryscope.recorder import Recorder
from celeryscope.redaction import redact_urls
from celeryscope.vitals.amqp_queues import AmqpQueues
from celeryscope.vitals.causes import cause_of
from celeryscope.vitals.redis_queues import RedisQueues

logger = logging.getLogger("celeryscope")

_TIMEOUT: Final = 5.0
"""Seconds to wait for the broker, for each thing asked of it."""
_GOODBYE: Final = 1.0
"""Seconds that the end of a worker waits for its resignation."""
_LEASE: Final = 2.5
"""Intervals after which another worker takes over from one that fell silent."""


class Queues(Protocol):
    """What a kind of broker must offer; methods raise whatever its client raises."""

    def elected(self, queue: str) -> bool:
        """Whether this worker is the one that looks after the queue; asked again in each interval."""

    def look(self, queue: str) -> dict[str, int] | None:
        """Attributes of the queue as it is now; None when the broker doesn't have it."""

    def keep(self) -> None:
        """Called every few seconds: keep what was won."""

    def resign(self) -> None:
        """Let others take over at once."""


class QueueWatch:
    """Looks at the depth of a worker's queues in a daemon thread of its main process."""

    def __init__(self, recorder: Recorder, consumer: Any) -> None:
        self._recorder = recorder
        self._app = consumer.app
        self._name = consumer.hostname
        self._stop = threading.Event()
        self._interval = recorder.settings.queue_depth_interval
        self._connection: Any = None
        self._queues: Queues | None = None
        self._told = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Look from now on, where there is a way to elect a worker: on Redis and AMQP."""
        kind = self._connect().transport.driver_type
        if kind in _KINDS and self._interval:
            self._thread = threading.Thread(target=self._run, name="celeryscope-queues", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End, and let another worker take over at once."""
        self._stop.set()
        if self._thread:
            self._thread.join(_GOODBYE)

    @guarded
    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._look()
                self._told = False
            except Exception as error:  # noqa: BLE001 - each client library has its own
                self._failed(error)
                if cause_of(error) == semconv.CAUSE_AUTHENTICATION:
                    break  # No permission comes by asking again, and brokers log each refusal.
            self._wait()
        self._disconnect()

    def _wait(self) -> None:
        """Until the next look, with a sign of life for the broker now and then."""
        left = self._interval
        while left > 0 and not self._stop.wait(min(left, _TIMEOUT)):
            left -= _TIMEOUT
            with contextlib.suppress(Exception):
                if self._queues:
                    self._queues.keep()

    def _look(self) -> None:
        queues = self._queues or self._open()
        known = {
            semconv.WORKER: self._name,
            semconv.BROKER: redact_urls(self._connection.as_uri()),
            semconv.MESSAGING_SYSTEM: self._connection.transport_cls,
        }
        for name, queue in list(self._app.amqp.queues.consume_from.items()):
            broker_name = queue.name or name
            if not queues.elected(broker_name) or (found := queues.look(broker_name)) is None:
                continue
            if not self._stop.is_set():
                self._emit(known | {semconv.MESSAGING_DESTINATION: broker_name} | found)

    def _open(self) -> Queues:
        self._connection = self._connect()
        self._connection.connect()  # else its first use tries without end
        kind = _KINDS[self._connection.transport.driver_type]
        identity = f"{self._name} {os.getpid()} {secrets.token_hex(4)}"
        self._queues = kind(self._connection, identity, self._interval * _LEASE)
        return self._queues

    def _emit(self, values: dict[str, Any]) -> None:
        values[semconv.CLOCK] = self._recorder.clock.tick()
        body = f"Queue {values[semconv.MESSAGING_DESTINATION]} has {values[semconv.QUEUE_DEPTH]} messages"
        self._recorder.event(semconv.EVENT_QUEUE_DEPTH, values, severity="INFO", body=body)

    def _connect(self) -> Any:
        """A connection of our own, not yet opened, that waits for its broker for a short time only."""
        app = self._app
        kind = app.connection_for_read().transport.driver_type
        return app.connection_for_read(
            connect_timeout=_TIMEOUT,
            heartbeat=60 if kind == "amqp" else None,
            transport_options=_OPTIONS.get(kind, {}),
        )

    def _failed(self, error: Exception) -> None:
        if not self._told:
            self._told = True
            logger.warning("celeryscope: the queues can't be looked at (told once): %s", redact_urls(str(error)))
        self._disconnect()

    def _disconnect(self) -> None:
        queues, self._queues = self._queues, None
        connection, self._connection = self._connection, None
        with contextlib.suppress(Exception):
            if queues:
                queues.resign()
        with contextlib.suppress(Exception):
            if connection:
                connection.release()


_KINDS: Final[dict[str, Callable[[Any, str, float], Queues]]] = {"redis": RedisQueues, "amqp": AmqpQueues}
_OPTIONS: Final[dict[str, dict[str, Any]]] = {
    "redis": {"socket_timeout": _TIMEOUT, "socket_connect_timeout": _TIMEOUT, "max_connections": 1},
    "amqp": {"read_timeout": _TIMEOUT, "write_timeout": _TIMEOUT},
}
"""By kombu's ``driver_type``: how long its client waits."""
