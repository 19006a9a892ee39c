"""Entities that keep only their last snapshot: workers, queues, schedules."""

from collections.abc import Iterator

from celeryscope import semconv
from celeryscope.errors import Rejected
from celeryscope_pipelines.attributes import as_document, nanos, timestamp
from celeryscope_pipelines.records import Record
from celeryscope_pipelines.writes import Op, Write


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
    name, clock = record.attributes.get(key), record.attributes.get(semconv.CLOCK)
    if not name or not isinstance(clock, int) or clock <= 0:
        raise Rejected("event_without_clock", f"{record.event_name} needs {key} and {semconv.CLOCK}.")
    body = as_document(record.attributes)
    body |= {
        "@timestamp": timestamp(nanos(record.item.get("timeUnixNano"))),
        semconv.TENANT: record.origin.tenant,
        semconv.EVENT: record.event_name,
        semconv.HOST_NAME: record.origin.attributes.get(semconv.HOST_NAME),
        semconv.SERVICE_NAME: record.origin.attributes.get(semconv.SERVICE_NAME),
    }
    yield Write(Op.VERSIONED, index, f"{record.origin.tenant}/{name}", body, clock)
