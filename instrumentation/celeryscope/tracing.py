"""OpenTelemetry spans into the spool, and one trace for each workflow."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from opentelemetry import context as context_api
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.id_generator import IdGenerator

from celeryscope import semconv
from celeryscope.guard import guarded
from celeryscope.recorder import Recorder

_TRACE_DIGITS = 32
_workflow: ContextVar[int] = ContextVar("celeryscope_workflow_trace_id", default=0)


class SpoolSpanProcessor(SpanProcessor):
    """Writes each sampled span to the spool when it ends, and a task's span also when it begins."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder: Recorder | None = recorder

    def retire(self) -> None:
        """Write nothing from now on; a tracer provider can't be rid of a processor."""
        self._recorder = None

    @guarded
    def on_start(self, span: Span, parent_context: context_api.Context | None = None) -> None:  # noqa: ARG002 - the interface's
        """Write a task's span ahead, so that a killed process doesn't take it along."""
        attributes, context = span.attributes, span.get_span_context()
        if context is None or not context.trace_flags.sampled:
            return
        if self._recorder and span.kind is trace.SpanKind.CONSUMER and attributes and semconv.DELIVERY in attributes:
            self._recorder.open_span(span)

    @guarded
    def on_end(self, span: ReadableSpan) -> None:
        """Write the span."""
        context = span.get_span_context()
        if self._recorder and context is not None and context.trace_flags.sampled:
            self._recorder.span(span)


class WorkflowIds(IdGenerator):
    """Random ids, but within ``workflow_trace(root_id)`` a new trace gets the root task's id (128 bits too)."""

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


@contextmanager
def workflow_trace(root_id: str | None) -> Iterator[None]:
    """Traces begun inside belong to the workflow."""
    token = _workflow.set(trace_id_of(root_id))
    try:
        yield
    finally:
        _workflow.reset(token)


def provider_with(processor: SpanProcessor) -> TracerProvider:
    """The global tracer provider with our processor added; a new one where the application has set none."""
    provider = trace.get_tracer_provider()
    if not isinstance(provider, TracerProvider):
        provider = TracerProvider()
        trace.set_tracer_provider(provider)
    provider.add_span_processor(processor)
    return provider


def context_of(span: trace.Span, root_id: str | None) -> tuple[int, int]:
    """(trace id, span id) for events: the span's, else the workflow's trace."""
    context = span.get_span_context()
    return (context.trace_id, context.span_id) if context.is_valid else (trace_id_of(root_id), 0)
