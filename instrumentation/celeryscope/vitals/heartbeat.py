"""The worker's life in events: online, a heartbeat now and then, offline."""

import os
import threading
from typing import Any

from celery.worker import state

from celeryscope import semconv
from celeryscope.guard import guarded
from celeryscope.recorder import Recorder
from celeryscope.text import redact_urls

ONLINE = "ONLINE"
OFFLINE = "OFFLINE"


class Heartbeat:
    """Events of one worker, from its main process."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._stop = threading.Event()
        self._worker: dict[str, Any] | None = None

    @guarded
    def online(self, consumer: Any) -> None:
        """The worker is ready; beats in a daemon thread from now on."""
        pool = consumer.pool
        self._worker = {
            semconv.WORKER: consumer.hostname,
            semconv.PROCESS_PID: os.getpid(),
            semconv.POOL: type(pool).__module__.rsplit(".", 1)[-1],
            semconv.CONCURRENCY: getattr(pool, "num_processes", None) or getattr(pool, "limit", None),
            semconv.BROKER: redact_urls(consumer.app.connection_for_read().as_uri()),
        }
        self._emit(semconv.EVENT_WORKER_ONLINE, ONLINE)
        threading.Thread(target=self._beat, name="celeryscope-heartbeat", daemon=True).start()

    @guarded
    def offline(self) -> None:
        """The worker ends in good order."""
        self._stop.set()
        if self._worker:
            self._emit(semconv.EVENT_WORKER_OFFLINE, OFFLINE)
            self._worker = None

    def _beat(self) -> None:
        while not self._stop.wait(self._recorder.settings.heartbeat_interval):
            self._emit(semconv.EVENT_WORKER_HEARTBEAT, ONLINE)

    @guarded
    def _emit(self, event: str, worker_state: str) -> None:
        assert self._worker is not None
        values = {
            **self._worker,
            semconv.STATE: worker_state,
            semconv.CLOCK: self._recorder.clock.tick(),
            semconv.ACTIVE: len(state.active_requests),
            semconv.PROCESSED: sum(state.total_count.values()),
            **self._recorder.spool_counts(),
        }
        name = self._worker[semconv.WORKER]
        self._recorder.event(event, values, severity="INFO", body=f"Worker {name} {event.rsplit('.', 1)[1]}")
