"""The short forms of a publish, of an attempt's start and of its end, as the frames SENT, START and END hold them.

They are what a task itself pays for, so they are flat JSON: the start says all that is known of the attempt then, the
end what has come since. The shipper makes OTLP/JSON of them, many at once, which costs a third of doing it between one
task and the next; and a start whose end it reads in the same moment it need not make at all.
"""

from typing import Any, Required, TypedDict

import orjson
from opentelemetry.trace import SpanKind

from celeryscope import otlp, semconv, tasks

# Looked up once: an enumeration's members are slow keys, and there is a span for each task.
PRODUCER, CONSUMER = otlp.SPAN_KINDS[SpanKind.PRODUCER], otlp.SPAN_KINDS[SpanKind.CONSUMER]


class Start(TypedDict):
    """A delivery has begun to run; times are nanoseconds, ids hexadecimal."""

    time_ns: int
    name: str
    delivery: str
    worker: str | None
    system: str
    clock: int
    uid: str
    request: dict[str, Any]
    """As ``tasks.told`` makes it."""
    trace_id: str
    span_id: str
    """Empty when its span isn't sampled."""
    parent_id: str
    """Empty at a trace's root."""


class SpanEnd(TypedDict, total=False):
    """What an attempt's span says at its end, beyond what all of them say."""

    ended_ns: Required[int]
    name: str
    status: int
    message: str | None
    attributes: str
    """As made by ``otlp.encoded``; likewise ``events`` and ``links``, as by the functions of these names."""
    events: str
    links: str


class End(TypedDict):
    """A delivery's final event, or the end of its span, or both.

    ``attributes``: what its start does not say. A span that ends without an event says of them what it would with one.
    """

    event: str | None
    time_ns: int
    severity: str
    body: str
    attributes: dict[str, Any]
    span: SpanEnd | None


class Sent(TypedDict):
    """A message was published; times are nanoseconds, ids hexadecimal (``parent_id`` empty at a trace's root)."""

    time_ns: int
    started_ns: int
    ended_ns: int
    name: str
    system: str
    destination: str | None
    clock: int
    uid: str
    request: dict[str, Any]
    """As ``tasks.told`` makes it, of the message's headers."""
    trace_id: str
    span_id: str
    parent_id: str


def packed(value: Start | End | Sent | list[Any]) -> bytes:
    """The payload of a frame."""
    try:
        return orjson.dumps(value)
    except TypeError:
        # Lone surrogates and integers above 64 bits have no form in orjson's JSON.
        return orjson.dumps(_sendable(value))


def attributes(start: Start) -> dict[str, Any]:
    """What all events of the delivery say, as attributes; state and clock are those of its start."""
    values = tasks.snapshot(start["request"], tasks.as_told)
    started_at = start["time_ns"] // 1000
    values[semconv.TASK_NAME] = start["name"]
    values[semconv.DELIVERY] = start["delivery"]
    values[semconv.WORKER] = start["worker"]
    values[semconv.MESSAGING_SYSTEM] = start["system"]
    values[semconv.STARTED_AT] = started_at
    values[semconv.STATE] = semconv.STATE_STARTED
    values[semconv.CLOCK] = start["clock"]
    values[semconv.LOG_RECORD_UID] = start["uid"]
    values.update(tasks.waiting(values, started_at))
    return values


def started(start: Start) -> bytes:
    """The event ``celery.task.started`` (OTLP/JSON ``LogRecord``)."""
    return otlp.log_record(
        time_ns=start["time_ns"],
        attributes=otlp.encoded(attributes(start)),
        body=f"Task {start['name']} started",
        severity_text="INFO",
        event_name=semconv.EVENT_TASK_STARTED,
        trace_id=start["trace_id"],
        span_id=start["span_id"],
    )


def ended(start: Start, end: End) -> tuple[bytes | None, bytes | None]:
    """The final event (OTLP/JSON ``LogRecord``) and the ``Span`` of an END frame; None for what it has not."""
    span, event, own = end["span"], end["event"], attributes(start)
    on_span = {key: own.pop(key, None) for key in tasks.ON_SPAN}
    shared = otlp.encoded(on_span)
    return (
        None if event is None else _final_event(start, end, event, shared, own),
        None if span is None else _span(start, end, span, shared),
    )


def _final_event(start: Start, end: End, event: str, shared: str, rest: dict[str, Any]) -> bytes:
    return otlp.log_record(
        time_ns=end["time_ns"],
        attributes=f"{shared},{otlp.encoded(rest | end['attributes'])}",
        body=end["body"],
        severity_text=end["severity"],
        event_name=event,
        trace_id=start["trace_id"],
        span_id=start["span_id"],
    )


def _span(start: Start, end: End, span: SpanEnd, shared: str) -> bytes:
    said = tasks.only_on_span(start["request"].get("id"))
    said |= {key: value for key, value in end["attributes"].items() if key in _ON_ENDED_SPAN}
    return otlp.span(
        trace_id=start["trace_id"],
        span_id=start["span_id"],
        parent_id=start["parent_id"],
        name=span.get("name") or f"run/{start['name']}",
        kind=CONSUMER,
        started_ns=start["time_ns"],
        ended_ns=span["ended_ns"],
        attributes=otlp.joined(shared, otlp.encoded(said), span.get("attributes", "")),
        status=span.get("status", 0),
        message=span.get("message"),
        events=span.get("events", ""),
        links=span.get("links", ""),
    )


_ON_ENDED_SPAN = frozenset({semconv.STATE, semconv.RUNTIME, semconv.CLOCK})


def sent_attributes(sent: Sent) -> dict[str, Any]:
    """What the event ``celery.task.sent`` says, as attributes."""
    values = tasks.snapshot(sent["request"], tasks.as_told)
    values[semconv.MESSAGING_DESTINATION] = sent["destination"]
    values[semconv.MESSAGING_SYSTEM] = sent["system"]
    values[semconv.STATE] = semconv.STATE_SENT
    values[semconv.CLOCK] = sent["clock"]
    values[semconv.LOG_RECORD_UID] = sent["uid"]
    return values


def sent_span_attributes(values: dict[str, Any]) -> dict[str, Any]:
    """What the PRODUCER span of a message says; ``values``: what its event says."""
    return {
        semconv.ACTION: "apply_async",
        semconv.MESSAGING_MESSAGE_ID: values[semconv.TASK_ID],
        semconv.MESSAGING_SYSTEM: values[semconv.MESSAGING_SYSTEM],
        semconv.MESSAGING_DESTINATION: values[semconv.MESSAGING_DESTINATION],
        **tasks.identity(values),
    }


def sent_event(sent: Sent, values: dict[str, Any]) -> bytes:
    """The event ``celery.task.sent`` (OTLP/JSON ``LogRecord``)."""
    return otlp.log_record(
        time_ns=sent["time_ns"],
        attributes=otlp.encoded(values),
        body=f"Task {sent['name']} sent",
        severity_text="INFO",
        event_name=semconv.EVENT_TASK_SENT,
        trace_id=sent["trace_id"],
        span_id=sent["span_id"],
    )


def sent_span(sent: Sent, values: dict[str, Any], status: int = 0, message: str | None = None) -> bytes:
    """The PRODUCER ``Span`` of a message."""
    return otlp.span(
        trace_id=sent["trace_id"],
        span_id=sent["span_id"],
        parent_id=sent["parent_id"],
        name=f"apply_async/{sent['name']}",
        kind=PRODUCER,
        started_ns=sent["started_ns"],
        ended_ns=sent["ended_ns"],
        attributes=otlp.encoded(sent_span_attributes(values)),
        status=status,
        message=message,
    )


def sent(told: Sent) -> tuple[bytes, bytes]:
    """The event and the span of a SENT frame."""
    values = sent_attributes(told)
    return sent_event(told, values), sent_span(told, values)


def _sendable(value: Any) -> Any:
    if isinstance(value, dict):
        return {_sendable(str(key)): _sendable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_sendable(item) for item in value]
    if isinstance(value, bool | float | None) or (isinstance(value, int) and -(2**63) <= value < 2**64):
        return value
    return otlp.utf8(str(value))
