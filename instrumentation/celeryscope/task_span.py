"""The span of a task where nobody but the spool sees it: what the SDK's span does, at a fifth of its cost.

The SDK's span copies, checks and locks for processors, limits and exporters that are not there. ``tracing.TaskSpans``
takes this one only while ours is the only processor and the sampler is the default one; else the SDK's own.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from opentelemetry import trace
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState
from opentelemetry.util.types import Attributes, AttributeValue

from celeryscope import semconv
from celeryscope.redaction import safe_str

_EVENTS_MOST = 128
"""As the SDK's default limit (OTEL_SPAN_EVENT_COUNT_LIMIT), and likewise for attributes and links."""


Describe = Callable[[BaseException], dict[str, str]]
"""From an exception to its ``exception.*`` attributes, redacted and bounded."""


class Ids(NamedTuple):
    """Of a span, hexadecimal as OTLP/JSON has them; ``parent_id`` is empty at a trace's root."""

    trace_id: str
    span_id: str
    parent_id: str
    trace_state: TraceState | None = None


SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_EMPTY: Mapping[str, Callable[[], Any]] = {"attributes": dict, "events": list, "links": list}


class TaskSpan(trace.Span):
    """A span that is recorded and sampled; times are nanoseconds since the Unix epoch; ``end`` is final.

    Applications don't always say what OpenTelemetry's types ask for; what has no form is left out or becomes text.
    """

    # Nobody touches most spans between their begin and their end: what a touch changes stands here, so that it costs
    # those nothing.
    is_as_begun = True
    """Whether nobody has set, added or ended anything."""
    end_time = 0
    status = Status()
    attributes: dict[str, Any]
    """Kept as soon as it is touched; likewise the next two."""
    events: list[tuple[int, str, Mapping[str, Any]]]
    """(time, name, attributes)"""
    links: list[Link]
    _context: SpanContext | None = None

    def __init__(self, name: str, kind: SpanKind, ids: Ids, describe: Describe, start_time: int = 0) -> None:
        self.name = name
        self.kind = kind
        self.ids = ids
        self.start_time = start_time or time.time_ns()
        self._describe = describe

    def __getattr__(self, name: str) -> Any:
        # Applications read them of the SDK's spans, too. Before the first touch there is nothing in them.
        if name in _EMPTY:
            return _EMPTY[name]()
        raise AttributeError(name)

    def get_span_context(self) -> SpanContext:
        """Its ids, as OpenTelemetry has them; made when somebody asks."""
        if self._context is None:
            ids = self.ids
            self._context = SpanContext(int(ids.trace_id, 16), int(ids.span_id, 16), False, SAMPLED, ids.trace_state)
        return self._context

    def is_recording(self) -> bool:
        """Whether it has not ended."""
        return not self.end_time

    def set_attribute(self, key: str, value: AttributeValue) -> None:
        """Add or replace one attribute."""
        self.set_attributes({key: value})

    def set_attributes(self, attributes: Mapping[str, AttributeValue]) -> None:
        """Add or replace attributes."""
        self._touch()
        for key, value in attributes.items():
            if not self.end_time and (key in self.attributes or len(self.attributes) < _EVENTS_MOST):
                self.attributes[key] = value

    def add_event(self, name: str, attributes: Attributes = None, timestamp: int | None = None) -> None:
        """Add an event."""
        self._touch()
        if not self.end_time and len(self.events) < _EVENTS_MOST:
            at = timestamp if timestamp and isinstance(timestamp, int) else time.time_ns()
            self.events.append((at, name, dict(attributes or {})))

    def add_link(self, context: SpanContext, attributes: Attributes = None) -> None:
        """Add a link to another span."""
        self._touch()
        if not self.end_time and len(self.links) < _EVENTS_MOST and isinstance(context, SpanContext):
            self.links.append(Link(context, attributes))

    def update_name(self, name: str) -> None:
        """Replace the name."""
        self._touch()
        if not self.end_time:
            self.name = safe_str(name)

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        """Set the status; OK is final, and UNSET changes nothing (as OpenTelemetry's specification says)."""
        if not isinstance(status, Status | StatusCode):
            return  # as the SDK's own
        self._touch()
        wanted = status if isinstance(status, Status) else Status(status, description)
        if not self.end_time and self.status.status_code is not StatusCode.OK and not wanted.is_unset:
            self.status = wanted

    def record_exception(
        self,
        exception: BaseException,
        attributes: Attributes = None,
        timestamp: int | None = None,
        escaped: bool = False,
    ) -> None:
        """Add an event that describes the exception."""
        described: dict[str, Any] = {
            **self._describe(exception),
            "exception.escaped": str(escaped),
        }
        self.add_event(semconv.EVENT_EXCEPTION, described | dict(attributes or {}), timestamp)

    def end(self, end_time: int | None = None) -> None:
        """End it; a second call changes nothing."""
        self._touch()
        if not self.end_time:
            given = end_time if isinstance(end_time, int) else 0
            # A clock that was set back must not end the span before its start.
            self.end_time = given or max(time.time_ns(), self.start_time)

    def _touch(self) -> None:
        if self.is_as_begun:
            for name, empty in _EMPTY.items():
                vars(self).setdefault(name, empty())  # another thread may be here, too
            self.is_as_begun = False
