"""The stroke at which the commonest ENDs are made makes what ``state.ended`` makes."""

from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as some

from celeryscope import semconv
from celeryscope.spool import plain_ends, state
from celeryscope.spool.state import End, Start
from support.starts import a_start

TEXT = some.text(max_size=20)
MOMENTS = some.integers(1_700_000_000_000_000, 1_900_000_000_000_000)
ODD = some.one_of(some.none(), some.booleans(), some.floats(), TEXT, some.integers(), some.lists(TEXT, max_size=2))


def usual_or(usual: some.SearchStrategy[Any]) -> some.SearchStrategy[Any]:
    """Mostly as it is, now and then as a sender of another kind has it."""
    return some.one_of(usual, usual, usual, usual, ODD)


HEADERS = some.fixed_dictionaries(
    {
        "sent_at": usual_or(MOMENTS),
        "clock": usual_or(MOMENTS),
        "received_at": usual_or(MOMENTS),
        "delivery": some.just("0123456789abcdef"),
    },
    optional={"root": TEXT, "group_size": some.integers(1, 9)},
)
REQUESTS = some.fixed_dictionaries(
    {"id": usual_or(TEXT), "task": TEXT, "root_id": usual_or(TEXT), "celeryscope": HEADERS},
    optional={
        "parent_id": usual_or(TEXT),
        "retries": some.integers(0, 3),
        "origin": usual_or(TEXT),
        "argsrepr": TEXT,
        "kwargsrepr": TEXT,
        "delivery_info": some.fixed_dictionaries(
            {"routing_key": usual_or(TEXT), "redelivered": some.sampled_from([None, False, True])}
        ),
        "eta": some.just("2026-11-21T10:00:00+00:00"),
        "group": TEXT,
        "group_index": some.integers(0, 3),
    },
)
STARTS = some.fixed_dictionaries(
    {
        "time_ns": MOMENTS.map(lambda moment: moment * 1000),
        "name": TEXT,
        "delivery": some.just("0123456789abcdef"),
        "worker": some.one_of(some.none(), TEXT),
        "system": TEXT,
        "clock": MOMENTS,
        "uid": TEXT,
        "request": REQUESTS,
        "trace_id": some.just("a" * 32),
        "span_id": some.sampled_from(["b" * 16, ""]),
        "parent_id": some.sampled_from(["c" * 16, ""]),
    }
)
SPANS = some.fixed_dictionaries(
    {"ended_ns": MOMENTS.map(lambda moment: moment * 1000)}, optional={"name": TEXT, "status": some.just(2)}
)
ENDS = some.fixed_dictionaries(
    {
        "event": some.sampled_from([semconv.EVENT_TASK_SUCCEEDED] * 3 + [semconv.EVENT_TASK_FAILED, None]),
        "time_ns": MOMENTS.map(lambda moment: moment * 1000),
        "severity": some.sampled_from(["INFO", "INFO", "WARN"]),
        "body": TEXT,
        "attributes": some.fixed_dictionaries(
            {
                semconv.LOG_RECORD_UID: TEXT,
                semconv.ENDED_AT: MOMENTS,
                semconv.STATE: some.just(semconv.STATE_SUCCESS),
                semconv.RUNTIME: some.floats(0, 1e6),
                semconv.CLOCK: MOMENTS,
            },
            optional={semconv.EXCEPTION_TYPE: TEXT},
        ),
        "span": some.one_of(SPANS, SPANS, some.none()),
    }
)


def usual() -> tuple[Start, End]:
    """A no-op task's, as a worker writes them."""
    task_id = "8d0f4a0e-5a43-4a9e-8a2e-1f2e3d4c5b6a"
    stamps = {"sent_at": 1_790_000_000_000_000, "clock": 1_790_000_000_000_000, "received_at": 1_790_000_000_000_100}
    start = a_start(
        time_ns=1_790_000_000_123_456_789,
        delivery="0123456789abcdef",
        clock=1_790_000_000_123_456,
        request={
            "id": task_id,
            "task": "shop.pay",
            "root_id": task_id,
            "retries": 0,
            "origin": "gen1@one",
            "argsrepr": "('100 %', 'ü\ud800')",
            "kwargsrepr": "{}",
            "delivery_info": {"routing_key": "orders", "redelivered": False},
            semconv.HEADER: {**stamps, "delivery": "0123456789abcdef"},
        },
    )
    said = {
        semconv.LOG_RECORD_UID: "f00-2",
        semconv.ENDED_AT: 1_790_000_000_123_556,
        semconv.STATE: semconv.STATE_SUCCESS,
        semconv.RUNTIME: 0.0001,
        semconv.CLOCK: 1_790_000_000_123_457,
    }
    return start, End(
        event=semconv.EVENT_TASK_SUCCEEDED,
        time_ns=1_790_000_000_123_556_789,
        severity="INFO",
        body="Task shop.pay succeeded",
        attributes=said,
        span={"ended_ns": 1_790_000_000_123_656_789},
    )


def parsed(record: bytes | None) -> Any:
    """Without the order of its attributes."""
    assert record is not None
    content = orjson.loads(record)
    return content | {"attributes": sorted(content["attributes"], key=lambda attribute: attribute["key"])}


def test_a_task_that_succeeds_is_told_at_one_stroke_as_it_is_told_in_full() -> None:
    start, end = usual()
    made = plain_ends.ended(start, end)
    assert made is not None
    assert [parsed(record) for record in made] == [parsed(record) for record in state.ended(start, end)]


@given(STARTS, ENDS)
def test_whatever_is_told_at_one_stroke_is_told_as_in_full(start: Start, end: End) -> None:
    made = plain_ends.ended(start, end)
    if made is not None:
        assert [parsed(record) for record in made] == [parsed(record) for record in state.ended(start, end)]


def test_what_is_not_as_usual_is_left_to_be_told_in_full() -> None:
    start, end = usual()
    header = start["request"][semconv.HEADER]
    unusual: list[tuple[Any, Any]] = [
        (start, {**end, "event": semconv.EVENT_TASK_RETRIED}),
        (start, {**end, "span": {"ended_ns": 1, "links": "{}"}}),
        (start, {**end, "attributes": {**end["attributes"], semconv.REDELIVERED: True}}),
        ({**start, "request": {**start["request"], "eta": "2026-11-21T10:00:00"}}, end),
        ({**start, "request": {**start["request"], semconv.HEADER: {**header, "plan": [["id", "next"]]}}}, end),
        ({**start, "request": {**start["request"], semconv.HEADER: {**header, "sent_at": 2**63}}}, end),
        ({**start, "request": {**start["request"], "delivery_info": {"redelivered": True}}}, end),
    ]
    assert [plain_ends.ended(*what) for what in unusual] == [None] * len(unusual)
