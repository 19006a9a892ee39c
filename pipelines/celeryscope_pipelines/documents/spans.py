"""Spans, in the shape that the OpenTelemetry Collector writes, plus the fields that Kibana's APM reads."""

from collections.abc import Iterator
from typing import Any

from celeryscope import semconv
from celeryscope.errors import Rejected
from celeryscope_pipelines.attributes import LONG_MOST, as_document, identifier, integer, nanos, plain, timestamp
from celeryscope_pipelines.documents.common import envelope
from celeryscope_pipelines.records import Record
from celeryscope_pipelines.writes import Op, Write

_KINDS = ("Unspecified", "Internal", "Server", "Client", "Producer", "Consumer")
_STATUS = ("Unset", "Ok", "Error")
_CONSUMER, _SERVER = "Consumer", "Server"
_LEAST_RATIO = 1e-9


def documents(record: Record) -> list[Write]:
    """The span's document, and those of the exceptions that were recorded on it."""
    return [_span(record), *_exceptions(record)] if record.item.get("events") else [_span(record)]


def _span(record: Record) -> Write:
    """The span's document; its id is trace id and span id."""
    trace_id, span_id, item = record.trace_id, record.span_id, record.item
    if not (trace_id and span_id):
        raise Rejected("span_without_id", "A span needs a traceId and a spanId in hexadecimal.")
    index, body = envelope(record, "traces")
    start, end = nanos(item.get("startTimeUnixNano")), nanos(item.get("endTimeUnixNano"))
    body["@timestamp"] = timestamp(start)
    body["trace_id"] = trace_id
    body["span_id"] = span_id
    body["name"] = str(item.get("name") or "")
    body["kind"] = _name(item.get("kind"), _KINDS)
    body["duration"] = min(max(end - start, 0), LONG_MOST)
    body["status"] = _status(item.get("status"))
    body["links"] = [_link(link) for link in _objects(item.get("links"))]
    if parent := identifier(item.get("parentSpanId"), 16):
        body["parent_span_id"] = parent
    body["attributes"] = as_document(record.attributes)
    body["attributes"].update(_apm(record, body, start // 1000))
    return Write(Op.CREATE, index, trace_id + span_id, body)


def _exceptions(record: Record) -> Iterator[Write]:
    """Exceptions that were recorded on a span, as log documents; APM doesn't count them, the task's failure does."""
    for number, event in enumerate(_objects(record.item.get("events"))):
        if event.get("name") != semconv.EVENT_EXCEPTION:
            continue
        index, body = envelope(record, "logs")
        body |= {
            "@timestamp": timestamp(nanos(event.get("timeUnixNano")) or nanos(record.item.get("startTimeUnixNano"))),
            "trace_id": record.trace_id,
            "span_id": record.span_id,
            "event_name": semconv.EVENT_EXCEPTION,
            "attributes": as_document(plain(event.get("attributes"))),
        }
        yield Write(Op.CREATE, index, f"{record.identity}-{number}", body)


def _apm(record: Record, body: dict[str, Any], start_us: int) -> dict[str, Any]:
    failed = body["status"].get("code") == "Error"
    outcome = "failure" if failed else "success"
    shared = {"event.outcome": outcome, "timestamp.us": start_us}
    if body["kind"] not in {_CONSUMER, _SERVER}:
        kind = "messaging" if semconv.MESSAGING_SYSTEM in record.attributes else "app"
        return {**shared, "processor.event": "span", "span.duration.us": body["duration"] // 1000, "span.type": kind}
    return {
        **shared,
        "processor.event": "transaction",
        "transaction.id": body["span_id"],
        "transaction.name": record.attributes.get(semconv.TASK_NAME) or body["name"],
        "transaction.type": "messaging" if body["kind"] == _CONSUMER else "request",
        "transaction.result": str(record.attributes.get(semconv.STATE) or outcome),
        "transaction.sampled": True,
        "transaction.root": "parent_span_id" not in body,
        "transaction.duration.us": body["duration"] // 1000,
        "transaction.representative_count": _stands_for(record.attributes.get(semconv.SAMPLING_RATIO)),
        "event.success_count": 0 if failed else 1,
    }


def _stands_for(ratio: Any) -> float:
    """Of how many a span that the collector's sampling has chosen is one; APM counts so many."""
    return 1 / ratio if isinstance(ratio, int | float) and _LEAST_RATIO <= ratio < 1 else 1.0


def _status(status: Any) -> dict[str, str]:
    """Empty when unset, as the OpenTelemetry Collector has it."""
    if not isinstance(status, dict):
        return {}
    code = _name(status.get("code"), _STATUS)
    message = status.get("message")
    return ({"code": code} if code != "Unset" else {}) | ({"message": str(message)} if message else {})


def _link(link: dict[str, Any]) -> dict[str, Any]:
    return {
        "trace_id": identifier(link.get("traceId"), 32),
        "span_id": identifier(link.get("spanId"), 16),
        "attributes": as_document(plain(link.get("attributes"))),
    }


def _objects(content: Any) -> list[dict[str, Any]]:
    return [item for item in content if isinstance(item, dict)] if isinstance(content, list) else []


def _name(number: Any, names: tuple[str, ...]) -> str:
    """The name of a protobuf enumeration's value; the first one when it has no such value."""
    known = integer(number) or 0
    return names[known] if 0 < known < len(names) else names[0]
