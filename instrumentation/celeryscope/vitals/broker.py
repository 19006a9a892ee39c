"""The worker's connection to its broker: lost, why, and for how long.

Celery has no signal for it. A consumer bootstep starts each time the worker can take tasks (again); what goes wrong
before that, or after, leaves ``Blueprint.start`` as an exception, but for the attempts to connect, which kombu repeats
in ``ensure_connection`` and tells to a callback. RabbitMQ with a memory or disk alarm takes no messages any more and
says so to connections that publish, as the worker's own events do, through a callback of amqp's.
"""

import time
from typing import Any

from celery import bootsteps
from kombu.exceptions import OperationalError

from celeryscope import exceptions, semconv
from celeryscope.clock import now_us
from celeryscope.guard import guarded
from celeryscope.recorder import Recorder
from celeryscope.redaction import redact_urls
from celeryscope.vitals.causes import cause_of


class BrokerWatch:
    """Tells when a worker loses its broker, again when the cause changes, and when it has it back."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._worker: dict[str, Any] = {}
        self._cause: str | None = None
        self._lost_at = 0
        self._lost_since = 0.0
        self._blocked = False

    @property
    def connected(self) -> bool:
        """Whether the worker has its broker, as far as it knows."""
        return self._cause is None

    def step(self) -> type[bootsteps.StartStopStep]:
        """The bootstep for ``app.steps["consumer"]``."""
        watch = self

        class CeleryscopeBroker(bootsteps.StartStopStep):
            # The last that a consumer needs: from here on tasks arrive.
            requires = ("celery.worker.consumer.tasks:Tasks",)

            def __init__(self, consumer: Any, **kwargs: Any) -> None:
                super().__init__(consumer, **kwargs)
                watch.attach(consumer)

            def start(self, _: Any) -> None:
                watch.regained()

        return CeleryscopeBroker

    @guarded
    def attach(self, consumer: Any) -> None:
        """See every failure of the consumer's connections."""
        self._worker = {
            semconv.WORKER: consumer.hostname,
            semconv.BROKER: redact_urls(consumer.conninfo.as_uri()),
            semconv.MESSAGING_SYSTEM: consumer.conninfo.transport_cls,
        }
        failures = (*consumer.connection_errors, *consumer.channel_errors, OperationalError)
        start, ensure_connected = consumer.blueprint.start, consumer.ensure_connected

        def watched_start(parent: Any) -> None:
            try:
                start(parent)
            except Exception as error:
                if isinstance(error, failures):
                    self.lost(error)
                raise

        def watched_ensure_connected(connection: Any) -> Any:
            self._watch_attempts(connection)
            try:
                connected = ensure_connected(connection)
            finally:
                del connection.ensure_connection
            self._watch_alarms(connected)
            return connected

        consumer.blueprint.start = watched_start
        consumer.ensure_connected = watched_ensure_connected

    def _watch_attempts(self, connection: Any) -> None:
        ensure = connection.ensure_connection

        def watched(errback: Any = None, *args: Any, **kwargs: Any) -> Any:
            def told(error: BaseException, interval: float) -> None:
                self.lost(error)
                if errback:
                    errback(error, interval)

            return ensure(told, *args, **kwargs)

        connection.ensure_connection = watched

    @guarded
    def _watch_alarms(self, connection: Any) -> None:
        self._blocked = False
        client = connection.connection
        if hasattr(client, "on_blocked"):
            client.on_blocked, client.on_unblocked = self._on_blocked, self._on_unblocked

    @guarded
    def _on_blocked(self, _: str) -> None:
        from amqp.exceptions import Blocked

        self._blocked = True
        self.lost(Blocked("The broker takes no messages: it has a memory or disk alarm"))

    @guarded
    def _on_unblocked(self) -> None:
        self._blocked = False
        if self._cause == semconv.CAUSE_RESOURCE_LIMIT:
            self.regained()

    @guarded
    def lost(self, error: BaseException) -> None:
        """The broker can't be used because of ``error``; told once for each cause of an outage."""
        cause = cause_of(error)
        if cause == self._cause:
            return
        if self.connected:
            self._lost_at, self._lost_since = now_us(), time.monotonic()
        self._cause = cause
        # A worker that finds no broker at its start never becomes ready, and may never try again; its pool is there.
        self._recorder.start_shipping()
        message = self._recorder.redacted(exceptions.message(error))
        self._emit(
            semconv.EVENT_BROKER_LOST,
            {
                semconv.CAUSE: cause,
                semconv.EXCEPTION_TYPE: exceptions.type_name(type(error)),
                semconv.EXCEPTION_MESSAGE: message,
            },
            "ERROR",
            f"Worker {self._worker[semconv.WORKER]} lost its broker: {message}",
        )

    @guarded
    def regained(self) -> None:
        """The worker takes tasks; nothing is told when nothing was lost, or when the broker still takes no messages."""
        if self.connected or self._blocked:
            return
        cause, self._cause = self._cause, None
        outage = time.monotonic() - self._lost_since
        self._emit(
            semconv.EVENT_BROKER_REGAINED,
            {semconv.CAUSE: cause, semconv.BROKER_OUTAGE: outage},
            "INFO",
            f"Worker {self._worker[semconv.WORKER]} has its broker again after {outage:.1f} s",
        )

    def _emit(self, event: str, values: dict[str, Any], severity: str, body: str) -> None:
        known = {
            **self._worker,
            semconv.CLOCK: self._recorder.clock.tick(),
            semconv.BROKER_CONNECTED: self.connected,
            semconv.BROKER_LOST_AT: self._lost_at,
        }
        self._recorder.event(event, known | values, severity=severity, body=body)
