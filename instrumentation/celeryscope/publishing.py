"""What happens when a task is published: header, PRODUCER span, event ``sent``."""

import threading
import time
from collections.abc import Callable
from functools import cached_property
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from celery import Celery, current_app
from celery._state import get_current_worker_task
from opentelemetry import trace
from opentelemetry.trace import Status, StatusCode

from celeryscope import canvas, exceptions, otlp, semconv, tasks
from celeryscope.clock import now_us
from celeryscope.groups import group_being_published
from celeryscope.guard import guarded
from celeryscope.recorder import Recorder
from celeryscope.spool import format as frame
from celeryscope.spool import plain_sent
from celeryscope.spool.format import Item
from celeryscope.spool.state import Sent, packed, sent_attributes, sent_event, sent_span, sent_span_attributes
from celeryscope.tracing import TaskSpans, ids_of, inject_into, link_text

_SYSTEMS = {
    "amqp": "rabbitmq",
    "amqps": "rabbitmq",
    "pyamqp": "rabbitmq",
    "rediss": "redis",
    "sentinel": "redis",
    "sqs": "aws_sqs",
}


_FAILED = "the message could not be published"


class _Publish(NamedTuple):
    """A publish under way."""

    task_id: str | None
    span: trace.Span | None
    """None when ``sent`` says all that is to be said of it."""
    sent: Sent | list[Any]
    """A list is a ``PlainSent``."""


class Publishing:
    """Handlers of Celery's publish signals, in whatever process publishes."""

    def __init__(self, recorder: Recorder, spans: TaskSpans, app: Celery | None) -> None:
        self._recorder = recorder
        self._spans = spans
        self._app = app
        self._under_way = threading.local()
        self.supervised: Callable[[Any], Any] = lambda _task_id: None
        """The message's dict of a task that this process supervises, by id."""

    @guarded
    def before(self, sender: str, headers: dict[str, Any], body: Any, routing_key: Any = None, **_: Any) -> None:
        """``before_task_publish``: put our header and the trace context into the message."""
        recorder, sent_at = self._recorder, now_us()
        clock = recorder.clock.tick(0, sent_at)
        header: dict[str, Any] = {semconv.HEADER_SENT_AT: sent_at}
        headers[semconv.HEADER] = header
        if clock != sent_at:
            header[semconv.HEADER_CLOCK] = clock
        self._finish_failed()
        # Most messages are neither published by a task (which would be their parent) nor part of a canvas: theirs is a
        # shorter way.
        alone = group_being_published() is None
        known = plain_sent.message_of(headers, sender, body, recorder.arguments) if alone else None
        ids = self._spans.publish_alone(headers, known[1]) if known else None
        if known is None or ids is None:
            self._begin(sender, headers, body, routing_key)
            return
        destination = str(routing_key) if routing_key else None
        told = [*(sent_at, 0, sender, self.system, destination, clock, recorder.uid()), *known, *ids]
        self._under_way.publish = _Publish(known[0], None, told)

    def _begin(self, sender: str, headers: dict[str, Any], body: Any, routing_key: Any) -> None:
        """Begin to publish a message whatever it is like; ``headers`` have ours."""
        header = headers[semconv.HEADER]
        sent_at, clock = header[semconv.HEADER_SENT_AT], tasks.clock_of(header)
        header |= self._circumstances(headers, body, clock)
        sent = Sent(
            time_ns=sent_at * 1000,
            started_ns=sent_at * 1000,
            ended_ns=0,
            name=sender,
            system=self.system,
            destination=str(routing_key) if routing_key else None,
            clock=clock,
            uid=self._recorder.uid(),
            request=tasks.told(headers, self._recorder.arguments),
            trace_id="",
            span_id="",
            parent_id="",
        )
        root_id = tasks.root_of(headers, header)
        span = self._spans.begin_publish(
            f"apply_async/{sender}", root_id, lambda: sent_span_attributes(sent_attributes(sent))
        )
        ids = ids_of(span, root_id)
        sent["trace_id"], sent["span_id"], sent["parent_id"] = ids.trace_id, ids.span_id, ids.parent_id
        # Not made current: Celery tells nobody when a publish fails, and the span would stay current for good.
        inject_into(headers, span)
        self._under_way.publish = _Publish(headers.get("id"), span, sent)

    @guarded
    def after(self, headers: dict[str, Any], **_: Any) -> None:
        """``after_task_publish``: the broker has the message."""
        publish: _Publish | None = getattr(self._under_way, "publish", None)
        if publish is None or publish.task_id != headers.get("id"):
            return
        self._under_way.publish = None
        sent = self._ended(publish)
        if isinstance(sent, list) or sent["ended_ns"]:
            self._recorder.write(Item(frame.SENT, 0, 0, packed(sent), b""))
        else:  # the span isn't sampled, or the SDK's processors have it
            event = sent_event(sent, sent_attributes(sent))
            self._recorder.write(Item(frame.LOG, 0, 0, event, otlp.EVENTS_SCOPE))

    @guarded
    def refused(self, error: BaseException) -> None:
        """The publish under way in this thread has failed; there is no event of a task that was never sent."""
        if publish := getattr(self._under_way, "publish", None):
            self._under_way.publish = None
            why = f"{exceptions.type_name(type(error))}: {exceptions.message(error)}"
            self._fail(publish, self._recorder.redacted(why))

    @cached_property
    def system(self) -> str:
        """``messaging.system`` from the broker's URL."""
        url = (self._app or current_app).conf.broker_url or "amqp://"
        scheme = urlsplit(url[0] if isinstance(url, list | tuple) else url).scheme.split("+")[0]
        return _SYSTEMS.get(scheme, scheme)

    def _circumstances(self, headers: dict[str, Any], body: Any, clock: int) -> dict[str, Any]:
        """What the header says of the message's canvas and of the attempt before."""
        task = get_current_worker_task()
        request = task.request if task is not None else self.supervised(headers.get("parent_id"))
        message = body if isinstance(body, tuple | list) and len(body) == 3 and body[2] else ((), {}, {})
        found = canvas.additions(headers, message, request, group_being_published())
        again = request is not None and request.get("id") == headers.get("id")
        if again and (attempt := getattr(request, tasks.ATTEMPT, None)):
            if headers.get("retries"):
                found[semconv.HEADER_PREVIOUS] = link_text(*attempt.context)
            else:
                attempt.replaced_at = clock
        return found

    def _ended(self, publish: _Publish) -> Sent | list[Any]:
        """What is to be told of it, with the end of its span if that is for us to write."""
        sent, span = publish.sent, publish.span
        if isinstance(sent, list):
            # A clock that was set back must not end the span before its start.
            sent[plain_sent.ENDED_NS] = max(time.time_ns(), sent[plain_sent.SENT_AT] * 1000)
        elif span is not None and (ended := self._spans.end(span, {})):
            sent["ended_ns"] = ended.end_time
        return sent

    def _finish_failed(self) -> None:
        """A publish of this thread that never came to its end has failed (``celeryscope.refusals``)."""
        if publish := getattr(self._under_way, "publish", None):
            self._under_way.publish = None
            self._fail(publish, _FAILED)

    def _fail(self, publish: _Publish, why: str) -> None:
        if publish.span is not None:
            publish.span.set_status(Status(StatusCode.ERROR, why))
        sent = plain_sent.sent_of(self._ended(publish))
        if sent["ended_ns"]:
            payload = sent_span(sent, sent_attributes(sent), otlp.SPAN_STATUS[StatusCode.ERROR], why)
            self._recorder.write(Item(frame.SPAN, 0, 0, payload, otlp.SPANS_SCOPE))
