"""Watches a worker's requests, and tells what those do that run too long: the event ``celery.task.stack``."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from celery.worker import state
from celery.worker.request import Request

from celeryscope import semconv, tasks
from celeryscope.guard import guarded, logger
from celeryscope.recorder import Recorder
from celeryscope.stacks import procfs, real_thread
from celeryscope.stacks.asking import ChildStacks, Taken
from celeryscope.stacks.frames import Frame, as_text
from celeryscope.stacks.inside import GreenletStacks, OwnStacks, running_tasks
from celeryscope.stacks.verdict import Verdict, verdict
from celeryscope.text import cut_middle
from celeryscope.tracing import trace_id_in, trace_id_of

OPTION = "celeryscope_stack_after"
"""Attribute of a task that overrides ``stack_after`` for it, as in ``@app.task(celeryscope_stack_after=300)``."""

_GROWS_AT_MOST = 3600.0
_CPU_WINDOW = 0.5
"""Seconds between the two looks at a task's time on the CPU."""
_SWEEP_EVERY = 60.0
_HUB_IS_SLOW = 1.0
"""Seconds that the greenlets' watch may come late before a real thread looks why."""


class Source(Protocol):
    """Where a request's stacks come from."""

    def times(self, request: Request) -> procfs.Times:
        """Time on the CPU of what runs the request; raises OSError or LookupError when nothing does."""

    def take(self, request: Request) -> Taken | None:
        """The stacks now; None when they can't be had."""


@dataclass(slots=True)
class _Watched:
    """A request that was due at least once."""

    due: float
    """Seconds of run time at which it is due again."""
    frames: tuple[Frame, ...] | None = None
    repeats: int = 0


class StackWatch:
    """Looks at the worker's active requests about once a second; lives in the worker's main process."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._after = recorder.settings.stack_after
        self._interval = min(max(self._after / 10, 0.05), 1.0)
        self._watched: WeakKeyDictionary[Request, _Watched] = WeakKeyDictionary()
        self._stop = threading.Event()
        self._looked_at = 0.0
        self._told = False

    @guarded
    def ready(self, sender: Any, **_: Any) -> None:
        """``worker_ready``: watch from now on, in a daemon thread."""
        pool = sender.pool
        if self._after <= 0:
            return
        source: Source
        if getattr(pool, "is_green", False):
            source = GreenletStacks(pool)
            self._looked_at = time.monotonic()
            if self._recorder.folder is not None:
                real_thread.start(self._watch_the_hub)
        elif type(pool).__module__.endswith(".prefork"):
            if self._recorder.folder is None:
                return
            source = ChildStacks(self._recorder.folder)
        else:
            source = OwnStacks()
        threading.Thread(target=self._watch, args=(source,), name="celeryscope-stacks", daemon=True).start()

    def stop(self, **_: Any) -> None:
        """The worker ends."""
        self._stop.set()

    def _watch(self, source: Source) -> None:
        swept_at = time.monotonic()
        while not self._stop.wait(self._interval):
            self._looked_at = time.monotonic()
            self._look(source, self._recorder, time.sleep)
            if isinstance(source, ChildStacks) and time.monotonic() - swept_at > _SWEEP_EVERY:
                source.sweep()
                swept_at = time.monotonic()

    def _watch_the_hub(self, sleep: Callable[[float], None]) -> None:
        """In a real thread: while a greenlet keeps the hub from running, ``_watch`` stands still with all the others.

        Its recorder has locks of its own: the other's are for greenlets.
        """
        recorder = self._recorder.beside()
        while not self._stop.is_set():
            sleep(self._interval)
            if time.monotonic() - self._looked_at > self._interval + _HUB_IS_SLOW:
                self._look(OwnStacks(), recorder, sleep, running_tasks())
        recorder.close()

    @guarded
    def _look(
        self, source: Source, recorder: Recorder, sleep: Callable[[float], None], only: set[str] | None = None
    ) -> None:
        """Tell of all requests that are due, or of those among them whose ids are in ``only``."""
        before: dict[Request, procfs.Times] = {}
        for request in _active():
            if (only is None or request.id in only) and self._is_due(request):
                try:
                    before[request] = source.times(request)
                except (OSError, LookupError):
                    self._again(request)
        if before:
            sleep(_CPU_WINDOW)
        for request, times in before.items():
            self._tell(request, times, source, recorder)

    def _is_due(self, request: Request) -> bool:
        after = getattr(request.task, OPTION, None)
        if not isinstance(after, int | float):
            after = self._after
        runtime = _runtime(request)
        if after <= 0 or runtime < after:
            return False
        watched = self._watched.get(request)
        if watched is None:
            watched = self._watched[request] = _Watched(after)
        if runtime < watched.due:
            return False
        while watched.due <= runtime:
            watched.due = min(watched.due * 2, watched.due + _GROWS_AT_MOST)
        return True

    def _again(self, request: Request) -> None:
        """It could not be seen: it has just ended, or it is due again at the next look."""
        self._watched[request].due = _runtime(request)

    @guarded
    def _tell(self, request: Request, before: procfs.Times, source: Source, recorder: Recorder) -> None:
        try:
            busy, taken = procfs.busy(before, source.times(request)), source.take(request)
        except (OSError, LookupError):
            self._again(request)
            return
        if request not in state.active_requests:
            return  # what was taken may be the next task's
        if taken is None:
            self._tell_once(request)
            return
        runtime, watched = _runtime(request), self._watched[request]
        frames = taken.stacks[0].frames if taken.stacks else ()
        watched.repeats = watched.repeats + 1 if frames == watched.frames else 0
        watched.frames = frames
        found = verdict(frames, busy, taken.waits_in)
        values = self._values(request, recorder, found) | {
            semconv.STACK_RUNTIME: round(runtime, 3),
            semconv.STACK_REPEATS: watched.repeats,
            semconv.STACK_CPU: round(busy.process, 2),
        }
        if taken.stacks and not watched.repeats:
            most = recorder.settings.text_max_bytes
            values[semconv.STACK_TRACE] = cut_middle(as_text(taken.stacks), most, recorder.redactor.traceback)
        body = f"Task {request.name} runs for {runtime:.0f} s: {found.kind}"
        recorder.event(
            semconv.EVENT_TASK_STACK,
            values,
            severity="WARN",
            body=f"{body} at {values[semconv.STACK_WHERE]}" if found.where else body,
            context=(trace_id_in(request.request_dict.get("traceparent")) or trace_id_of(values[semconv.ROOT_ID]), 0),
        )

    def _values(self, request: Request, recorder: Recorder, found: Verdict) -> dict[str, Any]:
        header = tasks.header_of(request.request_dict)
        return tasks.snapshot(request.request_dict, recorder.arguments) | {
            semconv.WORKER: request.hostname,
            semconv.STATE: semconv.STATE_STARTED,
            semconv.STARTED_AT: int(request.time_start * 1_000_000),
            semconv.CLOCK: recorder.clock.tick(header.get(semconv.HEADER_CLOCK, 0)),
            semconv.STACK_VERDICT: found.kind,
            semconv.STACK_WHERE: recorder.redactor.text(found.where) or None,
        }

    def _tell_once(self, request: Request) -> None:
        if not self._told:
            self._told = True
            logger.warning(
                "celeryscope: no stacks of %s, which runs too long: its process has registered no signal for it, "
                "or has given it up; CELERYSCOPE_STACK_SIGNAL names one that is free (told once)",
                request.name,
            )


def _active() -> list[Request]:
    # One call into C, during which no other thread changes the set.
    references = tuple(state.active_requests.data)
    return [request for reference in references if (request := reference()) is not None]


def _runtime(request: Request) -> float:
    """Seconds since the pool began with it; 0 when it hasn't."""
    return time.time() - request.time_start if request.time_start else 0.0
