"""A pool process offers its stacks: to a signal, through ``faulthandler``, into a file of its own.

``faulthandler`` writes in the C-level handler of the signal. So it works while C code holds the interpreter's lock or
the thread sits in a lock, and it costs a task nothing before.

The file ``<pid>-<start>-<signal>-<descriptor>.stacks`` in the family's folder gets its name only when all is
registered. It is the process's word that the signal won't kill it, for exactly the process of this pid and start.
"""

import faulthandler
import os
import signal
from pathlib import Path
from typing import Any, NamedTuple, Self

from celery import signals

from celeryscope.guard import guarded
from celeryscope.recorder import Recorder, Role
from celeryscope.stacks import procfs

SUFFIX = ".stacks"
_FIRST, _TRIED = 7, 8
"""Offset from SIGRTMIN of the first signal that is tried, and how many are."""


class Registered(NamedTuple):
    """What the name of a process's file says."""

    pid: int
    start: int
    signum: int
    descriptor: int
    path: Path

    @classmethod
    def of(cls, path: Path) -> Self | None:
        """What the name of ``path`` says; None when it isn't such a file's."""
        try:
            pid, start, signum, descriptor = map(int, path.name.removesuffix(SUFFIX).split("-"))
        except ValueError:
            return None
        return cls(pid, start, signum, descriptor, path)


def registered(folder: Path, pid: int | None = None) -> list[Registered]:
    """The files in a family's folder, of one process or of all; empty when the folder is gone."""
    pattern = f"{'[0-9]*' if pid is None else pid}-*{SUFFIX}"
    return [known for path in folder.glob(pattern) if (known := Registered.of(path)) is not None]


def free_signal(wanted: int) -> int | None:
    """``wanted``, or with 0 the first real-time signal, that nobody in this process uses; None when there is none.

    Raises OSError when ``/proc`` does not tell.
    """
    known = procfs.signals_of(os.getpid())
    used = known.caught | known.ignored | known.blocked
    first = signal.SIGRTMIN + _FIRST
    candidates = [wanted] if wanted else range(first, min(first + _TRIED, signal.SIGRTMAX + 1))
    return next((signum for signum in candidates if not used & procfs.bit(signum)), None)


class Registration:
    """Registers a pool process at its first task: after all that the application does when a process starts."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._path: Path | None = None

    @guarded
    def process_started(self, **_: Any) -> None:
        """``worker_process_init``: in pool processes, and in solo's only one, which is none."""
        if self._recorder.role is Role.POOL_CHILD and self._recorder.settings.stack_after > 0:
            signals.task_prerun.connect(self.first_task, weak=False)

    @guarded
    def first_task(self, **_: Any) -> None:
        """``task_prerun``, once."""
        signals.task_prerun.disconnect(self.first_task)
        folder = self._recorder.folder
        signum = free_signal(self._recorder.settings.stack_signal)
        if folder is None or signum is None:
            return
        pid = os.getpid()
        hidden = folder / f".{pid}{SUFFIX}"
        descriptor = os.open(hidden, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o600)
        faulthandler.register(signum, file=descriptor, all_threads=True, chain=False)
        self._path = folder / f"{pid}-{procfs.started(pid)}-{signum}-{descriptor}{SUFFIX}"
        hidden.rename(self._path)

    @guarded
    def process_ends(self, **_: Any) -> None:
        """``worker_process_shutdown``: an orderly end. The files of killed processes are removed by the watch."""
        if self._path is not None and self._recorder.role is Role.POOL_CHILD:
            self._path.unlink(missing_ok=True)
            self._path = None
