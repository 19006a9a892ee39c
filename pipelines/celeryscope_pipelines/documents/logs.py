"""Log lines, and the events that are log documents; a failure is one that APM counts as an error."""

from collections.abc import Iterator
from typing import Any

from celeryscope import semconv
from celeryscope.errors import Rejected
from celeryscope_pipelines.attributes import as_document, nanos, timestamp, value
from celeryscope_pipelines.documents.common import envelope
from celeryscope_pipelines.records import Record
from celeryscope_pipelines.writes import Op, Write


def line(record: Record) -> Iterator[Write]:
    """The record's document under its own event name (none for a line of the application)."""
    index, body = _document(record)
    if record.event_name:
        body["event_name"] = record.event_name
    yield Write(Op.CREATE, index, _uid(record), body)


def exception(record: Record) -> Iterator[Write]:
    """The document of a task's failure, as APM reads errors, grouped by our fingerprint."""
    index, body = _document(record)
    body["event_name"] = semconv.EVENT_EXCEPTION
    body["attributes"] |= {
        semconv.EVENT: record.event_name,
        "processor.event": "error",
        "error.id": _uid(record),
        "error.grouping_key": record.attributes.get(semconv.FINGERPRINT),
        "error.grouping_name": record.attributes.get(semconv.FAILURE_TITLE),
        "error.exception.handled": False,
        "timestamp.us": nanos(record.item.get("timeUnixNano")) // 1000,
        "transaction.sampled": True,
        "transaction.type": "messaging",
    }
    yield Write(Op.CREATE, index, _uid(record), body)


def _uid(record: Record) -> str:
    if not record.identity:
        raise Rejected("log_without_uid", "A log record needs the attribute log.record.uid.")
    return record.identity


def _document(record: Record) -> tuple[str, dict[str, Any]]:
    item = record.item
    index, body = envelope(record, "logs")
    observed = nanos(item.get("observedTimeUnixNano"))
    body |= {
        "@timestamp": timestamp(nanos(item.get("timeUnixNano")) or observed),
        "severity_number": item.get("severityNumber") or 0,
        "severity_text": item.get("severityText") or "",
        "body": _body(value(item.get("body"))),
        "attributes": as_document(record.attributes),
    }
    if observed:
        body["observed_timestamp"] = timestamp(observed)
    for field, name in (("trace_id", "traceId"), ("span_id", "spanId")):
        if item.get(name):
            body[field] = item[name]
    return index, body


def _body(content: Any) -> dict[str, Any]:
    if isinstance(content, dict | list):
        return {"structured": content if isinstance(content, dict) else {"values": content}}
    return {"text": "" if content is None else str(content)}
