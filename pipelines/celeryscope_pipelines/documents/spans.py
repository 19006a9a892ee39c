"""Spans, in the shape that the OpenTelemetry Collector writes, plus the fields that Kibana's APM reads."""

from collections.abc import Iterator
from typing import Any

from celeryscope import semconv
from celeryscope.errors import Rejected
from celeryscope_pipelines.attributes import as_document, nanos, plain, timestamp
from celeryscope_pipelines.documents.common import envelope
from celeryscope_pipelines.records import Record
from celeryscope_pipelines.writes import Op, Write

_KINDS = ("Unspecified", "Internal", "Server", "Client", "Producer", "Consumer")
_STATUS = ("Unset", "Ok", "Error")
_CONSUMER, _SERVER = 5, 2


def span(record: Record) -> Iterator[Write]:
    """The span's document; its id is trace id and span id."""
    item = record.item
    if not item.get("traceId") or not item.get("spanId"):
        raise Rejected("span_without_id", "A span needs traceId and spanId.")
    index, body = envelope(record, "traces")
    start, end = nanos(item.get("startTimeUnixNano")), nanos(item.get("endTimeUnixNano"))
    status = item.get("status") or {}
    body |= {
        "@timestamp": timestamp(start),
        "trace_id": item["traceId"],
        "span_id": item["spanId"],
        "name": item.get("name") or "",
        "kind": _KINDS[_code(item.get("kind"), _KINDS)],
        "duration": max(end - start, 0),
        "status": {"code": _STATUS[_code(status.get("code"), _STATUS)], "message": status.get("message")},
        "attributes": as_document(record.attributes) | _apm(record, start, max(end - start, 0)),
        "links": [_link(link) for link in item.get("links") or ()],
    }
    if item.get("parentSpanId"):
        body["parent_span_id"] = item["parentSpanId"]
    yield Write(Op.CREATE, index, record.identity, body)


def exceptions(record: Record) -> Iterator[Write]:
    """Exceptions that libraries recorded on a span, as log documents; they are no failures of tasks and not counted so."""
    for number, event in enumerate(record.item.get("events") or ()):
        if event.get("name") != semconv.EVENT_EXCEPTION:
            continue
        index, body = envelope(record, "logs")
        body |= {
            "@timestamp": timestamp(nanos(event.get("timeUnixNano"))),
            "trace_id": record.item["traceId"],
            "span_id": record.item["spanId"],
            "event_name": semconv.EVENT_EXCEPTION,
            "attributes": as_document(plain(event.get("attributes"))),
        }
        yield Write(Op.CREATE, index, f"{record.identity}-{number}", body)


def _apm(record: Record, start: int, duration: int) -> dict[str, Any]:
    failed = (record.item.get("status") or {}).get("code") == _STATUS.index("Error")
    outcome = "failure" if failed else "success"
    shared = {"event.outcome": outcome, "timestamp.us": start // 1000}
    if record.item.get("kind") not in {_CONSUMER, _SERVER}:
        return {**shared, "processor.event": "span", "span.duration.us": duration // 1000, "span.type": "messaging"}
    return {
        **shared,
        "processor.event": "transaction",
        "transaction.id": record.item["spanId"],
        "transaction.name": record.attributes.get(semconv.TASK_NAME) or record.item.get("name") or "",
        "transaction.type": "messaging" if record.item.get("kind") == _CONSUMER else "request",
        "transaction.result": str(record.attributes.get(semconv.STATE) or outcome),
        "transaction.sampled": True,
        "transaction.root": not record.item.get("parentSpanId"),
        "transaction.duration.us": duration // 1000,
        "transaction.representative_count": 1.0,
        "event.success_count": 0 if failed else 1,
    }


def _link(link: dict[str, Any]) -> dict[str, Any]:
    return {
        "trace_id": link.get("traceId"),
        "span_id": link.get("spanId"),
        "attributes": as_document(plain(link.get("attributes"))),
    }


def _code(value: Any, names: tuple[str, ...]) -> int:
    return value if isinstance(value, int) and 0 <= value < len(names) else 0
