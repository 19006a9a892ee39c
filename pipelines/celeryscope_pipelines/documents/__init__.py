"""Records to documents: ``documents_for`` is one pure function, a table from the record's kind to its builders."""

from collections.abc import Callable

from celeryscope import semconv
from celeryscope_pipelines.documents import entities, failures, logs, spans, tasks
from celeryscope_pipelines.documents.common import check_tenant
from celeryscope_pipelines.fingerprint import NO_RULES, FailureRules
from celeryscope_pipelines.records import SPAN, Record
from celeryscope_pipelines.writes import Write

Builder = Callable[[Record], Write]

_ENTITY_ONLY: tuple[Builder, ...] = (tasks.attempt,)
_FAILURE: tuple[Builder, ...] = (logs.exception, tasks.attempt, failures.cluster)

_BUILDERS: dict[str, tuple[Builder, ...]] = {
    semconv.EVENT_TASK_SENT: _ENTITY_ONLY,
    semconv.EVENT_TASK_RECEIVED: _ENTITY_ONLY,
    semconv.EVENT_TASK_STARTED: _ENTITY_ONLY,
    semconv.EVENT_TASK_SUCCEEDED: _ENTITY_ONLY,
    semconv.EVENT_TASK_IGNORED: _ENTITY_ONLY,
    semconv.EVENT_TASK_REVOKED: _ENTITY_ONLY,
    semconv.EVENT_TASK_RETRIED: (logs.line, tasks.attempt),
    semconv.EVENT_TASK_FAILED: _FAILURE,
    semconv.EVENT_TASK_LOST: _FAILURE,
    semconv.EVENT_TASK_UNKNOWN: _FAILURE,
    semconv.EVENT_TASK_REJECTED: _FAILURE,
    semconv.EVENT_WORKER_ONLINE: (logs.line, entities.worker),
    semconv.EVENT_WORKER_HEARTBEAT: (logs.line, entities.worker),
    semconv.EVENT_WORKER_OFFLINE: (logs.line, entities.worker),
    semconv.EVENT_QUEUE_DEPTH: (logs.line, entities.queue),
    semconv.EVENT_BEAT_DUE: (logs.line, entities.schedule),
    semconv.EVENT_BEAT_SENT: (logs.line, entities.schedule),
    semconv.EVENT_BEAT_FAILED: (logs.line, entities.schedule),
}
_FINGERPRINTED = frozenset(
    {semconv.EVENT_TASK_RETRIED} | {event for event, builders in _BUILDERS.items() if builders is _FAILURE}
)


def documents_for(record: Record, rules: FailureRules = NO_RULES) -> list[Write]:
    """The documents of a record; the first one stands for the record in the account. ``rules`` are for failures.

    Raises Rejected, and nothing else, when the record lacks what its documents need (ids, clock, time, a fitting
    tenant); it belongs to the dead letters then. What else is wrong with a record is left out of its documents.
    """
    check_tenant(record.origin.tenant)
    if record.kind == SPAN:
        return spans.documents(record)
    builders = _BUILDERS.get(record.event_name)
    if builders is None:
        return [logs.line(record)]
    if record.event_name in _FINGERPRINTED:
        record = failures.fingerprinted(record, rules)
    return [build(record) for build in builders]
