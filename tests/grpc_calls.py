"""OTLP/gRPC calls to a collector, in gRPC's own terms."""

import grpc
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs

LOGS = "/opentelemetry.proto.collector.logs.v1.LogsService/Export"
TRACES = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
METRICS = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"


def call(channel: grpc.Channel, method: str, request: bytes, token: str | None, **options: object) -> bytes:
    metadata = bearer(token) if token else ()
    answer: bytes = channel.unary_unary(method)(request, timeout=90, metadata=metadata, **options)
    return answer


def bearer(token: str) -> tuple[tuple[str, str]]:
    return (("authorization", f"Bearer {token}"),)


def refused(channel: grpc.Channel, method: str, request: bytes, token: str | None, **options: object) -> grpc.RpcError:
    with pytest.raises(grpc.RpcError) as caught:
        call(channel, method, request, token, **options)
    return caught.value


def retry_seconds(error: grpc.RpcError) -> int | None:
    """The seconds of the RetryInfo; None without one, which tells a sender never to try again."""
    encoded = dict(error.trailing_metadata()).get("grpc-status-details-bin", b"")
    for detail in Status.FromString(encoded).details:
        info = RetryInfo()
        assert detail.Unpack(info)
        return int(info.retry_delay.seconds)
    return None


def logs(*texts: str) -> bytes:
    records = [LogRecord(time_unix_nano=17, body=AnyValue(string_value=text)) for text in texts]
    request = ExportLogsServiceRequest(resource_logs=[ResourceLogs(scope_logs=[ScopeLogs(log_records=records)])])
    return bytes(request.SerializeToString())
