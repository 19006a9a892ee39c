"""What all benchmarks measure with."""

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

Result = TypeVar("Result")


class MeasurementFailed(Exception):
    """A figure would not be what its name says."""


def in_turn(kinds: Sequence[Callable[[], Result]], rounds: int) -> list[list[Result]]:
    """Call each ``rounds`` times, one after the other, every round beginning with the next: results by kind."""
    results: list[list[Result]] = [[] for _ in kinds]
    for number in range(rounds):
        for place in range(len(kinds)):
            index = (place + number) % len(kinds)
            results[index].append(kinds[index]())
    return results


def cpu_now(pid: int) -> float:
    """CPU seconds of all threads of a process so far, by its clock; ended children are not in it."""
    # ``(~pid << 3) | 2`` is what clock_getcpuclockid makes.
    return time.clock_gettime((~pid << 3) | 2)
