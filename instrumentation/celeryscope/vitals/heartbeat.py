"""The worker's life in events: online, a heartbeat now and then, offline."""

import os
import threading
from typing import Any

from celery.worker import state

from celeryscope import semconv
from celeryscope.guard import guarded
from celeryscope.out_of_memory import OutOfMemoryKills
from celeryscope.recorder import Recorder
from celeryscope.redaction import redact_urls
from celeryscope.vitals import pool
from celeryscope.vitals.broker import BrokerWatch
from celeryscope.vitals.processes import Processes, open_files

ONLINE = "ONLINE"
OFFLINE = "OFFLINE"


class Heartbeat:
    """Events of one worker, from its main process; each is a complete snapshot."""

    def __init__(self, recorder: Recorder, broker: BrokerWatch, consumer: Any, kills: OutOfMemoryKills) -> None:
        self._recorder = recorder
        self._broker = broker
        self._kills = kills
        self._app = consumer.app
        self._pool = consumer.pool
        self._processes = Processes()
        self._stop = threading.Event()
        # No heartbeat may follow the end: the last snapshot would be wrong for good.
        self._emitting = threading.Lock()
        self._worker = {
            semconv.WORKER: consumer.hostname,
            semconv.PROCESS_PID: os.getpid(),
            semconv.POOL: pool.kind(consumer.pool),
            semconv.BROKER: redact_urls(consumer.app.connection_for_read().as_uri()),
        }

    def start(self) -> None:
        """The worker is ready; beats in a daemon thread from now on."""
        self._emit(semconv.EVENT_WORKER_ONLINE, ONLINE)
        threading.Thread(target=self._beat, name="celeryscope-heartbeat", daemon=True).start()

    def stop(self) -> None:
        """The worker ends in good order."""
        self._stop.set()
        with self._emitting:
            self._emit(semconv.EVENT_WORKER_OFFLINE, OFFLINE)

    def _beat(self) -> None:
        while not self._stop.wait(self._recorder.settings.heartbeat_interval):
            with self._emitting:
                if not self._stop.is_set():
                    self._kills.look()
                    self._emit(semconv.EVENT_WORKER_HEARTBEAT, ONLINE)

    @guarded
    def _emit(self, event: str, worker_state: str) -> None:
        values = {
            **self._worker,
            semconv.STATE: worker_state,
            semconv.CLOCK: self._recorder.clock.tick(),
            semconv.BROKER_CONNECTED: self._broker.connected,
            semconv.QUEUES: self._queues(),
            **self._tasks(),
            **self._usage(),
            **self._recorder.spool_counts(),
        }
        name = self._worker[semconv.WORKER]
        self._recorder.event(event, values, severity="INFO", body=f"Worker {name} {event.rsplit('.', 1)[1]}")

    def _queues(self) -> list[str] | None:
        """As they are now: people let workers consume from more and from fewer while they run."""
        # Another thread changes them, without a lock.
        consumed = list(self._app.amqp.queues.consume_from.items())
        return sorted({queue.name or name for name, queue in consumed}) or None

    def _tasks(self) -> dict[str, Any]:
        active, reserved = len(state.active_requests), len(state.reserved_requests)
        # Celery before 5.7 doesn't keep those that wait for their eta apart.
        scheduled = getattr(state, "scheduled_requests", None)
        return {
            semconv.CONCURRENCY: pool.size(self._pool),
            semconv.ACTIVE: active,
            semconv.PREFETCHED: max(reserved - active, 0),
            semconv.SCHEDULED: None if scheduled is None else len(scheduled),
            semconv.PROCESSED: state.all_total_count[0],
        }

    def _usage(self) -> dict[str, Any]:
        """The machine, the main process, and the pool's processes as parallel arrays."""
        main, done = os.getpid(), pool.children(self._pool)
        usage = self._processes.read([main, *done])
        own = usage.pop(main)
        values: dict[str, Any] = {
            semconv.LOAD_1M: os.getloadavg()[0],
            semconv.PROCESS_MEMORY: own.memory,
            semconv.PROCESS_CPU: round(own.cpu, 4),
            semconv.PROCESS_UPTIME: round(own.age, 1),
            semconv.PROCESS_FILES: open_files(main),
        }
        if usage:
            values |= {
                semconv.CHILD_PIDS: list(usage),
                semconv.CHILD_MEMORY: [child.memory for child in usage.values()],
                semconv.CHILD_CPU: [round(child.cpu, 4) for child in usage.values()],
                semconv.CHILD_AGE: [round(child.age, 1) for child in usage.values()],
            }
            if all(done[pid] is not None for pid in usage):
                values[semconv.CHILD_TASKS] = [done[pid] for pid in usage]
        return values
