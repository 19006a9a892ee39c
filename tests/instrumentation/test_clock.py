from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from celeryscope.clock import HybridClock

times = st.lists(st.integers(min_value=0, max_value=2**53), min_size=1, max_size=50)


@given(times)
def test_ticks_rise_strictly_whatever_the_time_of_day_does(readings: list[int]) -> None:
    source = iter(readings)
    clock = HybridClock(now=lambda: next(source))
    ticks = [clock.tick() for _ in readings]
    assert all(later > earlier for earlier, later in pairwise(ticks))


@given(times, st.integers(min_value=0, max_value=2**53))
def test_a_tick_is_later_than_what_was_observed(readings: list[int], observed: int) -> None:
    clock = HybridClock(now=lambda: readings[0])
    assert clock.tick(observed) > observed


def test_without_skew_a_tick_is_the_time_of_day() -> None:
    now = [100]
    clock = HybridClock(now=lambda: now[0])
    assert clock.tick() == 100
    now[0] = 250
    assert clock.tick(observed=90) == 250


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(-5_000, 5_000)), min_size=2, max_size=40))
def test_an_attempt_carried_between_hosts_of_different_clocks_keeps_its_order(hops: list[tuple[int, int]]) -> None:
    now = 1_000_000
    skews = [0, 3_000, -3_000, 60_000_000]
    clocks = [HybridClock(now=lambda skew=skew: now + skew) for skew in skews]
    seen = 0
    for host, passed in hops:
        now = max(0, now + passed)
        value = clocks[host].tick(seen)
        assert value > seen
        seen = value
