"""What is seen of many records at once is what looking at each of them would say."""

import copy
import uuid
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeryscope import semconv
from celeryscope_collector.otlp import decode as decoding
from celeryscope_collector.otlp.answers import JSON
from celeryscope_collector.otlp.survey import surveyed
from celeryscope_collector.otlp.validity import MAX_DEPTH, checked_log, checked_span
from celeryscope_collector.pipeline import ExportRequest, Outcome, Pipeline
from celeryscope_collector.processors import Survey
from celeryscope_collector.processors.identity import identity
from celeryscope_collector.processors.limits import Limits, limits
from celeryscope_collector.processors.redaction import redaction
from celeryscope_collector.records import LOGS, TRACES, Signal
from celeryscope_collector.watched import Fixed
from collector_samples import any_items, with_shortcuts, without_shortcuts
from support import messages

CHECKS = {LOGS: checked_log, TRACES: checked_span}


def request(signal: Signal, items: list[Any]) -> bytes:
    return orjson.dumps({signal.resource_key: [{signal.scope_key: [{signal.item_key: items}]}]})


def run(signal: Signal, items: list[Any]) -> Outcome:
    processors = {"identity": identity, "redaction": redaction(), "limits": limits(Limits(4, 256, 1024, 256))}
    pipeline = Pipeline(Fixed(processors), 1_000_000, 100_000)
    return pipeline.run(ExportRequest(signal, "shop", JSON, "", request(signal, items), 17), 3)


@given(st.sampled_from([LOGS, TRACES]), st.data())
def test_what_is_plain_is_valid_and_needs_no_mending(signal: Signal, data: st.DataObject) -> None:
    items = orjson.loads(orjson.dumps(data.draw(st.lists(any_items(signal), min_size=1, max_size=3))))
    before = copy.deepcopy(items)
    if surveyed(items, signal) is not None:
        assert [CHECKS[signal](item) for item in items] == before


@given(st.sampled_from([LOGS, TRACES]), st.data())
def test_the_outcome_is_the_same_whether_records_are_surveyed_or_not(signal: Signal, data: st.DataObject) -> None:
    items = data.draw(st.lists(any_items(signal), max_size=4))
    fast, slow = with_shortcuts(lambda: run(signal, items)), without_shortcuts(lambda: run(signal, items))
    assert (fast.messages, fast.refused, fast.dropped) == (slow.messages, slow.refused, slow.dropped)


@pytest.mark.parametrize("name", [semconv.EVENT_TASK_SUCCEEDED, semconv.EVENT_TASK_FAILED])
def test_events_of_workers_are_plain(name: str) -> None:
    events = [orjson.loads(messages.event(name, str(uuid.uuid4()), CHAIN_IDS=["a", "b"])) for _ in range(3)]
    survey = surveyed(events, LOGS)
    assert survey is not None
    assert {semconv.TASK_ID, semconv.CHAIN_IDS} < survey.names
    assert redaction()("shop").leaves(survey)
    assert limits(Limits())("shop").leaves(survey)


def test_spans_of_workers_and_libraries_are_plain() -> None:
    event = {"timeUnixNano": "1", "name": "e", "attributes": [{"key": "in.event", "value": {"boolValue": True}}]}
    link = {"traceId": "ab" * 16, "spanId": "cd" * 8, "attributes": [{"key": "in.link", "value": {"intValue": "-5"}}]}
    span = orjson.loads(messages.span("ab" * 16, "cd" * 8, n=1.5, **{semconv.TASK_ID: "t"}))
    survey = surveyed([span | {"events": [event], "links": [link], "parentSpanId": "ef" * 8}], TRACES)
    assert survey == Survey(frozenset({"n", semconv.TASK_ID, "in.event", "in.link"}), 1, 3, url_passwords=False)


def log_with(value: dict[str, Any]) -> dict[str, Any]:
    return {"attributes": [{"key": "a", "value": value}], "body": {"stringValue": "text"}}


@pytest.mark.parametrize(
    "item",
    [
        17,
        log_with({}),
        log_with({"stringValue": "a", "intValue": "1"}),
        log_with({"newValue": "a"}),
        log_with({"intValue": "1.5"}),
        log_with({"intValue": "9" * 19}),
        log_with({"intValue": 2**63}),
        log_with({"doubleValue": "1"}),
        log_with({"boolValue": 1}),
        log_with({"stringValue": 5}),
        log_with({"arrayValue": {"values": [], "more": 1}}),
        log_with({"arrayValue": {"values": {"stringValue": "a"}}}),
        {"attributes": [{"key": "a"}]},
        {"attributes": [{"key": 5, "value": {"boolValue": True}}]},
        {"attributes": [{"key": "a", "value": {"boolValue": True}, "more": 1}]},
        {"attributes": {"key": "a"}},
        {"unknown": "field"},
        {"body": None},
        {"severityNumber": "9"},
        {"timeUnixNano": "-1"},
        {"timeUnixNano": "9" * 20},
        {"traceId": "AB" * 16},
        {"traceId": "00" * 16},
        {"traceId": "ab"},
    ],
)
def test_what_may_need_mending_or_refusing_is_not_plain(item: Any) -> None:
    plain = log_with({"stringValue": "plain"})
    assert surveyed([plain, plain], LOGS) is not None
    assert surveyed([plain, item], LOGS) is None


@pytest.mark.parametrize("name", ["traceId", "spanId"])
def test_a_span_without_ids_is_not_plain(name: str) -> None:
    span = {"traceId": "ab" * 16, "spanId": "cd" * 8}
    assert surveyed([span], TRACES) is not None
    assert surveyed([span, {key: value for key, value in span.items() if key != name}], TRACES) is None


def test_names_inside_of_values_and_bodies_are_seen() -> None:
    inner = {"kvlistValue": {"values": [{"key": "inner", "value": {"boolValue": True}}]}}
    survey = surveyed([log_with({"arrayValue": {"values": [inner]}}) | {"body": inner}], LOGS)
    assert survey is not None
    assert survey.names == {"a", "inner"}


@pytest.mark.parametrize(
    "item",
    [
        log_with({"stringValue": "x://u:hunter2@h"}),
        log_with({"arrayValue": {"values": [{"stringValue": "x://u:hunter2@h"}]}}),
        {"body": {"stringValue": "x://u:hunter2@h"}},
    ],
)
def test_a_password_in_a_url_is_seen_wherever_it_stands(item: dict[str, Any]) -> None:
    survey = surveyed([log_with({"stringValue": "plain"}), item], LOGS)
    assert survey is not None
    assert survey.url_passwords


@pytest.mark.parametrize(
    ("value", "longest"),
    [({"stringValue": "x" * 900}, 900), ({"stringValue": "ü" * 900}, 1800), ({"bytesValue": "AAAA" * 300}, 1200)],
)
def test_the_longest_value_is_never_thought_shorter(value: dict[str, Any], longest: int) -> None:
    survey = surveyed([log_with({"stringValue": "short"}), log_with({"arrayValue": {"values": [value]}})], LOGS)
    assert survey is not None
    assert survey.longest >= longest


def test_what_nests_too_deeply_is_not_plain() -> None:
    value: dict[str, Any] = {"stringValue": "deep"}
    for _ in range(MAX_DEPTH + 1):
        value = {"arrayValue": {"values": [value]}}
    assert surveyed([log_with(value)], LOGS) is None


def test_an_odd_record_does_not_make_those_of_other_chunks_slow() -> None:
    plain = log_with({"stringValue": "plain"})
    decoded = decoding.decode(request(LOGS, [17] + [plain] * (2 * decoding.CHUNK)), JSON, LOGS)
    assert [chunk.survey is None for chunk in decoded.chunks] == [True, False, False]
    assert sum(map(len, decoded.chunks)) == 2 * decoding.CHUNK
