"""Where records wait while the spool can't be written to: a bounded queue in memory."""

from collections import deque

from celeryscope.spool.format import FAILURE, Item

_OVERHEAD = 200
"""Bytes that an item takes besides its payload."""


class MemoryQueue:
    """Items in order, at most ``max_bytes`` of them: over it the oldest that tell of no failure go first."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._size = 0
        self._last = 0
        self._first = 0
        self._failures: deque[tuple[int, Item]] = deque()
        self._others: deque[tuple[int, Item]] = deque()

    def __len__(self) -> int:
        return len(self._failures) + len(self._others)

    @property
    def records(self) -> int:
        """How many records wait."""
        return sum(item.records for queue in (self._failures, self._others) for _, item in queue)

    def put(self, item: Item) -> list[Item]:
        """Add an item at the end; returns what had to go for it."""
        self._last += 1
        self._queue(item).append((self._last, item))
        self._size += _size(item)
        return self._shrink()

    def put_back(self, items: list[Item]) -> list[Item]:
        """Add what ``take`` gave, in front; returns what had to go for it."""
        for item in reversed(items):
            self._first -= 1
            self._queue(item).appendleft((self._first, item))
            self._size += _size(item)
        return self._shrink()

    def first(self) -> Item | None:
        """The oldest item; None when there is none."""
        queue = self._first_queue()
        return queue[0][1] if queue else None

    def pop(self) -> Item:
        """Remove the oldest item. Raises IndexError when there is none."""
        queue = self._first_queue()
        _, item = queue.popleft()
        self._size -= _size(item)
        return item

    def take(self, max_bytes: int) -> list[Item]:
        """Remove the oldest items, about ``max_bytes`` of them."""
        taken: list[Item] = []
        while self and max_bytes > 0:
            taken.append(self.pop())
            max_bytes -= len(taken[-1].payload)
        return taken

    def _queue(self, item: Item) -> deque[tuple[int, Item]]:
        return self._failures if item.flags & FAILURE else self._others

    def _first_queue(self) -> deque[tuple[int, Item]]:
        if self._failures and (not self._others or self._failures[0][0] < self._others[0][0]):
            return self._failures
        return self._others

    def _shrink(self) -> list[Item]:
        gone: list[Item] = []
        while self._size > self.max_bytes:
            _, item = (self._others or self._failures).popleft()
            self._size -= _size(item)
            gone.append(item)
        return gone


def _size(item: Item) -> int:
    return len(item.payload) + _OVERHEAD
