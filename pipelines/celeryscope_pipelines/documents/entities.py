"""Entities that keep only their last snapshot: workers, queues, schedules."""

from collections.abc import Iterator

from celeryscope import semconv
from celeryscope_pipelines.attributes import timestamp
from celeryscope_pipelines.documents.common import checked_id, clock_of, entity_fields, log_time, name_of
from celeryscope_pipelines.records import Record
from celeryscope_pipelines.writes import Op, Write

_FROM_RESOURCE = (semconv.SERVICE_NAME, semconv.HOST_NAME)


def worker(record: Record) -> Iterator[Write]:
    """A worker, by its node name."""
    return _latest(record, semconv.INDEX_WORKERS, semconv.WORKER)


def queue(record: Record) -> Iterator[Write]:
    """A queue, by its name."""
    return _latest(record, semconv.INDEX_QUEUES, semconv.MESSAGING_DESTINATION)


def schedule(record: Record) -> Iterator[Write]:
    """An entry of a beat schedule, by its name."""
    return _latest(record, semconv.INDEX_SCHEDULES, semconv.SCHEDULE)


def _latest(record: Record, index: str, key: str) -> Iterator[Write]:
    name, clock, tenant = name_of(record, key), clock_of(record), record.origin.tenant
    body = entity_fields(record.attributes)
    body |= {field: found for field in _FROM_RESOURCE if (found := record.origin.attributes.get(field)) is not None}
    body |= {"@timestamp": timestamp(log_time(record)), semconv.TENANT: tenant, semconv.EVENT: record.event_name}
    yield Write(Op.VERSIONED, index, checked_id(f"{tenant}/{name}"), body, clock)
