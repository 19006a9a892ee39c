"""A real collector process in front of a real Kafka."""

import gzip
import re
import uuid
from collections.abc import Iterator
from pathlib import Path

import grpc
import orjson
import pytest
from kafka import KafkaConsumer
from kafka.admin import KafkaAdminClient, NewTopic
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

import grpc_calls
from celeryscope import semconv
from celeryscope_collector.tokens import new_token
from collector_process import (
    Collector,
    attributes_of,
    bodies,
    collecting,
    log,
    log_records,
    logs_request,
    messages,
    unique,
)
from servers import Kafka
from support.waiting import until

pytestmark = pytest.mark.kafka
JSON = "application/json"
PROTOBUF = "application/x-protobuf"


@pytest.fixture(scope="module")
def collector(kafka: Kafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    small = {"CELERYSCOPE_COLLECTOR_MAX_REQUEST_BYTES": "2000000"}
    with collecting(kafka, tmp_path_factory.mktemp("collector"), small) as running:
        yield running


def test_a_json_log_record_is_in_kafka_once_it_is_answered(collector: Collector, kafka: Kafka) -> None:
    text = unique()

    answer = collector.post("/v1/logs", logs_request(log(text)))

    assert (answer.status, answer.data, answer.headers["content-type"]) == (200, b"{}", JSON)
    (record,) = [record for record in log_records(kafka.bootstrap_servers, collector.tenant) if text in str(record)]
    assert record["severityText"] == "INFO"
    assert attributes_of(record)[semconv.LOG_RECORD_UID]


def test_a_gzipped_request_is_accepted(collector: Collector, kafka: Kafka) -> None:
    text = unique()

    answer = collector.post("/v1/logs", gzip.compress(logs_request(log(text))), content_encoding="gzip")

    assert answer.status == 200
    assert text in bodies(kafka.bootstrap_servers, collector.tenant)


def a_protobuf_span(name: str, root_id: str) -> Span:
    attribute = KeyValue(key=semconv.ROOT_ID, value=AnyValue(string_value=root_id))
    return Span(
        trace_id=bytes(range(16)),
        span_id=bytes(range(1, 9)),
        name=name,
        kind=5,
        start_time_unix_nano=17,
        attributes=[attribute],
    )


def protobuf_request(*spans: Span) -> bytes:
    scope = ScopeSpans(spans=spans)
    request = ExportTraceServiceRequest(resource_spans=[ResourceSpans(resource=Resource(), scope_spans=[scope])])
    return bytes(request.SerializeToString())


def test_protobuf_stays_protobuf_and_its_message_says_so(collector: Collector, kafka: Kafka) -> None:
    name = unique()

    answer = collector.post("/v1/traces", protobuf_request(a_protobuf_span(name, "root")), PROTOBUF)

    assert (answer.status, answer.headers["content-type"]) == (200, PROTOBUF)
    assert not ExportTraceServiceResponse.FromString(answer.data).HasField("partial_success")
    found = messages(kafka.bootstrap_servers, semconv.TOPIC_TRACES, collector.tenant)
    (message,) = [message for message in found if name.encode() in message.value]
    assert message.headers == [("content-type", PROTOBUF.encode())]
    (spans,) = ExportTraceServiceRequest.FromString(message.value).resource_spans
    assert list(spans.scope_spans[0].spans) == [a_protobuf_span(name, "root")]


def test_protobuf_becomes_json_with_hexadecimal_ids_when_it_is_to(kafka: Kafka, tmp_path: Path) -> None:
    name, tenant = unique(), f"t{uuid.uuid4().hex[:12]}"
    settings = {"CELERYSCOPE_COLLECTOR_KAFKA_ENCODING": "json"}
    with Collector(kafka.bootstrap_servers, tmp_path, settings, tenant) as collector:
        assert collector.post("/v1/traces", protobuf_request(a_protobuf_span(name, "root")), PROTOBUF).status == 200

    (message,) = messages(kafka.bootstrap_servers, semconv.TOPIC_TRACES, tenant)
    assert message.headers == [("content-type", JSON.encode())]
    (span,) = orjson.loads(message.value)["resourceSpans"][0]["scopeSpans"][0]["spans"]
    assert (span["traceId"], span["spanId"]) == (bytes(range(16)).hex(), bytes(range(1, 9)).hex())
    assert (span["kind"], span["startTimeUnixNano"]) == (5, "17")


def test_all_records_of_a_workflow_go_to_one_partition(collector: Collector, kafka: Kafka) -> None:
    root, text = unique(), unique()
    for _ in range(3):
        records = [log(text, celery__root_id=root), *(log(text, celery__root_id=unique()) for _ in range(20))]
        assert collector.post("/v1/logs", logs_request(*records)).status == 200

    found = messages(kafka.bootstrap_servers, semconv.TOPIC_LOGS, collector.tenant)

    assert len({message.partition for message in found if text.encode() in message.value}) > 1
    assert len({message.partition for message in found if root.encode() in message.value}) == 1


def test_the_tenant_is_the_tokens_whatever_the_sender_claims(collector: Collector, kafka: Kafka) -> None:
    text = unique()

    collector.post("/v1/logs", logs_request(log(text), celery__tenant="somebody_else"))

    assert not [text for text in bodies(kafka.bootstrap_servers, "somebody_else") if text]
    assert text in bodies(kafka.bootstrap_servers, collector.tenant)


def test_no_secret_reaches_kafka(collector: Collector, kafka: Kafka) -> None:
    secret = unique()
    record = log(f"connecting to redis://user:{secret}@host/0", db_password=secret, celery__task_id="stays")

    collector.post("/v1/logs", logs_request(record, api__key=secret))

    found = [
        message.value.decode() for message in messages(kafka.bootstrap_servers, semconv.TOPIC_LOGS, collector.tenant)
    ]
    assert any("redis://user:[redacted]@host/0" in value and "stays" in value for value in found)
    assert not any(secret in value for value in found)


def test_refused_records_are_told_and_the_rest_is_kept(collector: Collector, kafka: Kafka) -> None:
    text = unique()

    answer = collector.post("/v1/logs", logs_request(log(text), {"body": "not an object"}, 17))

    assert answer.status == 200
    assert orjson.loads(answer.data)["partialSuccess"] == {
        "rejectedLogRecords": "2",
        "errorMessage": "1 x malformed_body; 1 x malformed_log_record",
    }
    assert text in bodies(kafka.bootstrap_servers, collector.tenant)


def test_a_span_without_ids_is_refused_in_protobuf_too(collector: Collector) -> None:
    span = a_protobuf_span("no ids", "root")
    span.ClearField("span_id")

    answer = collector.post("/v1/traces", protobuf_request(span), PROTOBUF)

    partial = ExportTraceServiceResponse.FromString(answer.data).partial_success
    assert (answer.status, partial.rejected_spans, partial.error_message) == (200, 1, "1 x invalid_ids")


def test_a_record_over_the_message_size_is_refused_alone(collector: Collector, kafka: Kafka) -> None:
    text = unique()
    record = log(text)
    # Many values, each below its own limit.
    record["attributes"] = [{"key": f"k{n}", "value": {"stringValue": "x" * 60_000}} for n in range(20)]

    answer = collector.post("/v1/logs", logs_request(record, log(text + " small")))

    assert orjson.loads(answer.data)["partialSuccess"]["errorMessage"] == "1 x record_too_large"
    assert f"{text} small" in bodies(kafka.bootstrap_servers, collector.tenant)


def test_a_record_without_id_is_given_the_same_one_when_its_request_comes_again(
    collector: Collector, kafka: Kafka
) -> None:
    text = unique()
    for _ in range(2):
        collector.post("/v1/logs", logs_request(log(text), log(text)))

    records = [record for record in log_records(kafka.bootstrap_servers, collector.tenant) if text in str(record)]
    assert len(records) == 4
    assert len({attributes_of(record)[semconv.LOG_RECORD_UID] for record in records}) == 2


@pytest.mark.parametrize(
    ("path", "body", "headers", "status"),
    [
        pytest.param("/v1/logs", b"{", {}, 400, id="bad JSON"),
        pytest.param("/v1/logs", b"[]", {}, 400, id="JSON that is no request"),
        pytest.param("/v1/logs", b'{"resourceLogs": [1]}', {}, 400, id="a resource that is no object"),
        pytest.param("/v1/traces", b"\xff", {"Content_Type": PROTOBUF}, 400, id="bad protobuf"),
        pytest.param("/v1/logs", b"{}", {"content_encoding": "gzip"}, 400, id="not gzip"),
        pytest.param("/v1/logs", gzip.compress(b"{}")[:-4], {"content_encoding": "gzip"}, 400, id="gzip cut off"),
        pytest.param("/v1/logs", b"{}", {"content_encoding": "br"}, 415, id="unknown encoding"),
        pytest.param("/v1/logs", b"{}", {"Content_Type": "text/plain"}, 415, id="unknown media type"),
        pytest.param("/v1/logs", b"{}", {"Authorization": "Bearer wrong"}, 401, id="unknown token"),
        pytest.param("/v1/logs", b"{}", {"Authorization": ""}, 401, id="no token"),
        pytest.param("/v1/metrics", b"{}", {}, 404, id="unknown path"),
        pytest.param("/v1/logs/", b"{}", {}, 404, id="nearly the path"),
        pytest.param("/healthz", b"{}", {}, 405, id="wrong method"),
        pytest.param("/v1/logs", b" " * 2_000_001, {}, 413, id="too many bytes"),
        pytest.param("/v1/logs", gzip.compress(b" " * 40_000_000), {"content_encoding": "gzip"}, 413, id="gzip bomb"),
    ],
)
def test_a_request_that_can_not_be_accepted_is_answered_with(
    collector: Collector, path: str, body: bytes, headers: dict[str, str], status: int
) -> None:
    answer = collector.post(path, body, **headers)

    assert answer.status == status
    if answer.headers["content-type"] == JSON:
        assert orjson.loads(answer.data)["message"]
    assert ("www-authenticate" in answer.headers) == (status == 401)


@pytest.mark.parametrize("media_type", [JSON, PROTOBUF])
def test_a_sender_of_metrics_is_told_what_to_do(collector: Collector, media_type: str) -> None:
    answer = collector.post("/v1/metrics", b"", media_type)
    assert (answer.status, answer.headers["content-type"]) == (404, media_type)
    assert b"OTEL_METRICS_EXPORTER=none" in answer.data


def test_metrics_are_passed_to_a_topic_of_their_own_when_switched_on(kafka: Kafka, tmp_path: Path) -> None:
    with KafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers) as admin:
        admin.create_topics([NewTopic(semconv.TOPIC_METRICS, num_partitions=2, replication_factor=1)])
    point = {"asInt": "5", "attributes": []}
    scope = {"metrics": [{"name": unique(), "gauge": {"dataPoints": [point]}}]}
    with Collector(kafka.bootstrap_servers, tmp_path, {"CELERYSCOPE_COLLECTOR_METRICS": "true"}) as collector:
        answer = collector.post("/v1/metrics", orjson.dumps({"resourceMetrics": [{"scopeMetrics": [scope]}]}))
        assert (answer.status, answer.data) == (200, b"{}")
        with grpc.insecure_channel(collector.grpc_address) as channel:
            request = ExportMetricsServiceRequest(
                resource_metrics=[{"scope_metrics": [{"metrics": [{"name": "by grpc"}]}]}]
            )
            grpc_calls.call(channel, grpc_calls.METRICS, request.SerializeToString(), collector.token)
    consumer = KafkaConsumer(
        semconv.TOPIC_METRICS, bootstrap_servers=kafka.bootstrap_servers, auto_offset_reset="earliest"
    )
    try:
        values = [next(consumer).value.decode() for _ in range(2)]
    finally:
        consumer.close()
    assert scope["metrics"][0]["name"] in "".join(values)
    assert "by grpc" in "".join(values)


def test_a_gzip_bomb_does_not_cost_memory(collector: Collector) -> None:
    bomb = gzip.compress(bytes(400_000_000), 9)
    assert len(bomb) < 2_000_000

    assert collector.post("/v1/logs", bomb, content_encoding="gzip").status == 413

    status = Path(f"/proc/{collector.process.pid}/status").read_text()
    peak = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert peak
    assert int(peak.group(1)) < 250_000


def test_a_token_works_as_soon_as_its_hash_is_in_the_file_and_no_longer_than_that(collector: Collector) -> None:
    fresh = new_token()
    assert collector.post("/v1/logs", b"{}", Authorization=f"Bearer {fresh}").status == 401

    collector.write_tokens({collector.token: collector.tenant, fresh: "other"})
    assert collector.post("/v1/logs", b"{}", Authorization=f"Bearer {fresh}").status == 200

    collector.tokens_file.write_text("tokens: [broken")
    assert collector.post("/v1/logs", b"{}", Authorization=f"Bearer {fresh}").status == 200

    collector.write_tokens({collector.token: collector.tenant})
    assert collector.post("/v1/logs", b"{}", Authorization=f"Bearer {fresh}").status == 401


def test_health_readiness_and_metrics_need_no_token(collector: Collector) -> None:
    collector.post("/v1/logs", logs_request(log()))

    assert collector.get("/healthz").status == 200
    assert (collector.get("/readyz").status, collector.get("/readyz").data) == (200, b"ready")
    for metric in (
        r'_requests_total\{signal="log",status="200",transport="http"\} [1-9]',
        r'celeryscope_collector_bytes_in_flight\{stage="kafka"\} 0',
        r"celeryscope_collector_ready 1\.0",
    ):
        # The answer may be here before the collector has counted it.
        until(lambda metric=metric: re.search(metric, collector.get("/metrics").data.decode()), what=metric)
