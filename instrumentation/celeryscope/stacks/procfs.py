"""What Linux says of a process under ``/proc`` (proc(5)): its signals, its time on the CPU, what it waits for.

All functions raise OSError when the process is gone, or ``/proc`` does not let us look.
"""

import contextlib
import os
import re
import time
from pathlib import Path
from typing import NamedTuple

_TICKS = os.sysconf("SC_CLK_TCK")
_SIGNALS = re.compile(r"^(SigPnd|ShdPnd|SigBlk|SigIgn|SigCgt):\s*([0-9a-f]+)$", re.MULTILINE)


class Signals(NamedTuple):
    """Sets of signals of a process, as bits: signal n is bit n - 1; blocked ones are those of its main thread."""

    pending: int
    blocked: int
    ignored: int
    caught: int


class Times(NamedTuple):
    """Time on the CPU until ``at`` (seconds of the monotonic clock), in seconds.

    ``thread`` includes the time that the thread was ready to run and waited for a CPU, where the kernel tells it: a
    loop on a busy machine is still a loop.
    """

    at: float
    thread: float
    process: float


class Busy(NamedTuple):
    """Share of the time between two looks that a thread was busy (0 to 1), and CPUs that its whole process used."""

    thread: float
    process: float


IDLE = Busy(0.0, 0.0)


def bit(signum: int) -> int:
    """The signal in a set of ``Signals``."""
    return 1 << (signum - 1)


def signals_of(pid: int) -> Signals:
    """The process's signals now."""
    found = {name: int(bits, 16) for name, bits in _SIGNALS.findall(Path(f"/proc/{pid}/status").read_text())}
    return Signals(
        pending=found.get("SigPnd", 0) | found.get("ShdPnd", 0),
        blocked=found.get("SigBlk", 0),
        ignored=found.get("SigIgn", 0),
        caught=found.get("SigCgt", 0),
    )


def started(pid: int) -> int:
    """When the process started, in clock ticks since boot: together with the pid it names the process for ever."""
    return int(_stat(f"/proc/{pid}/stat")[19])


def times(pid: int, thread: int) -> Times:
    """Time that the process and one of its threads (by its native id) have had."""
    at = time.monotonic()
    whole = _stat(f"/proc/{pid}/stat")
    own = _stat(f"/proc/{pid}/task/{thread}/stat")
    seconds = (int(own[11]) + int(own[12])) / _TICKS
    with contextlib.suppress(OSError, ValueError, IndexError):
        on_cpu, waited = Path(f"/proc/{pid}/task/{thread}/schedstat").read_text().split()[:2]
        seconds = (int(on_cpu) + int(waited)) / 1e9
    return Times(at, seconds, (int(whole[11]) + int(whole[12])) / _TICKS)


def busy(before: Times, after: Times) -> Busy:
    """How busy thread and process were between two looks."""
    elapsed = max(after.at - before.at, 1e-3)
    return Busy(
        min(max(after.thread - before.thread, 0.0) / elapsed, 1.0), max(after.process - before.process, 0.0) / elapsed
    )


def waits_in(pid: int, thread: int) -> str:
    """The kernel's function that the thread waits in, e.g. ``futex_do_wait``; empty when it runs or is not told."""
    try:
        found = Path(f"/proc/{pid}/task/{thread}/wchan").read_text()
    except OSError:
        return ""
    return "" if found == "0" else found


def _stat(path: str) -> list[str]:
    """Fields of a ``stat`` file behind the name, which may hold spaces and parentheses: the first is the state."""
    return Path(path).read_text().rpartition(")")[2].split()
