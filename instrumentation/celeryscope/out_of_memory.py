"""Whether the kernel's out-of-memory killer was it: the count of its kills in the worker's control group.

The count is ``oom_kill`` in ``memory.events`` (cgroup v2) or in ``memory.oom_control`` (v1, since Linux 4.13). It says
that a process of the group was killed, not which one; so each kill stands for one lost process, within two minutes.
"""

import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

_FORGOTTEN_AFTER = 120.0
"""Seconds in which a kill must have been claimed; billiard tells of a dead process within about ten."""


class OutOfMemoryKills:
    """Counts kills from its making on and lets each be claimed once; without a counter there never is one."""

    def __init__(self, counter: Path | None, now: Callable[[], float] = time.monotonic) -> None:
        """``counter``: what ``own_counter`` found."""
        self._counter = counter
        self._now = now
        self._accounted = self._count()
        self._looks: deque[tuple[float, int]] = deque()

    def look(self) -> None:
        """Forget the kills that nobody has claimed in time (they hit other processes); to be called now and then."""
        now = self._now()
        self._looks.append((now, self._count()))
        while now - self._looks[0][0] >= _FORGOTTEN_AFTER:
            self._accounted = max(self._accounted, self._looks.popleft()[1])

    def claim(self) -> bool:
        """Whether the process that has just been found killed may have been killed for its memory."""
        if self._count() <= self._accounted:
            return False
        self._accounted += 1
        return True

    def _count(self) -> int:
        try:
            return _kills(self._counter) if self._counter else 0
        except (OSError, ValueError):
            return 0


def own_counter(process: Path = Path("/proc/self/cgroup"), mount: Path = Path("/sys/fs/cgroup")) -> Path | None:
    """The file that counts the kills in this process's control group; None where there is none.

    In a container the group's path is often the host's, and its own group is what is mounted.
    """
    try:
        groups = [line.split(":", 2) for line in process.read_text().splitlines()]
    except OSError:
        return None
    for _, controllers, path in groups:
        inside = path.lstrip("/")
        if "memory" in controllers.split(","):
            candidates = [mount / "memory" / inside / "memory.oom_control", mount / "memory" / "memory.oom_control"]
        elif not controllers:
            candidates = [mount / inside / "memory.events", mount / "memory.events"]
        else:
            continue
        for candidate in candidates:
            if _counts(candidate):
                return candidate
    return None


def _counts(file: Path) -> bool:
    try:
        _kills(file)
    except (OSError, ValueError):
        return False
    return True


def _kills(file: Path) -> int:
    """Raises OSError or ValueError when the file doesn't say."""
    for line in file.read_text().splitlines():
        name, _, count = line.partition(" ")
        if name == "oom_kill":
            return int(count)
    raise ValueError(f"{file} counts no kills")
