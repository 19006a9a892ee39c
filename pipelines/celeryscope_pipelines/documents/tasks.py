"""The entity of an attempt: its last snapshot."""

from collections.abc import Iterator

from celeryscope import semconv
from celeryscope.errors import Rejected
from celeryscope_pipelines.attributes import as_document, moment, nanos
from celeryscope_pipelines.records import Record
from celeryscope_pipelines.writes import Op, Write

_FROM_RESOURCE = (
    semconv.SERVICE_NAME,
    semconv.SERVICE_VERSION,
    semconv.DEPLOYMENT_ENVIRONMENT,
    semconv.HOST_NAME,
    semconv.PROCESS_PID,
)
_NOT_HERE = frozenset({semconv.EXCEPTION_STACKTRACE, semconv.LOG_RECORD_UID})


def attempt(record: Record) -> Iterator[Write]:
    """The attempt's document, with the event's clock as its version."""
    known = record.attributes
    identity, clock = known.get(semconv.ATTEMPT), known.get(semconv.CLOCK)
    if not identity or not isinstance(clock, int) or clock <= 0:
        raise Rejected("event_without_clock", f"{record.event_name} needs {semconv.ATTEMPT} and {semconv.CLOCK}.")
    tenant = record.origin.tenant
    begun = (
        known.get(semconv.SENT_AT) or known.get(semconv.RECEIVED_AT) or nanos(record.item.get("timeUnixNano")) // 1000
    )
    body = {key: content for key, content in as_document(known).items() if key not in _NOT_HERE}
    body |= {key: found for key in _FROM_RESOURCE if (found := record.origin.attributes.get(key)) is not None}
    body |= {"@timestamp": moment(begun), semconv.TENANT: tenant, semconv.EVENT: record.event_name}
    for field, name in (("trace_id", "traceId"), ("span_id", "spanId")):
        if record.item.get(name):
            body[field] = record.item[name]
    yield Write(Op.VERSIONED, index_of(begun), f"{tenant}/{identity}", body, clock)


def index_of(microseconds: int) -> str:
    """The index of an attempt by the day (UTC) it was sent, else received."""
    return f"{semconv.INDEX_TASKS}-{moment(microseconds)[:10].replace('-', '.')}"
