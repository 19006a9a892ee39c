"""OpenTelemetry's own exporters for Python send to the collector as to any other."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter as LogsByGrpc
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as SpansByGrpc
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter as LogsByHttp
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as SpansByHttp
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult

from collector_process import Collector, attributes_of, collecting, log_records, spans, unique
from servers import Kafka

pytestmark = pytest.mark.kafka


@pytest.fixture(scope="module")
def collector(kafka: Kafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    with collecting(kafka, tmp_path_factory.mktemp("collector")) as running:
        yield running


def by_http(exporter: Callable[..., Any], collector: Collector, path: str) -> Any:
    return exporter(endpoint=collector.url + path, headers={"authorization": f"Bearer {collector.token}"})


def by_grpc(exporter: Callable[..., Any], collector: Collector) -> Any:
    headers = (("authorization", f"Bearer {collector.token}"),)
    return exporter(endpoint=f"http://{collector.grpc_address}", insecure=True, headers=headers)


def test_spans_arrive_with_their_ids_kinds_and_exceptions(collector: Collector) -> None:
    text = unique()
    exporters = {"http": by_http(SpansByHttp, collector, "/v1/traces"), "grpc": by_grpc(SpansByGrpc, collector)}
    sent = {}
    for name, exporter in exporters.items():
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        with provider.get_tracer("test").start_as_current_span(f"{text} {name}", attributes={"number": 17}) as span:
            span.record_exception(ValueError("an error"))
        sent[f"{text} {name}"] = span.get_span_context()
        provider.shutdown()

    found = {span["name"]: span for span in spans(collector.kafka, collector.tenant)}
    for name, context in sent.items():
        span = found[name]
        assert (span["traceId"], span["spanId"]) == (f"{context.trace_id:032x}", f"{context.span_id:016x}")
        assert str(attributes_of(span)["number"]) == "17"
        assert [event["name"] for event in span["events"]] == ["exception"]


def test_log_records_arrive(collector: Collector) -> None:
    text = unique()
    exporters = {"http": by_http(LogsByHttp, collector, "/v1/logs"), "grpc": by_grpc(LogsByGrpc, collector)}
    for name, exporter in exporters.items():
        provider = LoggerProvider(shutdown_on_exit=False)
        provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
        record = LogRecord(body=f"{text} {name}", severity_number=SeverityNumber.WARN, attributes={"number": 17})
        provider.get_logger("test").emit(record)
        provider.shutdown()

    found = {record["body"]["stringValue"]: record for record in log_records(collector.kafka, collector.tenant)}
    for name in exporters:
        record = found[f"{text} {name}"]
        assert (record["severityNumber"], str(attributes_of(record)["number"])) == (13, "17")


def test_a_wrong_token_is_a_failure_that_is_not_tried_again(collector: Collector) -> None:
    exporter = SpansByGrpc(
        endpoint=f"http://{collector.grpc_address}", insecure=True, headers=(("authorization", "Bearer wrong"),)
    )
    provider = TracerProvider(shutdown_on_exit=False)
    span = provider.get_tracer("test").start_span("refused")
    span.end()
    # Until the exporter's own timeout it would try what is worth another try.
    assert exporter.export([span]) is SpanExportResult.FAILURE
    exporter.shutdown()
