"""What a worker runs with: the settings that decide about lost, doubled and late tasks. No secrets, never all of it."""

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from celeryscope import semconv
from celeryscope.recorder import Recorder
from celeryscope.redaction import redact_urls
from celeryscope.vitals import pool

_SETTINGS = (
    "accept_content",
    "broker_connection_retry_on_startup",
    "broker_heartbeat",
    "broker_pool_limit",
    "enable_utc",
    "result_accept_content",
    "result_expires",
    "result_serializer",
    "task_acks_late",
    "task_acks_on_failure_or_timeout",
    "task_ignore_result",
    "task_reject_on_worker_lost",
    "task_send_sent_event",
    "task_serializer",
    "task_track_started",
    "timezone",
    "worker_cancel_long_running_tasks_on_connection_loss",
)
"""Celery's own names; the command line doesn't change these."""
_OF_WORKER = {
    "max_memory_per_child": "worker_max_memory_per_child",
    "max_tasks_per_child": "worker_max_tasks_per_child",
    "prefetch_multiplier": "worker_prefetch_multiplier",
    "soft_time_limit": "task_soft_time_limit",
    "task_events": "worker_send_task_events",
    "time_limit": "task_time_limit",
}
"""Attributes of Celery's worker, which know the command line, and the settings they stand for."""
_DISTRIBUTIONS = ("celery", "kombu", "billiard", "celeryscope", "redis", "amqp")


def record(recorder: Recorder, consumer: Any) -> None:
    """Record one event with the configuration in force in the worker that ``consumer`` belongs to."""
    app, worker = consumer.app, consumer.controller
    values: dict[str, Any] = {
        semconv.WORKER: consumer.hostname,
        semconv.CLOCK: recorder.clock.tick(),
        semconv.POOL: pool.kind(consumer.pool),
        semconv.CONCURRENCY: pool.size(consumer.pool),
        semconv.BROKER: redact_urls(consumer.conninfo.as_uri()),
        semconv.MESSAGING_SYSTEM: consumer.conninfo.transport_cls,
        semconv.PROCESS_RUNTIME_VERSION: platform.python_version(),
        **_settings(consumer),
        **_tasks(app, worker),
        **_versions(),
    }
    recorder.event(
        semconv.EVENT_WORKER_CONFIG, values, severity="INFO", body=f"Configuration of worker {consumer.hostname}"
    )


def _settings(consumer: Any) -> dict[str, Any]:
    app, worker = consumer.app, consumer.controller
    found: dict[str, Any] = {name: app.conf.get(name) for name in _SETTINGS}
    for attribute, name in _OF_WORKER.items():
        found[name] = getattr(worker, attribute, None)
    # Celery and kombu say "redis" for redis://user:password@host/0, and so do we.
    found["result_backend"] = str(app.conf.result_backend or "disabled").split(":", 1)[0]
    found["visibility_timeout"] = getattr(consumer.connection.default_channel, "visibility_timeout", None)
    found["queues"] = sorted(app.amqp.queues.consume_from)
    found["autoscale"] = getattr(worker, "autoscale", None)
    return {semconv.CONFIG_PREFIX + name: _plain(value) for name, value in found.items()}


def _tasks(app: Any, worker: Any) -> dict[str, int]:
    own = [task for name, task in app.tasks.items() if not name.startswith("celery.")]
    limited = bool(getattr(worker, "time_limit", None) or getattr(worker, "soft_time_limit", None))
    unlimited = [] if limited else [task for task in own if not (task.time_limit or task.soft_time_limit)]
    return {
        semconv.TASKS_REGISTERED: len(own),
        semconv.TASKS_ACKS_LATE: sum(bool(task.acks_late) for task in own),
        semconv.TASKS_WITHOUT_LIMIT: len(unlimited),
    }


def _versions() -> dict[str, str]:
    found = {}
    for name in _DISTRIBUTIONS:
        try:
            found[semconv.VERSION_PREFIX + name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _plain(value: Any) -> Any:
    """A value that has one type in every worker: durations are seconds, several values texts."""
    if hasattr(value, "total_seconds"):
        return value.total_seconds()
    if isinstance(value, list | tuple | set | frozenset):
        return [redact_urls(str(item)) for item in value]
    return value if value is None or isinstance(value, bool | int | float) else redact_urls(str(value))
