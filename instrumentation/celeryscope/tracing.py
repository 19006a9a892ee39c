"""OpenTelemetry spans into the spool, and one trace for each workflow."""

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
    """The trace id of a workflow whose publisher had no trace: its root id's 128 bits; 0 when it isn't a UUID."""
    try:
        return int((root_id or "").replace("-", ""), 16) & (2**128 - 1)
    except ValueError:
        return 0


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
