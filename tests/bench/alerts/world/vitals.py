"""Heartbeats, depths of queues, beat's and brokers' events, as ``celeryscope.vitals`` tells them."""

import math
from typing import TYPE_CHECKING, Any

from celeryscope import semconv
from celeryscope.settings import Settings

if TYPE_CHECKING:
    from alerts.scenario import Schedule
    from alerts.world.broker import Broker
    from alerts.world.telemetry import Process
    from alerts.world.worker import Worker

BEAT = Settings().heartbeat_interval
LOOK = Settings().queue_depth_interval
"""Seconds between two looks at a queue."""
_MEGABYTE = 1024 * 1024


class Heartbeat:
    """What a worker tells of itself; each event is a complete snapshot."""

    def __init__(self, worker: "Worker") -> None:
        self._worker = worker
        self._busy: dict[int, float] = {}

    def start(self) -> None:
        """Online, the configuration, then a beat each quarter of a minute."""
        self._emit(semconv.EVENT_WORKER_ONLINE, "ONLINE")
        worker, main = self._worker, self._worker.main
        main.event(
            semconv.EVENT_WORKER_CONFIG, _configuration(worker), "INFO", f"Configuration of worker {worker.kind.name}"
        )
        worker.service.engine.after(BEAT, self._beat)

    def stop(self) -> None:
        """Offline: it ended in good order."""
        self._emit(semconv.EVENT_WORKER_OFFLINE, "OFFLINE")

    def _beat(self) -> None:
        if self._worker.is_alive:
            self._emit(semconv.EVENT_WORKER_HEARTBEAT, "ONLINE")
            self._worker.service.engine.after(BEAT, self._beat)

    def _emit(self, event: str, state: str) -> None:
        worker = self._worker
        main, broker = worker.main, worker.service.broker
        pending = main.pending_bytes()
        values = {
            semconv.WORKER: worker.kind.name,
            semconv.PROCESS_PID: main.pid,
            semconv.POOL: "prefork",
            semconv.BROKER: broker.url,
            semconv.STATE: state,
            semconv.CLOCK: main.tick(),
            semconv.BROKER_CONNECTED: broker.is_up,
            semconv.QUEUES: sorted(worker.kind.queues),
            semconv.CONCURRENCY: len(worker.children),
            semconv.ACTIVE: worker.active,
            semconv.PREFETCHED: len(worker.waiting),
            semconv.SCHEDULED: len(worker.scheduled),
            semconv.PROCESSED: worker.processed,
            semconv.LOAD_1M: round(0.2 + 0.5 * worker.active, 2),
            semconv.PROCESS_MEMORY: int(worker.service.chance.uniform(95, 97) * _MEGABYTE),
            semconv.PROCESS_CPU: round(worker.service.chance.uniform(0.01, 0.03), 4),
            semconv.PROCESS_UPTIME: round(main.now - main.began, 1),
            semconv.PROCESS_FILES: 40 + len(worker.children),
            # Its pool has ended before it.
            **(self._children() if state == "ONLINE" else {}),
            semconv.SPOOL_SHIPPED: max(main.written - pending // 900, 0),
            semconv.SPOOL_SUPERSEDED: worker.processed,
            semconv.SPOOL_PENDING_BYTES: pending,
        }
        main.event(event, values, "INFO", f"Worker {worker.kind.name} {event.rsplit('.', 1)[1]}")

    def _children(self) -> dict[str, Any]:
        worker = self._worker
        if not worker.children:
            return {}
        now = worker.main.now
        before, self._busy = self._busy, {child.process.pid: child.busy for child in worker.children}
        return {
            semconv.CHILD_PIDS: [child.process.pid for child in worker.children],
            semconv.CHILD_MEMORY: [worker.memory_of(child) for child in worker.children],
            semconv.CHILD_CPU: [
                round(max(busy - before.get(pid, 0.0), 0.0) / BEAT * 0.4, 4) for pid, busy in self._busy.items()
            ],
            semconv.CHILD_AGE: [round(now - child.process.began, 1) for child in worker.children],
            semconv.CHILD_TASKS: [child.tasks for child in worker.children],
        }


def _configuration(worker: "Worker") -> dict[str, Any]:
    kinds = worker.service.scenario.tasks
    config = {
        "accept_content": ["json"],
        "broker_connection_retry_on_startup": True,
        "broker_heartbeat": 120,
        "broker_pool_limit": 10,
        "enable_utc": True,
        "queues": sorted(worker.kind.queues),
        "result_backend": "redis",
        "result_expires": 86400.0,
        "result_serializer": "json",
        "task_acks_late": False,
        "task_acks_on_failure_or_timeout": True,
        "task_ignore_result": False,
        "task_send_sent_event": False,
        "task_serializer": "json",
        "task_track_started": False,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "worker_prefetch_multiplier": worker.kind.prefetch,
        "worker_send_task_events": False,
    }
    if worker.service.broker.is_redis:
        config["visibility_timeout"] = int(worker.service.broker.visibility)
    return {
        semconv.WORKER: worker.kind.name,
        semconv.CLOCK: worker.main.tick(),
        semconv.POOL: "prefork",
        semconv.CONCURRENCY: len(worker.children),
        semconv.BROKER: worker.service.broker.url,
        semconv.MESSAGING_SYSTEM: worker.service.broker.transport,
        semconv.PROCESS_RUNTIME_VERSION: "3.12.7",
        **{semconv.CONFIG_PREFIX + name: value for name, value in config.items()},
        semconv.TASKS_REGISTERED: len(kinds),
        semconv.TASKS_ACKS_LATE: sum(kind.acks_late for kind in kinds),
        semconv.TASKS_WITHOUT_LIMIT: len(kinds),
        **{semconv.VERSION_PREFIX + name: "5.5.0" for name in ("celery", "kombu", "billiard", "celeryscope", "redis")},
    }


class Depths:
    """For each queue one of its workers looks; another takes over at once, or 2.5 intervals after one that died."""

    def __init__(self, queue: str, broker: "Broker") -> None:
        self._queue = queue
        self._broker = broker
        self._looks: Worker | None = None
        self._free_at = -math.inf

    def look(self, now: float) -> None:
        """Called each half minute."""
        consumers: list[Any] = self._broker.consumers[self._queue]
        if self._looks not in consumers:
            if self._looks is not None and self._looks.state == "dead":
                self._free_at = now + 1.5 * LOOK
            self._looks = None
            if consumers and now >= self._free_at:
                self._looks = consumers[0]
        if self._looks and self._broker.is_up:
            self._emit(self._looks, len(consumers))

    def _emit(self, worker: "Worker", consumers: int) -> None:
        depth = len(self._broker.queues[self._queue])
        values: dict[str, Any] = {
            semconv.WORKER: worker.kind.name,
            semconv.BROKER: self._broker.url,
            semconv.MESSAGING_SYSTEM: self._broker.transport,
            semconv.MESSAGING_DESTINATION: self._queue,
            semconv.QUEUE_DEPTH: depth,
        }
        if self._broker.is_redis:
            values |= {f"{semconv.QUEUE_DEPTH_OF_PRIORITY_PREFIX}{step}": 0 for step in (0, 3, 6, 9)}
            values[f"{semconv.QUEUE_DEPTH_OF_PRIORITY_PREFIX}0"] = depth
            values[semconv.BROKER_UNACKNOWLEDGED] = self._broker.unacknowledged
        else:
            values[semconv.QUEUE_CONSUMERS] = consumers
        values[semconv.CLOCK] = worker.main.tick()
        worker.main.event(semconv.EVENT_QUEUE_DEPTH, values, "INFO", f"Queue {self._queue} has {depth} messages")


def tell_due(
    beat: "Process", entry: "Schedule", due: float, before: float, runs: int, sent: str = "", refused: bool = False
) -> None:
    """An entry is due; or was ``sent``, with this task's id; or could not be."""
    values: dict[str, Any] = {
        semconv.SCHEDULE: entry.name,
        semconv.TASK_NAME: entry.task,
        semconv.SCHEDULE_RULE: f"<freq: {entry.every:.2f} seconds>",
        semconv.SCHEDULE_INTERVAL: float(entry.every),
        semconv.BEAT_STARTED_AT: beat.microseconds(beat.began),
        semconv.SCHEDULE_RUNS: runs,
        semconv.BEAT_LAST_RUN_AT: beat.microseconds(before),
        semconv.BEAT_DUE_AT: beat.microseconds(due),
        semconv.BEAT_NEXT_AT: beat.microseconds(beat.now + entry.every),
        semconv.BEAT_LATE: max(beat.now - due, 0.0),
        semconv.TASK_ID: sent or None,
        semconv.CLOCK: beat.tick(),
    }
    if refused:
        message = "[Errno 111] Connection refused"
        values |= {
            semconv.EXCEPTION_TYPE: "kombu.exceptions.OperationalError",
            semconv.EXCEPTION_MESSAGE: message,
            semconv.EXCEPTION_STACKTRACE: f"kombu.exceptions.OperationalError: {message}\n",
        }
        body = f"Schedule {entry.name} could not be sent: {message}"
        beat.event(semconv.EVENT_BEAT_FAILED, values, "ERROR", body)
    elif sent:
        beat.event(semconv.EVENT_BEAT_SENT, values, "INFO", f"Schedule {entry.name} sent")
    else:
        beat.event(semconv.EVENT_BEAT_DUE, values, "INFO", f"Schedule {entry.name} is due")


def tell_broker(worker: "Worker", lost_at: float, outage: float | None = None) -> None:
    """A worker has lost its broker; or has it again after an outage of so many seconds."""
    main, broker = worker.main, worker.service.broker
    values: dict[str, Any] = {
        semconv.WORKER: worker.kind.name,
        semconv.BROKER: broker.url,
        semconv.MESSAGING_SYSTEM: broker.transport,
        semconv.CLOCK: main.tick(),
        semconv.BROKER_CONNECTED: outage is not None,
        semconv.BROKER_LOST_AT: main.microseconds(lost_at),
        semconv.CAUSE: semconv.CAUSE_NETWORK,
    }
    if outage is None:
        message = "[Errno 111] Connection refused"
        values |= {semconv.EXCEPTION_TYPE: "ConnectionRefusedError", semconv.EXCEPTION_MESSAGE: message}
        main.event(semconv.EVENT_BROKER_LOST, values, "ERROR", f"Worker {worker.kind.name} lost its broker: {message}")
    else:
        values[semconv.BROKER_OUTAGE] = outage
        body = f"Worker {worker.kind.name} has its broker again after {outage:.1f} s"
        main.event(semconv.EVENT_BROKER_REGAINED, values, "INFO", body)
