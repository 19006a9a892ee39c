"""Takes the stacks of tasks that run in this process: in its only thread, in threads, or in greenlets."""

import os
import sys
import threading
from types import FrameType
from typing import Any

from celery.worker.request import Request

from celeryscope.stacks import procfs
from celeryscope.stacks.asking import Taken
from celeryscope.stacks.frames import task_of, walked


class OwnStacks:
    """Stacks of the solo and threads pools, and of the greenlet that runs when this is asked from another thread.

    The id that Celery's tracer holds in its frame tells which task a stack belongs to, so a task costs nothing ahead.
    No lock is taken: after monkey patching it would be one for greenlets, and ours is a real thread.
    """

    def times(self, request: Request) -> procfs.Times:
        """Raises LookupError when no thread runs the request, OSError when ``/proc`` does not tell."""
        for ident, frame in sys._current_frames().items():
            if task_of(frame) == request.id:
                return procfs.times(os.getpid(), _name_and_native_id(ident)[1])
        raise LookupError(request.id)

    def take(self, request: Request) -> Taken | None:
        """All threads' stacks but this one's, the task's first; None when no thread runs the request."""
        frames, mine = sys._current_frames(), sys._getframe()
        own = next((ident for ident, frame in frames.items() if task_of(frame) == request.id), None)
        if own is None:
            return None
        listed = sorted(frames.items(), key=lambda item: item[0] != own)
        stacks = [walked(_name_and_native_id(ident)[0], frame) for ident, frame in listed if frame is not mine]
        return Taken(stacks, procfs.waits_in(os.getpid(), _name_and_native_id(own)[1]))


class GreenletStacks:
    """Stacks of a gevent or eventlet pool's greenlets; to be asked from a greenlet of the same thread."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool

    def times(self, request: Request) -> procfs.Times:  # noqa: ARG002 - the interface's
        """None at all: whichever greenlet asks, the others aren't running."""
        return procfs.Times(0.0, 0.0, 0.0)

    def take(self, request: Request) -> Taken | None:
        """The greenlet's stack alone, for a pool may have thousands; None when it has ended."""
        greenlet = self._pool._pool_map.get(request.worker_pid)
        frame: FrameType | None = getattr(greenlet, "gr_frame", None)
        return Taken([walked(f"Greenlet {request.worker_pid:#x}", frame)], "") if frame else None


def running_tasks() -> set[str]:
    """Ids of the tasks that this process's threads run at this moment."""
    return {found for frame in sys._current_frames().values() if (found := task_of(frame)) is not None}


def _name_and_native_id(ident: int) -> tuple[str, int]:
    """What to call a thread, and what the kernel does; the main thread's when ``threading`` doesn't know it."""
    thread = threading._active.get(ident)  # type: ignore[attr-defined]
    native = getattr(thread, "native_id", None) or os.getpid()
    return f"Thread {thread.name} {ident:#x}" if thread else f"Thread {ident:#x}", native
