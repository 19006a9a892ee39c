"""Pieces of OTLP/JSON for the collector's tests."""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import pytest
from hypothesis import strategies as st

from celeryscope import otlp
from celeryscope_collector.chain import Chain, through
from celeryscope_collector.otlp import decode as decoding
from celeryscope_collector.otlp.shapes import Shapes
from celeryscope_collector.processors import ForTenant
from celeryscope_collector.records import LOGS, SIGNALS, TRACES, Origin, Record, Signal


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


_NAMES = st.sampled_from(["celery.root_id", "celery.task_id", "log.record.uid", "db.password", "apiKey", "tokens", "a"])
_TEXTS = st.text(max_size=8) | st.sampled_from(["x://u:hunter2@h", "x://h:80/@", "/u:p@://", "x" * 300, "\u00fc" * 200])
_ODD = (
    st.none() | st.just({}) | st.just("odd") | st.just(-1) | st.just([]) | st.just({"stringValue": "a", "intValue": 1})
)


def _mostly(usual: st.SearchStrategy[Any], odd: st.SearchStrategy[Any] = _ODD) -> st.SearchStrategy[Any]:
    return st.integers(0, 29).flatmap(lambda number: odd if number == 29 else usual)


def any_items(signal: Signal) -> st.SearchStrategy[dict[str, Any]]:
    """Spans or log records, most of them valid, with secrets, long values and odd things in them."""
    texts = st.fixed_dictionaries({"stringValue": _TEXTS})
    keys_and_values = st.fixed_dictionaries({"key": _NAMES, "value": _mostly(st.one_of(texts, texts, values()))})
    attributes = _mostly(st.lists(_mostly(keys_and_values), max_size=6))
    times = _mostly(st.sampled_from(["1700000000000000000", "0", "18446744073709551615", 17]))
    trace_ids, span_ids = (
        _mostly(st.sampled_from([half * 4, half.upper() * 4, "0" * 4 * len(half)])) for half in ("abcd1234", "ef56")
    )
    ids = {"traceId": trace_ids, "spanId": span_ids}
    parts = {"timeUnixNano": times, "attributes": attributes, "droppedAttributesCount": _mostly(st.integers(0, 9))}
    if signal is LOGS:
        body = _mostly(texts | values())
        of_logs = {"body": body, "severityNumber": _mostly(st.just(9)), "eventName": _mostly(_TEXTS)}
        return st.fixed_dictionaries({}, optional=parts | ids | of_logs)
    status = st.fixed_dictionaries({}, optional={"code": _mostly(st.just(2)), "message": _mostly(_TEXTS)})
    event = st.fixed_dictionaries({"name": _mostly(_TEXTS)}, optional=parts)
    link = st.fixed_dictionaries(ids, optional={"attributes": attributes})
    of_spans = {
        "parentSpanId": span_ids | st.just(""),
        "endTimeUnixNano": times,
        "status": _mostly(status),
        "events": _mostly(st.lists(_mostly(event), max_size=2)),
        "links": _mostly(st.lists(_mostly(link), max_size=2)),
        "attributes": attributes,
        "kind": _mostly(st.integers(0, 5)),
    }
    return st.fixed_dictionaries(ids | {"name": _mostly(_TEXTS)}, optional=of_spans)


@st.composite
def another(draw: st.DrawFn, content: Any, numbers: Callable[[str], st.SearchStrategy[str]]) -> Any:
    """Of the same form, with other values; ``numbers`` are such as may stand in place of a text."""
    if isinstance(content, dict):
        return {key: value if key == "key" else draw(another(value, numbers)) for key, value in content.items()}
    if isinstance(content, list):
        return [draw(another(member, numbers)) for member in content]
    if isinstance(content, str):
        return draw(st.just(content) | st.text() | st.just("ef" * (len(content) // 2)) | numbers(content))
    if isinstance(content, bool):
        return draw(st.booleans())
    return draw(st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False) | st.just(content))


@st.composite
def damaged(draw: st.DrawFn, text: bytes, pieces: list[bytes]) -> bytes:
    """With some of the pieces put in, or put in place of others."""
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.integers(0, len(text)))
        text = text[:place] + draw(st.sampled_from(pieces)) + text[place + draw(st.integers(0, 3)) :]
    return text


Result = TypeVar("Result")


def with_shortcuts(work: Callable[[], Result]) -> Result:
    """What the work gives when records are surveyed together, and what it decoded before is known by its shapes."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(decoding, "SHAPES", {signal.kind: Shapes(signal) for signal in SIGNALS})
        work()
        return work()


def without_shortcuts(work: Callable[[], Result]) -> Result:
    """What the work gives when each record is looked at by itself."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(decoding, "surveyed", lambda _items, _signal: None)
        patched.setattr(Shapes, "fit", lambda _self, _text: None)
        return work()
