"""Pieces of OTLP/JSON for the collector's tests."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

from hypothesis import strategies as st

from celeryscope import otlp
from celeryscope_collector.chain import Chain, through
from celeryscope_collector.processors import ForTenant
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


def typed(signal: Signal, resource: dict[str, Any], attributes: dict[str, Any], **item: Any) -> Record:
    """A record with attributes of any types; ``item`` has its other fields."""
    known = {"traceId": "1" * 32, "spanId": "2" * 16, "startTimeUnixNano": "1", "endTimeUnixNano": "1000001"}
    content = (known if signal is TRACES else {"timeUnixNano": "17"}) | item
    origin = Origin({"attributes": otlp.attributes(resource)}, {"name": "test"})
    return Record(signal, origin, content | {"attributes": otlp.attributes(attributes)})


def processed(
    processors: dict[str, ForTenant], records: Iterable[Record], tenant: str = "shop"
) -> tuple[list[Record], Counter[str]]:
    """What the processors leave of one request's records, and what they drop, by processor."""
    chain = Chain((name, prepare(tenant)) for name, prepare in processors.items())
    records, dropped = list(records), Counter[str]()
    chain.look(records)
    kept = []
    for record in records:
        record.origin = chain.origin(record.origin)
        if through(chain.steps(None), record, dropped) is not None:
            kept.append(record)
    return kept, dropped


def said(attributes: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Attributes as a dict of their plain values."""
    return {entry["key"]: next(iter(entry["value"].values())) for entry in attributes}


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
