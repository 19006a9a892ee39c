"""OpenTelemetry spans into the spool, and one trace for each workflow."""

import hashlib
import os
import re
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any, NamedTuple

from celery.app.task import Context
from opentelemetry import baggage, propagate, trace
from opentelemetry import context as context_api
from opentelemetry.instrumentation.celery import celery_getter
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, Tracer, TracerProvider
from opentelemetry.sdk.trace.id_generator import IdGenerator, RandomIdGenerator
from opentelemetry.sdk.trace.sampling import DEFAULT_ON

from celeryscope import otlp, semconv, tasks
from celeryscope.__about__ import __version__
from celeryscope.guard import guarded
from celeryscope.recorder import Recorder
from celeryscope.task_span import Describe, Ids, TaskSpan

_TRACE_DIGITS = 32
_workflow: ContextVar[int] = ContextVar("celeryscope_workflow_trace_id", default=0)


class SpoolSpanProcessor(SpanProcessor):
    """Writes each sampled span to the spool when it ends."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder: Recorder | None = recorder
        self.keys: dict[int, int] = {}
        """Deliveries by the ids of their spans, while these are under way."""

    def retire(self) -> None:
        """Write nothing from now on; a tracer provider can't be rid of a processor."""
        self._recorder = None

    @guarded
    def on_end(self, span: ReadableSpan) -> None:
        """Write the span."""
        context = span.get_span_context()
        if self._recorder and context is not None and context.trace_flags.sampled:
            self._recorder.span(span, self.keys.get(context.span_id, 0))


class TaskSpans:
    """Begins and ends the spans of tasks."""

    def __init__(self, processor: SpoolSpanProcessor | None, describe: Describe) -> None:
        """``processor``: None when spans are switched off."""
        self._processor = processor
        self._describe = describe
        self._tracer: trace.Tracer = trace.NoOpTracer()
        self._ids: IdGenerator = RandomIdGenerator()
        self._processors: Any = None
        if processor is not None:
            provider, made_by_us = provider_with(processor)
            self._ids = provider.id_generator
            self._tracer = provider.get_tracer(semconv.SCOPE_SPANS, __version__)
            # It is none when the SDK is disabled (OTEL_SDK_DISABLED).
            if isinstance(self._tracer, Tracer):
                self._tracer.id_generator = WorkflowIds(self._ids)
                if made_by_us and provider.sampler is DEFAULT_ON:
                    self._processors = provider._active_span_processor

    def begin_publish(self, name: str, root_id: str | None, attributes: Callable[[], Mapping[str, Any]]) -> trace.Span:
        """The PRODUCER span of a message, below the current one, else in the workflow's trace.

        ``attributes`` go to the span only where somebody besides the spool may look at it, and are asked for only then;
        None values are left out.
        """
        if self._is_alone():
            above = trace.get_current_span().get_span_context()
            return self._light(name, trace.SpanKind.PRODUCER, root_id, _above(above))
        return self._heavy(name, trace.SpanKind.PRODUCER, root_id, attributes(), None, None)

    def publish_alone(self, headers: dict[str, Any], root_id: str) -> tuple[str, str] | None:
        """(trace id, span id) of a message's PRODUCER span, which are put into its headers, where that is as usual.

        None unless nobody but the spool sees spans, and nothing is current: then ``begin_publish`` is to be asked.
        """
        if not self._is_alone() or propagate.get_global_textmap() is not _DEFAULT_PROPAGATOR or _callers():
            return None
        trace_id, span_id = f"{trace_id_of(root_id):032x}", f"{self._ids.generate_span_id():016x}"
        headers[_TRACEPARENT] = f"00-{trace_id}-{span_id}-01"
        return trace_id, span_id

    def begin_alone(self, name: str, source: Mapping[str, Any], time_ns: int) -> TaskSpan | None:
        """The CONSUMER span of a task that begins at ``time_ns``, where that is as usual; ``source``: its request.

        None unless nobody but the spool sees spans, and a sampled W3C ``traceparent`` is all that the message has of a
        context: then ``begin_run`` is to be asked.
        """
        if not self._is_alone() or propagate.get_global_textmap() is not _DEFAULT_PROPAGATOR:
            return None
        given = source.get(_TRACEPARENT)
        if type(given) is not str or "tracestate" in source or "baggage" in source or source.get(_EAGER):
            return None
        found = _W3C_SAMPLED.fullmatch(given)
        if found is None:
            return None
        trace_id, parent_id = found.groups()
        ids = Ids(trace_id, f"{self._ids.generate_span_id():016x}", parent_id)
        return TaskSpan(name, _CONSUMER, ids, self._describe, time_ns)

    def begin_run(
        self, name: str, request: Context, root_id: str | None, attributes: Callable[[], Mapping[str, Any]], key: int
    ) -> tuple[trace.Span, context_api.Context]:
        """The CONSUMER span of the delivery ``key``, below the publisher's, and the context in which it is current.

        ``attributes`` as in ``begin_publish``.
        """
        source = vars(request)
        told = tasks.header_of(source).get(semconv.HEADER_PREVIOUS)
        previous = link_from(told) if told else None
        if self._is_alone():
            above, context = _publisher(request, source)
            span = self._light(name, trace.SpanKind.CONSUMER, root_id, above)
            if previous and isinstance(span, TaskSpan):
                span.add_link(previous.context)
            return span, _with(span, context)
        context = _callers() if source.get(_EAGER) else propagate.extract(request, getter=celery_getter)
        span = self._heavy(name, trace.SpanKind.CONSUMER, root_id, attributes(), context, previous)
        if self._processor is not None:
            self._processor.keys[span.get_span_context().span_id] = key
        return span, _with(span, context)

    def end(self, span: trace.Span, last: Mapping[str, Any]) -> TaskSpan | None:
        """End the span; returned when the caller has to write it, and ``last``, attributes known only now, with it."""
        if isinstance(span, TaskSpan):
            span.end()
            return span
        if span.is_recording():
            span.set_attributes(last)
        span.end()
        if self._processor is not None:
            self._processor.keys.pop(span.get_span_context().span_id, None)
        return None

    def _is_alone(self) -> bool:
        """Whether nobody but the spool sees spans; applications may add processors at any time."""
        return self._processors is not None and len(self._processors._span_processors) == 1

    def _heavy(
        self,
        name: str,
        kind: trace.SpanKind,
        root_id: str | None,
        attributes: Mapping[str, Any],
        parent: context_api.Context | None,
        previous: trace.Link | None,
    ) -> trace.Span:
        token = _workflow.set(trace_id_of(root_id))
        try:
            seen = {key: value for key, value in attributes.items() if value is not None}
            links = [previous] if previous else None
            return self._tracer.start_span(name, context=parent, kind=kind, attributes=seen, links=links)
        finally:
            _workflow.reset(token)

    def _light(self, name: str, kind: trace.SpanKind, root_id: str | None, above: "_Above | None") -> trace.Span:
        span_id = otlp.span_hex(self._ids.generate_span_id())
        if above is None:
            trace_id = otlp.trace_hex(trace_id_of(root_id) or self._ids.generate_trace_id())
            return TaskSpan(name, kind, Ids(trace_id, span_id, ""), self._describe)
        trace_id, parent_id, sampled, trace_state = above
        if sampled:
            return TaskSpan(name, kind, Ids(trace_id, span_id, parent_id, trace_state), self._describe)
        context = trace.SpanContext(int(trace_id, 16), int(span_id, 16), False, None, trace_state)
        return trace.NonRecordingSpan(context)


class _Above(NamedTuple):
    """The span above another; ids are hexadecimal."""

    trace_id: str
    span_id: str
    sampled: bool
    trace_state: trace.TraceState | None = None


def _above(context: trace.SpanContext) -> _Above | None:
    if not context.is_valid:
        return None
    ids = otlp.trace_hex(context.trace_id), otlp.span_hex(context.span_id)
    return _Above(*ids, context.trace_flags.sampled, context.trace_state)


def _publisher(request: Context, source: Mapping[str, Any]) -> tuple[_Above | None, context_api.Context]:
    """The publisher's span from a task's request, and its context; ``source``: the request's own dict.

    What is by far the commonest, a W3C ``traceparent`` alone, is read here, at a fraction of what the propagators take.
    """
    if source.get(_EAGER):
        context = _callers()
        return _above(trace.get_current_span(context).get_span_context()), context
    given = source.get(_TRACEPARENT)
    known = propagate.get_global_textmap() is _DEFAULT_PROPAGATOR
    if known and isinstance(given, str) and "tracestate" not in source and "baggage" not in source:
        found = _W3C.fullmatch(given)
        return _Above(found[1], found[2], found[3] in _SAMPLED) if found else None, context_api.Context()
    context = propagate.extract(request, getter=celery_getter)
    return _above(trace.get_current_span(context).get_span_context()), context


def _with(span: trace.Span, context: context_api.Context) -> context_api.Context:
    """The context with the span as its current one; OpenTelemetry's own function copies even an empty context twice."""
    return trace.set_span_in_context(span, context) if context else only(span)


def only(span: trace.Span) -> context_api.Context:
    """A context with the span as its current one, and nothing else."""
    return context_api.Context({_CURRENT_SPAN: span})


def inject_into(headers: dict[str, Any], span: trace.Span) -> None:
    """Put the trace context, with the span as the current one, into a message's headers; what is commonest at once."""
    known = propagate.get_global_textmap() is _DEFAULT_PROPAGATOR
    if known and isinstance(span, TaskSpan) and not span.ids.trace_state and not baggage.get_all():
        headers[_TRACEPARENT] = f"00-{span.ids.trace_id}-{span.ids.span_id}-01"
    else:
        propagate.inject(headers, context=trace.set_span_in_context(span))


def _callers() -> context_api.Context:
    """Of a task that its caller runs itself, without a message, or publishes."""
    return context_api.get_current()


(_CURRENT_SPAN,) = trace.set_span_in_context(trace.INVALID_SPAN, context_api.Context())
_CONSUMER = trace.SpanKind.CONSUMER
_EAGER = "is_eager"
_TRACEPARENT = "traceparent"
_W3C = re.compile("00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]([0-9a-f])")
_SAMPLED = "13579bdf"
_W3C_SAMPLED = re.compile(f"00-(?!0{{32}})([0-9a-f]{{32}})-(?!0{{16}})([0-9a-f]{{16}})-[0-9a-f][{_SAMPLED}]")
_DEFAULT_PROPAGATOR = propagate.get_global_textmap() if "OTEL_PROPAGATORS" not in os.environ else None


class WorkflowIds(IdGenerator):
    """Random ids, but a new trace of a task gets its root task's id (128 bits too)."""

    def __init__(self, inner: IdGenerator) -> None:
        self._inner = inner

    def generate_span_id(self) -> int:
        """A random span id."""
        return self._inner.generate_span_id()

    def generate_trace_id(self) -> int:
        """The workflow's trace id, else a random one."""
        return _workflow.get() or self._inner.generate_trace_id()


def trace_id_of(root_id: str | None) -> int:
    """The trace id of a workflow whose publisher had no trace, 0 when there is no root id.

    A UUID's own 128 bits; of any other root id (applications may choose them) the first 128 of its SHA-256.
    """
    if not root_id:
        return 0
    digits = root_id.replace("-", "")
    if len(digits) == _TRACE_DIGITS and (trace_id := _hexadecimal(digits)):
        return trace_id
    return int.from_bytes(hashlib.sha256(root_id.encode(errors="replace")).digest()[:16])


def _hexadecimal(digits: str) -> int:
    try:
        return int(digits, 16)
    except ValueError:
        return 0


def trace_id_in(traceparent: object) -> int:
    """The trace id of a W3C ``traceparent`` header, 0 when it is none."""
    parts = traceparent.split("-") if isinstance(traceparent, str) else ()
    return _hexadecimal(parts[1]) if len(parts) > 3 and len(parts[1]) == _TRACE_DIGITS else 0


def link_text(trace_id: int, span_id: int) -> str:
    """A span's ids as our header carries them."""
    return f"{trace_id:032x}-{span_id:016x}"


def link_from(text: object) -> trace.Link | None:
    """The link to the span that ``link_text`` described; None for anything else."""
    try:
        trace_id, span_id = (int(part, 16) for part in str(text).split("-"))
    except ValueError:
        return None
    context = trace.SpanContext(trace_id, span_id, is_remote=True)
    return trace.Link(context) if context.is_valid else None


def provider_with(processor: SpanProcessor) -> tuple[TracerProvider, bool]:
    """The global tracer provider with our processor added; a new one (then True) where the application has set none."""
    provider = trace.get_tracer_provider()
    missing = not isinstance(provider, TracerProvider)
    if missing:
        provider = TracerProvider()
        trace.set_tracer_provider(provider)
    assert isinstance(provider, TracerProvider)
    provider.add_span_processor(processor)
    return provider, missing


def ids_of(span: trace.Span, root_id: str | None) -> Ids:
    """The ids of a task's span; without one (spans are switched off) the workflow's trace."""
    if isinstance(span, TaskSpan):
        return span.ids
    context = span.get_span_context()
    if not context.is_valid:
        return Ids(otlp.trace_hex(trace_id_of(root_id)), "", "")
    parent = getattr(span, "parent", None)
    parent_id = parent.span_id if isinstance(parent, trace.SpanContext) else 0
    return Ids(otlp.trace_hex(context.trace_id), otlp.span_hex(context.span_id), otlp.span_hex(parent_id))
