"""What the worker's main process sees of tasks: received, revoked, unknown, rejected, and the deaths of children."""

import threading
import weakref
from collections.abc import Mapping
from typing import Any

from celery.app.task import Context, Task
from celery.exceptions import InvalidTaskError, Reject
from celery.worker import state
from celery.worker.request import Request

from celeryscope import exceptions, semconv, tasks
from celeryscope.clock import now_us
from celeryscope.guard import guarded
from celeryscope.interruptions import failure_uid, was_told_by_the_task_process
from celeryscope.out_of_memory import OutOfMemoryKills
from celeryscope.publishing import Publishing
from celeryscope.recorder import Recorder, Role
from celeryscope.running import attempt_of, failure_kind, new_delivery
from celeryscope.spool import lost
from celeryscope.spool.format import CLOSES, FAILURE
from celeryscope.tracing import trace_id_in, trace_id_of

_TRACE = "trace id"
"""In a snapshot until it is emitted: the trace that the message belongs to."""

_SIGKILL = "signal 9 "
"""Stands in billiard's message of a process that was killed."""
_OUT_OF_MEMORY = "Killed by the kernel's out-of-memory killer."

_TELL_INTERVAL = 1.0
_SWEEP_AT = 1_000


class Supervising:
    """Handlers of Celery's signals in the worker's main process."""

    def __init__(self, recorder: Recorder, publishing: Publishing, kills: OutOfMemoryKills) -> None:
        self._recorder = recorder
        self._kills = kills
        self._publishing = publishing
        self._requests: dict[str, weakref.ref[Request]] = {}
        self._sweep_at = _SWEEP_AT
        self._told: weakref.WeakSet[Request] = weakref.WeakSet()
        self._stop = threading.Event()
        publishing.supervised = self._message_of

    @guarded
    def received(self, request: Request, **_: Any) -> None:
        """``task_received``: stamp the delivery into the message's dict before the pool gets it."""
        source, received_at = request.request_dict, now_us()
        header = dict(tasks.header_of(source))
        header[semconv.HEADER_RECEIVED_AT] = received_at
        header[semconv.HEADER_DELIVERY] = new_delivery()
        header[semconv.HEADER_CLOCK] = self._recorder.clock.tick(tasks.clock_of(header), received_at)
        source[semconv.HEADER] = header
        # Not a WeakValueDictionary: what that does for each request when it ends costs more than all of the above.
        self._requests[request.id] = weakref.ref(request)
        if len(self._requests) >= self._sweep_at:
            self._sweep()

    def _sweep(self) -> None:
        """A request lives as long as its job does; forget those that are gone."""
        self._requests = {task_id: found for task_id, found in self._requests.items() if found() is not None}
        self._sweep_at = max(2 * len(self._requests), _SWEEP_AT)

    def _request(self, task_id: Any) -> Request | None:
        found = self._requests.get(task_id)
        return found() if found is not None else None

    def watch(self) -> None:
        """From now on tell which deliveries wait in this worker for a free process.

        One that is held until its eta stays SENT, with that eta, until it is due: Celery counts it as the worker's only
        then, and one that was lost meanwhile is to be missed.
        Not at once for each delivery: most start within milliseconds, and their start says when they were received. A
        delivery that is not told here when the worker is killed has not been acknowledged either, and comes again.
        """
        # A process may run one worker after another, so each has its own end.
        self._stop = stop = threading.Event()
        threading.Thread(target=self._tell_each_second, args=(stop,), name="celeryscope-waiting", daemon=True).start()

    def stop(self) -> None:
        """Tell once more, then no longer."""
        self._stop.set()
        self._tell_waiting()

    def _tell_each_second(self, stop: threading.Event) -> None:
        while not stop.wait(_TELL_INTERVAL):
            self._tell_waiting()

    @guarded
    def _tell_waiting(self) -> None:
        for request in _waiting():
            if request not in self._told:
                self._told.add(request)
                self._tell_received(request)

    def _tell_received(self, request: Request) -> None:
        values = self._snapshot(request.request_dict)
        header = tasks.header_of(request.request_dict)
        if not values[semconv.DELIVERY]:
            return
        values |= {
            semconv.WORKER: request.hostname,
            semconv.CLOCK: tasks.clock_of(header),
            semconv.STATE: semconv.STATE_RECEIVED,
        }
        self._recorder.event(
            semconv.EVENT_TASK_RECEIVED,
            values,
            severity="INFO",
            body=f"Task {request.name} received",
            time_ns=values[semconv.RECEIVED_AT] * 1000,
            context=(values.pop(_TRACE), 0),
        )

    @guarded
    def failed(self, sender: Task, task_id: str, einfo: Any = None, exception: Any = None, **_: Any) -> None:
        """``task_failure`` of a task whose process can't say so itself: it was killed, by whomever."""
        request = None if self._recorder.role is Role.POOL_CHILD else self._request(task_id)
        if request is None or attempt_of(sender.request) is not None or isinstance(exception, Reject):
            return
        error = exception if isinstance(exception, BaseException) else exceptions.original(einfo)
        if error is None or was_told_by_the_task_process(error) or self._has_ended(request.request_dict):
            return
        values = self._ended(request.request_dict, request.hostname, request.time_start)
        values |= self._recorder.describe(error, getattr(einfo, "traceback", None))
        values[semconv.FAILURE_KIND] = failure_kind(error)
        is_lost = values[semconv.FAILURE_KIND] == semconv.KIND_WORKER_LOST
        if is_lost and _SIGKILL in values[semconv.EXCEPTION_MESSAGE] and self._kills.claim():
            values[semconv.FAILURE_KIND] = semconv.KIND_OUT_OF_MEMORY
            values[semconv.EXCEPTION_MESSAGE] = f"{_OUT_OF_MEMORY} {values[semconv.EXCEPTION_MESSAGE]}"
        event = semconv.EVENT_TASK_LOST if is_lost else semconv.EVENT_TASK_FAILED
        body = f"Task {request.name} {'lost' if is_lost else 'failed'}: {values[semconv.EXCEPTION_MESSAGE]}"
        self._emit(event, values, "ERROR", body)

    @guarded
    def revoked(self, request: Context, terminated: Any = None, expired: Any = None, **_: Any) -> None:
        """``task_revoked``: revoked or expired before it started, or terminated."""
        source = vars(request)
        if self._has_ended(source):
            return
        known = self._request(request.id)
        values = self._ended(source, request.hostname, known.time_start if known else None)
        values |= {semconv.TERMINATED: bool(terminated), semconv.EXPIRED: bool(expired)}
        how = "terminated" if terminated else "expired" if expired else "revoked"
        self._emit(semconv.EVENT_TASK_REVOKED, values, "WARN", f"Task {request.task} {how}")

    @guarded
    def retried(self, sender: Task, request: Context | None = None, reason: Any = None, **_: Any) -> None:
        """``task_retry`` from the main process: its process was lost or its connection, and Celery tries it again."""
        source = vars(request) if request else {}
        if attempt_of(sender.request) is not None or not source.get("id") or self._has_ended(source):
            return
        known = self._request(source["id"])
        values = self._ended(source, source.get("hostname"), known.time_start if known else None)
        cause = getattr(reason, "exc", None)
        values[semconv.RETRY_REASON] = self._recorder.redacted(str(reason or "cancelled by Celery"))
        if isinstance(cause, BaseException):
            values |= self._recorder.describe(cause)
        self._emit(semconv.EVENT_TASK_RETRIED, values, "WARN", f"Task {sender.name} is retried")

    @guarded
    def unknown(self, message: Any, exc: BaseException, name: str, id: str, sender: Any = None, **_: Any) -> None:  # noqa: A002 - the signal's own name
        """``task_unknown``: the message names a task that this worker has not registered."""
        values = self._undelivered(message, sender, exc, semconv.KIND_UNREGISTERED)
        values |= {semconv.TASK_ID: id, semconv.TASK_NAME: name}
        self._emit(semconv.EVENT_TASK_UNKNOWN, values, "ERROR", f"Received unregistered task {name}")

    @guarded
    def rejected(self, message: Any, exc: BaseException | None, sender: Any = None, **_: Any) -> None:
        """``task_rejected``: the message is malformed; without an exception it is none of Celery's at all."""
        error = exc or InvalidTaskError("The message names no task.")
        values = self._undelivered(message, sender, error, semconv.KIND_REJECTED)
        if values[semconv.TASK_ID]:
            body = f"Rejected a malformed message: {values[semconv.EXCEPTION_MESSAGE]}"
            self._emit(semconv.EVENT_TASK_REJECTED, values, "ERROR", body)

    def _message_of(self, task_id: Any) -> Mapping[str, Any] | None:
        """What this process publishes for a task it supervises (its errbacks) belongs to the workflow of the task."""
        request = self._request(task_id)
        return request.request_dict if request is not None else None

    def _snapshot(self, source: Any) -> dict[str, Any]:
        values = tasks.snapshot(source, self._recorder.arguments)
        values[semconv.MESSAGING_SYSTEM] = self._publishing.system
        values[_TRACE] = trace_id_in(source.get("traceparent")) or trace_id_of(values[semconv.ROOT_ID])
        return values

    def _has_ended(self, source: dict[str, Any]) -> bool:
        """Whether the delivery's end was told already: newer Celery tells a hard time limit twice."""
        delivery = tasks.header_of(source).get(semconv.HEADER_DELIVERY)
        return bool(delivery and self._recorder.is_settled(int(delivery, 16)))

    def _ended(self, source: dict[str, Any], worker: str | None, time_start: float | None) -> dict[str, Any]:
        values = self._snapshot(source)
        now = now_us()
        values |= {
            semconv.WORKER: worker,
            semconv.DELIVERY: values[semconv.DELIVERY] or new_delivery(),
            # Celery drops a message that is revoked, expired or wrong before it says that it was received.
            semconv.RECEIVED_AT: values[semconv.RECEIVED_AT] or now,
            semconv.ENDED_AT: now,
            semconv.CLOCK: self._recorder.clock.tick(tasks.clock_of(tasks.header_of(source))),
        }
        if time_start:
            started_at = int(time_start * 1_000_000)
            values |= {
                semconv.STARTED_AT: started_at,
                semconv.RUNTIME: max(now - started_at, 0) / 1e6,
                **tasks.waiting(values, started_at),
            }
        return values

    def _undelivered(self, message: Any, sender: Any, error: BaseException, kind: str) -> dict[str, Any]:
        headers = message.headers or {}
        source = {**headers, "delivery_info": message.delivery_info}
        values = self._ended(source, getattr(sender, "hostname", None), None)
        values |= self._recorder.describe(error)
        values[semconv.FAILURE_KIND] = kind
        return values

    def _emit(self, event: str, values: dict[str, Any], severity: str, body: str) -> None:
        """The final event of a delivery."""
        values[semconv.STATE] = semconv.TASK_STATES[event]
        key = int(values[semconv.DELIVERY] or "0", 16)
        self._recorder.settle(key)
        self._recorder.event(
            event,
            values,
            severity=severity,
            body=body,
            context=(values.pop(_TRACE), 0),
            uid=_UIDS.get(event, lambda _: None)(values[semconv.DELIVERY]),
            flags=CLOSES | (FAILURE if severity == "ERROR" else 0),
            key=key,
        )


_UIDS = {semconv.EVENT_TASK_LOST: lost.uid, semconv.EVENT_TASK_FAILED: failure_uid}
"""Events that others may tell too: the shipper, or the process in which the task ran."""


def _waiting() -> list[Request]:
    """The requests that this worker has received and not started."""
    while True:
        try:
            return [request for request in state.reserved_requests if request.time_start is None]
        except RuntimeError:
            continue  # the consumer's thread has changed the set meanwhile
