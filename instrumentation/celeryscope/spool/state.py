"""The short forms of an attempt's start and end, as the frames START and END hold them.

They are what a task itself pays for, so they are flat JSON: the start says all that is known of the attempt then, the
end what has come since. The shipper makes OTLP/JSON of them, many at once, which costs a third of doing it between one
task and the next; and a start whose end it reads in the same moment it need not make at all.
"""

from collections.abc import Mapping
from typing import Any, TypedDict

import orjson

from celeryscope import otlp, semconv, tasks

_CONSUMER = 5


class Start(TypedDict):
    """A delivery has begun to run; ``span_id`` is 0 when its span isn't sampled, ``parent_id`` at a trace's root."""

    time_ns: int
    body: str
    trace_id: str
    span_id: int
    parent_id: int
    attributes: dict[str, Any]


class SpanEnd(TypedDict):
    """What an attempt's span says at its end; the last three as made by ``otlp.encoded``, ``events`` and ``links``."""

    name: str
    started_ns: int
    ended_ns: int
    status: int
    message: str | None
    attributes: str
    events: str
    links: str


class End(TypedDict):
    """A delivery's final event (``attributes``: what its start does not say), or the end of its span, or both."""

    event: str | None
    time_ns: int
    severity: str
    body: str
    attributes: dict[str, Any]
    span: SpanEnd | None


def packed(value: Start | End) -> bytes:
    """The payload of a frame."""
    try:
        return orjson.dumps(value)
    except TypeError:
        # Lone surrogates and integers above 64 bits have no form in orjson's JSON.
        return orjson.dumps(_sendable(value))


def started(start: Start) -> bytes:
    """The event ``celery.task.started`` (OTLP/JSON ``LogRecord``)."""
    return otlp.log_record(
        time_ns=start["time_ns"],
        attributes=otlp.encoded(start["attributes"]),
        body=start["body"],
        severity_text="INFO",
        event_name=semconv.EVENT_TASK_STARTED,
        trace_id=int(start["trace_id"], 16),
        span_id=start["span_id"],
    )


def ended(start: Start, end: End) -> tuple[bytes | None, bytes | None]:
    """The final event (OTLP/JSON ``LogRecord``) and the ``Span`` of an END frame; None for what it has not."""
    span, event, own = end["span"], end["event"], start["attributes"]
    on_span = {key: own.get(key) for key in tasks.ON_SPAN}
    shared = otlp.encoded(on_span)
    return (
        None if event is None else _final_event(start, end, event, shared, on_span),
        None if span is None else _span(start, span, shared),
    )


def _final_event(start: Start, end: End, event: str, shared: str, on_span: Mapping[str, Any]) -> bytes:
    said = end["attributes"]
    rest = {key: value for key, value in start["attributes"].items() if key not in on_span and key not in said}
    return otlp.log_record(
        time_ns=end["time_ns"],
        attributes=otlp.joined(shared, otlp.encoded(rest), otlp.encoded(said)),
        body=end["body"],
        severity_text=end["severity"],
        event_name=event,
        trace_id=int(start["trace_id"], 16),
        span_id=start["span_id"],
    )


def _span(start: Start, span: SpanEnd, shared: str) -> bytes:
    return otlp.span(
        trace_id=int(start["trace_id"], 16),
        span_id=start["span_id"],
        parent_id=start["parent_id"],
        name=span["name"],
        kind=_CONSUMER,
        started_ns=span["started_ns"],
        ended_ns=span["ended_ns"],
        attributes=otlp.joined(shared, otlp.encoded(tasks.only_on_span(start["attributes"])), span["attributes"]),
        status=span["status"],
        message=span["message"],
        events=span["events"],
        links=span["links"],
    )


def _sendable(value: Any) -> Any:
    if isinstance(value, dict):
        return {_sendable(str(key)): _sendable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_sendable(item) for item in value]
    if isinstance(value, bool | float | None) or (isinstance(value, int) and -(2**63) <= value < 2**64):
        return value
    return otlp.utf8(str(value))
