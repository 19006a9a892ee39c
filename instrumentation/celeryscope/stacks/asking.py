"""Asks a pool process for its stacks, by the signal that it has registered for."""

import contextlib
import os
import signal
import time
from pathlib import Path
from typing import NamedTuple

from celery.worker.request import Request

from celeryscope.stacks import procfs
from celeryscope.stacks.frames import Stack, parse
from celeryscope.stacks.registration import Registered, registered

_ANSWER_TIMEOUT = 2.0
_POLL = 0.02
_MOST_BYTES = 1024 * 1024


class Taken(NamedTuple):
    """Stacks, the task's own first, and the kernel's function that its thread waits in (empty: none, or not told)."""

    stacks: list[Stack]
    waits_in: str


class ChildStacks:
    """Stacks of a prefork pool's processes; a process runs its tasks in its main thread."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def times(self, request: Request) -> procfs.Times:
        """Raises OSError when the process is gone."""
        return procfs.times(request.worker_pid, request.worker_pid)

    def take(self, request: Request) -> Taken | None:
        """Stacks of the process that runs the request; None when it is gone or has not registered.

        Without stacks, but not None, when the process does not answer: it sits in the kernel, or is stopped.
        """
        known = next((known for known in registered(self._folder, request.worker_pid) if _is_alive(known)), None)
        if known is None:
            return None
        # Before the signal: its handler runs in the thread, and then the thread waits for nothing.
        waits_in = procfs.waits_in(known.pid, known.pid)
        text = ask(known)
        return None if text is None else Taken(parse(text), waits_in)

    def sweep(self) -> None:
        """Remove the files of processes that were killed."""
        for known in registered(self._folder):
            if not _is_alive(known):
                known.path.unlink(missing_ok=True)


def ask(known: Registered) -> str | None:
    """What ``faulthandler`` writes in the process; empty when it doesn't within two seconds.

    None when the process is not, or no longer, the one that registered: the signal would kill such a one, so it is
    sent only after the kernel itself has said that the process catches it, and through a descriptor of the process.
    """
    with contextlib.ExitStack() as opened:
        try:
            process = os.pidfd_open(known.pid)
            opened.callback(os.close, process)
            file = os.open(known.path, os.O_RDWR | os.O_CLOEXEC)
            opened.callback(os.close, file)
            before = procfs.signals_of(known.pid)
            if not (_is_alive(known) and before.caught & procfs.bit(known.signum) and _is_open_there(known, file)):
                return None
            if before.pending & procfs.bit(known.signum):
                return ""  # it has not got round to the last one yet
            os.ftruncate(file, 0)
            opened.callback(os.ftruncate, file, 0)
            signal.pidfd_send_signal(process, known.signum)
        except OSError:
            return None
        return _answer(known, file)


def _answer(known: Registered, file: int) -> str:
    deadline = time.monotonic() + _ANSWER_TIMEOUT
    size, mask = 0, procfs.bit(known.signum)
    while time.monotonic() < deadline:
        time.sleep(_POLL)
        last, size = size, os.fstat(file).st_size
        try:
            now = procfs.signals_of(known.pid)
        except OSError:
            break
        # While the handler runs its signal is blocked.
        if size and size == last and not (now.pending | now.blocked) & mask:
            break
    return os.pread(file, _MOST_BYTES, 0).decode(errors="replace")


def _is_alive(known: Registered) -> bool:
    try:
        return procfs.started(known.pid) == known.start
    except OSError:
        return False


def _is_open_there(known: Registered, file: int) -> bool:
    """Whether faulthandler's descriptor is still the file: a task may have closed all it found open."""
    try:
        return os.path.samestat(Path(f"/proc/{known.pid}/fd/{known.descriptor}").stat(), os.fstat(file))
    except PermissionError:
        return True  # after a change of user the kernel doesn't let us look
