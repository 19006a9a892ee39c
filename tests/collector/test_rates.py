"""A tenant may send so much a second, on average, whatever the size of its requests."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeryscope_collector.rates import BURST_SECONDS, Rates
from celeryscope_collector.refusals import TooMuch
from celeryscope_collector.tenant_limits import TenantLimits

TEN = TenantLimits(records_per_second=10)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_quiet_tenant_may_send_its_burst_and_is_then_told_when_to_come_back() -> None:
    clock = Clock()
    rates = Rates(clock)
    rates.charge("shop", TEN, records=int(10 * BURST_SECONDS))
    rates.admit("shop", TEN)
    rates.charge("shop", TEN, records=20)

    with pytest.raises(TooMuch, match="more than its 10 records a second") as caught:
        rates.admit("shop", TEN)
    assert caught.value.retry_after == pytest.approx(2)

    clock.now += 2
    rates.admit("shop", TEN)


def test_one_request_larger_than_any_burst_is_let_in_and_paid_back() -> None:
    clock = Clock()
    rates = Rates(clock)
    rates.admit("shop", TEN)
    rates.charge("shop", TEN, records=1050)
    clock.now += 99
    with pytest.raises(TooMuch):
        rates.admit("shop", TEN)
    clock.now += 1
    rates.admit("shop", TEN)


def test_bytes_have_their_own_rate_and_tenants_their_own_buckets() -> None:
    rates = Rates(Clock())
    limits = TenantLimits(records_per_second=10, bytes_per_second=100)
    rates.charge("shop", limits, size=1000)
    with pytest.raises(TooMuch, match="bytes"):
        rates.admit("shop", limits)
    rates.admit("bank", limits)


def test_without_limits_nothing_is_counted(tmp_path: Path) -> None:
    rates = Rates(Clock(), tmp_path)
    rates.charge("shop", TenantLimits(), records=10**9, size=10**12)
    rates.admit("shop", TenantLimits())
    assert list(tmp_path.iterdir()) == []


def test_processes_that_share_a_folder_share_the_rate(tmp_path: Path) -> None:
    clock = Clock()
    one, other = Rates(clock, tmp_path), Rates(clock, tmp_path)
    one.charge("shop", TEN, records=30)
    other.charge("shop", TEN, records=30)
    for rates in (one, other):
        with pytest.raises(TooMuch) as caught:
            rates.admit("shop", TEN)
        assert caught.value.retry_after == pytest.approx(1)


@given(st.lists(st.tuples(st.integers(1, 40), st.floats(0, 3)), max_size=60))
def test_over_any_time_the_limit_is_exceeded_by_a_burst_and_one_request_at_most(
    requests: list[tuple[int, float]],
) -> None:
    clock = Clock()
    rates = Rates(clock)
    begin, let_in = clock.now, 0
    for records, pause in requests:
        clock.now += pause
        try:
            rates.admit("shop", TEN)
        except TooMuch:
            continue
        rates.charge("shop", TEN, records=records)
        let_in += records
        assert let_in <= 10 * (clock.now - begin + BURST_SECONDS) + 40 + 1e-6
