from datetime import UTC, datetime, timedelta

import pytest

from celeryscope import semconv, tasks
from celeryscope.redaction import Redactor


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
        "celeryscope": {"sent_at": 5, "clock": 6, "plan": [["n", "next"]], "root": "r"},
    }
    values = tasks.snapshot(headers, shown=Redactor().text)
    assert values[semconv.ATTEMPT] == "t:2"
    assert values[semconv.ROOT_ID] == "r"
    assert tasks.snapshot({"id": "t"}, shown=str)[semconv.ROOT_ID] == "t"
    assert values[semconv.ETA] == int(eta.timestamp() * 1e6)
    assert values[semconv.CHAIN_IDS] == ["n"]
    assert values[semconv.CHAIN_NAMES] == ["next"]
    assert values[semconv.MESSAGING_DESTINATION] == "orders"
    assert values[semconv.REDELIVERED] is True
    assert "hunter2" not in values[semconv.KWARGS]
    assert tasks.snapshot(headers, shown=lambda _: None)[semconv.KWARGS] is None


def test_a_snapshot_has_the_stamps_one_by_one_and_no_secret_in_them() -> None:
    stamps = {"customer": "c-7", "regions": ["north", "south"], "password": "hunter2"}
    headers = {"id": "t", "stamps": stamps, "argsrepr": "()", "kwargsrepr": "{}"}
    values = tasks.snapshot(headers, shown=Redactor().text)
    assert [pair for pair in values[semconv.STAMPS] if "password" not in pair] == [
        "customer=c-7",
        "regions=north",
        "regions=south",
    ]
    assert "hunter2" not in str(values)
    assert semconv.STAMPS not in tasks.snapshot({"id": "t", "stamps": {}}, shown=str)


def test_what_is_written_down_at_a_start_has_no_secret_in_its_stamps_and_says_the_same_of_them() -> None:
    stamps = {"customer": {"c-7", "c-8"}, "password": "hunter2"}
    headers = {"id": "t", "stamps": stamps, "argsrepr": "()", "kwargsrepr": "{}"}
    told = tasks.told(headers, Redactor().text)
    assert "hunter2" not in str(told)
    expected = tasks.snapshot(headers, Redactor().text)[semconv.STAMPS]
    assert tasks.snapshot(told, tasks.as_told)[semconv.STAMPS] == expected
    assert semconv.STAMPS not in tasks.snapshot(tasks.told(headers, lambda _: None), tasks.as_told)


SENT = 1_000_000_000


@pytest.mark.parametrize(
    ("eta", "received", "started", "queued", "prefetched"),
    [
        (None, 2.0, 2.5, 2.0, 0.5),
        (None, None, 2.5, 2.5, 0.0),
        (10.0, 1.0, 11.5, 0.0, 1.5),  # the worker held it until its eta, and then for others
        (10.0, 12.0, 12.5, 2.0, 0.5),  # nobody was there at its eta
        (10.0, 1.0, 9.0, 0.0, 0.0),  # clocks differ
        (None, -1.0, 0.5, 0.0, 0.5),
        (None, 3.0, 2.0, 2.0, 0.0),
    ],
)
def test_waiting_in_the_broker_and_in_the_worker_are_told_apart_and_an_eta_is_neither(
    eta: float | None, received: float | None, started: float, queued: float, prefetched: float
) -> None:
    def at(seconds: float | None) -> int | None:
        return None if seconds is None else SENT + int(seconds * 1e6)

    values = {semconv.SENT_AT: SENT, semconv.ETA: at(eta), semconv.RECEIVED_AT: at(received)}
    waited = tasks.waiting(values, SENT + int(started * 1e6))
    assert waited == {semconv.QUEUE_TIME: pytest.approx(queued), semconv.PREFETCH_TIME: pytest.approx(prefetched)}
    assert sum(waited.values()) == pytest.approx(max(started - (eta or 0), 0))


def test_without_our_header_waiting_is_not_known() -> None:
    assert tasks.waiting(tasks.snapshot({"id": "t"}, shown=str), 5) == {}


def test_the_clock_of_a_message_is_its_sent_time_unless_the_header_says_otherwise() -> None:
    assert (tasks.clock_of({"sent_at": 5}), tasks.clock_of({"sent_at": 5, "clock": 7}), tasks.clock_of({})) == (5, 7, 0)


def test_moments_of_any_form_become_microseconds() -> None:
    moment = datetime(2026, 5, 6, 7, 8, 9, tzinfo=UTC)
    expected = int(moment.timestamp() * 1e6)
    for form in (moment, moment.isoformat(), "2026-05-06T07:08:09Z", moment.replace(tzinfo=None), moment.timestamp()):
        assert tasks.microseconds(form) == expected
    assert tasks.microseconds("soon") is None
    assert tasks.microseconds(None) is None
    assert tasks.microseconds(timedelta(1)) is None
