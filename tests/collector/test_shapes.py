"""A text that fits a shape is a record that would have been found plain, and what is said of it is what it says."""

import json
import uuid
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeryscope import semconv
from celeryscope_collector.otlp import shapes as shaping
from celeryscope_collector.otlp.answers import JSON
from celeryscope_collector.otlp.decode import decode
from celeryscope_collector.otlp.shapes import Fit, NoShape, Shape, Shapes
from celeryscope_collector.otlp.survey import surveyed
from celeryscope_collector.partition import partition_key
from celeryscope_collector.records import LOGS, TRACES, Signal
from collector_samples import another, any_items, damaged
from support import messages

_PIECES = [
    *(b'"', b"\\", b'\\"', b"\\u0041", b"\\/", b"\\n", b"\n", b"\0", b"\x1f", b" ", b"{", b"}", b"[", b"]", b",", b":"),
    *(b"0", b"-", b".", b"e", b"9" * 19, b"1e999", b"null", b"true", b"A", "ü".encode(), b"\xff", b"\xed\xa0\x80", b""),
    *(b'"key":"apiKey"', b'","more":"', b'"stringValue":"', b'"},{"', b'"intValue":1,', b"0" * 32, b"0" * 16),
]


def known_items(signal: Signal) -> list[dict[str, Any]]:
    if signal is TRACES:
        return [orjson.loads(messages.span("ab" * 16, "cd" * 8, n=1.5, b=True, **{semconv.ROOT_ID: "r"}))]
    task = str(uuid.uuid4())
    texts = [
        messages.event(semconv.EVENT_TASK_SUCCEEDED, task, CHAIN_IDS=["a", "b"], RUNTIME=0.5),
        messages.event(semconv.EVENT_TASK_FAILED, task),
        messages.line("text", number=-5, **{"in.a.map": {"a": [1, "b"], "c": {}}}),
    ]
    return [orjson.loads(text) for text in texts]


def some_items(signal: Signal) -> st.SearchStrategy[dict[str, Any]]:
    return st.one_of(st.sampled_from(known_items(signal)), any_items(signal))


def shape_of(item: Any, signal: Signal) -> Shape | None:
    """None when the record is not plain, or has no shape for another reason."""
    try:
        return Shape(orjson.dumps(item), item, signal) if surveyed([item], signal) is not None else None
    except NoShape:
        return None


def without_repeated_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    assert len(dict(pairs)) == len(pairs), "a name comes twice"
    return dict(pairs)


def assert_is_what_it_says(text: bytes, fit: Fit, signal: Signal) -> None:
    item = orjson.loads(text)
    assert json.loads(text, object_pairs_hook=without_repeated_names)
    survey = surveyed([item], signal)
    assert survey is not None
    assert survey.names == fit.shape.names
    assert survey.most <= fit.shape.most + 1
    assert (fit.key or fit.uid) == partition_key(item)
    if signal is LOGS:
        uids = [a["value"]["stringValue"] for a in item["attributes"] if a["key"] == semconv.LOG_RECORD_UID]
        assert [fit.uid] == (uids or [""])
        assert any(item.get(name, "0") != "0" for name in ("timeUnixNano", "observedTimeUnixNano"))
        behind = orjson.loads(text[: fit.end] + (b"," if item["attributes"] else b"") + b"17" + text[fit.end :])
        assert behind == item | {"attributes": [*item["attributes"], 17]}


@given(st.sampled_from([LOGS, TRACES]), st.data())
def test_what_fits_is_plain_and_says_what_the_shape_says(signal: Signal, data: st.DataObject) -> None:
    item = orjson.loads(orjson.dumps(data.draw(some_items(signal))))
    shape = shape_of(item, signal)
    text = data.draw(damaged(orjson.dumps(data.draw(another(item, lambda _: st.integers().map(str)))), _PIECES))
    try:
        text.decode()
    except UnicodeDecodeError:
        return
    fit = shape.fit(text) if shape is not None else None
    if fit is not None:
        assert_is_what_it_says(text, fit, signal)


@given(st.sampled_from([LOGS, TRACES]), st.data())
def test_a_record_fits_its_own_shape(signal: Signal, data: st.DataObject) -> None:
    item = orjson.loads(orjson.dumps(data.draw(some_items(signal))))
    text, shape = orjson.dumps(item), shape_of(item, signal)
    if shape is not None:
        fit = shape.fit(text)
        assert fit is not None
        assert_is_what_it_says(text, fit, signal)


@pytest.mark.parametrize("signal", [LOGS, TRACES])
def test_records_of_workers_have_shapes(signal: Signal) -> None:
    for item in known_items(signal):
        text = orjson.dumps(item)
        shape = Shape(text, item, signal)
        other = text.replace(b"no answer", b'a \\"quoted\\"\\n\\\\answer').replace(b"celery@test", "celery@ü".encode())
        fit = shape.fit(other)
        assert fit is not None
        assert_is_what_it_says(other, fit, signal)


LOG = b'{"timeUnixNano":"17","body":{"stringValue":"b"},"traceId":"%b","attributes":[%b]}'
A = b'{"key":"a","value":{"stringValue":"x"}}'


@pytest.mark.parametrize(
    "text",
    [
        LOG % (b"ab" * 16, A.replace(b"x", b"\\u0041")),
        LOG % (b"ab" * 16, A.replace(b"x", b"https:\\/\\/user:secret@host")),
        LOG % (b"ab" * 16, A.replace(b"x", b"\x01")),
        LOG % (b"ab" * 16, A.replace(b'"a"', b'"password"')),
        LOG % (b"ab" * 16, A.replace(b'"key":"a"', b'"key":"password","key":"a"')),
        LOG % (b"ab" * 16, A.replace(b'"stringValue":"x"', b'"stringValue":"x","intValue":"1"')),
        LOG % (b"ab" * 16, A.replace(b'"stringValue":"x"', b'"intValue":"1"')),
        LOG % (b"ab" * 16, A + b"," + A),
        LOG % (b"ab" * 16, b""),
        LOG % (b"00" * 16, A),
        LOG % (b"AB" * 16, A),
        (LOG % (b"ab" * 16, A)).replace(b'"17"', b'"0"'),
        (LOG % (b"ab" * 16, A)).replace(b'"17"', b'"99999999999999999999"'),
        (LOG % (b"ab" * 16, A)).replace(b":", b": "),
        (LOG % (b"ab" * 16, A)) + b" ",
    ],
)
def test_what_is_written_otherwise_does_not_fit(text: bytes) -> None:
    plain = LOG % (b"ab" * 16, A)
    shape = Shape(plain, orjson.loads(plain), LOGS)
    assert shape.fit(plain) is not None
    assert shape.fit(text) is None


def of_application(number: int) -> bytes:
    return LOG % (b"ab" * 16, A.replace(b'"a"', b'"a.%d"' % number))


def test_that_every_record_has_other_names_costs_no_more_than_some_shapes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shaping, "_FREE", 3)
    monkeypatch.setattr(shaping, "_WORTH", 10)
    shapes = Shapes(LOGS)
    texts = [of_application(number) for number in range(6)]
    for text in texts:
        shapes.learn(text, orjson.loads(text))
    assert [shapes.fit(text) is not None for text in texts] == [True] * 3 + [False] * 3
    for _ in range(7):
        shapes.fit(texts[0])
    shapes.learn(texts[4], orjson.loads(texts[4]))
    assert shapes.fit(texts[4]) is not None


def test_one_record_of_another_shape_does_not_make_its_neighbours_slow() -> None:
    plain = [LOG % (b"ab" * 16, A)] * 2
    request = b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[%b]}]}]}'
    assert decode(request % b",".join(plain), JSON, LOGS).refused.total() == 0
    decoded = decode(request % b",".join([*plain, b"17", *plain]), JSON, LOGS)
    assert [len(chunk) for chunk in decoded.chunks] == [2, 0, 2]
    assert [chunk.survey is None for chunk in decoded.chunks] == [False, True, False]
    assert decoded.refused.total() == 1


@pytest.mark.parametrize("name", [semconv.ROOT_ID, semconv.LOG_RECORD_UID])
def test_a_record_that_says_twice_where_it_goes_has_no_shape(name: str) -> None:
    texts = [LOG % (b"ab" * 16, b",".join([A.replace(b'"a"', b'"%b"' % name.encode())] * times)) for times in (1, 2)]
    assert shape_of(orjson.loads(texts[0]), LOGS) is not None
    assert surveyed([orjson.loads(texts[1])], LOGS) is not None
    assert shape_of(orjson.loads(texts[1]), LOGS) is None
