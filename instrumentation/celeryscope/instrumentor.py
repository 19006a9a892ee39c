"""Wires the handlers to Celery's signals, in place of opentelemetry-instrumentation-celery's own.

Where that one is wrong (version 0.66b2): a failed publish leaves its span current for good; ``send_task`` of a name
that the process has not registered loses its span; a retried or interrupted attempt ends without a status; revoked,
rejected and killed attempts are not seen at all; each header task of a chord starts a trace of its own; spans of
killed processes never arrive. So each of its hooks is overridden; what we keep is its life cycle, names and context
propagation.
"""

from typing import Any

from celery import Celery, signals
from opentelemetry.instrumentation.celery import CeleryInstrumentor

from celeryscope.groups import GroupTracker
from celeryscope.logs.bridge import LogBridge
from celeryscope.logs.lines import Lines
from celeryscope.logs.structured import structlog_processor
from celeryscope.out_of_memory import OutOfMemoryKills, own_counter
from celeryscope.publishing import Publishing
from celeryscope.recorder import Recorder
from celeryscope.refusals import RefusalTracker
from celeryscope.running import Running
from celeryscope.settings import Settings
from celeryscope.stacks.registration import Registration
from celeryscope.stacks.watch import StackWatch
from celeryscope.supervising import Supervising
from celeryscope.tracing import SpoolSpanProcessor, TaskSpans
from celeryscope.vitals import Vitals


class CeleryscopeInstrumentor(CeleryInstrumentor):
    """The instrumentor that ``celeryscope.instrument`` and ``opentelemetry-instrument`` use."""

    # The base class keeps one instance for all its subclasses otherwise.
    _instance = None

    def _instrument(self, **kwargs: Any) -> None:
        """Keyword arguments: ``app`` (the Celery app, optional), ``settings`` (else read from the environment).

        Raises ConfigError when a setting is wrong.
        """
        settings: Settings = kwargs.get("settings") or Settings.load()
        self._connected: list[tuple[Any, Any]] = []
        if not settings.enabled:
            return
        app: Celery | None = kwargs.get("app")
        self._displace_other()
        self._recorder = recorder = Recorder(settings, app.main if app else None)
        self._processor = SpoolSpanProcessor(recorder) if settings.spans else None
        spans = TaskSpans(self._processor, recorder.describe)
        publishing = Publishing(recorder, spans, app)
        kills = OutOfMemoryKills(own_counter())
        self._vitals = Vitals(recorder, kills)
        self._logs = self._connect_logs(Lines(recorder)) if settings.logs else None
        self._supervising = Supervising(recorder, publishing, kills)
        self._connect_tasks(publishing, Running(recorder, spans, publishing), self._supervising)
        self._connect_worker()
        self._groups = GroupTracker()
        self._groups.install()
        self._refusals = RefusalTracker(publishing.refused)
        self._refusals.install()
        self._connect_stacks(Registration(recorder), StackWatch(recorder))

    def _uninstrument(self, **kwargs: Any) -> None:
        for signal, handler in self._connected:
            signal.disconnect(handler)
        if self._connected:
            structlog_processor.bind(None)
            if self._processor:
                self._processor.retire()
            if self._logs:
                self._logs.remove()
            self._vitals.close()
            self._groups.remove()
            self._refusals.remove()
            self._recorder.close()
            CeleryInstrumentor()._is_instrumented_by_opentelemetry = False
        self._connected = []

    def _displace_other(self) -> None:
        """Two instrumentors would make two spans of all; ``opentelemetry-instrument`` loads both in any order."""
        other = CeleryInstrumentor()
        if other.is_instrumented_by_opentelemetry:
            other.uninstrument()
        other._is_instrumented_by_opentelemetry = True

    def _connect_logs(self, lines: Lines) -> LogBridge:
        bridge = LogBridge(lines)
        bridge.install()
        structlog_processor.bind(lines)
        self._recorder.before_close(lines.tell_left_out)
        self._connect(signals.worker_process_shutdown, lambda **_: lines.tell_left_out())
        return bridge

    def _connect_tasks(self, publishing: Publishing, running: Running, supervising: Supervising) -> None:
        self._connect(signals.before_task_publish, publishing.before)
        self._connect(signals.after_task_publish, publishing.after)
        self._connect(signals.task_prerun, running.prerun)
        self._connect(signals.task_failure, running.failed)
        self._connect(signals.task_retry, running.retried)
        self._connect(signals.task_postrun, running.postrun)
        self._connect(signals.task_received, supervising.received)
        self._connect(signals.task_failure, supervising.failed)
        self._connect(signals.task_retry, supervising.retried)
        self._connect(signals.task_revoked, supervising.revoked)
        self._connect(signals.task_unknown, supervising.unknown)
        self._connect(signals.task_rejected, supervising.rejected)

    def _connect_worker(self) -> None:
        self._connect(signals.worker_init, self._on_worker_init)
        self._connect(signals.worker_ready, self._on_worker_ready)
        self._connect(signals.worker_shutdown, self._on_worker_shutdown)
        self._connect(signals.worker_process_shutdown, self._on_process_shutdown)
        self._connect(signals.beat_init, self._on_beat_init)

    def _connect_stacks(self, registration: Registration, watch: StackWatch) -> None:
        self._connect(signals.worker_process_init, registration.process_started)
        self._connect(signals.worker_process_shutdown, registration.process_ends)
        self._connect(signals.worker_ready, watch.ready)
        self._connect(signals.worker_shutdown, watch.stop)

    def _connect(self, signal: Any, handler: Any) -> None:
        signal.connect(handler, weak=False)
        self._connected.append((signal, handler))

    def _on_worker_init(self, sender: Any, **_: Any) -> None:
        self._recorder.become_worker_main()
        self._vitals.worker_starts(sender.app)

    def _on_worker_ready(self, sender: Any, **_: Any) -> None:
        # After the pool's forks: its processes must not inherit a running shipper's state.
        self._recorder.start_shipping()
        self._supervising.watch()
        self._vitals.worker_ready(sender)

    def _on_worker_shutdown(self, **_: Any) -> None:
        self._supervising.stop()
        self._vitals.worker_stops()

    def _on_process_shutdown(self, **_: Any) -> None:
        self._recorder.end_child()

    def _on_beat_init(self, sender: Any, **_: Any) -> None:
        self._vitals.beat_starts(sender)
