"""The hybrid logical clock: orders an attempt's events even when hosts' clocks differ.

``max(previous + 1, now in µs)`` after Kulkarni et al., "Logical Physical Clocks" (2014), with the logical part folded
into the microseconds: ticks of one process rise strictly, a tick after ``observed`` is later than it, and without skew
a tick is the time of day.
"""

import threading
import time
from collections.abc import Callable


def now_us() -> int:
    """Microseconds since the Unix epoch."""
    return time.time_ns() // 1000


class HybridClock:
    """One clock for each process; thread-safe, and safe in a signal handler or destructor that interrupts a tick."""

    def __init__(self, now: Callable[[], int] = now_us) -> None:
        self._now = now
        self._last = 0
        self._lock = threading.RLock()

    def tick(self, observed: int = 0, now: int = 0) -> int:
        """A time later than every earlier tick of this process and than ``observed`` (a clock value from a message).

        ``now``: the time of day in microseconds, if the caller has just asked for it.
        """
        with self._lock:
            self._last = ticked = max(self._last + 1, observed + 1, now or self._now())
            return ticked

    def renew_lock(self) -> None:
        """After a fork, in the child: another thread of the parent may have held the lock."""
        self._lock = threading.RLock()
