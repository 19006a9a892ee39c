"""How many bytes may be under way at once."""

import threading

from celeryscope.errors import Unavailable


class Budget:
    """Counts bytes under way; safe to use from any thread."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._used = 0
        self._lock = threading.Lock()

    @property
    def used(self) -> int:
        """Bytes taken and not yet given back."""
        return self._used

    def take(self, number: int) -> None:
        """Reserve bytes; raises Unavailable, and reserves nothing, when that would be over the limit.

        The first is always let through: a sender whose one request is larger would otherwise try it for ever.
        """
        with self._lock:
            if self._used and self._used + number > self._limit:
                raise Unavailable("too much is under way at once; send it again later", retry_after=1)
            self._used += number

    def give_back(self, number: int) -> None:
        """Release bytes that were taken."""
        with self._lock:
            self._used -= number
