"""Messages of Kafka as records: JSON as our collector writes it, protobuf as others do."""

import base64

import orjson
import pytest
from google.protobuf.json_format import ParseDict
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from celeryscope import otlp, semconv
from celeryscope.errors import Rejected
from celeryscope_pipelines.decode import Decoded, content_type, decode
from celeryscope_pipelines.documents import documents_for
from celeryscope_pipelines.records import LOG, SPAN

TRACE, SPAN_ID, PARENT = bytes(range(1, 17)), bytes(range(1, 9)), bytes(range(2, 10))
RESOURCE = {"attributes": otlp.attributes({"service.name": "shop", semconv.TENANT: "acme"})}


def request() -> dict[str, object]:
    span = {
        "traceId": TRACE.hex(),
        "spanId": SPAN_ID.hex(),
        "parentSpanId": PARENT.hex(),
        "name": "run/shop.pay",
        "kind": 5,
        "startTimeUnixNano": "1795219623981227350",
        "endTimeUnixNano": "1795219623981227351",
        "attributes": otlp.attributes({"a": 1, "b": "x", "c": [1.5], "d": {"e": True}}),
        "links": [{"traceId": TRACE.hex(), "spanId": PARENT.hex()}],
        "status": {"code": 2, "message": "no"},
    }
    scope = {"name": "celeryscope", "version": "1.0"}
    return {
        "resourceSpans": [
            {"resource": RESOURCE, "scopeSpans": [{"scope": scope, "spans": [span, span]}], "schemaUrl": "u"}
        ]
    }


def as_protobuf(found: dict[str, object]) -> bytes:
    """OTLP protobuf; its ids are bytes, which protobuf's own JSON has in base64."""
    text = orjson.dumps(found).decode()
    for number in (TRACE, SPAN_ID, PARENT):
        text = text.replace(f'"{number.hex()}"', f'"{base64.b64encode(number).decode()}"')
    message: bytes = ParseDict(orjson.loads(text), ExportTraceServiceRequest()).SerializeToString()
    return message


def test_json_becomes_records_that_share_their_origin() -> None:
    first, second = decode(orjson.dumps(request()), SPAN).records
    assert first.identity == TRACE.hex() + SPAN_ID.hex()
    assert first.attributes == {"a": 1, "b": "x", "c": [1.5], "d": {"e": True}}
    assert first.origin is second.origin
    assert (first.origin.tenant, first.origin.attributes) == ("acme", {"service.name": "shop"})


def test_protobuf_becomes_the_same_documents_as_json() -> None:
    from_json, from_protobuf = (
        decode(value, SPAN).records for value in (orjson.dumps(request()), as_protobuf(request()))
    )
    assert [documents_for(record) for record in from_protobuf] == [documents_for(record) for record in from_json]


def test_a_record_alone_makes_a_request_that_becomes_the_same_documents() -> None:
    for value in (orjson.dumps(request()), as_protobuf(request())):
        record = decode(value, SPAN).records[0]
        (again,) = decode(orjson.dumps(record.as_request()), SPAN).records
        assert again.identity == record.identity
        assert documents_for(again) == documents_for(record)


@pytest.mark.parametrize("value", [b"", b"{}", b'{"resourceLogs":[]}', b'{"resourceLogs":[{"scopeLogs":null}]}'])
def test_an_empty_request_has_no_records(value: bytes) -> None:
    assert decode(value, LOG) == Decoded()


@pytest.mark.parametrize(
    "value",
    [
        b"{",
        b"hello",
        b"[]",
        b"\x00\x01",
        b'{"foo":1}',
        b'{"resourceSpans":[]}',
        b'{"resourceLogs":7}',
        b"\x78\x01",  # protobuf, but of an unknown field only
    ],
)
def test_what_is_no_request_of_the_kind_is_rejected(value: bytes) -> None:
    with pytest.raises(Rejected) as caught:
        decode(value, LOG)
    assert caught.value.reason == "undecodable"


@given(st.binary(max_size=200) | st.text().map(lambda text: b"{" + text.encode(errors="replace")))
def test_any_bytes_are_records_or_rejected(value: bytes) -> None:
    for kind in (SPAN, LOG):
        try:
            records = decode(value, kind).records
        except Rejected:
            continue
        assert all(record.kind == kind for record in records)


EXPORTED = (
    # As the OpenTelemetry Collector's kafkaexporter writes it with `encoding: otlp_json`: several resources a message,
    # integers as strings, ids in hexadecimal and empty where there are none.
    b'{"resourceLogs":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"shop"}}]},"scopeLogs":['
    b'{"scope":{},"logRecords":[{"timeUnixNano":"1795219623981227350","observedTimeUnixNano":"1795219623981227351",'
    b'"severityNumber":9,"severityText":"Info","body":{"stringValue":"started"},"attributes":[{"key":"event.name",'
    b'"value":{"stringValue":"app.started"}},{"key":"n","value":{"intValue":"7"}}],"traceId":"","spanId":""}]}]},'
    b'{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"mail"}}]},"scopeLogs":[{"scope":'
    b'{"name":"s"},"logRecords":[{"timeUnixNano":"1795219623981227350","body":{},"traceId":'
    b'"0102030405060708090A0B0C0D0E0F10","spanId":"0102030405060708","eventName":"app.stopped"}]}],'
    b'"schemaUrl":"https://opentelemetry.io/schemas/1.6.1"}]}'
)
PLACE = "celeryscope.logs/3/17"


def test_what_an_opentelemetry_collector_exported_becomes_documents() -> None:
    (started,), (stopped,) = (documents_for(record) for record in decode(EXPORTED, LOG, PLACE).records)
    assert (started.index, started.id) == ("logs-celery.otel-default", f"{PLACE}/0")
    assert started.body["event_name"] == "app.started"
    assert started.body["attributes"]["n"] == 7
    assert "trace_id" not in started.body
    assert (stopped.id, stopped.body["event_name"]) == (f"{PLACE}/1", "app.stopped")
    assert stopped.body["trace_id"] == TRACE.hex()
    assert stopped.body["resource"]["attributes"]["service.name"] == "mail"


def test_a_record_named_by_its_place_is_the_same_record_when_its_dead_letter_is_replayed_elsewhere() -> None:
    for record in decode(EXPORTED, LOG, PLACE).records:
        (again,) = decode(orjson.dumps(record.as_request()), LOG, "celeryscope.logs/0/99").records
        assert again.identity == record.identity
        assert documents_for(again) == documents_for(record)


def test_the_header_tells_the_encoding_and_the_first_byte_does_without_one() -> None:
    as_json = b"\n " + orjson.dumps(request())
    headers = [("Content-Type", b"application/json; charset=utf-8")]
    assert content_type(headers) == "application/json"
    assert content_type(None) == content_type([("content-type", None), ("other", b"x")]) == ""
    for encoding in ("application/json", "", "text/plain"):
        assert len(decode(as_json, SPAN, encoding=encoding).records) == 2
    with pytest.raises(Rejected, match="is no JSON"):
        decode(as_protobuf(request()), SPAN, encoding="application/json")


GOOD = b'{"body":{"stringValue":"good"}}'


@pytest.mark.parametrize(
    "value",
    [
        b'{"resourceLogs":[BAD,{"scopeLogs":[{"logRecords":[GOOD]}]}]}',
        b'{"resourceLogs":[{"resource":BAD,"scopeLogs":[]},{"scopeLogs":[{"logRecords":[GOOD]}]}]}',
        b'{"resourceLogs":[{"scopeLogs":BAD},{"scopeLogs":[{"logRecords":[GOOD]}]}]}',
        b'{"resourceLogs":[{"resource":{},"scopeLogs":[BAD,{"logRecords":[GOOD]}],"schemaUrl":"u"}]}',
        b'{"resourceLogs":[{"scopeLogs":[{"scope":BAD},{"logRecords":[GOOD]}]}]}',
        b'{"resourceLogs":[{"scopeLogs":[{"logRecords":BAD},{"logRecords":[GOOD]}]}]}',
        b'{"resourceLogs":[{"scopeLogs":[{"scope":{"name":"s"},"logRecords":[BAD,GOOD]}]}]}',
    ],
)
def test_a_bad_part_is_put_aside_alone_and_is_bad_again_when_it_is_replayed(value: bytes) -> None:
    found = decode(value.replace(b"BAD", b'"bad"').replace(b"GOOD", GOOD), LOG)
    assert [record.item["body"] for record in found.records] == [{"stringValue": "good"}]
    (bad,) = found.malformed
    assert b'"bad"' in bad.value
    assert b"good" not in bad.value
    again = decode(bad.value, LOG)
    assert (again.records, again.malformed) == ([], [bad])
