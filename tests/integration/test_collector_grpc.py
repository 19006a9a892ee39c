"""OTLP/gRPC: a real collector process, asked with gRPC's own client."""

import gzip
import re
import threading
import uuid
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import grpc
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

from collector_process import Collector, bodies, collecting, create_topics, unique
from grpc_calls import LOGS, METRICS, TRACES, bearer, call, logs, refused, retry_seconds
from servers import Kafka
from support.waiting import until

pytestmark = pytest.mark.kafka


@pytest.fixture(scope="module")
def collector(kafka: Kafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    small = {"CELERYSCOPE_COLLECTOR_MAX_REQUEST_BYTES": "2000000"}
    with collecting(kafka, tmp_path_factory.mktemp("collector"), small) as running:
        yield running


@pytest.fixture
def channel(collector: Collector) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(collector.grpc_address) as opened:
        yield opened


class LateMessage:
    """The stream of one message that comes when it is released, or at the end."""

    def __init__(self, message: bytes) -> None:
        self.message = message
        self._released = threading.Event()

    def release(self) -> None:
        self._released.set()

    def __iter__(self) -> Iterator[bytes]:
        self._released.wait()
        yield self.message

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


@pytest.mark.parametrize("compression", [None, grpc.Compression.Gzip, grpc.Compression.Deflate])
def test_what_is_answered_is_in_kafka_however_it_was_compressed(
    collector: Collector, channel: grpc.Channel, kafka: Kafka, compression: grpc.Compression
) -> None:
    texts = [f"{unique()} {number}" for number in range(50)]

    answer = call(channel, LOGS, logs(*texts), collector.token, compression=compression)

    assert not ExportLogsServiceResponse.FromString(answer).HasField("partial_success")
    assert set(texts) <= set(bodies(kafka.bootstrap_servers, collector.tenant))


def test_refused_records_are_told_and_the_rest_is_kept(collector: Collector, channel: grpc.Channel) -> None:
    spans = [Span(trace_id=b"1" * 16, span_id=b"2" * 8, name="good"), Span(name="no ids")]
    request = ExportTraceServiceRequest(resource_spans=[ResourceSpans(scope_spans=[ScopeSpans(spans=spans)])])

    answer = call(channel, TRACES, request.SerializeToString(), collector.token)

    partial = ExportTraceServiceResponse.FromString(answer).partial_success
    assert (partial.rejected_spans, partial.error_message) == (1, "1 x invalid_ids")


@pytest.mark.parametrize(
    ("method", "request_bytes", "token", "code"),
    [
        pytest.param(LOGS, b"", None, grpc.StatusCode.UNAUTHENTICATED, id="no token"),
        pytest.param(LOGS, b"", "wrong", grpc.StatusCode.UNAUTHENTICATED, id="unknown token"),
        pytest.param(LOGS, b"\xff", "right", grpc.StatusCode.INVALID_ARGUMENT, id="no protobuf"),
        pytest.param(LOGS, gzip.compress(logs("x"))[:-5], "right", grpc.StatusCode.INVALID_ARGUMENT, id="gzip cut off"),
        pytest.param(LOGS, bytes(2_000_001), "right", grpc.StatusCode.RESOURCE_EXHAUSTED, id="too many bytes"),
        pytest.param(
            LOGS, gzip.compress(bytes(40_000_000)), "right", grpc.StatusCode.RESOURCE_EXHAUSTED, id="gzip bomb"
        ),
        pytest.param(
            LOGS, zlib.compress(bytes(40_000_000)), "right", grpc.StatusCode.RESOURCE_EXHAUSTED, id="deflate bomb"
        ),
        pytest.param(METRICS, b"", "right", grpc.StatusCode.UNIMPLEMENTED, id="metrics"),
    ],
)
def test_a_call_that_can_not_be_accepted_is_refused_for_good(
    collector: Collector,
    channel: grpc.Channel,
    method: str,
    request_bytes: bytes,
    token: str | None,
    code: grpc.StatusCode,
) -> None:
    error = refused(channel, method, request_bytes, collector.token if token == "right" else token)

    assert (error.code(), bool(error.details())) == (code, True)
    assert retry_seconds(error) is None


def test_a_message_that_is_far_too_large_costs_no_memory(collector: Collector, channel: grpc.Channel) -> None:
    huge = bytes(300_000_000)

    error = refused(channel, LOGS, huge, collector.token)

    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{collector.process.pid}/status").read_text())
    assert peak
    assert int(peak.group(1)) < 250_000


def test_calls_under_way_when_sigterm_comes_are_finished_or_given_up(kafka: Kafka, tmp_path: Path) -> None:
    create_topics(kafka)
    tenant = f"t{uuid.uuid4().hex[:12]}"
    with (
        Collector(
            kafka.bootstrap_servers, tmp_path, {"CELERYSCOPE_COLLECTOR_REQUEST_TIMEOUT": "10"}, tenant
        ) as collector,
        grpc.insecure_channel(collector.grpc_address) as channel,
        LateMessage(logs("slow")) as late,
        LateMessage(b"") as never,
    ):
        call(channel, LOGS, logs("before"), collector.token)
        # The late one has these ten seconds, too: from here until it is released nothing may take long.
        slow, hanging = (
            channel.stream_unary(LOGS).future(iter(messages), timeout=90, metadata=bearer(collector.token))
            for messages in (late, never)
        )
        until(lambda: b'requests_under_way{signal="log"} 2' in collector.get("/metrics").data)
        collector.process.terminate()
        collector.wait_for_log("draining")
        late.release()
        slow.result()
        assert (hanging.code(), "in time" in hanging.details()) == (grpc.StatusCode.DEADLINE_EXCEEDED, True)
        assert collector.process.wait(90) == 0

    assert set(bodies(kafka.bootstrap_servers, tenant)) == {"before", "slow"}
