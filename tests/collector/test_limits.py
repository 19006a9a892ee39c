"""Long values keep both ends and say what is missing; nothing else changes."""

import base64
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from celeryscope import semconv
from celeryscope_collector.otlp.validity import checked_log
from celeryscope_collector.processors.limits import Limits, cut, limit_item, limits
from celeryscope_collector.records import Record
from collector_samples import attribute, attribute_lists, log_record, values

SMALL = Limits(attributes=32, value=256, stacktrace=2048, body=256)


def process(record: Record) -> None:
    step = limits(SMALL)("shop").record
    assert step is not None
    assert step(record) is record


def cut_names(item: dict[str, Any]) -> list[str]:
    (marked,) = [entry["value"] for entry in item["attributes"] if entry["key"] == semconv.CUT]
    return [value["stringValue"] for value in marked["arrayValue"]["values"]]


@given(st.text(), st.integers(64, 400))
def test_a_cut_text_is_within_the_limit_and_keeps_both_ends(text: str, limit: int) -> None:
    text *= 20
    shortened = cut(text, limit)

    assert len(shortened.encode()) <= limit
    if len(text.encode()) <= limit:
        assert shortened == text
    else:
        head, _, tail = shortened.partition("\n[... ")
        assert text.startswith(head)
        assert text.endswith(tail.partition(" ...]\n")[2])


@given(st.text(), st.integers(64, 400))
def test_cutting_twice_is_cutting_once(text: str, limit: int) -> None:
    once = cut(text * 20, limit)
    assert cut(once, limit) == once


def test_the_error_at_the_end_of_a_traceback_stays() -> None:
    trace = "Traceback (most recent call last):\n" + '  File "x.py"\n' * 1000 + "ValueError: the reason"
    record = log_record(exception__stacktrace=trace, celery__task_id="t")

    process(record)

    kept = record.attributes[0]["value"]["stringValue"]
    assert kept.startswith("Traceback (most recent call last):")
    assert kept.endswith("ValueError: the reason")
    assert 1900 < len(kept) <= 2048
    assert cut_names(record.item) == [semconv.EXCEPTION_STACKTRACE]


def test_stacks_of_a_task_that_runs_too_long_may_be_as_long_as_a_traceback() -> None:
    record = log_record(celery__stack__trace="x" * 1000)

    process(record)

    assert record.attributes[0]["value"]["stringValue"] == "x" * 1000


def test_body_and_span_events_are_cut_and_named_once() -> None:
    item = {
        "body": {"stringValue": "x" * 1000},
        "attributes": [attribute("a", "x" * 1000)],
        "events": [{"attributes": [attribute("a", "x" * 1000)]}],
    }
    limit_item(item, SMALL)
    assert cut_names(item) == ["a", "body"]
    assert len(orjson.dumps(item)) < 1500


def test_what_the_sender_cut_itself_stays_listed() -> None:
    earlier = {"key": semconv.CUT, "value": {"arrayValue": {"values": [{"stringValue": "celery.args"}]}}}
    item = {"attributes": [earlier, attribute("a", "x" * 1000)]}
    limit_item(item, SMALL)
    assert cut_names(item) == ["celery.args", "a"]


def test_of_too_many_attributes_ours_are_kept_and_the_others_counted() -> None:
    item = {"attributes": [attribute(f"k{n}", "v") for n in range(100)] + [attribute(semconv.TASK_ID, "t")]}
    limit_item(item, SMALL)
    assert len(item["attributes"]) == 32
    assert attribute(semconv.TASK_ID, "t") in item["attributes"]
    assert item["droppedAttributesCount"] == 69


def test_what_was_dropped_is_counted_as_far_as_otlp_can_count() -> None:
    item = {"attributes": [attribute(f"k{n}", "v") for n in range(100)], "droppedAttributesCount": 2**32 - 1}
    limit_item(item, SMALL)
    assert item["droppedAttributesCount"] == 2**32 - 1


def test_bytes_over_the_limit_are_replaced_since_half_of_them_would_be_garbage() -> None:
    item = {"attributes": [{"key": "blob", "value": {"bytesValue": base64.b64encode(bytes(1000)).decode()}}]}
    limit_item(item, SMALL)
    assert list(item["attributes"][0]["value"]) == ["stringValue"]
    assert cut_names(item) == ["blob"]


@given(attribute_lists(values()), values())
def test_a_record_within_the_limits_does_not_change(attributes: list[dict[str, Any]], body: dict[str, Any]) -> None:
    item = checked_log({"attributes": attributes, "body": body})
    before = orjson.dumps(item)
    limit_item(item, Limits())
    assert orjson.dumps(item) == before
