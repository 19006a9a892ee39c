"""OTLP/JSON of one record: what the spool holds and the shipper concatenates.

After the OTLP specification 1.x, "JSON Protobuf Encoding": ids are hexadecimal, 64-bit integers decimal strings, enum
values numbers.
"""

from collections.abc import Iterable, Mapping
from json.encoder import encode_basestring
from typing import Any

import orjson
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import Link, SpanKind, StatusCode

from celeryscope import semconv
from celeryscope.__about__ import __version__
from celeryscope.redaction import Redactor

quoted = encode_basestring
"""A text as JSON."""
SPAN_KINDS = {
    SpanKind.INTERNAL: 1,
    SpanKind.SERVER: 2,
    SpanKind.CLIENT: 3,
    SpanKind.PRODUCER: 4,
    SpanKind.CONSUMER: 5,
}
SEVERITY_NUMBERS = {"DEBUG": 5, "INFO": 9, "WARN": 13, "ERROR": 17, "FATAL": 21}
"""OpenTelemetry's severity numbers by severity text."""
SPAN_STATUS = {StatusCode.UNSET: 0, StatusCode.OK: 1, StatusCode.ERROR: 2}


def any_value(value: Any) -> dict[str, Any]:
    """An OTLP ``AnyValue``; what is no string, bool, number, sequence or mapping of such becomes its ``str``."""
    if isinstance(value, str):
        return {"stringValue": utf8(value)}
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
    return {"stringValue": "" if value is None else utf8(_text(value))}


def attributes(values: Mapping[Any, Any]) -> list[dict[str, Any]]:
    """OTLP ``KeyValue`` list; None values are left out."""
    return [{"key": utf8(str(key)), "value": any_value(value)} for key, value in values.items() if value is not None]


def encoded(values: Mapping[Any, Any]) -> str:
    """JSON of ``attributes(values)`` without its brackets, so that parts can be joined (``joined``).

    An attempt's attributes stand in four records; encoding them once, in parts, is what makes a task cheap.
    """
    parts: list[str] = []
    for key, value in values.items():
        if value is None:
            continue
        kind, head = type(value), _KEYS[key if type(key) is str else str(key)]
        if kind is str:
            parts.append(f'{head}{{"stringValue":{quoted(value)}}}}}')
        elif kind is int and -(2**63) <= value < 2**63:
            parts.append(f'{head}{{"intValue":"{value}"}}}}')
        elif kind is float and value - value == 0:  # NaN and infinities have no JSON number
            parts.append(f'{head}{{"doubleValue":{value!r}}}}}')
        else:
            parts.append(f"{head}{orjson.dumps(any_value(value)).decode()}}}")
    return ",".join(parts)


def joined(*parts: str) -> str:
    """Parts made by ``encoded`` as one; any of them may be empty."""
    return ",".join([part for part in parts if part])


class _Keys(dict[str, str]):
    """What stands before a value, by its attribute's key: few keys are used again and again."""

    def __missing__(self, key: str) -> str:
        made = f'{{"key":{quoted(key)},"value":'
        if len(self) < _KEYS_MOST:
            self[key] = made
        return made


_KEYS_MOST = 2_000
_KEYS = _Keys()


def head(key: str) -> str:
    """What stands before an attribute's value."""
    return _KEYS[key]


def log_record(
    *,
    time_ns: int,
    attributes: str,
    body: str,
    severity_text: str,
    event_name: str | None = None,
    trace_id: str = "",
    span_id: str = "",
) -> bytes:
    """A ``LogRecord``; ``attributes`` as made by ``encoded``, severity by its text ("INFO"), ids hexadecimal."""
    name = f',"eventName":{quoted(event_name)}' if event_name else ""
    trace = f',"traceId":"{trace_id}"' if trace_id else ""
    span = f',"spanId":"{span_id}"' if span_id else ""
    return _bytes(
        f'{{"timeUnixNano":"{time_ns}","severityNumber":{SEVERITY_NUMBERS[severity_text]}'
        f',"severityText":"{severity_text}","body":{{"stringValue":{quoted(body)}}}'
        f',"attributes":[{attributes}]{name}{trace}{span}}}'
    )


def span(  # noqa: PLR0913 - an OTLP span has that many fields
    *,
    trace_id: str,
    span_id: str,
    parent_id: str,
    name: str,
    kind: int,
    started_ns: int,
    ended_ns: int,
    attributes: str,
    status: int,
    message: str | None = None,
    events: str = "",
    links: str = "",
    trace_state: str = "",
) -> bytes:
    """A ``Span`` that has ended; ids are hexadecimal, ``parent_id`` is empty at a trace's root.

    ``attributes`` as made by ``encoded``, ``events`` and ``links`` as by the functions of these names; ``kind`` and
    ``status`` are OTLP's numbers.
    """
    parent = f',"parentSpanId":"{parent_id}"' if parent_id else ""
    state = f',"traceState":{quoted(trace_state)}' if trace_state else ""
    more = f',"events":[{events}]' if events else ""
    linked = f',"links":[{links}]' if links else ""
    said = f',"message":{quoted(message)}' if message else ""
    return _bytes(
        f'{{"traceId":"{trace_id}","spanId":"{span_id}"{parent}{state}'
        f',"name":{quoted(name)},"kind":{kind}'
        f',"startTimeUnixNano":"{started_ns}","endTimeUnixNano":"{ended_ns}"'
        f',"attributes":[{attributes}],"status":{{"code":{status}{said}}}{more}{linked}}}'
    )


def sdk_span(readable: ReadableSpan, redactor: Redactor) -> bytes:
    """A ``Span`` of the OpenTelemetry SDK that has ended; whichever library made it, its secrets are redacted."""
    context = readable.get_span_context()
    assert context is not None
    return span(
        trace_id=trace_hex(context.trace_id),
        span_id=span_hex(context.span_id),
        parent_id=span_hex(readable.parent.span_id) if readable.parent is not None else "",
        name=_text(readable.name),
        kind=SPAN_KINDS[readable.kind],
        started_ns=readable.start_time or 0,
        ended_ns=readable.end_time or 0,
        attributes=encoded(redactor.fields(readable.attributes or {})),
        status=SPAN_STATUS[readable.status.status_code],
        message=redactor.text(readable.status.description or ""),
        events=events(((event.timestamp, event.name, event.attributes or {}) for event in readable.events), redactor),
        links=links(readable.links, redactor),
        trace_state=context.trace_state.to_header() if context.trace_state else "",
    )


def trace_hex(trace_id: int) -> str:
    """A trace id as OTLP/JSON has it; empty for 0."""
    return f"{trace_id:032x}" if trace_id else ""


def span_hex(span_id: int) -> str:
    """A span id as OTLP/JSON has it; empty for 0."""
    return f"{span_id:016x}" if span_id else ""


def events(of_span: Iterable[tuple[int, str, Mapping[str, Any]]], redactor: Redactor) -> str:
    """The events of a span, each (time in ns, name, attributes), as JSON without brackets."""
    return ",".join(
        f'{{"timeUnixNano":"{time_ns}","name":{quoted(_text(name))},"attributes":[{encoded(redactor.fields(said))}]}}'
        for time_ns, name, said in of_span
    )


def links(of_span: Iterable[Link], redactor: Redactor) -> str:
    """The links of a span as JSON without brackets."""
    return ",".join(
        f'{{"traceId":"{link.context.trace_id:032x}","spanId":"{link.context.span_id:016x}"'
        f',"attributes":[{encoded(redactor.fields(link.attributes or {}))}]}}'
        for link in of_span
    )


def _bytes(text: str) -> bytes:
    """UTF-8 of a text; lone surrogates (from undecodable bytes) have none and become question marks."""
    return text.encode(errors="replace")


def resource(sdk_resource: Resource) -> bytes:
    """A ``Resource``."""
    return orjson.dumps({"attributes": attributes(sdk_resource.attributes)})


def scope(name: str, version: str | None) -> bytes:
    """An ``InstrumentationScope``."""
    return orjson.dumps({"name": name, "version": version} if version else {"name": name})


EVENTS_SCOPE = scope(semconv.SCOPE_NAME, __version__)
"""Scope of our events."""
SPANS_SCOPE = scope(semconv.SCOPE_SPANS, __version__)
"""Scope of tasks' spans."""


def request(kind: str, groups: Mapping[tuple[bytes, bytes], Iterable[bytes]]) -> bytes:
    """An export request of ``kind`` "spans" or "logs" from (resource, scope) -> payloads, one or more, not parsed."""
    outer, inner, leaf = {
        "spans": (b"resourceSpans", b"scopeSpans", b"spans"),
        "logs": (b"resourceLogs", b"scopeLogs", b"logRecords"),
    }[kind]
    # Payloads and groups are both separated by commas: so all of them are joined, and copied, at once.
    parts: list[bytes] = []
    for (resource, scope), (first, *others) in groups.items():
        head = b'{"resource":%b,"%b":[{"scope":%b,"%b":[' % (resource, inner, scope, leaf)
        parts += [head + first, *others]
        parts[-1] += b"]}]}"
    return b'{"%b":[%b]}' % (outer, b",".join(parts))


def utf8(text: str) -> str:
    """The text without lone surrogates (from undecodable bytes), which have no UTF-8 form."""
    return text if text.isascii() else text.encode(errors="replace").decode()


def _text(value: Any) -> str:
    try:
        return str(value)
    except Exception as error:  # noqa: BLE001 - a user's __str__ may raise anything
        return f"<{type(value).__name__}: {type(error).__name__} in __str__>"
