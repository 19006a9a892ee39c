"""What happens when a task is published: header, PRODUCER span, event ``sent``."""

import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from celery import Celery, current_app
from celery._state import get_current_worker_task
from opentelemetry import trace
from opentelemetry.propagate import inject
from opentelemetry.trace import SpanKind, Status, StatusCode

from celeryscope import canvas, semconv, tasks
from celeryscope.clock import now_us
from celeryscope.groups import group_being_published
from celeryscope.guard import guarded
from celeryscope.recorder import Recorder
from celeryscope.tracing import context_of, link_text, workflow_trace

_SYSTEMS = {
    "amqp": "rabbitmq",
    "amqps": "rabbitmq",
    "pyamqp": "rabbitmq",
    "rediss": "redis",
    "sentinel": "redis",
    "sqs": "aws_sqs",
}


class Publishing:
    """Handlers of Celery's publish signals, in whatever process publishes."""

    def __init__(self, recorder: Recorder, tracer: trace.Tracer, app: Celery | None) -> None:
        self._recorder = recorder
        self._tracer = tracer
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
        span = self._begin(sender, values)
        # Not made current: Celery tells nobody when a publish fails, and the span would stay current for good.
        inject(headers, context=trace.set_span_in_context(span))
        self._finish_failed()
        self._under_way.publish = (headers.get("id"), span, values, sent_at)

    @guarded
    def after(self, sender: str, headers: dict[str, Any], **_: Any) -> None:
        """``after_task_publish``: the broker has the message."""
        publish = getattr(self._under_way, "publish", None)
        if publish is None or publish[0] != headers.get("id"):
            return
        _, span, values, sent_at = publish
        self._under_way.publish = None
        values |= {semconv.STATE: semconv.STATE_SENT, semconv.CLOCK: tasks.clock_of(tasks.header_of(headers))}
        self._recorder.event(
            semconv.EVENT_TASK_SENT,
            values,
            severity="INFO",
            body=f"Task {sender} sent",
            time_ns=sent_at * 1000,
            context=context_of(span, values[semconv.ROOT_ID]),
        )
        span.end()

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

    def _begin(self, name: str, values: dict[str, Any]) -> trace.Span:
        attributes = {
            semconv.ACTION: "apply_async",
            semconv.MESSAGING_MESSAGE_ID: values[semconv.TASK_ID],
            semconv.MESSAGING_SYSTEM: self.system,
            semconv.MESSAGING_DESTINATION: values[semconv.MESSAGING_DESTINATION],
            **tasks.identity(values),
        }
        present = {key: value for key, value in attributes.items() if value is not None}
        with workflow_trace(values[semconv.ROOT_ID]):
            return self._tracer.start_span(f"apply_async/{name}", kind=SpanKind.PRODUCER, attributes=present)

    def _finish_failed(self) -> None:
        """A publish of this thread that never came to its end has failed."""
        if publish := getattr(self._under_way, "publish", None):
            publish[1].set_status(Status(StatusCode.ERROR, "the message could not be published"))
            publish[1].end()


def _text(value: Any) -> str | None:
    return str(value) if value else None
