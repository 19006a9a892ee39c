"""The data views: one for each kind of documents, with names people use, units, and links from ids to what they are."""

from typing import Final

from celeryscope import semconv
from celeryscope_kibana import addresses
from celeryscope_kibana.saved_objects.data_view import BYTES, SECONDS, WEB_PAGE, DataView, Format, badges, link
from celeryscope_kibana.states import BADGES

TRACE_ID: Final = "trace_id"

_LABELS: Final = {
    semconv.TASK_NAME: "Task",
    semconv.TASK_ID: "Task id",
    semconv.ROOT_ID: "Workflow",
    semconv.STATE: "State",
    semconv.WORKER: "Worker",
    semconv.MESSAGING_DESTINATION: "Queue",
    semconv.RETRIES: "Retries",
    semconv.FINGERPRINT: "Cluster",
    semconv.CULPRIT: "Culprit",
    semconv.FAILURE_TITLE: "Title",
    semconv.FAILURE_KIND: "Kind",
    semconv.EXCEPTION_TYPE: "Exception",
    semconv.EXCEPTION_MESSAGE: "Message",
    semconv.EXCEPTION_STACKTRACE: "Traceback",
    semconv.ARGS: "Arguments",
    semconv.KWARGS: "Keyword arguments",
    semconv.RUNTIME: "Run time",
    semconv.QUEUE_TIME: "Queue wait",
    semconv.PREFETCH_TIME: "Prefetch wait",
    semconv.OWNER_TEAM: "Owner",
    semconv.OWNER_RUNBOOK: "Runbook",
    semconv.SERVICE_NAME: "Service",
    semconv.SERVICE_VERSION: "Release",
    semconv.DEPLOYMENT_ENVIRONMENT: "Environment",
    semconv.FIRST_SEEN: "First seen",
    semconv.LAST_SEEN: "Last seen",
}
_VITALS: Final = {
    semconv.POOL: "Pool",
    semconv.CONCURRENCY: "Pool size",
    semconv.ACTIVE: "Active",
    semconv.PREFETCHED: "Prefetched",
    semconv.PROCESSED: "Processed",
    semconv.PROCESS_MEMORY: "Memory of the main process",
    semconv.CHILD_MEMORY: "Memory per child",
    semconv.LOAD_1M: "Load",
    semconv.BROKER_CONNECTED: "Broker connected",
    semconv.SPOOL_PENDING_BYTES: "Spool: not shipped",
    semconv.STACK_RUNTIME: "Running for",
    semconv.STACK_VERDICT: "Verdict",
    semconv.STACK_WHERE: "Where",
    semconv.STACK_REPEATS: "Seen again",
    semconv.QUEUES: "Queues",
    semconv.QUEUE_DEPTH: "Depth",
    semconv.QUEUE_CONSUMERS: "Consumers",
    semconv.SCHEDULE: "Schedule",
    semconv.SCHEDULE_RULE: "Rule",
    semconv.BEAT_LAST_RUN_AT: "Last run",
    semconv.BEAT_NEXT_AT: "Next run",
    semconv.BEAT_LATE: "Late by",
}
_FORMATS: Final[dict[str, Format]] = {
    **dict.fromkeys((semconv.RUNTIME, semconv.QUEUE_TIME, semconv.PREFETCH_TIME), SECONDS),
    **dict.fromkeys((semconv.STACK_RUNTIME, semconv.BEAT_LATE, semconv.BROKER_OUTAGE), SECONDS),
    **dict.fromkeys((semconv.PROCESS_MEMORY, semconv.CHILD_MEMORY, semconv.SPOOL_PENDING_BYTES), BYTES),
    semconv.STATE: badges(BADGES),
    semconv.FINGERPRINT: link(addresses.of_cluster()),
    semconv.ROOT_ID: link(addresses.of_workflow()),
    semconv.TASK_ID: link(addresses.of_task()),
    semconv.OWNER_RUNBOOK: WEB_PAGE,
    TRACE_ID: link(addresses.of_trace()),
}


def _view(key: str, index: str, name: str, time_field: str | None = "@timestamp") -> DataView:
    return DataView(f"data-view-{key}", index, name, time_field, {**_LABELS, **_VITALS}, _FORMATS)


TASKS: Final = _view("tasks", semconv.INDEX_TASKS_ALL, "Celery: attempts of tasks")
LOGS: Final = _view("logs", f"{semconv.DATA_STREAM_LOGS}-*", "Celery: log lines, failures, vitals")
TRACES: Final = _view("traces", f"{semconv.DATA_STREAM_TRACES}-*", "Celery: spans")
FAILURES: Final = _view("failures", semconv.INDEX_FAILURES, "Celery: failure clusters", semconv.LAST_SEEN)
NEW_FAILURES: Final = _view(
    "new-failures", semconv.INDEX_FAILURES, "Celery: failure clusters by first seen", semconv.FIRST_SEEN
)
# The last snapshot of each stays, however long ago: no time range hides a worker that has gone silent.
WORKERS: Final = _view("workers", semconv.INDEX_WORKERS, "Celery: workers", None)
QUEUES: Final = _view("queues", semconv.INDEX_QUEUES, "Celery: queues", None)
SCHEDULES: Final = _view("schedules", semconv.INDEX_SCHEDULES, "Celery: beat schedules", None)

ALL: Final = (TASKS, LOGS, TRACES, FAILURES, NEW_FAILURES, WORKERS, QUEUES, SCHEDULES)
