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
from celeryscope_pipelines.decode import decode
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
    first, second = decode(orjson.dumps(request()), SPAN)
    assert first.identity == TRACE.hex() + SPAN_ID.hex()
    assert first.attributes == {"a": 1, "b": "x", "c": [1.5], "d": {"e": True}}
    assert first.origin is second.origin
    assert (first.origin.tenant, first.origin.attributes) == ("acme", {"service.name": "shop"})


def test_protobuf_becomes_the_same_documents_as_json() -> None:
    from_json, from_protobuf = decode(orjson.dumps(request()), SPAN), decode(as_protobuf(request()), SPAN)
    assert [documents_for(record) for record in from_protobuf] == [documents_for(record) for record in from_json]


def test_a_record_alone_makes_a_request_that_becomes_the_same_documents() -> None:
    for value in (orjson.dumps(request()), as_protobuf(request())):
        record = decode(value, SPAN)[0]
        (again,) = decode(orjson.dumps(record.as_request()), SPAN)
        assert again.identity == record.identity
        assert documents_for(again) == documents_for(record)


@pytest.mark.parametrize("value", [b"", b"{}", b'{"resourceLogs":[]}', b'{"resourceLogs":[{"scopeLogs":null}]}'])
def test_an_empty_request_has_no_records(value: bytes) -> None:
    assert decode(value, LOG) == []


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
        b'{"resourceLogs":[7]}',
        b'{"resourceLogs":[{"resource":7,"scopeLogs":[{"logRecords":[{}]}]}]}',
        b'{"resourceLogs":[{"scopeLogs":[{"scope":7,"logRecords":[{}]}]}]}',
        b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[null]}]}]}',
        b'{"resourceLogs":[{"scopeLogs":{"logRecords":[]}}]}',
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
            records = decode(value, kind)
        except Rejected:
            continue
        assert all(record.kind == kind for record in records)
