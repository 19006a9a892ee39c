"""Requests become records; what is malformed is refused by itself, and nothing makes a processor stumble."""

import gzip
import tracemalloc
import zlib
from typing import Any

import orjson
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs

from celeryscope.errors import Rejected
from celeryscope_collector.otlp.answers import JSON, PROTOBUF, status
from celeryscope_collector.otlp.content import TooLarge, Unsupported, decompressed
from celeryscope_collector.otlp.decode import Decoded, decode
from celeryscope_collector.otlp.validity import MAX_DEPTH
from celeryscope_collector.pipeline import ExportRequest, Outcome, Pipeline
from celeryscope_collector.processors.identity import identity
from celeryscope_collector.processors.limits import Limits, limits
from celeryscope_collector.processors.redaction import redaction
from celeryscope_collector.records import LOGS, TRACES
from celeryscope_collector.watched import Fixed
from collector_samples import attribute, values

SPAN = {"traceId": "ab" * 16, "spanId": "cd" * 8, "name": "run/x", "startTimeUnixNano": "17", "endTimeUnixNano": 18}


def logs(*records: Any) -> Decoded:
    return decode(orjson.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": records}]}]}), JSON, LOGS)


def spans(*items: Any) -> Decoded:
    return decode(orjson.dumps({"resourceSpans": [{"scopeSpans": [{"spans": items}]}]}), JSON, TRACES)


def items(decoded: Decoded) -> list[dict[str, Any]]:
    return [item for chunk in decoded.chunks for item in chunk.items()]


def test_an_empty_request_has_no_records() -> None:
    assert decode(b"{}", JSON, LOGS).chunks == []
    assert decode(b"", PROTOBUF, LOGS).chunks == []


def test_json_and_protobuf_give_the_same_records() -> None:
    record = LogRecord(
        time_unix_nano=17,
        severity_number=9,  # type: ignore[arg-type]
        body=AnyValue(string_value="text"),
        trace_id=bytes.fromhex("ab" * 16),
        event_name="e",
        attributes=[
            KeyValue(key="i", value=AnyValue(int_value=-5)),
            KeyValue(key="b", value=AnyValue(bytes_value=b"\x00\x01\x02")),
            KeyValue(key="d", value=AnyValue(double_value=float("nan"))),
            KeyValue(key="none", value=AnyValue()),
            KeyValue(key="a", value=AnyValue(array_value=ArrayValue(values=[AnyValue(bool_value=True)]))),
            KeyValue(key="m", value=AnyValue(kvlist_value=KeyValueList(values=[KeyValue(key="k")]))),
        ],
    )
    request = ExportLogsServiceRequest(resource_logs=[ResourceLogs(scope_logs=[ScopeLogs(log_records=[record])])])
    from_json = logs(
        {
            "timeUnixNano": "17",
            "severityNumber": 9,
            "body": {"stringValue": "text"},
            "traceId": "AB" * 16,
            "eventName": "e",
            "attributes": [
                {"key": "i", "value": {"intValue": "-5"}},
                {"key": "b", "value": {"bytesValue": "AAEC"}},
                {"key": "d", "value": {"doubleValue": "NaN"}},
                {"key": "none", "value": None},
                {"key": "a", "value": {"arrayValue": {"values": [{"boolValue": True}]}}},
                {"key": "m", "value": {"kvlistValue": {"values": [{"key": "k", "value": {}}]}}},
            ],
        }
    )

    from_protobuf = decode(request.SerializeToString(), PROTOBUF, LOGS)

    assert items(from_protobuf) == items(from_json)
    assert not from_protobuf.refused


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"traceId": ""}, "invalid_ids"),
        ({"traceId": "0" * 32}, "invalid_ids"),
        ({"spanId": "xyz"}, "invalid_ids"),
        ({"spanId": None}, "invalid_ids"),
        ({"name": 5}, "malformed_span"),
        ({"startTimeUnixNano": "yesterday"}, "malformed_span"),
        ({"endTimeUnixNano": str(2**64)}, "malformed_span"),
        ({"events": [{"name": 1}]}, "malformed_span"),
        ({"status": "OK"}, "malformed_span"),
        ({"attributes": {"a": 1}}, "malformed_attributes"),
        ({"attributes": [{"key": "a", "value": "text"}]}, "malformed_attributes"),
        ({"attributes": [{"key": "a", "value": {"stringValue": 5}}]}, "malformed_attributes"),
        ({"attributes": [{"key": "a", "value": {"intValue": 1, "stringValue": ""}}]}, "malformed_attributes"),
        ({"attributes": [{"key": "a", "value": {"intValue": "9223372036854775808"}}]}, "malformed_attributes"),
        ({"attributes": [{"key": "a", "value": {"doubleValue": "1e999"}}]}, "malformed_attributes"),
        ({"kind": "SPAN_KIND_MAGIC"}, "malformed_span"),
        ({"attributes": [{"key": "a", "value": {"doubleValue": []}}]}, "malformed_attributes"),
        ({"attributes": [{"key": 5, "value": {"intValue": 1}}]}, "malformed_attributes"),
    ],
)
def test_a_malformed_span_is_refused_and_its_neighbour_kept(change: dict[str, Any], reason: str) -> None:
    decoded = spans({**SPAN, **change}, dict(SPAN))
    assert (len(items(decoded)), dict(decoded.refused)) == (1, {reason: 1})


def test_enumerations_may_be_names_or_numbers_and_numbers_may_be_strings() -> None:
    as_names = {"kind": "SPAN_KIND_CONSUMER", "status": {"code": "STATUS_CODE_ERROR"}, "flags": "1"}
    (item,) = items(spans({**SPAN, **as_names}))
    assert item == {**SPAN, "kind": 5, "status": {"code": 2}, "flags": "1"}
    severities: list[Any] = ["SEVERITY_NUMBER_WARN", "13", 13]
    decoded = logs(*({"severityNumber": severity} for severity in severities))
    assert items(decoded) == [{"severityNumber": 13}] * 3


def test_a_double_may_be_a_string() -> None:
    (item,) = items(logs({"body": {"doubleValue": "-1.5e3"}}))
    assert item == {"body": {"doubleValue": -1500.0}}


def test_unknown_fields_are_ignored_wherever_they_stand() -> None:
    new = {"newField": {"password": "x"}, "another": None}
    value = {"kvlistValue": {"values": [{"key": "k", "value": {"intValue": 1, **new}, **new}], **new}, **new}
    attributes = [{"key": "a", "value": value, **new}]
    span = {
        **SPAN,
        "attributes": attributes,
        "status": {"code": 1, **new},
        "events": [{"name": "e", "attributes": attributes, **new}],
        "links": [{"traceId": "AB" * 16, **new}],
        **new,
    }
    (item,) = items(spans(span))
    assert "newField" not in str(item)
    assert item["status"] == {"code": 1}
    assert item["events"][0]["attributes"][0]["value"]["kvlistValue"]["values"] == [
        {"key": "k", "value": {"intValue": 1}}
    ]
    assert item["links"] == [{"traceId": "ab" * 16}]


def test_what_an_attribute_lacks_is_protobufs_default() -> None:
    (item,) = items(logs({"attributes": [{"value": {"intValue": 1}}, {"key": "a"}]}))
    assert item == {"attributes": [{"key": "", "value": {"intValue": 1}}, {"key": "a", "value": {}}]}


def test_a_value_of_a_kind_that_is_not_known_is_none() -> None:
    (item,) = items(logs({"attributes": [{"key": "a", "value": {"newValue": 1}}]}))
    assert item == {"attributes": [{"key": "a", "value": {}}]}


def test_unknown_and_null_fields_are_dropped() -> None:
    (item,) = items(spans({**SPAN, "status": None, "secretlyAdded": {"password": "x"}}))
    assert item == SPAN


def test_a_root_span_whose_parent_is_zeros_has_no_parent() -> None:
    (item,) = items(spans({**SPAN, "parentSpanId": "0" * 16}))
    assert item == SPAN


def test_a_malformed_resource_refuses_its_records() -> None:
    body = {"resourceLogs": [{"resource": {"attributes": 1}, "scopeLogs": [{"logRecords": [{}, {}]}]}]}
    assert dict(decode(orjson.dumps(body), JSON, LOGS).refused) == {"malformed_resource": 2}


def test_a_value_nested_too_deeply_is_refused() -> None:
    value: dict[str, Any] = {"stringValue": "deep"}
    for _ in range(MAX_DEPTH + 2):
        value = {"arrayValue": {"values": [value]}}
    assert dict(logs({"body": value}).refused) == {"malformed_body": 1}


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["key", "value", "values", "stringValue", "intValue", "arrayValue", "kvlistValue", "doubleValue"]
            ),
            inner,
            max_size=3,
        )
    ),
    max_leaves=12,
)
FIELDS = ["body", "attributes", "traceId", "spanId", "timeUnixNano", "severityNumber", "events", "links", "status"]


@given(
    st.sampled_from([LOGS, TRACES]),
    st.lists(
        st.dictionaries(st.sampled_from(FIELDS), JSON_VALUES | values(), max_size=4)
        | st.builds(
            lambda value: {**SPAN, "attributes": [attribute("a", "b"), {"key": "v", "value": value}]}, values()
        ),
        max_size=4,
    ),
)
def test_whatever_comes_is_accepted_or_refused_but_never_breaks_the_pipeline(signal: Any, items: list[Any]) -> None:
    outcome = run({signal.resource_key: [{signal.scope_key: [{signal.item_key: items}]}]}, signal)
    assert outcome.accepted + outcome.refused.total() == len(items)


def run(request: dict[str, Any], signal: Any = LOGS, received_at: int = 1) -> Outcome:
    processors = {"identity": identity, "redaction": redaction(), "limits": limits(Limits(32, 256, 1024, 256))}
    pipeline = Pipeline(Fixed(processors), 1_000_000, 100_000)
    return pipeline.run(ExportRequest(signal, "shop", JSON, "", orjson.dumps(request), received_at), 1)


def ids(outcome: Outcome) -> list[str]:
    return [
        record["attributes"][-1]["value"]["stringValue"]
        for record in orjson.loads(outcome.messages[0].value)["resourceLogs"][0]["scopeLogs"][0]["logRecords"]
    ]


def logs_without_ids(**fields: Any) -> dict[str, Any]:
    record = {"body": {"stringValue": "same"}, **fields}
    return {"resourceLogs": [{"scopeLogs": [{"logRecords": [record, record]}]}]}


def test_equal_records_of_a_request_have_different_ids_and_a_repeated_request_has_the_same() -> None:
    first, again = (run(logs_without_ids(timeUnixNano="17"), received_at=at) for at in (1, 2))
    assert len({*ids(first), *ids(again)}) == 2


def test_records_without_a_time_are_stamped_and_differ_when_they_come_again() -> None:
    first, again = (run(logs_without_ids(), received_at=at) for at in (1, 2))
    assert len({*ids(first), *ids(again)}) == 4
    assert b'"observedTimeUnixNano":"1"' in first.messages[0].value


def test_a_claimed_tenant_is_replaced_once_for_all_records() -> None:
    claim = {"attributes": [attribute("celery.tenant", "bank"), attribute("service.name", "s")]}
    (message,) = run({"resourceLogs": [{"resource": claim, "scopeLogs": [{"logRecords": [{}, {}]}]}]}).messages
    assert orjson.loads(message.value)["resourceLogs"][0]["resource"]["attributes"] == [
        attribute("service.name", "s"),
        attribute("celery.tenant", "shop"),
    ]


@given(
    st.binary(max_size=2000),
    st.sampled_from([("gzip", gzip.compress), ("deflate", zlib.compress), ("zstd", zstandard.compress), ("", bytes)]),
)
def test_what_was_compressed_comes_out(body: bytes, encoding: tuple[str, Any]) -> None:
    name, compress = encoding
    assert decompressed(compress(body), name, 2000) == body


@pytest.mark.parametrize(("name", "compress"), [("GZIP", gzip.compress), ("zstd", zstandard.compress)])
def test_a_body_of_several_members_is_one_body(name: str, compress: Any) -> None:
    assert decompressed(compress(b"one " * 900) + compress(b"two"), name, 9000) == b"one " * 900 + b"two"


@pytest.mark.parametrize(("encoding", "compress"), [("gzip", gzip.compress), ("zstd", zstandard.compress), ("", bytes)])
def test_a_body_may_have_the_limits_size_and_no_byte_more(encoding: str, compress: Any) -> None:
    assert len(decompressed(compress(b"x" * 100), encoding, 100)) == 100
    with pytest.raises(TooLarge):
        decompressed(compress(b"x" * 101), encoding, 100)


@pytest.mark.parametrize("broken", [b"\x1f\x8bxx", gzip.compress(b"x" * 50)[:-1], gzip.compress(b"x") + b"rest"])
def test_broken_gzip_is_rejected(broken: bytes) -> None:
    with pytest.raises(Rejected):
        decompressed(broken, "gzip", 100)


def wide_zstd() -> bytes:
    wide = zstandard.ZstdCompressionParameters(window_log=27)
    packer = zstandard.ZstdCompressor(compression_params=wide).compressobj()
    return packer.compress(b"x") + packer.flush()


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(b"xxxx", id="something else"),
        pytest.param(zstandard.compress(b"x" * 50)[:-1], id="cut off"),
        pytest.param(zstandard.compress(b"x") + b"rest", id="something behind it"),
        pytest.param(wide_zstd(), id="a window of 128 MB"),
        pytest.param(zstandard.compress(b"") * 65, id="very many parts"),
    ],
)
def test_broken_zstd_is_rejected(broken: bytes) -> None:
    with pytest.raises(Rejected):
        decompressed(broken, "zstd", 100)


def test_a_zstd_bomb_is_too_large_before_it_is_unpacked() -> None:
    bomb = zstandard.compress(bytes(400_000_000))
    tracemalloc.start()
    with pytest.raises(TooLarge):
        decompressed(bomb, "zstd", 1_000_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20_000_000


def test_another_encoding_is_unsupported() -> None:
    with pytest.raises(Unsupported, match="br"):
        decompressed(b"", "br", 100)


def test_a_status_in_protobuf_has_code_and_message() -> None:
    message = "m" * 300
    assert status(PROTOBUF, 14, message) == b"\x08\x0e\x12\xac\x02" + message.encode()
