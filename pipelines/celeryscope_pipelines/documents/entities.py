"""Entities that keep only their last snapshot: workers, queues, schedules."""

from typing import Any

from celeryscope import semconv
from celeryscope_pipelines.attributes import timestamp
from celeryscope_pipelines.documents.common import add_arrival, checked_id, clock_of, entity_fields, log_time, name_of
from celeryscope_pipelines.records import Record
from celeryscope_pipelines.writes import Op, Write

_FROM_RESOURCE = (semconv.SERVICE_NAME, semconv.DEPLOYMENT_ENVIRONMENT, semconv.HOST_NAME)


def worker(record: Record) -> Write:
    """A worker, by its node name."""
    return _latest(record, semconv.INDEX_WORKERS, name_of(record, semconv.WORKER))


def queue(record: Record) -> Write:
    """A queue, by its broker and its name: most brokers have one named ``celery``."""
    name = name_of(record, semconv.MESSAGING_DESTINATION)
    return _latest(record, semconv.INDEX_QUEUES, name, record.attributes.get(semconv.BROKER))


def schedule(record: Record) -> Write:
    """An entry of a beat schedule, by its service and its name: most have one named ``celery.backend_cleanup``."""
    name = name_of(record, semconv.SCHEDULE)
    return _latest(record, semconv.INDEX_SCHEDULES, name, record.origin.attributes.get(semconv.SERVICE_NAME))


def _latest(record: Record, index: str, name: str, *owner: Any) -> Write:
    clock, tenant = clock_of(record), record.origin.tenant
    body = entity_fields(record.attributes)
    body |= {field: found for field in _FROM_RESOURCE if (found := record.origin.attributes.get(field)) is not None}
    body |= {"@timestamp": timestamp(log_time(record)), semconv.TENANT: tenant, semconv.EVENT: record.event_name}
    add_arrival(body, record)
    identity = "/".join([tenant, *(str(part) for part in owner if part), name])
    return Write(Op.VERSIONED, index, checked_id(identity), body, clock)
