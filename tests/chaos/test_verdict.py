"""The verdict sees each single thing that is wrong."""

from collections import Counter

import pytest

from celeryscope import semconv
from chaos import plan
from chaos.found import Found
from chaos.plan import Attempt, Identity
from chaos.verdict import judge

SEED, ORDERS = 7, 120
PLANNED = plan.planned(SEED, ORDERS)
ROOMY = next(one for one in PLANNED if not one.is_cramped and one.state == semconv.STATE_SUCCESS)
CRAMPED = next(one for one in PLANNED if one.is_cramped)


@pytest.fixture
def found() -> Found:
    """All that was planned, once."""
    identities = Counter(one for attempt in PLANNED for one in (*attempt.by_publisher(), *attempt.by_worker()))
    return Found(identities, {attempt.name: attempt.state for attempt in PLANNED})


def documents(attempt: Attempt) -> list[Identity]:
    return [*attempt.by_publisher(), *attempt.by_worker()]


def test_the_same_seed_plans_the_same_and_all_kinds_of_ends_are_in_it() -> None:
    assert plan.planned(SEED, ORDERS) == PLANNED != plan.planned(SEED + 1, ORDERS)
    assert {attempt.state for attempt in PLANNED} == semconv.FINAL_STATES - {
        semconv.STATE_REVOKED,
        semconv.STATE_UNKNOWN,
    }
    assert len({attempt.name for attempt in PLANNED}) == len(PLANNED)


def test_as_many_orders_are_planned_as_the_records_need_and_not_one_more() -> None:
    orders = plan.orders_for(SEED, 500)
    assert sum(attempt.records for attempt in plan.planned(SEED, orders)) >= 500
    assert sum(attempt.records for attempt in plan.planned(SEED, orders - 1)) < 500


def test_nothing_is_wrong_when_all_is_there_once(found: Found) -> None:
    verdict = judge(PLANNED, found, dropped=0)
    assert (verdict.lost, verdict.doubled, verdict.wrong, verdict.covered) == ([], [], [], [])
    assert verdict.by_publishers + verdict.by_worker + verdict.by_cramped == verdict.records + len(PLANNED)
    assert verdict.records == sum(found.identities.values()) + sum(
        1 for attempt in PLANNED if not any(one.what == "event" for one in attempt.by_worker())
    )


@pytest.mark.parametrize("number", range(len(documents(ROOMY))))
def test_any_document_that_is_missing_is_lost_whatever_another_spool_has_dropped(found: Found, number: int) -> None:
    del found.identities[documents(ROOMY)[number]]
    assert judge(PLANNED, found, dropped=100).lost == [documents(ROOMY)[number]]


@pytest.mark.parametrize("identity", [documents(ROOMY)[0], documents(CRAMPED)[-1]])
def test_what_is_there_twice_is_doubled(found: Found, identity: Identity) -> None:
    found.identities[identity] += 1
    assert judge(PLANNED, found, dropped=0).doubled == [identity]


def test_what_nobody_planned_is_doubled_too(found: Found) -> None:
    told = Identity("event", ROOMY.name, semconv.EVENT_TASK_LOST)
    found.identities[told] += 1
    assert judge(PLANNED, found, dropped=0).doubled == [told]


def test_another_state_than_the_planned_one_is_wrong_also_in_the_cramped_worker(found: Found) -> None:
    for attempt in (ROOMY, CRAMPED):
        found.states[attempt.name] = semconv.STATE_LOST
    assert len(judge(PLANNED, found, dropped=100).wrong) == 2


def test_an_attempt_that_never_ended_is_wrong(found: Found) -> None:
    found.states[ROOMY.name] = semconv.STATE_STARTED
    assert judge(PLANNED, found, dropped=100).wrong == [f"{ROOMY.name}: STARTED instead of SUCCESS"]


def test_what_the_cramped_worker_told_may_be_missing_as_far_as_it_was_counted(found: Found) -> None:
    for identity in CRAMPED.by_worker():
        del found.identities[identity]
    found.states[CRAMPED.name] = semconv.STATE_SENT
    missing = len(CRAMPED.by_worker()) + 1
    assert judge(PLANNED, found, dropped=missing).lost == []
    assert len(judge(PLANNED, found, dropped=missing).covered) == missing
    assert len(judge(PLANNED, found, dropped=missing - 1).lost) == 1


def test_what_the_publisher_told_of_the_cramped_worker_may_not_be_missing(found: Found) -> None:
    for identity in CRAMPED.by_publisher():
        del found.identities[identity]
    assert judge(PLANNED, found, dropped=100).lost == CRAMPED.by_publisher()
