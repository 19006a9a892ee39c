"""Pieces of OTLP/JSON for the collector's tests."""

from typing import Any

from hypothesis import strategies as st

from celeryscope_collector.records import LOGS, TRACES, Origin, Record, Signal


def text_value(text: str) -> dict[str, Any]:
    return {"stringValue": text}


def attribute(key: str, text: str) -> dict[str, Any]:
    return {"key": key, "value": text_value(text)}


def log_record(**attributes: str) -> Record:
    return record(LOGS, {"timeUnixNano": "17"}, attributes)


def span(**attributes: str) -> Record:
    return record(TRACES, {"traceId": "1" * 32, "spanId": "2" * 16, "name": "run/x"}, attributes)


def record(signal: Signal, item: dict[str, Any], attributes: dict[str, str]) -> Record:
    # Keyword arguments can't hold dots: two underscores stand for one.
    listed = [attribute(key.replace("__", "."), text) for key, text in attributes.items()]
    return Record(signal, Origin({"attributes": []}, {"name": "test"}), item | {"attributes": listed})


def values() -> st.SearchStrategy[dict[str, Any]]:
    """Any AnyValue, as OTLP/JSON has it."""
    simple = st.one_of(
        st.builds(dict),
        st.fixed_dictionaries({"stringValue": st.text()}),
        st.fixed_dictionaries({"intValue": st.one_of(st.integers(-(2**63), 2**63 - 1), st.just("-17"))}),
        st.fixed_dictionaries({"boolValue": st.booleans()}),
        st.fixed_dictionaries(
            {"doubleValue": st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.just("NaN"))}
        ),
        st.fixed_dictionaries({"bytesValue": st.just("AAEC")}),
    )
    return st.recursive(
        simple,
        lambda inner: st.one_of(
            st.fixed_dictionaries({"arrayValue": st.fixed_dictionaries({"values": st.lists(inner, max_size=4)})}),
            st.fixed_dictionaries({"kvlistValue": st.fixed_dictionaries({"values": attribute_lists(inner)})}),
        ),
        max_leaves=8,
    )


def attribute_lists(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[list[dict[str, Any]]]:
    return st.lists(st.fixed_dictionaries({"key": st.text(max_size=8), "value": inner}), max_size=4)
