"""The entity of an attempt: its last snapshot."""

from celeryscope import semconv
from celeryscope_pipelines.attributes import is_moment, moment, timestamp
from celeryscope_pipelines.documents.common import (
    add_arrival,
    add_trace,
    checked_id,
    clock_of,
    entity_fields,
    log_time,
    name_of,
)
from celeryscope_pipelines.records import Record
from celeryscope_pipelines.writes import Op, Write

_FROM_RESOURCE = (
    semconv.SERVICE_NAME,
    semconv.SERVICE_VERSION,
    semconv.DEPLOYMENT_ENVIRONMENT,
    semconv.K8S_CLUSTER,
    semconv.CLOUD_REGION,
    semconv.HOST_NAME,
    semconv.PROCESS_PID,
)
_NOT_HERE = (semconv.EXCEPTION_STACKTRACE, semconv.LOCALS, semconv.LOG_RECORD_UID)


def attempt(record: Record) -> Write:
    """The attempt's document, with the event's clock as its version, in the index of the day it was sent."""
    tenant, identity, clock = record.origin.tenant, name_of(record, semconv.ATTEMPT), clock_of(record)
    begun = _begun(record)
    body = entity_fields(record.attributes)
    for name in _NOT_HERE:
        body.pop(name, None)
    resource = record.origin.attributes
    for name in _FROM_RESOURCE:
        if (found := resource.get(name)) is not None:
            body[name] = found
    body["@timestamp"] = begun
    body[semconv.TENANT] = tenant
    body[semconv.EVENT] = record.event_name
    add_trace(body, record)
    add_arrival(body, record)
    index = f"{semconv.INDEX_TASKS}-{begun[:10].replace('-', '.')}"
    return Write(Op.VERSIONED, index, checked_id(f"{tenant}/{identity}"), body, clock)


def _begun(record: Record) -> str:
    """When the attempt was sent, else received, else when the event happened."""
    for name in (semconv.SENT_AT, semconv.RECEIVED_AT):
        known = record.attributes.get(name)
        if is_moment(known):
            return moment(known)
    return timestamp(log_time(record))
