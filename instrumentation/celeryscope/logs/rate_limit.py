"""No logger may flood the spool: so many lines a second for each, and a count of those that were left out."""

import os
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

TELL_EVERY: Final = 5.0
"""Seconds between two counts of one logger."""
BURST: Final = 10
"""Seconds' worth of lines that may come at once."""
_ERRORS: Final = 10
"""A logger's errors have an allowance of their own, so many times that of its other lines."""
_BOUNDED: Final = frozenset({"celery.app.trace", "celery.worker.strategy"})
"""Loggers with a line or two for each task: the tasks bound them, and nobody wants to miss one."""
_MOST_LOGGERS: Final = 10_000

Tell = Callable[[str, int, float], None]
"""Takes a logger, the number of its lines that were left out, and in how many seconds."""


@dataclass(slots=True)
class _Allowance:
    """What a logger may still send."""

    lines: float
    at: float
    """When ``lines`` was true."""
    left_out: int = 0
    """Lines left out and not told yet."""
    since: float = 0.0
    """When the first of these came."""
    due_at: float = 0.0
    """When they may be told."""


class RateLimit:
    """A token bucket for each logger. Thread-safe, and so is a fork at any moment.

    The first line that is left out is told at once, so that nothing goes missing without a word even when the process
    is killed; later ones as a count, at most every 5 s: with the next line of any logger, ``tell``, or at the end.
    """

    def __init__(self, per_second: float, tell: Tell, clock: Callable[[], float] = time.monotonic) -> None:
        """``per_second``: 0 for no limit. ``tell`` is called without a lock held."""
        self._per_second = per_second
        self._tell = tell
        self._clock = clock
        self._due = float("inf")
        self._allowances: dict[tuple[str, bool], _Allowance] = {}
        # Re-entrant: a destructor may log while its own thread holds it.
        self._lock = threading.RLock()
        mine = weakref.ref(self)
        os.register_at_fork(after_in_child=lambda: _forked(mine()))

    def allows(self, logger: str, is_error: bool) -> bool:
        """Whether the line may be sent; if not, it is counted."""
        if not self._per_second or logger in _BOUNDED:
            return True
        now = self._clock()
        with self._lock:
            allowed = self._take(logger, is_error, now)
        if now >= self._due:
            self.tell(now)
        return allowed

    def tell(self, now: float | None = None) -> None:
        """Tell the counts that are due; all of them without ``now``."""
        told = []
        with self._lock:
            self._due = float("inf")
            moment = self._clock() if now is None else now
            for (logger, _), allowance in self._allowances.items():
                if not allowance.left_out:
                    continue
                if now is None or allowance.due_at <= now:
                    told.append((logger, allowance.left_out, moment - allowance.since))
                    allowance.left_out, allowance.due_at = 0, moment + TELL_EVERY
                else:
                    self._due = min(self._due, allowance.due_at)
        for logger, left_out, seconds in told:
            self._tell(logger, left_out, seconds)

    def _take(self, logger: str, is_error: bool, now: float) -> bool:
        rate = self._per_second * (_ERRORS if is_error else 1)
        most = max(rate * BURST, 1.0)
        allowance = self._allowances.get((logger, is_error))
        if allowance is None:
            shared = len(self._allowances) >= _MOST_LOGGERS
            key = ("" if shared else logger, is_error)
            allowance = self._allowances.setdefault(key, _Allowance(most, now))
        allowance.lines = min(allowance.lines + max(now - allowance.at, 0.0) * rate, most)
        allowance.at = now
        if allowance.lines >= 1:
            allowance.lines -= 1
            return True
        if not allowance.left_out:
            allowance.since = now
        allowance.left_out += 1
        self._due = min(self._due, allowance.due_at)
        return False

    def _after_fork(self) -> None:
        """In the child: the lock may be held by a thread that is not there, and the parent tells its own counts."""
        self._lock = threading.RLock()
        self._allowances = {}
        self._due = float("inf")


def _forked(limit: RateLimit | None) -> None:
    if limit is not None:
        limit._after_fork()
