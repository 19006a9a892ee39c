"""OTLP values as plain ones, as fields, and as times."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeryscope import otlp, semconv
from celeryscope.errors import Rejected
from celeryscope_pipelines.attributes import as_document, identifier, is_moment, moment, plain, timestamp, value

FINITE = st.floats(allow_nan=False, allow_infinity=False)
LEAVES = st.text() | st.booleans() | st.integers(-(2**63) + 1, 2**63 - 1) | FINITE
NAMES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1)


@given(st.dictionaries(NAMES, LEAVES | st.lists(LEAVES) | st.dictionaries(NAMES, LEAVES)))
def test_attributes_come_back_as_they_were_written(attributes: dict[str, Any]) -> None:
    assert plain(otlp.attributes(attributes)) == attributes


@pytest.mark.parametrize(
    "any_value",
    [
        None,
        7,
        {},
        {"newValue": 1},
        {"stringValue": 7},
        {"intValue": "x"},
        {"intValue": True},
        {"intValue": str(2**63)},
        {"boolValue": "true"},
        {"doubleValue": "NaN"},
        {"doubleValue": "-Infinity"},
        {"bytesValue": 1},
    ],
)
def test_a_value_that_is_malformed_or_that_elasticsearch_has_no_type_for_is_none(any_value: Any) -> None:
    assert value(any_value) is None


def test_maps_share_one_field_and_lists_have_one_type() -> None:
    deep = {"b": {"c": 1}, "d": None, "e": [1, "x", {"f": 2}]}
    attributes = {"a": deep, "x.y": {}, "g": [1, 0.5, None], "h": [True, "x", []]}
    assert as_document(attributes) == {
        semconv.MAPS: {"a": deep, "x.y": {}},
        "g": [1, 0.5],
        "h": ["true", "x", "[]"],
    }


def test_an_attribute_named_as_the_field_of_the_maps_is_one_of_them() -> None:
    assert as_document({semconv.MAPS: 7}) == {semconv.MAPS: {semconv.MAPS: 7}}


@pytest.mark.parametrize(
    ("key", "name"),
    [("a.b", "a.b"), (".a", "a"), ("a.", "a"), ("a..b", "a.b"), (". .", "unnamed"), ("x" * 600, "x" * 512)],
)
def test_names_that_elasticsearch_refuses_become_the_nearest_it_takes(key: str, name: str) -> None:
    assert as_document({key: 1}) == {name: 1}


def test_moments_become_dates_and_what_is_none_is_left_out() -> None:
    attributes = {semconv.SENT_AT: 1, semconv.ETA: "tomorrow", semconv.EXPIRES: 2**63, semconv.ENDED_AT: True}
    assert as_document(attributes) == {semconv.SENT_AT: "1970-01-01T00:00:00.000001Z"}


@given(st.integers(1, 2**63 // 1000 - 1), st.integers(0, 999))
def test_times_are_iso_dates_of_the_same_instant(microseconds: int, nanoseconds: int) -> None:
    assert is_moment(microseconds)
    since = datetime.fromisoformat(moment(microseconds)) - datetime(1970, 1, 1, tzinfo=UTC)
    assert since // datetime.resolution == microseconds
    text = timestamp(microseconds * 1000 + nanoseconds)
    assert text == f"{moment(microseconds)[:-1]}{nanoseconds:03d}Z"


@pytest.mark.parametrize("nanoseconds", [0, -1, 2**63])
def test_a_time_that_elasticsearch_does_not_have_is_rejected(nanoseconds: int) -> None:
    with pytest.raises(Rejected, match="1970 and 2262"):
        timestamp(nanoseconds)


def test_ids_are_hexadecimal_in_lower_case_and_not_all_zeros() -> None:
    assert identifier("F6E96CB009CB793A", 16) == "f6e96cb009cb793a"
    for text in ("0" * 16, "f6e96cb009cb793", "f6e96cb009cb793g", "", None, 7):
        assert identifier(text, 16) == ""
