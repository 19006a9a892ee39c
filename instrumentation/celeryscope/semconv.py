"""Every attribute, header, event, topic and index name of celeryscope; nothing else spells one out.

Attributes follow the OpenTelemetry semantic conventions where one exists (``exception.*``, ``messaging.*``,
``service.*``, ``process.*``, ``log.record.uid``) and keep the names that opentelemetry-instrumentation-celery already
uses; ours start with ``celery.``. The same names are the field names of the documents in Elasticsearch: in the data
streams below ``attributes.`` (a passthrough object, so the bare name works in queries), in the entities at the top.

Units: ``*_at``, ``celery.eta``, ``celery.expires`` and ``celery.clock`` are integers, microseconds since the Unix epoch
(UTC); ``celery.queue_time``, ``celery.prefetch_time``, ``celery.runtime`` and ``celery.retry.countdown`` are seconds as
floats.
"""

from typing import Final

SCOPE_NAME: Final = "celeryscope"
"""Name of the instrumentation scope of all our events."""

SCOPE_SPANS: Final = "opentelemetry.instrumentation.celery"
"""Name of the instrumentation scope of tasks' spans: that of the instrumentor in whose place ours stands."""

# --- The message header -----------------------------------------------------------------------------------------------
HEADER: Final = "celeryscope"
"""The one header we put into a Celery message: a dict with the keys below."""
HEADER_SENT_AT: Final = "sent_at"
HEADER_CLOCK: Final = "clock"
"""Left out when it is ``sent_at``, as it nearly always is."""
HEADER_PLAN: Final = "plan"
"""Tasks still to come after this one, as ``celeryscope.canvas`` describes them: ``[[task id, task name], ...]``."""
HEADER_CHORD: Final = "chord"
"""The number (from 1) of the plan's entry with which the body of the task's chord begins."""
HEADER_POSITION: Final = "position"
"""``[celery.chain_index, celery.chain_length]``."""
HEADER_PATH: Final = "path"
"""Where the task stands in nested chains and groups (``celeryscope.canvas``), for the steps that follow."""
HEADER_GROUP_SIZE: Final = "group_size"
HEADER_ROOT: Final = "root"
"""The workflow, where Celery's ``root_id`` isn't it: of a group published outside of a worker."""
HEADER_PREVIOUS: Final = "previous"
"""On retries, ``<trace id>-<span id>`` of the attempt before."""
HEADER_RECEIVED_AT: Final = "received_at"
"""Stamped by the worker's main process, never on the wire."""
HEADER_DELIVERY: Final = "delivery"
"""Stamped by the worker's main process, never on the wire."""

# --- Events: values of the log record's ``event_name`` ----------------------------------------------------------------
EVENT_TASK_SENT: Final = "celery.task.sent"
EVENT_TASK_RECEIVED: Final = "celery.task.received"
EVENT_TASK_STARTED: Final = "celery.task.started"
EVENT_TASK_RETRIED: Final = "celery.task.retried"
EVENT_TASK_SUCCEEDED: Final = "celery.task.succeeded"
EVENT_TASK_FAILED: Final = "celery.task.failed"
EVENT_TASK_REVOKED: Final = "celery.task.revoked"
EVENT_TASK_IGNORED: Final = "celery.task.ignored"
EVENT_TASK_REJECTED: Final = "celery.task.rejected"
EVENT_TASK_UNKNOWN: Final = "celery.task.unknown"
EVENT_TASK_LOST: Final = "celery.task.lost"
EVENT_TASK_STACK: Final = "celery.task.stack"
EVENT_WORKER_ONLINE: Final = "celery.worker.online"
EVENT_WORKER_HEARTBEAT: Final = "celery.worker.heartbeat"
EVENT_WORKER_OFFLINE: Final = "celery.worker.offline"
EVENT_WORKER_CONFIG: Final = "celery.worker.config"
EVENT_QUEUE_DEPTH: Final = "celery.queue.depth"
EVENT_BEAT_DUE: Final = "celery.beat.due"
EVENT_BEAT_SENT: Final = "celery.beat.sent"
EVENT_BEAT_FAILED: Final = "celery.beat.failed"
EVENT_BROKER_LOST: Final = "celery.broker.lost"
EVENT_BROKER_REGAINED: Final = "celery.broker.regained"
EVENT_EXCEPTION: Final = "exception"
"""OpenTelemetry's name for an exception that is a log record; documents of failures carry it so that APM finds them."""
EVENT_NAME: Final = "event.name"
"""The attribute that held an event's name before OTLP had a field for it; older senders still use it."""

# --- States of an attempt: values of ``celery.state`` -----------------------------------------------------------------
STATE_SENT: Final = "SENT"
STATE_RECEIVED: Final = "RECEIVED"
STATE_STARTED: Final = "STARTED"
STATE_RETRY: Final = "RETRY"
STATE_SUCCESS: Final = "SUCCESS"
STATE_FAILURE: Final = "FAILURE"
STATE_REVOKED: Final = "REVOKED"
STATE_IGNORED: Final = "IGNORED"
STATE_REJECTED: Final = "REJECTED"
STATE_UNKNOWN: Final = "UNKNOWN"
"""The message named a task that the worker has not registered."""
STATE_LOST: Final = "LOST"
"""The process that ran the attempt died."""

TASK_STATES: Final[dict[str, str]] = {
    EVENT_TASK_SENT: STATE_SENT,
    EVENT_TASK_RECEIVED: STATE_RECEIVED,
    EVENT_TASK_STARTED: STATE_STARTED,
    EVENT_TASK_RETRIED: STATE_RETRY,
    EVENT_TASK_SUCCEEDED: STATE_SUCCESS,
    EVENT_TASK_FAILED: STATE_FAILURE,
    EVENT_TASK_REVOKED: STATE_REVOKED,
    EVENT_TASK_IGNORED: STATE_IGNORED,
    EVENT_TASK_REJECTED: STATE_REJECTED,
    EVENT_TASK_UNKNOWN: STATE_UNKNOWN,
    EVENT_TASK_LOST: STATE_LOST,
}
"""The state that each task event puts its attempt into."""

FINAL_STATES: Final = frozenset(
    {
        STATE_RETRY,
        STATE_SUCCESS,
        STATE_FAILURE,
        STATE_REVOKED,
        STATE_IGNORED,
        STATE_REJECTED,
        STATE_UNKNOWN,
        STATE_LOST,
    }
)
"""An attempt in one of these does not go on (a retry is final for its attempt; the next is another document)."""

FAILED_STATES: Final = frozenset({STATE_FAILURE, STATE_REJECTED, STATE_UNKNOWN, STATE_LOST})
"""Final states that count as failures and belong to a failure cluster."""

# --- Attributes of tasks ----------------------------------------------------------------------------------------------
TASK_ID: Final = "celery.task_id"
TASK_NAME: Final = "celery.task_name"
ROOT_ID: Final = "celery.root_id"
PARENT_ID: Final = "celery.parent_id"
RETRIES: Final = "celery.retries"
ATTEMPT: Final = "celery.attempt"
"""``<task id>:<retries>``; the identity of an attempt."""
DELIVERY: Final = "celery.delivery"
STATE: Final = "celery.state"
CLOCK: Final = "celery.clock"
SENT_AT: Final = "celery.sent_at"
RECEIVED_AT: Final = "celery.received_at"
STARTED_AT: Final = "celery.started_at"
ENDED_AT: Final = "celery.ended_at"
ETA: Final = "celery.eta"
EXPIRES: Final = "celery.expires"
QUEUE_TIME: Final = "celery.queue_time"
"""Seconds in the broker: from the moment the task could have run (sent, or its eta) until a worker received it."""
PREFETCH_TIME: Final = "celery.prefetch_time"
"""Seconds that the task, able to run, was held by the worker before it started."""
RUNTIME: Final = "celery.runtime"
WORKER: Final = "celery.worker"
"""Node name of the worker that has the task, e.g. ``celery@host``."""
ORIGIN: Final = "celery.origin"
"""Who published the message, as Celery names it, e.g. ``gen123@host``."""
GROUP_ID: Final = "celery.group_id"
GROUP_INDEX: Final = "celery.group_index"
GROUP_SIZE: Final = "celery.group_size"
"""Members of the group. Of one made by a generator, only the last member knows it."""
CHORD_ID: Final = "celery.chord_id"
CHORD_NAME: Final = "celery.chord_name"
CHAIN_IDS: Final = "celery.chain_ids"
"""Ids of the tasks planned to run after this one (array of strings, parallel to ``celery.chain_names``), members of
groups and callbacks too; empty where Celery gives the id only when the step is reached."""
CHAIN_NAMES: Final = "celery.chain_names"
CHAIN_AFTER: Final = "celery.chain_after"
"""Parallel to ``celery.chain_ids``: the numbers (from 1, joined by commas; 0 is this task) of those that have to
succeed first. Left out when each waits for the one before it."""
CHAIN_INDEX: Final = "celery.chain_index"
"""Position of the task's step in its chain, from 0; a chord is two steps, its header and its body."""
CHAIN_LENGTH: Final = "celery.chain_length"
ARGS: Final = "celery.args"
KWARGS: Final = "celery.kwargs"
LOCALS: Final = "celery.locals"
"""The variables of the application's frames of a failure, as text; only when switched on."""
RETRY_REASON: Final = "celery.retry.reason"
RETRY_COUNTDOWN: Final = "celery.retry.countdown"
"""Seconds until the next attempt may start."""
RETRY_ETA: Final = "celery.retry.eta"
"""When the next attempt may start (microseconds)."""
FAILURE_KIND: Final = "celery.failure_kind"
TERMINATED: Final = "celery.terminated"
EXPIRED: Final = "celery.expired"
REDELIVERED: Final = "celery.redelivered"
STAMPS: Final = "celery.stamps"
"""What Celery's stamping has put on the message, ``name=value`` each (array of strings)."""
ACTION: Final = "celery.action"
TENANT: Final = "celery.tenant"
"""Set by the collector from the token, never believed from a sender (a resource attribute)."""

# Added by the collector: who is responsible for a task, and what sampling has left of its like
OWNER_TEAM: Final = "celery.owner.team"
OWNER_SEVERITY: Final = "celery.owner.severity"
"""How bad a failure is: ``low``, ``medium``, ``high`` or ``critical``."""
OWNER_RUNBOOK: Final = "celery.owner.runbook"
"""Address of a page that tells what to do about a failure."""
OWNER_TIER: Final = "celery.owner.tier"
SAMPLING_RATIO: Final = "celery.sampling.ratio"
"""On a span or log line that chance has chosen: it stands for 1 / ratio of its like; all others for themselves."""

# Values of celery.failure_kind
KIND_EXCEPTION: Final = "exception"
KIND_SOFT_TIME_LIMIT: Final = "soft_time_limit"
KIND_TIME_LIMIT: Final = "time_limit"
KIND_WORKER_LOST: Final = "worker_lost"
KIND_OUT_OF_MEMORY: Final = "out_of_memory"
"""The process was lost to the kernel's out-of-memory killer."""
KIND_TERMINATED: Final = "terminated"
KIND_UNREGISTERED: Final = "unregistered"
KIND_REJECTED: Final = "rejected"

# A task that runs too long: celery.task.stack
STACK_TRACE: Final = "celery.stack.trace"
"""Stacks of all threads, the task's own first, as Python shows tracebacks; missing when it is the same as last time."""
STACK_VERDICT: Final = "celery.stack.verdict"
"""One of the verdicts below."""
STACK_WHERE: Final = "celery.stack.where"
"""The line of code that the verdict is about: ``[kind of I/O, ]file:line in function: source``."""
STACK_RUNTIME: Final = "celery.stack.runtime"
"""Seconds that the task had run."""
STACK_REPEATS: Final = "celery.stack.repeats"
"""How many looks before this one found the task in the same stack."""
STACK_CPU: Final = "celery.stack.cpu"
"""CPUs that the task's process used during the half second before (1.0 is one CPU)."""

# Values of celery.stack.verdict
VERDICT_LOCK: Final = "lock"
VERDICT_IO: Final = "io"
VERDICT_CPU: Final = "cpu"
VERDICT_SLEEP: Final = "sleep"
VERDICT_UNKNOWN: Final = "unknown"

# Added by the indexer
FINGERPRINT: Final = "celery.fingerprint"
FINGERPRINT_COARSE: Final = "celery.fingerprint_coarse"
FINGERPRINT_VERSION: Final = "celery.fingerprint_version"
CULPRIT: Final = "celery.culprit"
"""The innermost frame of the application, ``module in function``."""
FAILURE_TITLE: Final = "celery.failure_title"
FIRST_SEEN: Final = "celery.first_seen"
LAST_SEEN: Final = "celery.last_seen"
EVENT: Final = "celery.event"
"""The event's own name on documents whose ``event_name`` is ``exception``."""
CUT: Final = "celery.cut"
"""Names of the attributes that a size limit shortened (array of strings)."""
MAPS: Final = "celery.maps"
"""Only in documents: all attributes that are maps, by their names; one flattened field, whatever keys they have."""

# --- Attributes of workers --------------------------------------------------------------------------------------------
POOL: Final = "celery.pool"
CONCURRENCY: Final = "celery.concurrency"
"""Size of the pool now; the autoscaler moves it."""
ACTIVE: Final = "celery.active"
PREFETCHED: Final = "celery.prefetched"
"""Tasks that the worker holds and no process of its pool has begun; without those that wait for their eta."""
SCHEDULED: Final = "celery.scheduled"
"""Tasks that the worker holds until their eta."""
PROCESSED: Final = "celery.processed"
CHILD_PIDS: Final = "celery.child.pid"
"""Pool processes (array); the other ``celery.child.*`` are parallel to it."""
CHILD_MEMORY: Final = "celery.child.memory"
"""Resident bytes."""
CHILD_CPU: Final = "celery.child.cpu"
"""Processors kept busy since the last heartbeat, or since the process started: 1.0 is one."""
CHILD_AGE: Final = "celery.child.age"
"""Seconds since the process started."""
CHILD_TASKS: Final = "celery.child.tasks"
"""Tasks whose result came back from the process."""
SPOOL_SHIPPED: Final = "celery.spool.shipped"
SPOOL_SUPERSEDED: Final = "celery.spool.superseded"
SPOOL_PENDING_BYTES: Final = "celery.spool.pending_bytes"
SPOOL_DROPPED_PREFIX: Final = "celery.spool.dropped."
"""Followed by the reason, e.g. ``celery.spool.dropped.quota``."""
CONFIG_PREFIX: Final = "celery.config."
"""Followed by the name of one of Celery's settings, e.g. ``celery.config.task_acks_late``: the value in force."""
VERSION_PREFIX: Final = "celery.version."
"""Followed by the name of a distribution, e.g. ``celery.version.kombu``."""
TASKS_REGISTERED: Final = "celery.tasks.registered"
"""Tasks of the application that the worker has registered; Celery's own are not counted, here and below."""
TASKS_ACKS_LATE: Final = "celery.tasks.acks_late"
"""Of these, those acknowledged after they ran."""
TASKS_WITHOUT_LIMIT: Final = "celery.tasks.without_time_limit"
"""Of these, those that no time limit ends, neither their own nor the worker's."""

# --- Attributes of brokers and queues ---------------------------------------------------------------------------------
BROKER: Final = "celery.broker"
"""The broker's URL without credentials."""
BROKER_CONNECTED: Final = "celery.broker.connected"
BROKER_LOST_AT: Final = "celery.broker.lost_at"
BROKER_OUTAGE: Final = "celery.broker.outage"
"""Seconds for which the worker did without its broker."""
BROKER_UNACKNOWLEDGED: Final = "celery.broker.unacknowledged"
"""Messages that workers hold and have not acknowledged, over all queues of the broker (Redis)."""
CAUSE: Final = "celery.cause"
"""Why the broker is lost; one of the values below."""
CAUSE_NETWORK: Final = "network"
CAUSE_AUTHENTICATION: Final = "authentication"
CAUSE_RESOURCE_LIMIT: Final = "resource_limit"
CAUSE_PROTOCOL: Final = "protocol"
QUEUE_DEPTH: Final = "celery.queue.depth"
"""Messages that no worker has yet."""
QUEUE_DEPTH_OF_PRIORITY_PREFIX: Final = "celery.queue.depth_of_priority."
"""Followed by a priority step: the messages in the sub-queue of that priority (Redis)."""
QUEUE_CONSUMERS: Final = "celery.queue.consumers"
"""Workers that consume from the queue (AMQP)."""

# --- Attributes of schedules ------------------------------------------------------------------------------------------
SCHEDULE: Final = "celery.schedule"
"""Name of a beat schedule's entry."""
SCHEDULE_RULE: Final = "celery.schedule.rule"
"""When the entry is due, as Celery writes it, e.g. ``<crontab: 0 4 * * * (m/h/dM/MY/d)>``."""
SCHEDULE_INTERVAL: Final = "celery.schedule.interval"
"""Seconds between two runs, of entries that have an interval."""
SCHEDULE_RUNS: Final = "celery.schedule.runs"
"""Runs before this one, since beat's schedule was made."""
BEAT_DUE_AT: Final = "celery.beat.due_at"
BEAT_LAST_RUN_AT: Final = "celery.beat.last_run_at"
"""When the entry was sent before; for an entry that never was, when beat first saw it."""
BEAT_NEXT_AT: Final = "celery.beat.next_at"
"""When the entry will be due next: without a later event of it after that moment, a run is missed."""
BEAT_LATE: Final = "celery.beat.late"
"""Seconds between the moment the entry was due and the moment beat came to it."""

# --- Attributes from OpenTelemetry's conventions ----------------------------------------------------------------------
EXCEPTION_TYPE: Final = "exception.type"
EXCEPTION_MESSAGE: Final = "exception.message"
EXCEPTION_STACKTRACE: Final = "exception.stacktrace"
LOG_RECORD_UID: Final = "log.record.uid"
MESSAGING_SYSTEM: Final = "messaging.system"
MESSAGING_DESTINATION: Final = "messaging.destination.name"
MESSAGING_MESSAGE_ID: Final = "messaging.message.id"
SERVICE_NAME: Final = "service.name"
SERVICE_VERSION: Final = "service.version"
SERVICE_INSTANCE_ID: Final = "service.instance.id"
DEPLOYMENT_ENVIRONMENT: Final = "deployment.environment.name"
K8S_CLUSTER: Final = "k8s.cluster.name"
CLOUD_REGION: Final = "cloud.region"
HOST_NAME: Final = "host.name"
PROCESS_PID: Final = "process.pid"
PROCESS_MEMORY: Final = "process.memory.usage"
"""Resident bytes."""
PROCESS_CPU: Final = "process.cpu.utilization"
"""Processors kept busy since the last event, or since the process started: 1.0 is one."""
PROCESS_FILES: Final = "process.unix.file_descriptor.count"
PROCESS_UPTIME: Final = "process.uptime"
PROCESS_RUNTIME_VERSION: Final = "process.runtime.version"
LOAD_1M: Final = "system.cpu.load_average.1m"
LOGGER_NAME: Final = "logger.name"
THREAD_NAME: Final = "thread.name"
CODE_FILE: Final = "code.file.path"
CODE_FUNCTION: Final = "code.function.name"
CODE_LINE: Final = "code.line.number"
LOG_LEFT_OUT: Final = "celery.log.left_out"
"""Number of lines of ``logger.name`` that the rate limit left out; the sum over all such records is their total."""

# --- Kafka ------------------------------------------------------------------------------------------------------------
TOPIC_TRACES: Final = "celeryscope.traces"
TOPIC_LOGS: Final = "celeryscope.logs"
TOPIC_METRICS: Final = "celeryscope.metrics"
"""Written only when the collector is told to pass metrics through; celeryscope itself reads none."""
TOPIC_DEAD_LETTER: Final = "celeryscope.dead-letter"

# --- Elasticsearch ----------------------------------------------------------------------------------------------------
DATA_STREAM_TRACES: Final = "traces-celery.otel"
"""Followed by ``-<namespace>``; the namespace is the tenant."""
DATA_STREAM_LOGS: Final = "logs-celery.otel"
INDEX_TASKS: Final = "celery-tasks"
"""Followed by ``-<date the attempt was sent, YYYY.MM.DD>``."""
INDEX_WORKERS: Final = "celery-workers"
INDEX_QUEUES: Final = "celery-queues"
INDEX_SCHEDULES: Final = "celery-schedules"
INDEX_FAILURES: Final = "celery-failures"
DEFAULT_TENANT: Final = "default"

# --- HTTP -------------------------------------------------------------------------------------------------------------
PATH_TRACES: Final = "/v1/traces"
PATH_LOGS: Final = "/v1/logs"
PATH_METRICS: Final = "/v1/metrics"
