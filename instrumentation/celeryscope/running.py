"""What happens while a task runs, in the process that runs it: CONSUMER span, ``started`` to final event."""

import secrets
import sys
import threading
import time
from dataclasses import dataclass
from typing import Any

from celery.app.task import Context, Task
from celery.exceptions import Reject
from opentelemetry import context as context_api
from opentelemetry import trace
from opentelemetry.instrumentation.celery import celery_getter
from opentelemetry.propagate import extract
from opentelemetry.trace import SpanKind, Status, StatusCode

from celeryscope import exceptions, semconv, tasks
from celeryscope.clock import now_us
from celeryscope.guard import guarded
from celeryscope.interruptions import is_told_by_the_task_process
from celeryscope.publishing import Publishing
from celeryscope.recorder import Recorder, Role
from celeryscope.spool.format import CLOSES, FAILURE, OPENS
from celeryscope.tracing import context_of, link_from, workflow_trace

_FINAL_EVENTS = {
    "SUCCESS": semconv.EVENT_TASK_SUCCEEDED,
    "IGNORED": semconv.EVENT_TASK_IGNORED,
    "REJECTED": semconv.EVENT_TASK_REJECTED,
}
_KINDS = {
    "billiard.exceptions.SoftTimeLimitExceeded": semconv.KIND_SOFT_TIME_LIMIT,
    "billiard.exceptions.TimeLimitExceeded": semconv.KIND_TIME_LIMIT,
    "billiard.exceptions.Terminated": semconv.KIND_TERMINATED,
    "billiard.exceptions.WorkerLostError": semconv.KIND_WORKER_LOST,
}


def failure_kind(error: BaseException) -> str:
    """The value of ``celery.failure_kind`` for an exception."""
    return _KINDS.get(exceptions.type_name(type(error)), semconv.KIND_EXCEPTION)


def new_delivery() -> str:
    """A fresh delivery id: 16 hexadecimal digits, whose number is the key of the delivery's frames in the spool."""
    return secrets.token_hex(8)


@dataclass(slots=True)
class Attempt:
    """An attempt under way in this process; lives on its request."""

    values: dict[str, Any]
    key: int
    started_at: int
    span: trace.Span
    token: Any
    closed: bool = False

    @property
    def context(self) -> tuple[int, int]:
        """(trace id, span id)."""
        return context_of(self.span, self.values[semconv.ROOT_ID])


def attempt_of(request: Context | None) -> Attempt | None:
    """The attempt under way that a request stands for; None when it runs elsewhere or not at all."""
    return getattr(request, tasks.ATTEMPT, None)


class Running:
    """Handlers of Celery's task signals in the process that runs the task."""

    def __init__(self, recorder: Recorder, tracer: trace.Tracer, publishing: Publishing) -> None:
        self._recorder = recorder
        self._tracer = tracer
        self._publishing = publishing
        self._ended = threading.local()

    @guarded
    def prerun(self, task: Task, **_: Any) -> None:
        """``task_prerun``: the attempt has started."""
        request = task.request
        header = tasks.header_of(request)
        values = tasks.snapshot(request, self._recorder.arguments)
        started_at = now_us()
        delivery = values[semconv.DELIVERY] or new_delivery()
        values |= {
            semconv.TASK_NAME: task.name,
            semconv.DELIVERY: delivery,
            semconv.WORKER: request.hostname,
            semconv.MESSAGING_SYSTEM: self._publishing.system,
            semconv.STARTED_AT: started_at,
            **tasks.waiting(values, started_at),
            semconv.CLOCK: self._recorder.clock.tick(tasks.clock_of(header)),
            semconv.STATE: semconv.STATE_STARTED,
        }
        parent = extract(request, getter=celery_getter)
        span = self._begin(task.name, values, parent, link_from(header.get(semconv.HEADER_PREVIOUS)))
        token = context_api.attach(trace.set_span_in_context(span, parent))
        attempt = Attempt(values, int(delivery, 16), started_at, span, token)
        setattr(request, tasks.ATTEMPT, attempt)
        self._event(attempt, semconv.EVENT_TASK_STARTED, "INFO", f"Task {task.name} started", flags=OPENS)

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
        # Celery has made the text already, unless it had to replace an exception that can't be pickled.
        same = getattr(getattr(einfo, "exception", None), "exc", None) is error
        self._fail(attempt, sender.name, error, einfo.traceback if same else None)

    @guarded
    def retried(self, sender: Task, reason: Any = None, **_: Any) -> None:
        """``task_retry`` of a task of this process: this attempt is over, a next one has been published."""
        attempt = attempt_of(sender.request)
        if attempt is None or attempt.closed:
            return
        cause = reason.exc if isinstance(getattr(reason, "exc", None), BaseException) else None
        described: dict[str, Any] = {
            semconv.RETRY_REASON: self._recorder.redacted(exceptions.message(cause or reason)),
            **_retry_times(reason),
        }
        if cause is not None:
            described |= self._recorder.describe(cause)
        self._close(
            attempt,
            semconv.EVENT_TASK_RETRIED,
            "WARN",
            self._recorder.redacted(f"Task {sender.name} is retried: {reason}"),
            described,
        )

    @guarded
    def postrun(self, task: Task, state: str | None = None, retval: Any = None, **_: Any) -> None:
        """``task_postrun``: the attempt's process is done with it; ``state`` is None when it was interrupted."""
        attempt = attempt_of(task.request)
        if attempt is None:
            return
        if state is None and not attempt.closed:
            self._interrupted(attempt, task)
        elif not attempt.closed:
            self._conclude(attempt, task, str(state), retval)
        delattr(task.request, tasks.ATTEMPT)
        self._ended.attempt = attempt
        attempt.span.end()
        if attempt.token is not None:
            context_api.detach(attempt.token)

    def _interrupted(self, attempt: Attempt, task: Task) -> None:
        """The attempt ended by an exception that Celery doesn't handle in the task's process."""
        error = sys.exc_info()[1]
        if error is not None and is_told_by_the_task_process(error, in_child=self._recorder.role is Role.POOL_CHILD):
            self._fail(attempt, task.name, error, None)
        else:
            # A limit, a revocation, the end of the process: Celery's main process tells what it was.
            attempt.span.set_status(Status(StatusCode.ERROR, "interrupted"))

    def _fail(self, attempt: Attempt, name: str, error: BaseException, text: str | None) -> None:
        described: dict[str, Any] = self._recorder.describe(error, text)
        described[semconv.FAILURE_KIND] = failure_kind(error)
        text = f"{described[semconv.EXCEPTION_TYPE]}: {described[semconv.EXCEPTION_MESSAGE]}"
        attempt.span.set_status(Status(StatusCode.ERROR, text))
        self._close(attempt, semconv.EVENT_TASK_FAILED, "ERROR", f"Task {name} failed: {text}", described)

    def _failed_late(self, task_id: str) -> Attempt | None:
        """The attempt that ended last in this thread, if Celery fails it after its postrun (its chain can't go on)."""
        attempt: Attempt | None = getattr(self._ended, "attempt", None)
        if attempt is None or attempt.values[semconv.TASK_ID] != task_id:
            return None
        self._ended.attempt = None
        self._recorder.settle(attempt.key)
        attempt.closed = False
        return attempt

    def _conclude(self, attempt: Attempt, task: Task, state: str, retval: Any) -> None:
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
        self._close(attempt, event, severity, f"Task {task.name} {event.rsplit('.', 1)[1]}", described)

    def _close(self, attempt: Attempt, event: str, severity: str, body: str, described: dict[str, Any]) -> None:
        """The final event of an attempt."""
        attempt.closed = True
        ended_at = max(now_us(), attempt.started_at)
        attempt.values |= described
        attempt.values |= {
            semconv.STATE: semconv.TASK_STATES[event],
            semconv.ENDED_AT: ended_at,
            semconv.RUNTIME: (ended_at - attempt.started_at) / 1e6,
            semconv.CLOCK: self._recorder.clock.tick(attempt.values[semconv.CLOCK]),
        }
        if attempt.span.is_recording():
            attempt.span.set_attributes(
                {key: attempt.values[key] for key in (semconv.STATE, semconv.RUNTIME, semconv.CLOCK)}
            )
        failure = FAILURE if severity == "ERROR" else 0
        self._event(attempt, event, severity, body, flags=CLOSES | failure)

    def _event(self, attempt: Attempt, name: str, severity: str, body: str, flags: int) -> None:
        self._recorder.event(
            name,
            attempt.values,
            severity=severity,
            body=body,
            time_ns=time.time_ns(),
            context=attempt.context,
            flags=flags,
            key=attempt.key,
        )

    def _begin(
        self, name: str, values: dict[str, Any], parent: context_api.Context, previous: trace.Link | None
    ) -> trace.Span:
        attributes = {
            semconv.ACTION: "run",
            semconv.MESSAGING_MESSAGE_ID: values[semconv.TASK_ID],
            **{key: value for key, value in values.items() if key in _ON_SPAN and value is not None},
        }
        with workflow_trace(values[semconv.ROOT_ID]):
            return self._tracer.start_span(
                f"run/{name}",
                context=parent,
                kind=SpanKind.CONSUMER,
                attributes=attributes,
                links=[previous] if previous else None,
            )


_ON_SPAN = {
    semconv.TASK_ID,
    semconv.TASK_NAME,
    semconv.ROOT_ID,
    semconv.PARENT_ID,
    semconv.RETRIES,
    semconv.ATTEMPT,
    semconv.DELIVERY,
    semconv.WORKER,
    semconv.CLOCK,
    semconv.QUEUE_TIME,
    semconv.PREFETCH_TIME,
    semconv.MESSAGING_SYSTEM,
    semconv.MESSAGING_DESTINATION,
}


def _retry_times(reason: Any) -> dict[str, Any]:
    """When the next attempt may start, from a ``Retry``, which knows its countdown or its eta."""
    when = getattr(reason, "when", None)
    now = now_us()
    eta = now + int(when * 1_000_000) if isinstance(when, int | float) else tasks.microseconds(when)
    countdown = None if eta is None else max(eta - now, 0) / 1e6
    return {semconv.RETRY_COUNTDOWN: countdown, semconv.RETRY_ETA: eta}
