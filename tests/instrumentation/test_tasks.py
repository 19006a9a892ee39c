from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from celery import Celery, chain, chord, group

from celeryscope import semconv, tasks
from celeryscope.redaction import Redactor

app = Celery("plans", broker="memory://", backend="cache+memory://")


@app.task(name="a")
def a() -> None: ...


@app.task(name="b")
def b() -> None: ...


@app.task(name="c")
def c() -> None: ...


def _published(signature: Any) -> list[dict[str, Any]]:
    """What each message that a canvas publishes at once says of its plan."""
    from celery.signals import before_task_publish

    seen: list[dict[str, Any]] = []

    def note(body: Any, **_: Any) -> None:
        seen.append(tasks.plan(body[2]))

    before_task_publish.connect(note)
    try:
        signature.apply_async()
    finally:
        before_task_publish.disconnect(note)
    return seen


def test_a_chain_tells_the_steps_to_come_next_first() -> None:
    steps = chain(a.si(), b.si(), c.si())
    frozen = steps.freeze()
    (plan,) = _published(steps)
    assert [name for _, name in plan["chain"]] == ["b", "c"]
    assert plan["chain"][-1][0] == frozen.id


def test_members_of_a_chord_tell_the_callback_that_waits() -> None:
    plans = _published(chord(group(a.si(), b.si()), c.si()))
    assert [plan["chord"][1] for plan in plans] == ["c", "c"]
    assert len({plan["chord"][0] for plan in plans}) == 1


def test_a_task_alone_has_no_plan() -> None:
    assert _published(a.si()) == [{}]


def test_a_snapshot_knows_the_attempt_its_times_and_its_plan() -> None:
    eta = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)
    headers = {
        "id": "t",
        "task": "shop.pay",
        "retries": 2,
        "eta": eta.isoformat(),
        "argsrepr": "()",
        "kwargsrepr": "{'password': 'hunter2'}",
        "delivery_info": {"routing_key": "orders", "redelivered": True},
        "celeryscope": {"sent_at": 5, "clock": 6, "chain": [["n", "next"]]},
    }
    values = tasks.snapshot(headers, shown=Redactor().text)
    assert values[semconv.ATTEMPT] == "t:2"
    assert values[semconv.ROOT_ID] == "t"
    assert values[semconv.ETA] == int(eta.timestamp() * 1e6)
    assert values[semconv.CHAIN_IDS] == ["n"]
    assert values[semconv.CHAIN_NAMES] == ["next"]
    assert values[semconv.MESSAGING_DESTINATION] == "orders"
    assert values[semconv.REDELIVERED] is True
    assert "hunter2" not in values[semconv.KWARGS]
    assert tasks.snapshot(headers, shown=lambda _: None)[semconv.KWARGS] is None


@pytest.mark.parametrize(
    ("eta_after_sent", "started_after_sent", "waited"), [(None, 2.0, 2.0), (10.0, 11.5, 1.5), (10.0, 9.0, 0.0)]
)
def test_waiting_for_an_eta_is_not_queue_time(
    eta_after_sent: float | None, started_after_sent: float, waited: float
) -> None:
    sent_at = 1_000_000_000
    values = {
        semconv.SENT_AT: sent_at,
        semconv.ETA: None if eta_after_sent is None else sent_at + int(eta_after_sent * 1e6),
    }
    assert tasks.queue_time(values, sent_at + int(started_after_sent * 1e6)) == pytest.approx(waited)


def test_without_our_header_the_queue_time_is_not_known() -> None:
    assert tasks.queue_time(tasks.snapshot({"id": "t"}, shown=str), 5) is None


def test_moments_of_any_form_become_microseconds() -> None:
    moment = datetime(2026, 5, 6, 7, 8, 9, tzinfo=UTC)
    expected = int(moment.timestamp() * 1e6)
    for form in (moment, moment.isoformat(), "2026-05-06T07:08:09Z", moment.replace(tzinfo=None), moment.timestamp()):
        assert tasks.microseconds(form) == expected
    assert tasks.microseconds("soon") is None
    assert tasks.microseconds(None) is None
    assert tasks.microseconds(timedelta(1)) is None
