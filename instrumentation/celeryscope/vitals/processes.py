"""What processes cost: memory, processors and age, read from the operating system."""

import time
from collections.abc import Iterable
from typing import NamedTuple

import psutil


class Usage(NamedTuple):
    """What one process uses."""

    memory: int
    """Resident bytes."""
    cpu: float
    """Processors kept busy since the reading before, or since the process started: 1.0 is one."""
    age: float
    """Seconds since the process started."""


class Processes:
    """Reads a set of processes again and again; each reading's CPU is told against the one before."""

    def __init__(self) -> None:
        self._known: dict[int, psutil.Process] = {}
        self._before: dict[int, tuple[float, float]] = {}

    def read(self, pids: Iterable[int]) -> dict[int, Usage]:
        """Usage by pid, of the processes that are still there; all others are forgotten."""
        known, before, usage = {}, {}, {}
        for pid in pids:
            try:
                process = self._known.get(pid) or psutil.Process(pid)
                times = process.cpu_times()
                memory = process.memory_info().rss
                started = process.create_time()
            except psutil.Error:
                continue
            now, busy = time.time(), times.user + times.system
            then, busy_then = self._before.get(pid, (started, 0.0))
            known[pid], before[pid] = process, (now, busy)
            usage[pid] = Usage(memory, max(busy - busy_then, 0.0) / max(now - then, 0.001), max(now - started, 0.0))
        self._known, self._before = known, before
        return usage


def open_files(pid: int) -> int | None:
    """Descriptors that a process has open; None where the operating system doesn't say."""
    try:
        return psutil.Process(pid).num_fds()
    except (psutil.Error, AttributeError):
        return None
