"""What is read from Kafka and not yet committed: messages that wait, and batches in flight, as they were read.

Invariants: a message waits, or is in one batch, or is told by ``settle``; batches are told in the order in which they
were taken, each once, and only when all before them are done.
"""

import threading
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass

from celeryscope_pipelines.indexer.batch import Batch, Message

Place = tuple[str, int]
"""(topic, partition)."""


@dataclass(eq=False, slots=True)
class Flight:
    """A batch that somebody works on."""

    batch: Batch
    size: int
    is_done: bool = False
    error: BaseException | None = None


class Backlog:
    """Cuts batches of at most ``batch_bytes`` and ``batch_messages`` for at most ``workers`` at a time; thread-safe."""

    def __init__(self, workers: int, batch_bytes: int, batch_messages: int) -> None:
        self._workers = workers
        self._batch_bytes = batch_bytes
        self._batch_messages = batch_messages
        self._waiting: deque[Message] = deque()
        self._waiting_bytes = 0
        self._flights: deque[Flight] = deque()
        self._working = 0
        self._has_failed = False
        self._changed = threading.Condition()

    @property
    def size(self) -> int:
        """Bytes of all messages that wait or are in flight."""
        with self._changed:
            return self._waiting_bytes + sum(flight.size for flight in self._flights)

    @property
    def flights(self) -> int:
        """How many batches are taken and not settled."""
        return len(self._flights)

    def add(self, messages: Collection[Message]) -> int:
        """Let them wait; how many more workers are to ``take`` batches now, each until there is none."""
        with self._changed:
            self._waiting.extend(messages)
            self._waiting_bytes += sum(len(message.value) for message in messages)
            batches = max(-(-self._waiting_bytes // self._batch_bytes), -(-len(self._waiting) // self._batch_messages))
            more = min(self._workers - self._working, batches)
            self._working += more
            return more

    def take(self) -> Flight | None:
        """The next batch, to be told to ``done``; None when nothing waits, or after a failure: the worker ends then."""
        with self._changed:
            if not self._waiting or self._has_failed:
                self._working -= 1
                return None
            messages = [self._waiting.popleft()]
            size = len(messages[0].value)
            while (
                self._waiting
                and len(messages) < self._batch_messages
                and size + len(self._waiting[0].value) <= self._batch_bytes
            ):
                messages.append(self._waiting.popleft())
                size += len(messages[-1].value)
            self._waiting_bytes -= size
            flight = Flight(Batch(messages), size)
            self._flights.append(flight)
            return flight

    def done(self, flight: Flight, error: BaseException | None = None) -> None:
        """The batch is processed, or failed for good; after that nothing is handed out any more."""
        with self._changed:
            flight.is_done, flight.error = True, error
            self._has_failed = self._has_failed or error is not None
            self._changed.notify_all()

    def settle(self) -> dict[Place, int]:
        """The offsets to go on from, of the batches at the head that are done; nothing behind a failed one."""
        offsets: dict[Place, int] = {}
        with self._changed:
            while self._flights and self._flights[0].is_done and self._flights[0].error is None:
                offsets |= self._flights.popleft().batch.next_offsets()
        return offsets

    @property
    def failure(self) -> BaseException | None:
        """What the batch at the head failed with, once all before it are settled."""
        with self._changed:
            return self._flights[0].error if self._flights else None

    def wait(self, timeout: float) -> bool:
        """Wait until nothing is in flight, or something has failed; whether that came within ``timeout`` seconds."""
        with self._changed:
            return self._changed.wait_for(
                lambda: self._has_failed or all(flight.is_done for flight in self._flights), timeout
            )

    def forget(self, places: Collection[Place] | None = None) -> None:
        """Drop what waits of these partitions (None: of all): somebody else will read it."""
        with self._changed:
            kept = [one for one in self._waiting if places is not None and (one.topic, one.partition) not in places]
            self._waiting = deque(kept)
            self._waiting_bytes = sum(len(message.value) for message in kept)
