"""The saved searches: tracebacks and log lines for Discover, and the tables of current state for dashboards.

Discover shows the traceback of a failure as text (``error.stack_trace``), and its search bar finds words in all fields,
those of tracebacks, messages and arguments too: functions, files, values.
"""

from typing import Final

from celeryscope import semconv
from celeryscope_kibana.data_views import LOGS, QUEUES, SCHEDULES, TASKS, TRACE_ID, WORKERS
from celeryscope_kibana.saved_objects.discover import Search

FAILURE: Final = 'processor.event: "error"'
"""KQL: documents of failures, of ours and of nobody else's."""

_PLACE: Final = (semconv.WORKER, semconv.MESSAGING_DESTINATION)
_IDS: Final = (semconv.FINGERPRINT, semconv.ROOT_ID, semconv.TASK_ID)
_DIED: Final = (
    semconv.KIND_WORKER_LOST,
    semconv.KIND_OUT_OF_MEMORY,
    semconv.KIND_TIME_LIMIT,
    semconv.KIND_TERMINATED,
)

FAILURES: Final = Search(
    "search-failures",
    "Celery: failures with tracebacks",
    "Each failure with its traceback; search for a function, a file, words of the message, an argument.",
    LOGS,
    FAILURE,
    (
        semconv.TASK_NAME,
        semconv.EXCEPTION_TYPE,
        semconv.EXCEPTION_MESSAGE,
        semconv.CULPRIT,
        semconv.EXCEPTION_STACKTRACE,
        semconv.ARGS,
        semconv.KWARGS,
        *_PLACE,
        *_IDS,
    ),
)
RETRIES: Final = Search(
    "search-retries",
    "Celery: retries",
    "Each attempt that is to be tried again, and why.",
    LOGS,
    f'event_name: "{semconv.EVENT_TASK_RETRIED}"',
    (
        semconv.TASK_NAME,
        semconv.RETRIES,
        semconv.EXCEPTION_TYPE,
        semconv.EXCEPTION_MESSAGE,
        semconv.RETRY_REASON,
        semconv.RETRY_COUNTDOWN,
        *_PLACE,
        *_IDS,
    ),
)
WORKER_LOST: Final = Search(
    "search-worker-lost",
    "Celery: processes that died, tasks that were ended",
    "Attempts whose process was killed, by whom or what, and those that a time limit ended.",
    LOGS,
    f"{FAILURE} and {semconv.FAILURE_KIND}: ({' or '.join(_DIED)})",
    (semconv.TASK_NAME, semconv.FAILURE_KIND, semconv.EXCEPTION_MESSAGE, *_PLACE, semconv.HOST_NAME, *_IDS),
)
STACKS: Final = Search(
    "search-stuck-stacks",
    "Celery: stacks of tasks that run too long",
    "What a task does that runs longer than it should: a lock, a server that does not answer, a loop.",
    LOGS,
    f'event_name: "{semconv.EVENT_TASK_STACK}"',
    (
        semconv.TASK_NAME,
        semconv.STACK_RUNTIME,
        semconv.STACK_VERDICT,
        semconv.STACK_WHERE,
        semconv.STACK_REPEATS,
        semconv.STACK_TRACE,
        semconv.WORKER,
        semconv.ROOT_ID,
        semconv.TASK_ID,
    ),
)
LOG_LINES: Final = Search(
    "search-log-lines",
    "Celery: log lines of tasks",
    "What the application logged in a task, and how its attempts ended; a task id in any table leads here.",
    LOGS,
    f"{semconv.TASK_ID}: *",
    (
        "severity_text",
        "body.text",
        semconv.TASK_NAME,
        semconv.RETRIES,
        semconv.LOGGER_NAME,
        semconv.WORKER,
        semconv.TASK_ID,
        TRACE_ID,
    ),
    ("@timestamp", "asc"),
    hide_chart=True,
)
ATTEMPTS: Final = Search(
    "search-attempts",
    "Celery: attempts of tasks",
    "The last snapshot of each attempt: state, times, worker, queue, arguments.",
    TASKS,
    "",
    (
        semconv.TASK_NAME,
        semconv.STATE,
        semconv.RETRIES,
        semconv.QUEUE_TIME,
        semconv.PREFETCH_TIME,
        semconv.RUNTIME,
        *_PLACE,
        semconv.EXCEPTION_TYPE,
        semconv.ARGS,
        semconv.KWARGS,
        semconv.ROOT_ID,
        semconv.TASK_ID,
        TRACE_ID,
    ),
    hide_chart=True,
)
WORKERS_NOW: Final = Search(
    "search-workers",
    "Celery: workers as they said last",
    "The last heartbeat of each worker.",
    WORKERS,
    "",
    (
        semconv.WORKER,
        semconv.STATE,
        semconv.QUEUES,
        semconv.POOL,
        semconv.ACTIVE,
        semconv.CONCURRENCY,
        semconv.PREFETCHED,
        semconv.PROCESSED,
        semconv.PROCESS_MEMORY,
        semconv.CHILD_MEMORY,
        semconv.LOAD_1M,
        semconv.BROKER_CONNECTED,
        semconv.SPOOL_PENDING_BYTES,
        "@timestamp",
    ),
    hide_chart=True,
)
QUEUES_NOW: Final = Search(
    "search-queues",
    "Celery: queues as they were seen last",
    "Messages that no worker has yet.",
    QUEUES,
    "",
    (semconv.MESSAGING_DESTINATION, semconv.QUEUE_DEPTH, semconv.BROKER_UNACKNOWLEDGED, semconv.BROKER, "@timestamp"),
    hide_chart=True,
)
SCHEDULES_NOW: Final = Search(
    "search-schedules",
    "Celery: beat schedules",
    "When each entry ran, and when it will run next; a next run that is past was missed.",
    SCHEDULES,
    "",
    (
        semconv.SCHEDULE,
        semconv.TASK_NAME,
        semconv.SCHEDULE_RULE,
        semconv.BEAT_LAST_RUN_AT,
        semconv.BEAT_NEXT_AT,
        semconv.BEAT_LATE,
        semconv.SCHEDULE_RUNS,
        semconv.SERVICE_NAME,
    ),
    (semconv.BEAT_NEXT_AT, "asc"),
    hide_chart=True,
)
BROKER: Final = Search(
    "search-broker",
    "Celery: broker connections lost and regained",
    "When a worker had to do without its broker, and why.",
    LOGS,
    f'event_name: ("{semconv.EVENT_BROKER_LOST}" or "{semconv.EVENT_BROKER_REGAINED}")',
    (
        "event_name",
        semconv.WORKER,
        semconv.CAUSE,
        semconv.EXCEPTION_MESSAGE,
        semconv.BROKER_OUTAGE,
        semconv.BROKER,
    ),
    hide_chart=True,
)

ALL: Final = (
    FAILURES,
    RETRIES,
    WORKER_LOST,
    STACKS,
    LOG_LINES,
    ATTEMPTS,
    WORKERS_NOW,
    QUEUES_NOW,
    SCHEDULES_NOW,
    BROKER,
)
