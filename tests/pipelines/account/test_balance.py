"""When an account balances."""

from collections import Counter

import pytest

from celeryscope_pipelines.account.balance import Account, Collectors, Workers


def heartbeats(**shipped: int) -> Workers:
    return Workers("heartbeats", shipped=sum(shipped.values()), by_sender=Counter(shipped))


@pytest.mark.parametrize(
    ("shipped", "distinct", "dropped", "unaccounted"),
    [(10, 10, 0, 0), (10, 8, 0, 2), (10, 8, 2, 0), (10, 8, 5, 0), (10, 7, 2, 1), (10, 11, 0, -1), (10, 11, 5, -1)],
)
def test_what_all_spools_shipped_is_in_kafka_or_was_dropped_by_a_collector(
    shipped: int, distinct: int, dropped: int, unaccounted: int
) -> None:
    collectors = Collectors(dropped=Counter(sampling=dropped))
    account = Account(Workers("spools", shipped=shipped), collectors, distinct=distinct)
    assert account.unaccounted == unaccounted
    assert account.balanced == (unaccounted == 0)


def test_more_in_kafka_than_heartbeats_tell_of_is_what_other_processes_sent() -> None:
    account = Account(heartbeats(a=10), distinct=500, by_sender=Counter(a=12, b=488))
    assert account.balanced


def test_another_hosts_records_do_not_stand_for_those_that_are_missing() -> None:
    account = Account(heartbeats(a=10, b=3), distinct=500, by_sender=Counter(a=8, b=492))
    assert account.short == {"a": 2}
    assert (account.unaccounted, account.balanced) == (2, False)


def test_without_any_word_of_the_workers_only_missing_records_count() -> None:
    account = Account(distinct=5)
    assert account.balanced
    account.missing = {"uid": "celeryscope.logs/0/1"}
    assert not account.balanced
    assert account.as_dict()["messages_of_missing"] == ["celeryscope.logs/0/1"]


def test_written_is_the_sum_of_all_that_became_of_the_records() -> None:
    workers = Workers("spools", shipped=7, superseded=2, pending=1, dropped=Counter(quota=3))
    assert workers.as_dict()["written"] == 13
    assert heartbeats(a=1).as_dict()["written"] is None
