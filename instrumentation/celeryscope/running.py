"""What happens while a task runs, in the process that runs it: CONSUMER span, ``started`` to final event."""

import os
import sys
import threading
import time
from collections.abc import Mapping
from typing import Any

from celery.app.task import Context, Task
from celery.exceptions import Reject, Retry
from opentelemetry import context as context_api
from opentelemetry import trace
from opentelemetry.trace import Status, StatusCode

from celeryscope import exceptions, frame_locals, otlp, semconv, tasks
from celeryscope.clock import now_us
from celeryscope.guard import guarded
from celeryscope.interruptions import (
    failure_uid,
    is_process_ending,
    is_told_by_the_task_process,
    raised_by_the_task,
)
from celeryscope.own_fingerprint import override
from celeryscope.publishing import Publishing
from celeryscope.recorder import Recorder, Role
from celeryscope.redaction import Redactor
from celeryscope.spool import plain
from celeryscope.spool.plain import Told
from celeryscope.spool.state import End, SpanEnd, Start, attributes
from celeryscope.task_span import TaskSpan
from celeryscope.tracing import TaskSpans, ids_of, only

_SUCCESS = "SUCCESS"
_FINAL_EVENTS = {
    _SUCCESS: semconv.EVENT_TASK_SUCCEEDED,
    "IGNORED": semconv.EVENT_TASK_IGNORED,
    "REJECTED": semconv.EVENT_TASK_REJECTED,
}
_KINDS = {
    "billiard.exceptions.SoftTimeLimitExceeded": semconv.KIND_SOFT_TIME_LIMIT,
    "billiard.exceptions.TimeLimitExceeded": semconv.KIND_TIME_LIMIT,
    "billiard.exceptions.Terminated": semconv.KIND_TERMINATED,
    "billiard.exceptions.WorkerLostError": semconv.KIND_WORKER_LOST,
}

_NO_MORE: Mapping[str, str] = {}
_NOTHING: Mapping[str, Any] = {}


def failure_kind(error: BaseException) -> str:
    """The value of ``celery.failure_kind`` for an exception."""
    return _KINDS.get(exceptions.type_name(type(error)), semconv.KIND_EXCEPTION)


def new_delivery() -> str:
    """A fresh delivery id: 16 hexadecimal digits, whose number is the key of the delivery's frames in the spool.

    From the system, not from ``random``: an application may seed that, and then each of its processes counts alike.
    """
    return os.urandom(8).hex()


class Attempt:
    """An attempt under way in this process; lives on its request."""

    # What few attempts need stands here, so that it costs the others nothing.
    closed = False
    replaced_at = 0
    """Clock of the message that ``Task.replace`` has published: the same attempt goes on with it."""
    last: Mapping[str, Any] = _NOTHING
    """What its span says at its end."""
    in_lines = ""
    """What its log lines say of it, made by ``otlp.encoded`` at the first of them."""
    _start: Start | None = None
    _values: dict[str, Any] | None = None

    def __init__(self, told: Told, key: int, clock: int, span: trace.Span, token: Any) -> None:
        """Of the delivery ``key``; ``told``: its start as the spool has it.

        ``token``: of the context that was the current one before.
        """
        self.told = told
        self.key = key
        self.clock = clock
        self.span = span
        self.token = token

    @property
    def start(self) -> Start:
        """Its start in full; made when somebody asks."""
        if self._start is None:
            self._start = plain.start_of(self.told)
        return self._start

    @property
    def name(self) -> str:
        """Of its task."""
        return str(self.told[plain.NAME]) if isinstance(self.told, list) else self.told["name"]

    @property
    def started_ns(self) -> int:
        """Nanoseconds since the Unix epoch."""
        return int(self.told[plain.TIME_NS]) if isinstance(self.told, list) else self.told["time_ns"]

    @property
    def identity(self) -> dict[str, Any]:
        """The attributes that say of a log line which attempt it belongs to."""
        return plain.identity(self.told) if isinstance(self.told, list) else tasks.identity(self.values)

    @property
    def values(self) -> dict[str, Any]:
        """What its events say, as attributes; made when somebody asks."""
        if self._values is None:
            self._values = attributes(self.start)
        return self._values

    @property
    def context(self) -> tuple[int, int]:
        """(trace id, span id)."""
        return int(self.start["trace_id"] or "0", 16), self.span.get_span_context().span_id


def attempt_of(request: Context | None) -> Attempt | None:
    """The attempt under way that a request stands for; None when it runs elsewhere or not at all."""
    return getattr(request, tasks.ATTEMPT, None)


class Running:
    """Handlers of Celery's task signals in the process that runs the task."""

    def __init__(self, recorder: Recorder, spans: TaskSpans, publishing: Publishing) -> None:
        self._recorder = recorder
        self._spans = spans
        self._publishing = publishing
        self._ended = threading.local()

    @guarded
    def prerun(self, task: Task, **_: Any) -> None:
        """``task_prerun``: the attempt has started."""
        request, name, recorder, time_ns = task.request, task.name, self._recorder, time.time_ns()
        source = vars(request)
        known = plain.request_of(source, name, recorder.arguments)
        span = self._spans.begin_alone(f"run/{name}", source, time_ns) if known else None
        if known is None or span is None:
            self._begin(name, request, time_ns)
            return
        delivery, observed, fields = known
        key, clock = int(delivery, 16), recorder.clock.tick(observed, time_ns // 1000)
        told = [
            *(time_ns, name, delivery, source.get("hostname"), self._publishing.system, clock, recorder.uid()),
            *fields,
            *span.ids[:3],
        ]
        setattr(request, tasks.ATTEMPT, Attempt(told, key, clock, span, context_api.attach(only(span))))
        recorder.plain_start(told, key)

    def _begin(self, name: str, request: Context, time_ns: int) -> None:
        """Begin an attempt whatever its request is like, and whoever sees its span."""
        source = vars(request)
        header = tasks.header_of(source)
        delivery = header.get(semconv.HEADER_DELIVERY) or new_delivery()
        key = int(delivery, 16)
        clock = self._recorder.clock.tick(tasks.clock_of(header), time_ns // 1000)
        start = Start(
            time_ns=time_ns,
            name=name,
            delivery=delivery,
            worker=source.get("hostname"),
            system=self._publishing.system,
            clock=clock,
            uid=self._recorder.uid(),
            request=tasks.told(source, self._recorder.arguments),
            trace_id="",
            span_id="",
            parent_id="",
        )
        root_id = tasks.root_of(source, header)
        span, context = self._spans.begin_run(
            f"run/{name}", request, root_id, lambda: tasks.span_attributes(attributes(start)), key
        )
        ids = ids_of(span, root_id)
        start["trace_id"] = ids.trace_id
        if span.is_recording() and (isinstance(span, TaskSpan) or span.get_span_context().trace_flags.sampled):
            start["span_id"], start["parent_id"] = ids.span_id, ids.parent_id
        setattr(request, tasks.ATTEMPT, Attempt(start, key, clock, span, context_api.attach(context)))
        self._recorder.start(start, key)

    @guarded
    def failed(self, sender: Task, task_id: str, einfo: Any = None, exception: Any = None, **_: Any) -> None:
        """``task_failure`` of a task of this process."""
        if isinstance(exception, Reject):
            return  # celery also calls a rejection a failure, after its postrun said REJECTED
        attempt, error = attempt_of(sender.request), exceptions.original(einfo) or exception
        if attempt is None:
            # What is being handled just now may be another exception, e.g. the one that ended a greenlet at its limit.
            attempt, error = self._failed_late(task_id), exception
        if attempt is None or attempt.closed:
            return
        if is_process_ending(in_child=self._recorder.role is Role.POOL_CHILD):
            # The task's own clean-up failed while a limit or a revocation ended it, which the main process tells.
            attempt.closed = True
            attempt.span.set_status(Status(StatusCode.ERROR, "interrupted"))
            return
        # Celery has made the text already, unless it had to replace an exception that can't be pickled.
        same = getattr(getattr(einfo, "exception", None), "exc", None) is error
        self._fail(attempt, error, einfo.traceback if same else None)

    @guarded
    def retried(self, sender: Task, reason: Any = None, **_: Any) -> None:
        """``task_retry`` of a task of this process: this attempt is over, a next one has been published."""
        attempt = attempt_of(sender.request)
        if attempt is not None and not attempt.closed:
            self._retry(attempt, reason)

    def _retry(self, attempt: Attempt, reason: Any) -> None:
        cause = reason.exc if isinstance(getattr(reason, "exc", None), BaseException) else None
        described: dict[str, Any] = {
            semconv.RETRY_REASON: self._recorder.redacted(exceptions.message(cause or reason)),
            **_retry_times(reason),
        }
        if cause is not None:
            described |= self._recorder.describe(cause) | override(cause, self._recorder.redacted)
        body = self._recorder.redacted(f"Task {attempt.name} is retried: {reason}")
        end = self._close(attempt, semconv.EVENT_TASK_RETRIED, "WARN", body, described)
        self._recorder.end(attempt.told, end, attempt.key)

    @guarded
    def postrun(self, task: Task, state: str | None = None, retval: Any = None, **_: Any) -> None:
        """``task_postrun``: the attempt's process is done with it; ``state`` is None when it was interrupted."""
        attempt = attempt_of(task.request)
        if attempt is None:
            return
        delattr(task.request, tasks.ATTEMPT)
        self._ended.attempt = attempt
        if not self._succeeded(attempt, state):
            self._end(attempt, state, retval)
        context_api.detach(attempt.token)

    def _succeeded(self, attempt: Attempt, state: str | None) -> bool:
        """Whether there is nothing to tell but a success; then it is told."""
        told, span, recorder = attempt.told, attempt.span, self._recorder
        if (
            state != _SUCCESS
            or attempt.closed
            or attempt.replaced_at
            or type(told) is not list
            or type(span) is not TaskSpan
            or not span.is_as_begun
        ):
            return False
        attempt.closed = True
        time_ns = max(time.time_ns(), span.start_time)
        span.end_time = time_ns
        attempt.clock = clock = recorder.clock.tick(attempt.clock, time_ns // 1000)
        recorder.plain_end(told, [time_ns, clock, recorder.uid()], attempt.key)
        return True

    def _end(self, attempt: Attempt, state: str | None, retval: Any) -> None:
        end: End | None = None
        if state is None and not attempt.closed:
            self._interrupted(attempt)
        elif not attempt.closed:
            end = self._conclude(attempt, str(state), retval)
        span = self._spans.end(attempt.span, attempt.last)
        if span is not None:
            # A failure was told when it happened; its span says the same.
            end = end or End(event=None, time_ns=0, severity="", body="", attributes=dict(attempt.last), span=None)
            end["span"] = _span_end(span, attempt.name, self._recorder.redactor)
        if end is not None:
            self._recorder.end(attempt.told, end, attempt.key, failure=end["severity"] == "ERROR")

    def _interrupted(self, attempt: Attempt) -> None:
        """The attempt ended by an exception that Celery doesn't handle, or fails to handle, in the task's process."""
        error = sys.exc_info()[1]
        if error is None or not is_told_by_the_task_process(error, self._recorder.role is Role.POOL_CHILD):
            # A limit, a revocation, the end of the process: Celery's main process tells what it was.
            attempt.span.set_status(Status(StatusCode.ERROR, "interrupted"))
            return
        cause = raised_by_the_task(error)
        if isinstance(cause, Retry):
            self._retry(attempt, cause)
        else:
            self._fail(attempt, cause, None, {semconv.LOG_RECORD_UID: failure_uid(attempt.start["delivery"])})

    def _fail(
        self, attempt: Attempt, error: BaseException, text: str | None, more: Mapping[str, str] = _NO_MORE
    ) -> None:
        described: dict[str, Any] = {**self._recorder.describe(error, text), **more}
        described |= override(error, self._recorder.redacted)
        described[semconv.FAILURE_KIND] = failure_kind(error)
        described |= self._locals(error)
        text = f"{described[semconv.EXCEPTION_TYPE]}: {described[semconv.EXCEPTION_MESSAGE]}"
        attempt.span.set_status(Status(StatusCode.ERROR, text))
        body = f"Task {attempt.name} failed: {text}"
        end = self._close(attempt, semconv.EVENT_TASK_FAILED, "ERROR", body, described)
        self._recorder.end(attempt.told, end, attempt.key, failure=True)

    def _locals(self, error: BaseException) -> dict[str, Any]:
        if not self._recorder.settings.capture_locals:
            return {}
        return {semconv.LOCALS: frame_locals.told(error, self._recorder.redactor)}

    def _failed_late(self, task_id: str) -> Attempt | None:
        """The attempt that ended last in this thread, if Celery fails it after its postrun (its chain can't go on)."""
        attempt: Attempt | None = getattr(self._ended, "attempt", None)
        if attempt is None or attempt.values[semconv.TASK_ID] != task_id:
            return None
        if attempt.last.get(semconv.STATE) not in {None, semconv.STATE_SUCCESS}:
            return None
        self._ended.attempt = None
        self._recorder.settle(attempt.key)
        attempt.closed = False
        return attempt

    def _conclude(self, attempt: Attempt, state: str, retval: Any) -> End:
        event = _FINAL_EVENTS.get(state, semconv.EVENT_TASK_FAILED)
        described: dict[str, Any] = {}
        severity = "INFO"
        if event in {semconv.EVENT_TASK_FAILED, semconv.EVENT_TASK_REJECTED}:
            severity = "ERROR"
            rejected = event == semconv.EVENT_TASK_REJECTED
            described[semconv.FAILURE_KIND] = semconv.KIND_REJECTED if rejected else semconv.KIND_EXCEPTION
            if isinstance(retval, BaseException):
                described |= self._recorder.describe(retval)
            attempt.span.set_status(Status(StatusCode.ERROR, described.get(semconv.EXCEPTION_MESSAGE, state)))
        body = f"Task {attempt.name} {event.rsplit('.', 1)[1]}"
        return self._close(attempt, event, severity, body, described)

    def _close(self, attempt: Attempt, event: str, severity: str, body: str, described: dict[str, Any]) -> End:
        """The final event of an attempt."""
        attempt.closed = True
        time_ns = max(time.time_ns(), attempt.started_ns)
        ended_at = time_ns // 1000
        # The replacement may have ended before this process comes to say so: its events are the later ones.
        attempt.clock = attempt.replaced_at - 1 if attempt.replaced_at else self._recorder.clock.tick(attempt.clock)
        attempt.last = {
            semconv.STATE: semconv.TASK_STATES[event],
            semconv.RUNTIME: (time_ns - attempt.started_ns) / 1e9,
            semconv.CLOCK: attempt.clock,
        }
        said = {semconv.LOG_RECORD_UID: self._recorder.uid(), semconv.ENDED_AT: ended_at, **attempt.last, **described}
        return End(event=event, time_ns=time_ns, severity=severity, body=body, attributes=said, span=None)


def _span_end(span: TaskSpan, task: str, redactor: Redactor) -> SpanEnd:
    """Only what is not as it always is; what the task itself has set on its span may be anything, so it is redacted."""
    end = SpanEnd(ended_ns=span.end_time)
    if span.name != f"run/{task}":
        end["name"] = span.name
    if span.status.status_code is not StatusCode.UNSET:
        end["status"] = otlp.SPAN_STATUS[span.status.status_code]
        end["message"] = redactor.text(span.status.description or "")
    if span.attributes:
        end["attributes"] = otlp.encoded(redactor.fields(span.attributes))
    if span.events:
        end["events"] = otlp.events(span.events, redactor)
    if span.links:
        end["links"] = otlp.links(span.links, redactor)
    return end


def _retry_times(reason: Any) -> dict[str, Any]:
    """When the next attempt may start, from a ``Retry``, which knows its countdown or its eta."""
    when = getattr(reason, "when", None)
    now = now_us()
    eta = now + int(when * 1_000_000) if isinstance(when, int | float) else tasks.microseconds(when)
    countdown = None if eta is None else max(eta - now, 0) / 1e6
    return {semconv.RETRY_COUNTDOWN: countdown, semconv.RETRY_ETA: eta}
