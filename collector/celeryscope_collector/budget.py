"""How many bytes may be under way at once."""

import threading
from collections.abc import Callable

from celeryscope.errors import Unavailable


class Budget:
    """Counts bytes under way; safe to use from any thread."""

    def __init__(self, limit: int, show: Callable[[int], None]) -> None:
        """``show`` is told the bytes in use whenever they change."""
        self._limit = limit
        self._show = show
        self._used = 0
        self._lock = threading.Lock()

    def take(self, number: int) -> None:
        """Reserve bytes; raises Unavailable, and reserves nothing, when that would be over the limit.

        The first is always let through: a sender whose one request is larger would otherwise try it for ever.
        """
        with self._lock:
            if self._used and self._used + number > self._limit:
                raise Unavailable("too much is under way at once; send it again later", retry_after=1)
            self._used += number
            self._show(self._used)

    def give_back(self, number: int) -> None:
        """Release bytes that were taken."""
        with self._lock:
            self._used -= number
            self._show(self._used)


class Taken:
    """What one request took from a budget, given back as a whole."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self.bytes = 0

    def take(self, number: int) -> None:
        """Reserve more; raises like the budget's."""
        self._budget.take(number)
        self.bytes += number

    def give_back(self) -> None:
        """Release all of it."""
        if self.bytes:
            self._budget.give_back(self.bytes)
            self.bytes = 0
