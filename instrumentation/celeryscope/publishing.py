"""What happens when a task is published: header, PRODUCER span, event ``sent``."""

import threading
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from celery import Celery, current_app
from celery._state import get_current_worker_task
from opentelemetry import trace
from opentelemetry.propagate import inject
from opentelemetry.trace import Status, StatusCode

from celeryscope import canvas, otlp, semconv, tasks
from celeryscope.clock import now_us
from celeryscope.groups import group_being_published
from celeryscope.guard import guarded
from celeryscope.recorder import Recorder
from celeryscope.spool import format as frame
from celeryscope.spool.format import Item
from celeryscope.tracing import TaskSpans, ids_of, link_text

_SYSTEMS = {
    "amqp": "rabbitmq",
    "amqps": "rabbitmq",
    "pyamqp": "rabbitmq",
    "rediss": "redis",
    "sentinel": "redis",
    "sqs": "aws_sqs",
}


class _Publish(NamedTuple):
    """A publish under way."""

    task_id: str | None
    span: trace.Span
    on_span: dict[str, Any]
    values: dict[str, Any]
    sent_at: int


class Publishing:
    """Handlers of Celery's publish signals, in whatever process publishes."""

    def __init__(self, recorder: Recorder, spans: TaskSpans, app: Celery | None) -> None:
        self._recorder = recorder
        self._spans = spans
        self._app = app
        self._system: str | None = None
        self._under_way = threading.local()
        self.supervised: Callable[[Any], Any] = lambda _task_id: None
        """The message's dict of a task that this process supervises, by id."""

    @guarded
    def before(self, sender: str, headers: dict[str, Any], body: Any, routing_key: Any = None, **_: Any) -> None:
        """``before_task_publish``: put our header and the trace context into the message."""
        clock = self._recorder.clock.tick()
        sent_at = min(clock, now_us())
        headers[semconv.HEADER] = header = {semconv.HEADER_SENT_AT: sent_at}
        if clock != sent_at:
            header[semconv.HEADER_CLOCK] = clock
        header |= self._circumstances(headers, body)
        values = tasks.snapshot(headers, self._recorder.arguments)
        values[semconv.MESSAGING_DESTINATION] = _text(routing_key)
        values[semconv.MESSAGING_SYSTEM] = self.system
        on_span = {
            semconv.ACTION: "apply_async",
            semconv.MESSAGING_MESSAGE_ID: values[semconv.TASK_ID],
            semconv.MESSAGING_SYSTEM: values[semconv.MESSAGING_SYSTEM],
            semconv.MESSAGING_DESTINATION: values[semconv.MESSAGING_DESTINATION],
            **tasks.identity(values),
        }
        span = self._spans.begin_publish(f"apply_async/{sender}", values[semconv.ROOT_ID], on_span)
        # Not made current: Celery tells nobody when a publish fails, and the span would stay current for good.
        inject(headers, context=trace.set_span_in_context(span))
        self._finish_failed()
        self._under_way.publish = _Publish(headers.get("id"), span, on_span, values, sent_at)

    @guarded
    def after(self, sender: str, headers: dict[str, Any], **_: Any) -> None:
        """``after_task_publish``: the broker has the message."""
        publish: _Publish | None = getattr(self._under_way, "publish", None)
        if publish is None or publish.task_id != headers.get("id"):
            return
        self._under_way.publish = None
        values, recorder = publish.values, self._recorder
        values |= {
            semconv.LOG_RECORD_UID: recorder.uid(),
            semconv.STATE: semconv.STATE_SENT,
            semconv.CLOCK: tasks.clock_of(tasks.header_of(headers)),
        }
        ids = ids_of(publish.span, values[semconv.ROOT_ID])
        payload = otlp.log_record(
            time_ns=publish.sent_at * 1000,
            attributes=otlp.encoded(values),
            body=f"Task {sender} sent",
            severity_text="INFO",
            event_name=semconv.EVENT_TASK_SENT,
            trace_id=ids.trace_id,
            span_id=ids.span_id,
        )
        event = Item(frame.LOG, 0, 0, payload, otlp.EVENTS_SCOPE)
        recorder.write(event, *self._ended_span(publish))

    @property
    def system(self) -> str:
        """``messaging.system`` from the broker's URL."""
        if self._system is None:
            url = (self._app or current_app).conf.broker_url or "amqp://"
            scheme = urlsplit(url[0] if isinstance(url, list | tuple) else url).scheme.split("+")[0]
            self._system = _SYSTEMS.get(scheme, scheme)
        return self._system

    def _circumstances(self, headers: dict[str, Any], body: Any) -> dict[str, Any]:
        """What the header says of the message's canvas and of the attempt before."""
        task = get_current_worker_task()
        request = task.request if task is not None else self.supervised(headers.get("parent_id"))
        message = body if isinstance(body, tuple | list) and len(body) == 3 and body[2] else ((), {}, {})
        found = canvas.additions(headers, message, request, group_being_published())
        again = headers.get("retries") and request is not None and request.get("id") == headers.get("id")
        if again and (attempt := getattr(request, tasks.ATTEMPT, None)):
            found[semconv.HEADER_PREVIOUS] = link_text(*attempt.context)
        return found

    def _finish_failed(self) -> None:
        """A publish of this thread that never came to its end has failed."""
        publish: _Publish | None = getattr(self._under_way, "publish", None)
        if publish is not None:
            publish.span.set_status(Status(StatusCode.ERROR, "the message could not be published"))
            self._recorder.write(*self._ended_span(publish))

    def _ended_span(self, publish: _Publish) -> list[Item]:
        """End the span; what of it is to be written here."""
        span = self._spans.end(publish.span, {})
        if span is None:
            return []
        payload = otlp.span(
            trace_id=span.ids.trace_id,
            span_id=span.ids.span_id,
            parent_id=span.ids.parent_id,
            name=span.name,
            kind=otlp.SPAN_KINDS[span.kind],
            started_ns=span.start_time,
            ended_ns=span.end_time,
            attributes=otlp.joined(otlp.encoded(publish.on_span), otlp.encoded(span.attributes)),
            status=otlp.SPAN_STATUS[span.status.status_code],
            message=span.status.description,
        )
        return [Item(frame.SPAN, 0, 0, payload, otlp.SPANS_SCOPE)]


def _text(value: Any) -> str | None:
    return str(value) if value else None
