"""What is told of the commonest tasks in arrays says what would have been told of them in full."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from celeryscope import semconv, tasks
from celeryscope.spool import lost, plain, state
from celeryscope.spool.plain import Told
from celeryscope.spool.state import End, Start
from support.tellings import HEADERS, MOMENTS, NAME, TEXT, USUAL, parsed, shown, usual_or, written

DELIVERY = "0123456789abcdef"
STAMPS = {
    "sent_at": usual_or(MOMENTS),
    "clock": MOMENTS,
    "received_at": usual_or(MOMENTS),
    "delivery": some.just(DELIVERY),
}
REQUESTS = some.fixed_dictionaries(
    {
        **HEADERS,
        "delivery_info": some.fixed_dictionaries(
            {"routing_key": usual_or(TEXT), "redelivered": usual_or(some.just(False))},
            optional={"exchange": TEXT},
        ),
        "celeryscope": some.fixed_dictionaries(STAMPS),
        "callbacks": some.none(),
        "chain": some.none(),
    }
)
TIMES = some.tuples(MOMENTS, some.integers(0, 10**15)).map(lambda pair: (pair[0] * 1000, pair[0] * 1000 + pair[1]))


def a_request(**more: Any) -> dict[str, Any]:
    """A no-op task's, as a pool's process has it."""
    header = {
        "sent_at": 1_790_000_000_000_000,
        "clock": 1_790_000_000_000_001,
        "received_at": 1_790_000_000_000_100,
        "delivery": DELIVERY,
    }
    where = {"exchange": "", "routing_key": "orders", "redelivered": False}
    return {**USUAL, "delivery_info": where, semconv.HEADER: header, **more}


def told_in_full(source: Mapping[str, Any], started_ns: int, worker: str | None) -> Start:
    return Start(
        time_ns=started_ns,
        name=NAME,
        delivery=DELIVERY,
        worker=worker,
        system="redis",
        clock=7,
        uid="f00-1",
        request=tasks.told(source, shown),
        trace_id="a" * 32,
        span_id="b" * 16,
        parent_id="c" * 16,
    )


def told_plainly(source: Mapping[str, Any], started_ns: int, worker: str | None) -> list[Any] | None:
    known = plain.request_of(source, NAME, shown)
    if known is None:
        return None
    _, _, request = known
    before = [started_ns, NAME, DELIVERY, worker, "redis", 7, "f00-1"]
    return written([*before, *request, "a" * 32, "b" * 16, "c" * 16])


def ended_in_full(started_ns: int, ended_ns: int) -> End:
    return End(
        event=semconv.EVENT_TASK_SUCCEEDED,
        time_ns=ended_ns,
        severity="INFO",
        body=f"Task {NAME} succeeded",
        attributes={
            semconv.LOG_RECORD_UID: "f00-2",
            semconv.ENDED_AT: ended_ns // 1000,
            semconv.STATE: semconv.STATE_SUCCESS,
            semconv.RUNTIME: (ended_ns - started_ns) / 1e9,
            semconv.CLOCK: 8,
        },
        span={"ended_ns": ended_ns},
    )


def records_of(start: Told, end: End | list[Any]) -> list[Any]:
    """All that can become of a delivery: under way, ended, and lost."""
    in_full = plain.start_of(start)
    died_at = in_full["time_ns"] + 5000
    made = (state.started(in_full), lost.lost_event(in_full, died_at), lost.lost_span(in_full, died_at))
    return [parsed(record) for record in (*made, *plain.ended(start, end))]


def test_a_task_that_succeeds_is_told_at_one_stroke_as_it_is_told_in_full() -> None:
    started, ended = 1_790_000_000_123_456_789, 1_790_000_000_123_556_789
    start = told_plainly(a_request(), started, "celery@host")
    assert start is not None
    end = [ended, 8, "f00-2"]
    made = plain.at_one_stroke(start, end)
    assert made is not None
    in_full = written(told_in_full(a_request(), started, "celery@host"))
    assert [parsed(record) for record in made] == [
        parsed(record) for record in state.ended(in_full, ended_in_full(started, ended))
    ]


@given(REQUESTS, TIMES, some.one_of(some.none(), TEXT))
def test_whatever_is_told_in_arrays_is_told_as_in_full(
    source: dict[str, Any], times: tuple[int, int], worker: str | None
) -> None:
    start = told_plainly(source, times[0], worker)
    if start is not None:
        in_full = written(told_in_full(source, times[0], worker))
        assert records_of(start, [times[1], 8, "f00-2"]) == records_of(in_full, ended_in_full(*times))
        assert plain.identity(start) == tasks.identity(state.attributes(in_full))


UNUSUAL: list[dict[str, Any]] = [
    {"task": "shop.alias"},
    {"eta": "2026-11-21T10:00:00"},
    {"expires": "2026-11-21T10:00:00"},
    {"group": "g"},
    {"stamps": {"order": ["7"]}},
    {"root_id": None},
    {"delivery_info": {"routing_key": "orders", "redelivered": True}},
    {"delivery_info": {"routing_key": "orders"}},
    {"delivery_info": None},
    {semconv.HEADER: None},
    {semconv.HEADER: {"sent_at": 1}},
    {semconv.HEADER: {**a_request()[semconv.HEADER], "clock": "7"}},
    {semconv.HEADER: {**a_request()[semconv.HEADER], "plan": [["id", "next"]]}},
]


@pytest.mark.parametrize("more", UNUSUAL)
def test_what_is_not_as_usual_is_left_to_be_told_in_full(more: dict[str, Any]) -> None:
    assert plain.request_of(a_request(), NAME, shown) is not None
    assert plain.request_of(a_request(**more), NAME, shown) is None


def test_a_request_that_lacks_what_celery_always_sends_is_left_to_be_told_in_full() -> None:
    request = a_request()
    for key in request:
        if key != "group_index":
            assert plain.request_of({name: request[name] for name in request if name != key}, NAME, shown) is None
