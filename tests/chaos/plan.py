"""The load: a pure function of the seed and a number says what is published, and what must become of it."""

import random
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from celeryscope import semconv

BEGAN, DONE = "began", "done"
"""The log lines of an attempt."""
ROOMY, CRAMPED = "roomy", "cramped"
"""The queues: the worker of the second one has a small disk, a small quota and little memory for its spool."""

SELL, FAIL, AGAIN, CHAIN, IGNORE, REJECT, DIE = "sell", "fail", "again", "chain", "ignore", "reject", "die"
_WEIGHTS: Final = {SELL: 60, FAIL: 10, AGAIN: 10, CHAIN: 10, IGNORE: 5, REJECT: 5}
_CRAMPED_EACH: Final = 5
_DIES_EACH: Final = 200
"""Each so many orders, one SIGKILLs the process that runs it."""
_ENDS: Final = {
    SELL: (semconv.STATE_SUCCESS,),
    FAIL: (semconv.STATE_FAILURE,),
    AGAIN: (semconv.STATE_RETRY, semconv.STATE_SUCCESS),
    CHAIN: (semconv.STATE_SUCCESS,),
    IGNORE: (semconv.STATE_IGNORED,),
    REJECT: (semconv.STATE_REJECTED,),
    DIE: (semconv.STATE_LOST,),
}
"""The final states of a task's attempts, one after the other."""
_TOLD: Final = {
    semconv.STATE_FAILURE: semconv.EVENT_TASK_FAILED,
    semconv.STATE_RETRY: semconv.EVENT_TASK_RETRIED,
    semconv.STATE_REJECTED: semconv.EVENT_TASK_REJECTED,
    semconv.STATE_LOST: semconv.EVENT_TASK_LOST,
}
"""Final events that have a document of their own beside the attempt's."""


class Order(NamedTuple):
    """One call of the publisher."""

    kind: str
    task_ids: tuple[str, ...]
    queue: str


class Identity(NamedTuple):
    """One document that must be there once."""

    what: str
    """``entity``, ``sent span``, ``run span``, ``line`` or ``event``."""
    attempt: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt of the plan and its final state."""

    name: str
    state: str
    is_cramped: bool

    @property
    def records(self) -> int:
        """How many records tell of it at least: the ``sent`` and the final event, two spans, its lines."""
        return 4 + len(self._lines)

    @property
    def written(self) -> int:
        """How many records its worker writes at least: the start, the final event, the span, its lines."""
        return 3 + len(self._lines)

    def by_publisher(self) -> list[Identity]:
        """The documents that the publisher's records are enough for."""
        return [Identity("entity", self.name), Identity("sent span", self.name)]

    def by_worker(self) -> list[Identity]:
        """The documents that its worker's records become."""
        told = [Identity("event", self.name, _TOLD[self.state])] if self.state in _TOLD else []
        return [Identity("run span", self.name), *(Identity("line", self.name, line) for line in self._lines), *told]

    @property
    def _lines(self) -> tuple[str, ...]:
        return (BEGAN, DONE) if self.state == semconv.STATE_SUCCESS else (BEGAN,)


def order(seed: int, number: int) -> Order:
    """What is published as number ``number`` (from 0)."""
    kind, queue = _kind(seed, number), ROOMY
    if number % _CRAMPED_EACH == _CRAMPED_EACH - 1:
        kind, queue = SELL, CRAMPED
    parts = 2 if kind == CHAIN else 1
    return Order(kind, tuple(str(uuid.uuid5(uuid.NAMESPACE_OID, f"{seed}/{number}/{i}")) for i in range(parts)), queue)


def attempts(placed: Order) -> Iterator[Attempt]:
    """What must become of an order."""
    for task_id in placed.task_ids:
        for retries, state in enumerate(_ENDS[placed.kind]):
            yield Attempt(f"{task_id}:{retries}", state, placed.queue == CRAMPED)


def planned(seed: int, orders: int) -> list[Attempt]:
    """What must become of the first ``orders`` orders."""
    return [attempt for number in range(orders) for attempt in attempts(order(seed, number))]


def orders_for(seed: int, records: int) -> int:
    """How many orders make at least so many records."""
    number = 0
    while records > 0:
        records -= sum(attempt.records for attempt in attempts(order(seed, number)))
        number += 1
    return number


def _kind(seed: int, number: int) -> str:
    if number % _DIES_EACH == _DIES_EACH // 2:
        return DIE
    return random.Random(f"{seed}/{number}").choices(list(_WEIGHTS), list(_WEIGHTS.values()))[0]
