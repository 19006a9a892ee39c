"""Records in protobuf pass as they came, and never differently from how they would have passed as JSON."""

import base64
import copy
import math
from typing import Any

import orjson
import pytest
from google.protobuf.json_format import MessageToDict, ParseDict, ParseError
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from celeryscope import semconv
from celeryscope.errors import Rejected
from celeryscope.service.protobuf import export_request
from celeryscope_collector.otlp.answers import JSON, PROTOBUF
from celeryscope_collector.otlp.decode import CHUNK, decode
from celeryscope_collector.otlp.origin_messages import resource_message
from celeryscope_collector.otlp.validity import CHECKS, checked_origin
from celeryscope_collector.otlp.wire import field
from celeryscope_collector.otlp.wire import fields as wire_fields
from celeryscope_collector.pipeline import ExportRequest, Outcome, Pipeline
from celeryscope_collector.processors.identity import identity
from celeryscope_collector.processors.limits import Limits, limits
from celeryscope_collector.processors.redaction import redaction
from celeryscope_collector.records import LOGS, TRACES, Signal
from celeryscope_collector.watched import Fixed
from collector_samples import any_items, attribute_lists, values
from support import messages

some = settings(max_examples=40, phases=[Phase.generate], suppress_health_check=[HealthCheck.too_slow])
KINDS = {LOGS: "logs", TRACES: "spans"}
PROCESSORS = {"identity": identity, "redaction": redaction(), "limits": limits(Limits(4, 256, 1024, 256))}


def run(body: bytes, signal: Signal = LOGS, *, keep_protobuf: bool = True) -> Outcome:
    pipeline = Pipeline(Fixed(PROCESSORS), 10_000_000, 100_000, keep_protobuf=keep_protobuf)
    return pipeline.run(ExportRequest(signal, "shop", PROTOBUF, "", body, 17), 3)


def passed(outcome: Outcome, signal: Signal) -> list[tuple[Any, ...]]:
    """Where each record is, below which resource and scope, and what it says."""
    found = []
    for message in outcome.messages:
        is_json = message.media_type == JSON
        request = orjson.loads(message.value) if is_json else export_request(message.value, signal.kind)
        for by_resource in request[signal.resource_key]:
            for by_scope in by_resource[signal.scope_key]:
                for item in by_scope[signal.item_key]:
                    origin = checked_origin(by_resource.get("resource")), checked_origin(by_scope.get("scope"))
                    schemas = by_resource.get("schemaUrl"), by_scope.get("schemaUrl")
                    parts = without_empty_lists([*origin, CHECKS[signal.kind](item)])
                    found.append((message.partition, *schemas, *parts))
    return sorted(found, key=lambda record: orjson.dumps(record, option=orjson.OPT_SORT_KEYS))


def without_empty_lists(part: Any) -> Any:
    """Redaction and protobuf spell an empty array in different ways."""
    if isinstance(part, dict):
        return {key: without_empty_lists(value) for key, value in part.items() if value != []}
    return [without_empty_lists(member) for member in part] if isinstance(part, list) else part


def assert_same(body: bytes, signal: Signal) -> Outcome:
    fast, slow = run(body, signal), run(body, signal, keep_protobuf=False)
    assert passed(fast, signal) == passed(slow, signal)
    assert (fast.refused, fast.dropped, fast.accepted) == (slow.refused, slow.dropped, slow.accepted)
    return fast


@st.composite
def requests(draw: st.DrawFn, signal: Signal) -> bytes:
    valid = []
    for item in draw(st.lists(any_items(signal), max_size=2)):
        plain = orjson.loads(orjson.dumps(item))
        try:
            valid.append(CHECKS[signal.kind](copy.deepcopy(plain)))
        except Rejected:
            continue
    resource = {"attributes": draw(attribute_lists(values()))}
    scope = {"scope": {"name": "s", **resource}, signal.item_key: valid}
    request = {signal.resource_key: [{"resource": resource, "schemaUrl": "u", signal.scope_key: [scope]}]}
    try:
        return messages.as_protobuf(KINDS[signal], orjson.dumps(request))
    except (ParseError, ValueError):
        assume(condition=False)
        raise


@some
@given(st.sampled_from([LOGS, TRACES]), st.data())
def test_a_request_has_the_same_outcome_whether_its_records_stay_protobuf_or_not(
    signal: Signal, data: st.DataObject
) -> None:
    assert_same(data.draw(requests(signal)), signal)


@some
@given(st.sampled_from([LOGS, TRACES]), st.data())
def test_bytes_that_are_damaged_have_the_same_outcome_too(signal: Signal, data: st.DataObject) -> None:
    body = bytearray(data.draw(requests(signal)))
    for _ in range(data.draw(st.integers(1, 3))):
        if body:
            body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    damaged = bytes(body)
    try:
        run(damaged, signal, keep_protobuf=False)
    except Rejected:
        with pytest.raises(Rejected, match="not a valid protobuf"):
            run(damaged, signal)
    else:
        assert_same(damaged, signal)


def log(*attributes: KeyValue, **fields: Any) -> LogRecord:
    return LogRecord(time_unix_nano=17, attributes=attributes, **fields)


def text(key: str, value: str) -> KeyValue:
    return KeyValue(key=key, value=AnyValue(string_value=value))


def request_of(*records: LogRecord) -> bytes:
    logs = ResourceLogs(resource=Resource(), scope_logs=[ScopeLogs(log_records=records)])
    return bytes(ExportLogsServiceRequest(resource_logs=[logs]).SerializeToString())


def is_kept(body: bytes) -> bool:
    outcome = assert_same(body, LOGS)
    return {message.media_type for message in outcome.messages} == {PROTOBUF}


def test_records_that_nobody_changes_stay_protobuf_with_the_tenant_in_their_resource() -> None:
    root = text(semconv.ROOT_ID, "r" * 130)
    record = log(root, text("a", "b"), trace_id=bytes(range(16)), severity_text="INFO")
    (message,) = run(request_of(record)).messages
    assert message.media_type == PROTOBUF
    (logs,) = ExportLogsServiceRequest.FromString(message.value).resource_logs
    assert list(logs.resource.attributes) == [text(semconv.TENANT, "shop")]
    (kept,) = logs.scope_logs[0].log_records
    assert list(kept.attributes[:2]) == list(record.attributes)
    assert [kept.attributes[2].key, len(kept.attributes)] == [semconv.LOG_RECORD_UID, 3]


def inside(attribute: KeyValue) -> AnyValue:
    return AnyValue(kvlist_value=KeyValueList(values=[attribute]))


def deep(value: AnyValue) -> AnyValue:
    return inside(KeyValue(key="k", value=value))


@pytest.mark.parametrize(
    "record",
    [
        log(text("db.password", "hunter2")),
        log(
            KeyValue(key="a", value=deep(deep(AnyValue(kvlist_value=KeyValueList(values=[text("token", "hunter2")])))))
        ),
        log(body=AnyValue(array_value=ArrayValue(values=[deep(AnyValue(string_value="x://u:hunter2@h"))]))),
        log(text("url", "x://ü:hunter2@h")),
    ],
)
def test_a_secret_in_protobuf_is_redacted(record: LogRecord) -> None:
    plain = log(text("a", "b"))
    assert is_kept(request_of(plain))
    assert not is_kept(request_of(plain, record))
    assert all(b"hunter2" not in message.value for message in run(request_of(plain, record)).messages)


@pytest.mark.parametrize(
    "record",
    [
        log(text("a", "x" * 300)),
        log(KeyValue(key="a", value=AnyValue(bytes_value=b"x" * 200))),
        log(*[text(f"a{n}", "b") for n in range(5)]),
        log(text(semconv.LOG_RECORD_UID, "")),
        log(text(semconv.ROOT_ID, "a"), text(semconv.ROOT_ID, "b")),
        log(trace_id=bytes(16)),
        log(span_id=b"abc"),
        log(KeyValue(key="no value")),
    ],
)
def test_a_record_that_has_to_be_looked_at_becomes_json(record: LogRecord) -> None:
    assert not is_kept(request_of(record))


def test_fields_that_otlp_does_not_know_are_not_passed_on() -> None:
    unknown = field(15, b"hunter2")
    for hidden in (
        log().SerializeToString() + unknown,
        field(6, text("a", "b").SerializeToString() + unknown),
        field(6, field(1, b"a") + field(2, field(1, b"b") + unknown)),
        field(5, field(5, field(1, field(1, b"b") + unknown))),
    ):
        body = field(1, field(2, field(2, hidden)))
        assert not is_kept(body)
        assert all(b"hunter2" not in message.value for message in run(body).messages)


def test_a_resource_that_comes_in_parts_is_one() -> None:
    first, second = (Resource(attributes=[text(name, "v")]).SerializeToString() for name in ("a", "b"))
    body = field(1, field(1, first) + field(2, field(2, log().SerializeToString())) + field(1, second))
    assert is_kept(body)
    ((*_, resource, _scope, _item),) = passed(run(body), LOGS)
    assert [attribute["key"] for attribute in resource["attributes"]] == ["a", "b", semconv.TENANT]


def test_an_odd_record_does_not_make_those_of_other_chunks_slow() -> None:
    outcome = assert_same(request_of(*[log(text("password", "hunter2"))], *[log()] * (2 * CHUNK)), LOGS)
    records = {JSON: 0, PROTOBUF: 0}
    for message in outcome.messages:
        records[message.media_type] += message.records
    assert records == {JSON: CHUNK, PROTOBUF: CHUNK + 1}


def test_log_records_are_given_the_same_ids_and_times_in_either_encoding() -> None:
    body = request_of(LogRecord(), log(), LogRecord(body=AnyValue(string_value="a")))
    assert is_kept(body)
    assert len({str(record[-1]["attributes"]) for record in passed(run(body), LOGS)}) == 3


@given(attribute_lists(values()))
def test_a_resource_in_protobuf_says_the_same(attributes: list[dict[str, Any]]) -> None:
    given_resource = checked_origin({"attributes": orjson.loads(orjson.dumps(attributes)), "droppedAttributesCount": 3})
    expected = ParseDict(given_resource, Resource())
    assert Resource.FromString(resource_message(given_resource)) == expected or "nan" in str(expected)


def test_a_request_that_is_no_protobuf_is_rejected_as_a_whole() -> None:
    good = field(2, log().SerializeToString())
    broken = field(2, b"\x0a\xff")
    with pytest.raises(Rejected):
        decode(field(1, field(2, good + broken)), PROTOBUF, LOGS)


def test_a_resource_without_records_is_looked_at_nevertheless() -> None:
    assert run(field(1, field(3, b"https://schema"))).messages == []
    with pytest.raises(Rejected):
        run(field(1, field(3, b"\xff")))


def with_hexadecimal_ids(part: Any) -> Any:
    if isinstance(part, dict):
        ids = {"traceId", "spanId", "parentSpanId"}
        return {
            name: base64.b64decode(value).hex() if name in ids else with_hexadecimal_ids(value)
            for name, value in part.items()
        }
    return [with_hexadecimal_ids(member) for member in part] if isinstance(part, list) else part


@some
@given(st.sampled_from([LOGS, TRACES]), st.data())
def test_our_dicts_of_protobuf_are_those_of_protobufs_own_json(signal: Signal, data: st.DataObject) -> None:
    body = data.draw(requests(signal))
    message = {LOGS: ExportLogsServiceRequest, TRACES: ExportTraceServiceRequest}[signal].FromString(body)
    expected = with_hexadecimal_ids(MessageToDict(message, use_integers_for_enums=True))
    assert export_request(body, signal.kind) == expected


@pytest.mark.parametrize("number", [0.0, 1.0, -1.5, math.inf, -math.inf, math.nan])
def test_numbers_that_json_has_not_are_named(number: float) -> None:
    body = request_of(log(body=AnyValue(double_value=number)))
    expected = MessageToDict(ExportLogsServiceRequest.FromString(body))
    assert export_request(body, "log") == expected


@pytest.mark.parametrize("length", [0, 1, 127, 128, 129, 16_383, 16_384, 16_385, 2_097_151, 2_097_152])
def test_fields_of_any_length_are_cut_where_they_end(length: int) -> None:
    content = b"x" * length

    assert wire_fields(field(1, content) + field(2, b"behind"), known=2)[1:] == [[content], [b"behind"]]
