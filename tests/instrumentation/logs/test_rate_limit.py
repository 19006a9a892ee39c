import os
import threading
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeryscope.logs.rate_limit import BURST, TELL_EVERY, RateLimit
from support.forks import exit_status


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Told:
    def __init__(self) -> None:
        self.counts: list[tuple[str, int, float]] = []

    def __call__(self, logger: str, left_out: int, seconds: float) -> None:
        self.counts.append((logger, left_out, seconds))

    def total(self, logger: str) -> int:
        return sum(left_out for name, left_out, _ in self.counts if name == logger)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def told() -> Told:
    return Told()


def _send(limit: RateLimit, lines: int, logger: str = "shop", is_error: bool = False) -> int:
    return sum(limit.allows(logger, is_error) for _ in range(lines))


def test_a_burst_passes_and_then_so_many_a_second(clock: Clock, told: Told) -> None:
    limit = RateLimit(100, told, clock)
    assert _send(limit, 5000) == 100 * BURST
    clock.now += 1
    assert _send(limit, 5000) == 100


def test_the_first_line_left_out_is_told_at_once_and_the_others_every_few_seconds(clock: Clock, told: Told) -> None:
    limit = RateLimit(1, told, clock)
    _send(limit, BURST)
    assert told.counts == []
    _send(limit, 10)
    assert told.counts == [("shop", 1, 0.0)]
    clock.now += TELL_EVERY
    _send(limit, 1, logger="another")
    assert told.counts[1:] == [("shop", 9, TELL_EVERY)]
    clock.now += 1000
    _send(limit, 1)
    assert len(told.counts) == 2, "nothing more was left out"


def test_a_noisy_logger_takes_nothing_from_another_and_nothing_from_its_own_errors(clock: Clock, told: Told) -> None:
    limit = RateLimit(1, told, clock)
    _send(limit, 1000)
    assert _send(limit, BURST, logger="quiet") == BURST
    assert _send(limit, 10 * BURST + 1, is_error=True) == 10 * BURST


@pytest.mark.parametrize("logger", ["celery.app.trace", "celery.worker.strategy"])
def test_celerys_lines_of_each_task_are_bounded_by_the_tasks(logger: str, clock: Clock, told: Told) -> None:
    assert _send(RateLimit(1, told, clock), 1000, logger) == 1000


def test_zero_is_no_limit(clock: Clock, told: Told) -> None:
    assert _send(RateLimit(0, told, clock), 100_000) == 100_000


@given(
    st.lists(st.tuples(st.sampled_from(["a", "b"]), st.booleans(), st.floats(0, 4)), max_size=200),
    st.floats(0.1, 3),
)
def test_every_line_passes_or_is_counted(lines: list[tuple[str, bool, float]], rate: float) -> None:
    clock, told, passed = Clock(), Told(), Counter[str]()
    limit = RateLimit(rate, told, clock)
    for logger, is_error, after in lines:
        clock.now += after
        passed[logger] += limit.allows(logger, is_error)
    limit.tell()
    sent = Counter(logger for logger, _, _ in lines)
    assert all(passed[logger] + told.total(logger) == sent[logger] for logger in sent)


def test_names_without_end_share_an_allowance(clock: Clock, told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("celeryscope.logs.rate_limit._MOST_LOGGERS", 3)
    limit = RateLimit(1, told, clock)
    assert sum(limit.allows(f"logger-{number}", False) for number in range(1000)) == 3 + BURST
    limit.tell()
    assert told.total("") == 1000 - 3 - BURST


def test_a_child_forked_while_another_thread_logs_can_log_and_tells_nothing_of_its_parents(told: Told) -> None:
    limit = RateLimit(0.001, told)
    stop = threading.Event()

    def log_heavily() -> None:
        while not stop.is_set():
            limit.allows("shop", False)

    threads = [threading.Thread(target=log_heavily, daemon=True) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(20):
            if not (child := os.fork()):
                told.counts.clear()
                limit.allows("shop", False)
                limit.tell()
                os._exit(len(told.counts))
            assert exit_status(child) == 0
    finally:
        stop.set()
        for thread in threads:
            thread.join()
