"""What is made of a record that is written like one that was seen is what is made of it otherwise."""

import json
import uuid
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeryscope import semconv
from celeryscope_collector import records as collector
from celeryscope_pipelines.decode import KIND_OF_TOPIC
from celeryscope_pipelines.fingerprint import NO_RULES
from celeryscope_pipelines.indexer.batch import Batch, Message, Transformed
from celeryscope_pipelines.indexer.transform import by_decoding, transform
from celeryscope_pipelines.records import KEYS, LOG, SPAN
from celeryscope_pipelines.shapes import Shapes
from collector_samples import another, any_items, damaged
from support import messages

_TOPICS = {kind: topic for topic, kind in KIND_OF_TOPIC.items()}
_SIGNALS = {LOG: collector.LOGS, SPAN: collector.TRACES}
_ARRIVED = 1_763_770_000_123
_PIECES = [
    *(b'"', b"\\", b'\\"', b"\\u0041", b"\\/", b"\\n", b"\n", b"\0", b" ", b"{", b"}", b"[", b"]", b",", b":", b"%b"),
    *(b"0", b"-", b".", b"e", b"9" * 19, b"1e999", b"null", b"true", b"A", "ü".encode(), b"\xff", b"\\ud800", b""),
    *(b'","more":"', b'"stringValue":"', b'"},{"', b'"intValue":1,', b"0" * 32, b"0" * 16),
]


def known_items(kind: str) -> list[dict[str, Any]]:
    task = str(uuid.uuid4())
    if kind == SPAN:
        about = {semconv.TASK_NAME: "shop.pay", semconv.STATE: "SUCCESS", semconv.MESSAGING_SYSTEM: "redis", "n": 1.5}
        run = orjson.loads(messages.span("ab" * 16, "cd" * 8, b=True, **about))
        link = {"traceId": "12" * 16, "spanId": "34" * 8, "attributes": [{"key": "a", "value": {"stringValue": "b"}}]}
        return [run, run | {"kind": 4, "parentSpanId": "ef" * 8, "links": [link], "status": {"message": "m"}}]
    texts = [
        messages.event(semconv.EVENT_TASK_SENT, task, ARGS="('\u00fc', 1)"),
        messages.event(
            semconv.EVENT_TASK_SUCCEEDED, task, CHAIN_IDS=["a", "b"], RUNTIME=0.5, ENDED_AT=1_763_770_000_000_000
        ),
        messages.event(semconv.EVENT_TASK_FAILED, task),
        messages.line("50 % of it", number=-5, flag=True, **{"in.a.map": {"a": [1, "b"], "c": {}}}),
        messages.line("text", list=[1, 2], mixed=[1, "b"], _id="x", **{"service.name": "mine"}),
        messages.vital(semconv.EVENT_WORKER_ONLINE, **{semconv.WORKER: "w@h"}),
    ]
    return [orjson.loads(text) for text in texts]


def numbers_like(text: str) -> st.SearchStrategy[str]:
    return st.integers(0, 10 ** len(text) if text.isdigit() else 9).map(str)


def message(kind: str, *texts: bytes, tenant: str = "shop", timestamp: int = _ARRIVED, **resource: str) -> Message:
    value = messages.request({LOG: "logs", SPAN: "spans"}[kind], tenant, *texts, **resource)
    return Message(_TOPICS[kind], 3, 17, value, "application/json", timestamp)


def new_shapes() -> dict[str, Shapes]:
    return {kind: Shapes(kind) for kind in KEYS}


def transformed(one: Message, shapes: dict[str, Shapes]) -> Transformed:
    return transform(Batch([one]), shapes=shapes)


def otherwise(one: Message) -> Transformed:
    return by_decoding(one, NO_RULES)


def said(result: Transformed) -> tuple[Any, ...]:
    """All that is to be written; JSON as what it says, in which 1 is not 1.0."""
    items = [
        (*[json.dumps(orjson.loads(line)) for line in item.lines.splitlines()], item.record, item.entity, item.version)
        for item in result.items
    ]
    return items, result.failures, result.letters, result.records


@given(st.sampled_from([LOG, SPAN]), st.data())
def test_what_fits_has_the_document_that_it_has_otherwise(kind: str, data: st.DataObject) -> None:
    item = data.draw(st.sampled_from(known_items(kind)) | any_items(_SIGNALS[kind]))
    shapes = new_shapes()
    transformed(message(kind, orjson.dumps(item)), shapes)
    text = orjson.dumps(data.draw(another(item, numbers_like)))
    text = data.draw(st.just(text) | damaged(text, _PIECES))

    one = message(kind, text, orjson.dumps(item))

    assert said(transformed(one, shapes)) == said(otherwise(one))


@pytest.mark.parametrize("kind", [LOG, SPAN])
def test_records_with_other_values_and_of_other_processes_are_not_parsed(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shapes, first, second = new_shapes(), known_items(kind), known_items(kind)
    plain = [
        place for place, item in enumerate(first) if item.get("eventName", "task.sent").endswith(("sent", "succeeded"))
    ]
    texts = [orjson.dumps(second[place]) for place in plain]
    for place in plain:
        transformed(message(kind, orjson.dumps(first[place])), shapes)
    other = message(kind, *texts, tenant="other", HOST_NAME="h2")
    expected = said(otherwise(other))

    monkeypatch.setattr("celeryscope_pipelines.indexer.transform.record_of", None)

    assert len(expected[0]) == len(plain)
    assert said(transformed(other, shapes)) == expected


@pytest.mark.parametrize("text", ["a\nb", 'say "no"', "C:\\shop", "\x1b[1m", "\u00fc\U0001f600", "%s %b %%", "\0", "/"])
def test_texts_are_what_they_were(text: str) -> None:
    shapes = new_shapes()
    transformed(message(LOG, messages.line("another text", note="another", n=1)), shapes)
    one = message(LOG, messages.line(text, note=text, n=1))

    assert said(transformed(one, shapes)) == said(otherwise(one))
    assert orjson.loads(transformed(one, shapes).items[0].lines.splitlines()[1])["body"] == {"text": text}


@pytest.mark.parametrize(
    ("kind", "written"),
    [
        *(
            ("intValue", f'"{text}"')
            for text in ("007", "-0", "0", "-5", "9" * 18, "9" * 19, "1e3", " 5", "+5", "", "x")
        ),
        *(("intValue", text) for text in ("0", "-5", "9" * 18, "9" * 19, "1.5", "1e3", "true", "null")),
        *(
            ("doubleValue", text)
            for text in ("1e-06", "1", "-0.0", "1e400", "1E5", "0.1e-05", '"NaN"', '"1.5"', "null")
        ),
    ],
)
@pytest.mark.parametrize("key", ["n", semconv.CLOCK, semconv.SENT_AT])
def test_numbers_are_what_they_were_however_they_are_written(key: str, kind: str, written: str) -> None:
    shapes, known = new_shapes(), {"intValue": '"1763770000000000"', "doubleValue": "0.5"}[kind]
    event = messages.event(semconv.EVENT_TASK_SENT, "t", SENT_AT=None)
    if key == semconv.CLOCK:
        event = event.replace(b'"celery.clock"', b'"other"')
    before = b'{"key":"celery.worker"'
    written_alike, one = (
        event.replace(
            before, b'{"key":"%b","value":{"%b":%b}},' % (key.encode(), kind.encode(), text.encode()) + before
        )
        for text in (known, written)
    )
    transformed(message(LOG, written_alike), shapes)

    assert said(transformed(message(LOG, one), shapes)) == said(otherwise(message(LOG, one)))


def test_of_a_failure_each_document_is_made_anew() -> None:
    shapes = new_shapes()
    for place in range(3):
        one = message(LOG, messages.event(semconv.EVENT_TASK_FAILED, str(uuid.uuid4()), EXCEPTION_TYPE=f"Error{place}"))

        assert said(transformed(one, shapes)) == said(otherwise(one))


def test_an_exception_that_is_recorded_on_a_span_stays_a_document() -> None:
    shapes, (span, _) = new_shapes(), known_items(SPAN)
    for name in ("other", "other", semconv.EVENT_EXCEPTION):
        span["events"] = [{"timeUnixNano": "1763770000000000000", "name": name, "attributes": []}]
        one = message(SPAN, orjson.dumps(span))

        found = transformed(one, shapes)

        assert said(found) == said(otherwise(one))
    assert len(found.items) == 2


@pytest.mark.parametrize("tenant", ["Not A Tenant", "x" * 101])
def test_a_tenant_that_can_not_be_one_has_dead_letters(tenant: str) -> None:
    shapes, line = new_shapes(), messages.line("text")
    transformed(message(LOG, line), shapes)

    letters = transformed(message(LOG, line, line, tenant=tenant), shapes).letters

    assert [letter.reason for letter in letters] == ["bad_tenant", "bad_tenant"]


def test_a_message_without_its_time_in_kafka_has_documents_without_it() -> None:
    shapes, text = new_shapes(), messages.event(semconv.EVENT_TASK_SENT, "t")
    transformed(message(LOG, text), shapes)

    (item,) = transformed(message(LOG, text, timestamp=-1), shapes).items

    assert semconv.ARRIVED_AT not in orjson.loads(item.lines.splitlines()[1])


def test_ids_that_are_too_long_are_dead_letters() -> None:
    shapes = new_shapes()
    transformed(message(LOG, messages.event(semconv.EVENT_TASK_SENT, "t")), shapes)

    letters = transformed(message(LOG, messages.event(semconv.EVENT_TASK_SENT, "t" * 600)), shapes).letters

    assert [letter.reason for letter in letters] == ["id_too_long"]


def test_records_keep_their_numbers_and_parts_that_are_none_are_put_aside() -> None:
    shapes, line = new_shapes(), messages.line("text")
    transformed(message(LOG, line), shapes)

    for texts in ([line, b"17", line], [line, b"{}", line], [line, messages.line("text", more=1), line]):
        one = message(LOG, *texts)
        assert said(transformed(one, shapes)) == said(otherwise(one))


def span_with(**fields: Any) -> bytes:
    return orjson.dumps(orjson.loads(messages.span("ab" * 16, "cd" * 8)) | fields)


_TEXTS_AND_MORE = {"arrayValue": {"values": [{"stringValue": "x"}], "foo": 5}}


@pytest.mark.parametrize(
    "text",
    [
        span_with(links=[{"startTimeUnixNano": "1700000000000000000"}]),
        span_with(status={"endTimeUnixNano": "1700000000000000000"}),
        span_with(attributes=[{"key": [], "value": {"stringValue": "x"}}]),
        span_with(attributes=[{"key": {}, "value": {"stringValue": "x"}}]),
        span_with(links=[{"attributes": [{"key": [], "value": {"stringValue": "x"}}]}]),
        span_with(attributes=[{"key": "x", "value": _TEXTS_AND_MORE}]),
        span_with(more=1).replace(b'"more":1', b'"more":' + b"[" * 300 + b"]" * 300),
    ],
    ids=lambda text: text[-60:].decode(),
)
def test_what_is_written_in_odd_ways_stops_nothing(text: bytes) -> None:
    shapes, one = new_shapes(), message(SPAN, text, text)

    assert said(transformed(one, shapes)) == said(otherwise(one)) == said(transformed(one, shapes))


def of_task(key: str, value: dict[str, Any]) -> bytes:
    return span_with(kind=5, attributes=[{"key": key, "value": value}, {"key": "z", "value": {"stringValue": "z"}}])


@pytest.mark.parametrize(
    ("kind", "known", "text"),
    [
        (LOG, *(messages.line("x").replace(b'{"stringValue":"x"}', body) for body in bodies))
        for bodies in (
            (b'{"doubleValue":1.5}', b'{"doubleValue":1e-7}'),
            (b'{"doubleValue":1.5}', b'{"doubleValue":1.50}'),
        )
    ]
    + [
        (SPAN, of_task(key, known), of_task(key, value))
        for key in (semconv.STATE, semconv.TASK_NAME)
        for known, value in (
            ({"intValue": "5"}, {"intValue": "0"}),
            ({"doubleValue": 5.5}, {"doubleValue": 0.0}),
            ({"arrayValue": {"values": [{"stringValue": "a"}]}}, {"arrayValue": {"values": [{"stringValue": "a'"}]}}),
            ({"stringValue": "SUCCESS"}, {"stringValue": ""}),
        )
    ],
)
def test_values_that_are_shown_in_another_way_are_what_they_were(kind: str, known: bytes, text: bytes) -> None:
    shapes = new_shapes()
    transformed(message(kind, known), shapes)

    assert said(transformed(message(kind, text), shapes)) == said(otherwise(message(kind, text)))


def test_shapes_are_learned_whatever_the_first_records_were_like() -> None:
    shapes = new_shapes()
    for place in range(100):
        transformed(message(LOG, messages.line("", **{f"name{place}": 1})), shapes)
    lines = [messages.line("text") for _ in range(20_000)]

    transformed(message(LOG, *lines), shapes)
    transformed(message(LOG, *lines[:2]), shapes)

    assert shapes[LOG]._fits > 1


def test_records_are_counted_however_they_are_read() -> None:
    three = message(LOG, messages.line("one"), messages.line("two"), messages.line("three"))

    assert transformed(three, new_shapes()).records == otherwise(three).records == 3


def test_only_so_many_shapes_are_made_that_do_not_pay() -> None:
    shapes = new_shapes()
    for place in range(150):
        transformed(message(LOG, messages.line("text", **{f"name{place}": 1})), shapes)

    late = message(LOG, messages.line("text", name149=1))

    assert shapes[LOG].document(messages.line("text", name149=1), None) is None  # type: ignore[arg-type]
    assert said(transformed(late, shapes)) == said(otherwise(late))
