"""OpenTelemetry spans into the spool, and one trace for each workflow."""

import hashlib
import os
import re
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

from opentelemetry import context as context_api
from opentelemetry import propagate, trace
from opentelemetry.instrumentation.celery import celery_getter
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, Tracer, TracerProvider
from opentelemetry.sdk.trace.id_generator import IdGenerator, RandomIdGenerator
from opentelemetry.sdk.trace.sampling import DEFAULT_ON

from celeryscope import semconv
from celeryscope.__about__ import __version__
from celeryscope.guard import guarded
from celeryscope.recorder import Recorder
from celeryscope.task_span import Describe, TaskSpan

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
            if isinstance(self._tracer, Tracer):
                self._tracer.id_generator = WorkflowIds(self._ids)
            if made_by_us and provider.sampler is DEFAULT_ON:
                self._processors = provider._active_span_processor

    def begin(
        self,
        name: str,
        kind: trace.SpanKind,
        root_id: str | None,
        attributes: Mapping[str, Any],
        parent: context_api.Context | None = None,
        key: int = 0,
        previous: trace.Link | None = None,
    ) -> trace.Span:
        """A new span below the current one of ``parent`` (None: the current context), else in the workflow's trace.

        ``attributes`` go to the span only where somebody besides the spool may look at it; None values are left out.
        ``key``: the delivery that it is the span of; ``previous``: the link to the attempt before.
        """
        if self._processors is not None and len(self._processors._span_processors) == 1:
            return self._light(name, kind, root_id, parent, [previous] if previous else [])
        token = _workflow.set(trace_id_of(root_id))
        try:
            seen = {key: value for key, value in attributes.items() if value is not None}
            span = self._tracer.start_span(
                name, context=parent, kind=kind, attributes=seen, links=[previous] if previous else None
            )
        finally:
            _workflow.reset(token)
        if key and self._processor is not None:
            self._processor.keys[span.get_span_context().span_id] = key
        return span

    def end(self, span: trace.Span, last: Mapping[str, Any]) -> TaskSpan | None:
        """End the span; returned when the caller has to write it. ``last``: attributes that are known only now."""
        if isinstance(span, TaskSpan):
            span.set_attributes(last)
            span.end()
            return span
        if span.is_recording():
            span.set_attributes(last)
        span.end()
        if self._processor is not None:
            self._processor.keys.pop(span.get_span_context().span_id, None)
        return None

    def _light(
        self,
        name: str,
        kind: trace.SpanKind,
        root_id: str | None,
        parent: context_api.Context | None,
        links: list[trace.Link],
    ) -> trace.Span:
        above = trace.get_current_span(parent).get_span_context()
        trace_id, flags, parent_id = above.trace_id, above.trace_flags, above.span_id
        if not above.is_valid:
            trace_id, flags, parent_id = trace_id_of(root_id) or self._ids.generate_trace_id(), _SAMPLED, 0
        context = trace.SpanContext(trace_id, self._ids.generate_span_id(), False, flags, above.trace_state)
        return (
            TaskSpan(name, kind, context, parent_id, links, self._describe)
            if flags.sampled
            else trace.NonRecordingSpan(context)
        )


_SAMPLED = trace.TraceFlags(trace.TraceFlags.SAMPLED)


def parent_of(request: Any, source: Mapping[str, Any]) -> context_api.Context:
    """The publisher's context from a task's request; ``source``: the request's own dict.

    What is by far the commonest, a W3C ``traceparent`` alone, is read here, at half of what the propagators take.
    """
    given = source.get(_TRACEPARENT)
    known = propagate.get_global_textmap() is _DEFAULT_PROPAGATOR
    if not (known and isinstance(given, str) and "tracestate" not in source and "baggage" not in source):
        return propagate.extract(request, getter=celery_getter)
    nothing = context_api.Context()
    if not (found := _W3C.fullmatch(given)):
        return nothing
    context = trace.SpanContext(int(found[1], 16), int(found[2], 16), True, trace.TraceFlags(int(found[3], 16)))
    return trace.set_span_in_context(trace.NonRecordingSpan(context), nothing) if context.is_valid else nothing


_TRACEPARENT = "traceparent"
_W3C = re.compile("00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
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


def context_of(span: trace.Span, root_id: str | None) -> tuple[int, int]:
    """(trace id, span id) for events: the span's, else the workflow's trace."""
    context = span.get_span_context()
    return (context.trace_id, context.span_id) if context.is_valid else (trace_id_of(root_id), 0)


def parent_id_of(span: trace.Span) -> int:
    """The id of the span above; 0 at a trace's root, and where that is not known."""
    if isinstance(span, TaskSpan):
        return span.parent_id
    parent = getattr(span, "parent", None)
    return parent.span_id if isinstance(parent, trace.SpanContext) else 0
