"""OTLP/JSON of one record: what the spool holds and the shipper concatenates.

After the OTLP specification 1.x, "JSON Protobuf Encoding": ids are hexadecimal, 64-bit integers decimal strings, enum
values numbers.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import orjson
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode

_KINDS = {
    SpanKind.INTERNAL: 1,
    SpanKind.SERVER: 2,
    SpanKind.CLIENT: 3,
    SpanKind.PRODUCER: 4,
    SpanKind.CONSUMER: 5,
}
_STATUS = {StatusCode.UNSET: 0, StatusCode.OK: 1, StatusCode.ERROR: 2}


def any_value(value: Any) -> dict[str, Any]:
    """An OTLP ``AnyValue``; what is no string, bool, number, sequence or mapping of such becomes its ``str``."""
    if isinstance(value, str):
        return {"stringValue": _utf8(value)}
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)} if -(2**63) <= value < 2**63 else {"stringValue": str(value)}
    if isinstance(value, float):
        # NaN and infinities have no JSON number.
        return {"doubleValue": value} if value - value == 0 else {"stringValue": str(value)}
    if isinstance(value, Mapping):
        return {"kvlistValue": {"values": attributes(value)}}
    if isinstance(value, list | tuple | set | frozenset):
        return {"arrayValue": {"values": [any_value(item) for item in value]}}
    return {"stringValue": "" if value is None else _utf8(_text(value))}


def attributes(values: Mapping[Any, Any]) -> list[dict[str, Any]]:
    """OTLP ``KeyValue`` list; None values are left out."""
    # Most values are plain strings and small integers; they are made here, without a call for each.
    result: list[dict[str, Any]] = []
    for key, value in values.items():
        if value is None:
            continue
        kind = type(value)
        if kind is str and value.isascii():
            made = {"stringValue": value}
        elif kind is int and -(2**63) <= value < 2**63:
            made = {"intValue": str(value)}
        else:
            made = any_value(value)
        result.append({"key": key if type(key) is str and key.isascii() else _utf8(str(key)), "value": made})
    return result


def log_record(
    *,
    time_ns: int,
    values: Mapping[str, Any],
    body: str,
    severity_number: int,
    severity_text: str,
    event_name: str | None = None,
    trace_id: int = 0,
    span_id: int = 0,
) -> bytes:
    """A ``LogRecord``."""
    record: dict[str, Any] = {
        "timeUnixNano": str(time_ns),
        "severityNumber": severity_number,
        "severityText": severity_text,
        "body": any_value(body),
        "attributes": attributes(values),
    }
    if event_name:
        record["eventName"] = event_name
    if trace_id:
        record["traceId"] = f"{trace_id:032x}"
    if span_id:
        record["spanId"] = f"{span_id:016x}"
    return orjson.dumps(record)


def span(readable: ReadableSpan) -> bytes:
    """A ``Span``; one that has not ended yet has no ``endTimeUnixNano``."""
    context = readable.get_span_context()
    assert context is not None
    record: dict[str, Any] = {
        "traceId": f"{context.trace_id:032x}",
        "spanId": f"{context.span_id:016x}",
        "name": _utf8(readable.name),
        "kind": _KINDS[readable.kind],
        "startTimeUnixNano": str(readable.start_time or 0),
        "attributes": attributes(readable.attributes or {}),
        "status": _status(readable),
    }
    if readable.parent is not None:
        record["parentSpanId"] = f"{readable.parent.span_id:016x}"
    if readable.end_time is not None:
        record["endTimeUnixNano"] = str(readable.end_time)
    if context.trace_state:
        record["traceState"] = context.trace_state.to_header()
    if readable.events:
        record["events"] = [
            {
                "timeUnixNano": str(event.timestamp),
                "name": _utf8(event.name),
                "attributes": attributes(event.attributes or {}),
            }
            for event in readable.events
        ]
    if readable.links:
        record["links"] = [
            {
                "traceId": f"{link.context.trace_id:032x}",
                "spanId": f"{link.context.span_id:016x}",
                "attributes": attributes(link.attributes or {}),
            }
            for link in readable.links
        ]
    return orjson.dumps(record)


def _status(readable: ReadableSpan) -> dict[str, Any]:
    status: dict[str, Any] = {"code": _STATUS[readable.status.status_code]}
    if readable.status.description:
        status["message"] = _utf8(readable.status.description)
    return status


def resource(sdk_resource: Resource) -> bytes:
    """A ``Resource``."""
    return orjson.dumps({"attributes": attributes(sdk_resource.attributes)})


def scope(name: str, version: str | None) -> bytes:
    """An ``InstrumentationScope``."""
    return orjson.dumps({"name": name, "version": version} if version else {"name": name})


def request(kind: str, groups: Mapping[tuple[bytes, bytes], Iterable[bytes]]) -> bytes:
    """An export request of ``kind`` "spans" or "logs" from (resource, scope) -> payloads, parsing none of them."""
    outer, inner, leaf = {
        "spans": (b"resourceSpans", b"scopeSpans", b"spans"),
        "logs": (b"resourceLogs", b"scopeLogs", b"logRecords"),
    }[kind]
    parts = [
        b'{"resource":%b,"%b":[{"scope":%b,"%b":[%b]}]}' % (resource, inner, scope, leaf, b",".join(payloads))
        for (resource, scope), payloads in groups.items()
    ]
    return b'{"%b":[%b]}' % (outer, b",".join(parts))


def _utf8(text: str) -> str:
    """The text without lone surrogates (from undecodable bytes), which have no UTF-8 form."""
    return text if text.isascii() else text.encode(errors="replace").decode()


def _text(value: Any) -> str:
    try:
        return str(value)
    except Exception as error:  # noqa: BLE001 - a user's __str__ may raise anything
        return f"<{type(value).__name__}: {type(error).__name__} in __str__>"
