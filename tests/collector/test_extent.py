"""What a request would become is known before it is parsed."""

import pytest
from google.protobuf.json_format import MessageToJson
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
    ResourceMetrics,
    Sum,
)
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

from celeryscope_collector.metrics_requests import decoded_metrics
from celeryscope_collector.otlp import extent
from celeryscope_collector.otlp.answers import JSON, PROTOBUF
from celeryscope_collector.otlp.content import TooLarge
from celeryscope_collector.otlp.extent import check_json, check_protobuf
from celeryscope_collector.otlp.wire import field
from celeryscope_collector.records import LOGS, METRICS, TRACES

FILLING = b"\x7a\x80\x80\x80\x01" + bytes(2 << 20)
"""A field that nobody knows, of two megabytes: what is small is not counted."""

MAX_PARTS = 1000
VALUES = [AnyValue()] * (MAX_PARTS + 1)
ATTRIBUTES = [KeyValue()] * (MAX_PARTS + 1)


@pytest.fixture(autouse=True)
def fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extent, "MAX_PARTS", MAX_PARTS)


def logs(*records: LogRecord) -> bytes:
    return bytes(
        ExportLogsServiceRequest(
            resource_logs=[ResourceLogs(scope_logs=[ScopeLogs(log_records=records)])]
        ).SerializeToString()
    )


def spans(*parts: Span) -> bytes:
    return bytes(
        ExportTraceServiceRequest(
            resource_spans=[ResourceSpans(scope_spans=[ScopeSpans(spans=parts)])]
        ).SerializeToString()
    )


@pytest.mark.parametrize(
    "body",
    [
        logs(*[LogRecord()] * (MAX_PARTS + 1)),
        logs(LogRecord(attributes=ATTRIBUTES)),
        logs(LogRecord(body=AnyValue(array_value=ArrayValue(values=VALUES)))),
        logs(LogRecord(body=AnyValue(kvlist_value=KeyValueList(values=ATTRIBUTES)))),
    ],
    ids=["records", "attributes", "values", "maps"],
)
def test_too_many_parts_are_refused_wherever_they_are(body: bytes) -> None:
    with pytest.raises(TooLarge):
        check_protobuf(FILLING + body, LOGS)


@pytest.mark.parametrize(
    "part",
    [
        Span(attributes=ATTRIBUTES),
        Span(events=[Span.Event(attributes=ATTRIBUTES)]),
        Span(links=[Span.Link(attributes=ATTRIBUTES)]),
    ],
    ids=["attributes", "events", "links"],
)
def test_too_many_parts_of_a_span_are_refused(part: Span) -> None:
    with pytest.raises(TooLarge):
        check_protobuf(FILLING + spans(part), TRACES)


@pytest.mark.parametrize(
    "metric",
    [
        Metric(gauge=Gauge(data_points=[NumberDataPoint()] * (MAX_PARTS + 1))),
        Metric(sum=Sum(data_points=[NumberDataPoint(attributes=ATTRIBUTES)])),
        Metric(histogram=Histogram(data_points=[HistogramDataPoint(explicit_bounds=[0.0] * (MAX_PARTS + 1))])),
    ],
    ids=["points", "attributes", "numbers"],
)
def test_too_many_parts_of_a_metric_are_refused(metric: Metric) -> None:
    request = ExportMetricsServiceRequest(resource_metrics=[ResourceMetrics(scope_metrics=[{"metrics": [metric]}])])
    body = request.SerializeToString()
    check_protobuf(body, METRICS)
    for media_type, too_much in ((PROTOBUF, FILLING + body), (JSON, MessageToJson(request).encode())):
        with pytest.raises(TooLarge):
            list(decoded_metrics(too_much, media_type))


def test_numbers_are_counted_that_are_not_packed() -> None:
    # resource, scope, metric, exponential histogram, its point, positive buckets; and in these a count after the other
    body = b"\x10\x00" * (MAX_PARTS + 1)
    for number in (8, 1, 10, 2, 2, 1):
        body = field(number, body)
    with pytest.raises(TooLarge):
        check_protobuf(FILLING + body, METRICS)


def test_as_many_as_allowed_pass_and_strings_are_not_counted() -> None:
    check_protobuf(FILLING + logs(LogRecord(attributes=ATTRIBUTES[: MAX_PARTS // 2 - 4])), LOGS)
    check_protobuf(logs(LogRecord(severity_text="\x12\x00" * (1 << 20), attributes=[KeyValue()])), LOGS)


@pytest.mark.parametrize("body", [b"\xff" * (2 << 20), b"\x0b" * (2 << 20), b"\x0a\xff\xff\xff\x7f" + bytes(2 << 20)])
def test_what_is_no_protobuf_is_left_to_the_parser(body: bytes) -> None:
    check_protobuf(body, LOGS)


def test_json_is_counted_by_its_objects_and_lists() -> None:
    check_json(b"{}" * MAX_PARTS)
    with pytest.raises(TooLarge):
        check_json(b"[{}]" * MAX_PARTS)
