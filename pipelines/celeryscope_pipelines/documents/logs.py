"""Log lines, and the events that are log documents; a failure is one that APM counts as an error."""

from typing import Any

from celeryscope import semconv
from celeryscope.errors import Rejected
from celeryscope_pipelines.attributes import LONG_MOST, as_document, integer, nanos, timestamp, value
from celeryscope_pipelines.documents.common import add_trace, checked_id, envelope, log_time
from celeryscope_pipelines.records import Record
from celeryscope_pipelines.writes import Op, Write

_MOST_SEVERE = 24


def line(record: Record) -> Write:
    """The record's document under its own event name (none for a line of the application)."""
    uid, index, body = _document(record)
    if record.event_name:
        body["event_name"] = record.event_name
    return Write(Op.CREATE, index, uid, body)


def exception(record: Record) -> Write:
    """The document of a task's failure, as APM reads errors, grouped by our fingerprint."""
    uid, index, body = _document(record)
    body["event_name"] = semconv.EVENT_EXCEPTION
    body["attributes"] |= {
        semconv.EVENT: record.event_name,
        "processor.event": "error",
        "error.id": uid,
        "error.grouping_key": record.attributes[semconv.FINGERPRINT],
        "error.grouping_name": record.attributes[semconv.FAILURE_TITLE],
        "error.exception.handled": False,
        "timestamp.us": log_time(record) // 1000,
        "transaction.sampled": True,
        "transaction.type": "messaging",
    }
    return Write(Op.CREATE, index, uid, body)


def _document(record: Record) -> tuple[str, str, dict[str, Any]]:
    uid = record.identity
    if not uid:
        raise Rejected("log_without_uid", f"A log record needs the attribute {semconv.LOG_RECORD_UID}.")
    item = record.item
    index, body = envelope(record, "logs")
    severity = integer(item.get("severityNumber")) or 0
    body["@timestamp"] = timestamp(log_time(record))
    body["severity_number"] = severity if 0 < severity <= _MOST_SEVERE else 0
    body["severity_text"] = str(item.get("severityText") or "")
    body["body"] = _body(value(item.get("body")))
    body["attributes"] = as_document(record.attributes)
    if 0 < (observed := nanos(item.get("observedTimeUnixNano"))) <= LONG_MOST:
        body["observed_timestamp"] = timestamp(observed)
    add_trace(body, record)
    return checked_id(uid), index, body


def _body(content: Any) -> dict[str, Any]:
    if isinstance(content, dict | list):
        return {"structured": content if isinstance(content, dict) else {"values": content}}
    return {"text": "" if content is None else str(content)}
