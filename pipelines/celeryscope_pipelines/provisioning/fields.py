"""The fields of our documents and their types: attributes of the data streams, and the entities' own.

Fields that are not listed here get their type from the dynamic rules, in a way that two senders can't contradict each
other: what does not fit the type that came first is kept in the document and not indexed (``ignore_malformed``).
Attributes that are maps are one flattened field, so that their keys, which may be anything, are no fields.
"""

from dataclasses import dataclass
from typing import Any, Final

from celeryscope import semconv
from celeryscope_pipelines.attributes import MOMENTS

Mapping = dict[str, Any]

KEYWORD: Final[Mapping] = {"type": "keyword", "ignore_above": 1024}
LONG: Final[Mapping] = {"type": "long"}
DOUBLE: Final[Mapping] = {"type": "double"}
BOOLEAN: Final[Mapping] = {"type": "boolean"}
DATE: Final[Mapping] = {"type": "date_nanos"}
_DEEPEST: Final = 100
"""Levels of a structured log body; protobuf itself ends there."""
FREE_FORM: Final[Mapping] = {"type": "flattened", "ignore_above": 1024, "depth_limit": _DEEPEST}
"""For what may have any keys: each is found by its path, and none costs the index a field."""


@dataclass(frozen=True, slots=True)
class Types:
    """Types that not every Elasticsearch has, or what stands in for them."""

    words: str = "text"
    """``match_only_text`` needs less disk."""
    constant: str = "keyword"
    """``constant_keyword`` lets a search skip whole indices."""


PREFIXES: Final[dict[str, Mapping]] = {
    # The same setting is a number here and a text there.
    semconv.CONFIG_PREFIX: KEYWORD,
    semconv.VERSION_PREFIX: KEYWORD,
    semconv.SPOOL_DROPPED_PREFIX: LONG,
    semconv.QUEUE_DEPTH_OF_PRIORITY_PREFIX: LONG,
}
"""Types of our fields whose names only begin with a name of ours."""

DYNAMIC: Final[list[Mapping]] = [
    *(
        {
            prefix.strip("."): {
                "path_match": [f"{prefix}*", f"*attributes.{prefix}*"],
                "match_mapping_type": ["string", "long", "double", "boolean"],
                "mapping": mapping,
            }
        }
        for prefix, mapping in PREFIXES.items()
    ),
    {"strings": {"match_mapping_type": "string", "mapping": KEYWORD}},
    # One type for all numbers: a field whose first value was 0 must not cut later ones to integers.
    {"integers": {"match_mapping_type": "long", "mapping": DOUBLE}},
    {"floats": {"match_mapping_type": "double", "mapping": DOUBLE}},
]
"""Rules for fields that have no type of their own."""

FAILURE_SETS: Final = (
    semconv.FAILURE_TASKS,
    semconv.FAILURE_QUEUES,
    semconv.FAILURE_WORKERS,
    semconv.FAILURE_RELEASES,
    semconv.FAILURE_SERVICES,
    semconv.FAILURE_ENVIRONMENTS,
)
"""Where a cluster was seen."""

_KEYWORDS: Final = (
    semconv.TASK_ID,
    semconv.TASK_NAME,
    semconv.ROOT_ID,
    semconv.PARENT_ID,
    semconv.ATTEMPT,
    semconv.DELIVERY,
    semconv.STATE,
    semconv.WORKER,
    semconv.ORIGIN,
    semconv.GROUP_ID,
    semconv.CHORD_ID,
    semconv.CHORD_NAME,
    semconv.CHAIN_IDS,
    semconv.CHAIN_NAMES,
    semconv.CHAIN_AFTER,
    semconv.STAMPS,
    semconv.FAILURE_KIND,
    semconv.ACTION,
    semconv.TENANT,
    semconv.OWNER_TEAM,
    semconv.OWNER_SEVERITY,
    semconv.OWNER_RUNBOOK,
    semconv.OWNER_TIER,
    semconv.FINGERPRINT,
    semconv.FINGERPRINT_COARSE,
    semconv.FINGERPRINT_EXACT,
    semconv.FINGERPRINT_OVERRIDE,
    semconv.CULPRIT,
    semconv.CULPRIT_FILE,
    semconv.ROOT_CAUSE_TYPE,
    semconv.ROOT_CAUSE_MESSAGE,
    semconv.ROOT_CAUSE_CULPRIT,
    semconv.FAILURE_TITLE,
    semconv.EVENT,
    semconv.CUT,
    semconv.POOL,
    semconv.QUEUES,
    semconv.SCHEDULE,
    semconv.SCHEDULE_RULE,
    semconv.BROKER,
    semconv.CAUSE,
    semconv.EXCEPTION_TYPE,
    semconv.STACK_VERDICT,
    semconv.LOG_RECORD_UID,
    semconv.MESSAGING_SYSTEM,
    semconv.MESSAGING_DESTINATION,
    semconv.MESSAGING_MESSAGE_ID,
    semconv.LOGGER_NAME,
    semconv.THREAD_NAME,
    semconv.CODE_FILE,
    semconv.CODE_FUNCTION,
    semconv.PIPELINE_MEASURE,
    semconv.PIPELINE_PART,
    semconv.PROCESS_RUNTIME_VERSION,
    semconv.FAILURE_STATE,
    semconv.FAILURE_FIRST_RELEASE,
    semconv.FAILURE_LAST_RELEASE,
    semconv.FAILURE_FIRST_ATTEMPT,
    semconv.FAILURE_SAMPLES,
    *FAILURE_SETS,
    semconv.FAILURE_REGRESSED_RELEASE,
    semconv.FAILURE_RESOLVED_RELEASE,
    semconv.FAILURE_OLD_RELEASES,
    semconv.FAILURE_IGNORED_ATTEMPTS,
    semconv.FAILURE_DECIDED_BY,
    semconv.FAILURE_REASON,
    semconv.FAILURE_HISTORY,
    semconv.FAILURE_MERGED_INTO,
    semconv.ALERT_ID,
    semconv.ALERT_RULE,
    semconv.ALERT_KEY,
    semconv.ALERT_TITLE,
    semconv.ALERT_CATEGORY,
    semconv.ALERT_SEVERITY,
    semconv.ALERT_STATUS,
    semconv.ALERT_SHOW,
    semconv.ALERT_LINK,
    semconv.ALERT_SILENCED_BY,
)
_LONGS: Final = (
    semconv.RETRIES,
    semconv.CLOCK,
    semconv.GROUP_INDEX,
    semconv.GROUP_SIZE,
    semconv.CHAIN_INDEX,
    semconv.CHAIN_LENGTH,
    semconv.FINGERPRINT_VERSION,
    semconv.CONCURRENCY,
    semconv.ACTIVE,
    semconv.PREFETCHED,
    semconv.SCHEDULED,
    semconv.PROCESSED,
    semconv.CHILD_PIDS,
    semconv.CHILD_MEMORY,
    semconv.CHILD_TASKS,
    semconv.QUEUE_DEPTH,
    semconv.QUEUE_CONSUMERS,
    semconv.BROKER_UNACKNOWLEDGED,
    semconv.TASKS_REGISTERED,
    semconv.TASKS_ACKS_LATE,
    semconv.TASKS_WITHOUT_LIMIT,
    semconv.SCHEDULE_RUNS,
    semconv.PROCESS_MEMORY,
    semconv.PROCESS_FILES,
    semconv.SPOOL_SHIPPED,
    semconv.SPOOL_SUPERSEDED,
    semconv.SPOOL_PENDING_BYTES,
    # Views name each reason, also one for which nothing was dropped yet.
    *(f"{semconv.SPOOL_DROPPED_PREFIX}{reason}" for reason in semconv.SPOOL_DROP_REASONS),
    semconv.PROCESS_PID,
    semconv.CODE_LINE,
    semconv.LOG_LEFT_OUT,
    semconv.STACK_REPEATS,
    semconv.CULPRIT_LINE,
    semconv.FAILURE_IGNORED_COUNT,
    *(f"{name}{semconv.LEFT_OUT_SUFFIX}" for name in FAILURE_SETS),
)
_DOUBLES: Final = (
    semconv.QUEUE_TIME,
    semconv.PREFETCH_TIME,
    semconv.RUNTIME,
    semconv.RETRY_COUNTDOWN,
    semconv.CHILD_CPU,
    semconv.CHILD_AGE,
    semconv.PROCESS_CPU,
    semconv.PROCESS_UPTIME,
    semconv.LOAD_1M,
    semconv.BROKER_OUTAGE,
    semconv.SCHEDULE_INTERVAL,
    semconv.BEAT_LATE,
    semconv.STACK_RUNTIME,
    semconv.STACK_CPU,
    semconv.SAMPLING_RATIO,
    semconv.PIPELINE_VALUE,
)
_BOOLEANS: Final = (
    semconv.TERMINATED,
    semconv.EXPIRED,
    semconv.REDELIVERED,
    semconv.BROKER_CONNECTED,
    semconv.FAILURE_JOINED,
)
_DATES: Final = (
    *sorted(MOMENTS),
    semconv.FIRST_SEEN,
    semconv.LAST_SEEN,
    semconv.FAILURE_REGRESSED_AT,
    semconv.FAILURE_RESOLVED_AT,
    semconv.FAILURE_IGNORED_AT,
    semconv.FAILURE_IGNORED_UNTIL,
    semconv.FAILURE_DECIDED_AT,
    semconv.ARRIVED_AT,
    semconv.ALERT_STARTED_AT,
    semconv.ALERT_FIRED_AT,
    semconv.ALERT_RESOLVED_AT,
)
_WORDS: Final = (
    semconv.ARGS,
    semconv.KWARGS,
    semconv.LOCALS,
    semconv.RETRY_REASON,
    semconv.EXCEPTION_STACKTRACE,
    semconv.STACK_TRACE,
    semconv.STACK_WHERE,
    semconv.ALERT_MESSAGE,
)

SDK_LANGUAGE: Final = "telemetry.sdk.language"
"""Set by OpenTelemetry's SDK; Kibana's APM shows it."""

RESOURCE: Final[Mapping] = {
    semconv.SERVICE_NAME: KEYWORD,
    semconv.SERVICE_VERSION: KEYWORD,
    semconv.SERVICE_INSTANCE_ID: KEYWORD,
    semconv.DEPLOYMENT_ENVIRONMENT: KEYWORD,
    semconv.K8S_CLUSTER: KEYWORD,
    semconv.CLOUD_REGION: KEYWORD,
    semconv.HOST_NAME: KEYWORD,
    semconv.PROCESS_PID: LONG,
    SDK_LANGUAGE: KEYWORD,
    "agent.name": KEYWORD,
    semconv.MAPS: FREE_FORM,
}
"""Resource attributes that every process of ours sends."""

SCOPE: Final[Mapping] = {semconv.MAPS: FREE_FORM}

APM: Final[Mapping] = {
    "processor.event": KEYWORD,
    "timestamp.us": LONG,
    "event.outcome": KEYWORD,
    "event.success_count": LONG,
    "transaction.id": KEYWORD,
    "transaction.name": KEYWORD,
    "transaction.type": KEYWORD,
    "transaction.result": KEYWORD,
    "transaction.sampled": BOOLEAN,
    "transaction.root": BOOLEAN,
    "transaction.duration.us": LONG,
    "transaction.representative_count": DOUBLE,
    "span.type": KEYWORD,
    "span.duration.us": LONG,
    "error.id": KEYWORD,
    "error.grouping_key": KEYWORD,
    "error.grouping_name": KEYWORD,
    "error.exception.handled": BOOLEAN,
}
"""What Kibana's APM reads, among the attributes of spans and failures."""


def attributes(types: Types) -> Mapping:
    """The attributes of tasks, workers and exceptions."""
    words: Mapping = {"type": types.words}
    return {
        **dict.fromkeys(_KEYWORDS, KEYWORD),
        **dict.fromkeys(_LONGS, LONG),
        **dict.fromkeys(_DOUBLES, DOUBLE),
        **dict.fromkeys(_BOOLEANS, BOOLEAN),
        **dict.fromkeys(_DATES, DATE),
        **dict.fromkeys(_WORDS, words),
        semconv.EXCEPTION_MESSAGE: {**words, "fields": {"keyword": KEYWORD}},
        semconv.MAPS: FREE_FORM,
    }
