"""What is told of the commonest publishes in arrays says what would have been told of them in full."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from celeryscope import semconv, tasks
from celeryscope.spool import plain_sent
from celeryscope.spool.state import Sent
from support.tellings import HEADERS, MOMENTS, NAME, TEXT, USUAL, parsed, shown, usual_or, written

MESSAGES = some.fixed_dictionaries(
    HEADERS | {"parent_id": usual_or(some.none()), "retries": usual_or(some.just(0))},
)
EMBED = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
BODY = ((), {}, EMBED)


def told_in_full(headers: dict[str, Any], sent_at: int, ended_ns: int, destination: Any) -> Sent:
    header = {semconv.HEADER_SENT_AT: sent_at, semconv.HEADER_CLOCK: sent_at + 1}
    return Sent(
        time_ns=sent_at * 1000,
        started_ns=sent_at * 1000,
        ended_ns=ended_ns,
        name=NAME,
        system="redis",
        destination=destination,
        clock=sent_at + 1,
        uid="f00-1",
        request=tasks.told(headers | {semconv.HEADER: header}, shown),
        trace_id="a" * 32,
        span_id="b" * 16,
        parent_id="",
    )


def told_plainly(headers: dict[str, Any], sent_at: int, ended_ns: int, destination: Any) -> list[Any] | None:
    message = plain_sent.message_of(headers, NAME, BODY, shown)
    if message is None:
        return None
    before = [sent_at, ended_ns, NAME, "redis", destination, sent_at + 1, "f00-1"]
    return written([*before, *message, "a" * 32, "b" * 16])


def records_of(told: Sent | list[Any]) -> list[Any]:
    """The event and the span, without the order of their attributes."""
    return [parsed(record) for record in plain_sent.sent(told)]


@given(MESSAGES, MOMENTS, some.integers(0, 10**15), usual_or(TEXT, some.none()))
def test_a_publish_told_in_an_array_is_told_as_in_full(
    headers: dict[str, Any], sent_at: int, took: int, destination: str | None
) -> None:
    said = headers, sent_at, sent_at * 1000 + took, destination
    plainly = told_plainly(*said)
    if plainly is not None:
        assert records_of(plainly) == records_of(written(told_in_full(*said)))


def test_a_usual_publish_is_made_at_one_stroke() -> None:
    told = told_plainly(USUAL, 1_790_000_000_000_000, 1_790_000_000_000_000_500, "orders")
    assert told is not None
    assert plain_sent.at_one_stroke(told) is not None


@pytest.mark.parametrize(
    "more",
    [
        {"parent_id": "7"},
        {"retries": 1},
        {"eta": "2026-11-21T10:00:00+00:00"},
        {"expires": "2026-11-21T10:00:00+00:00"},
        {"group": "g"},
        {"stamps": {"order": ["7"]}},
        {"task": "shop.other"},
        {"root_id": None},
        {"root_id": ""},
    ],
)
def test_what_is_not_as_usual_is_told_in_full(more: dict[str, Any]) -> None:
    assert plain_sent.message_of(USUAL, NAME, BODY, shown) is not None
    assert plain_sent.message_of(USUAL | more, NAME, BODY, shown) is None


@pytest.mark.parametrize(
    "body", [None, b"", {}, ((), {}), ((), {}, None), *(((), {}, EMBED | {key: [1]}) for key in ("callbacks", "chain"))]
)
def test_a_message_with_a_plan_or_of_another_protocol_is_told_in_full(body: Any) -> None:
    assert plain_sent.message_of(USUAL, NAME, body, shown) is None


def test_a_message_that_lacks_a_header_is_told_in_full() -> None:
    for key in USUAL.keys() - {"group_index"}:
        headers = {name: value for name, value in USUAL.items() if name != key}
        assert plain_sent.message_of(headers, NAME, BODY, shown) is None
