import math

import orjson
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import TracerProvider

from celeryscope import otlp
from celeryscope.redaction import Redactor

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()
values = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=10)


def _log(payload: bytes) -> ExportLogsServiceRequest:
    request = otlp.request("logs", {(b"{}", otlp.scope("x", "1")): [payload]})
    return json_format.Parse(_ids_as_base64(request), ExportLogsServiceRequest())


def _ids_as_base64(request: bytes) -> bytes:
    """protobuf's own JSON reader wants base64 where OTLP/JSON wants hexadecimal."""
    import base64
    import re

    def convert(match: "re.Match[bytes]") -> bytes:
        return match[1] + base64.b64encode(bytes.fromhex(match[2].decode())) + b'"'

    return re.sub(rb'("(?:traceId|spanId|parentSpanId)":")([0-9a-f]+)"', convert, request)


@given(st.dictionaries(st.text(), values), st.text())
def test_any_attributes_make_a_request_that_protobuf_reads(attributes: dict[str, object], body: str) -> None:
    payload = otlp.log_record(time_ns=1, attributes=otlp.encoded(attributes), body=body, severity_text="INFO")
    record = _log(payload).resource_logs[0].scope_logs[0].log_records[0]
    assert {item.key for item in record.attributes} == {
        key.encode(errors="replace").decode() for key, value in attributes.items() if value is not None
    }


def test_numbers_keep_their_type_and_size() -> None:
    payload = otlp.log_record(
        time_ns=5,
        attributes=otlp.encoded({"i": 2**62, "huge": 2**70, "f": 0.5, "nan": math.nan, "yes": True, "list": [1, "a"]}),
        body="b",
        severity_text="ERROR",
        event_name="celery.task.failed",
        trace_id=otlp.trace_hex(255),
        span_id=otlp.span_hex(1),
    )
    record = _log(payload).resource_logs[0].scope_logs[0].log_records[0]
    found = {item.key: item.value for item in record.attributes}
    assert found["i"].int_value == 2**62
    assert found["huge"].string_value == str(2**70)
    assert found["f"].double_value == 0.5
    assert found["nan"].string_value == "nan"
    assert found["yes"].bool_value is True
    assert [value.WhichOneof("value") for value in found["list"].array_value.values] == ["int_value", "string_value"]
    assert record.trace_id == bytes(15) + b"\xff"
    assert record.event_name == "celery.task.failed"


def test_a_span_with_event_link_and_parent_survives_the_encoding() -> None:
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("t", "2")
    with tracer.start_as_current_span("parent") as parent, tracer.start_as_current_span("child") as child:
        child.add_event("something", {"n": 1})
        child.add_link(parent.get_span_context())
    payload = otlp.sdk_span(child, Redactor())
    request = otlp.request("spans", {(b"{}", otlp.scope("t", "2")): [payload]})
    span = (
        json_format.Parse(_ids_as_base64(request), ExportTraceServiceRequest())
        .resource_spans[0]
        .scope_spans[0]
        .spans[0]
    )
    assert (span.name, span.events[0].name) == ("child", "something")
    assert int.from_bytes(span.parent_span_id) == parent.get_span_context().span_id
    assert int.from_bytes(span.links[0].span_id) == parent.get_span_context().span_id
    assert span.end_time_unix_nano >= span.start_time_unix_nano > 0


def test_a_value_whose_str_raises_does_no_harm() -> None:
    class Hostile:
        def __str__(self) -> str:
            raise RuntimeError("no")

    payload = otlp.log_record(time_ns=1, attributes=otlp.encoded({"x": Hostile()}), body="", severity_text="INFO")
    assert orjson.loads(payload)["attributes"][0]["value"]["stringValue"] == "<Hostile: RuntimeError in __str__>"


def test_text_that_has_no_utf_8_form_is_sent_all_the_same() -> None:
    broken = b"\xff name".decode(errors="surrogateescape")
    payload = otlp.log_record(
        time_ns=1, attributes=otlp.encoded({broken: broken, "list": [broken]}), body=broken, severity_text="INFO"
    )
    assert _log(payload).resource_logs[0].scope_logs[0].log_records[0].body.string_value == "? name"
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("t")
    with tracer.start_as_current_span(broken) as span:
        span.add_event(broken)
    assert orjson.loads(otlp.sdk_span(span, Redactor()))["name"] == "? name"
