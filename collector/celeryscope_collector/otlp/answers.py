"""Bodies of OTLP answers: export responses and google.rpc.Status, in JSON or protobuf."""

from collections import Counter
from typing import Any, Final

import orjson
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from celeryscope_collector.otlp.wire import field
from celeryscope_collector.records import LOGS, METRICS, TRACES, Signal

JSON: Final = "application/json"
PROTOBUF: Final = "application/x-protobuf"
_RETRY_INFO: Final = "type.googleapis.com/google.rpc.RetryInfo"

INVALID_ARGUMENT: Final = 3
DEADLINE_EXCEEDED: Final = 4
NOT_FOUND: Final = 5
RESOURCE_EXHAUSTED: Final = 8
UNIMPLEMENTED: Final = 12
INTERNAL: Final = 13
UNAVAILABLE: Final = 14
UNAUTHENTICATED: Final = 16


_RESPONSES: Final[dict[str, tuple[Any, str]]] = {
    TRACES.kind: (ExportTraceServiceResponse, "rejected_spans"),
    LOGS.kind: (ExportLogsServiceResponse, "rejected_log_records"),
    METRICS.kind: (ExportMetricsServiceResponse, "rejected_data_points"),
}


def export_response(signal: Signal, media_type: str, refused: Counter[str]) -> bytes:
    """The answer to an export: empty, or a partial success with the number of refused records and the reasons."""
    count, message = refused.total(), "; ".join(f"{number} x {reason}" for reason, number in refused.most_common(8))
    if media_type == JSON:
        if not count:
            return b"{}"
        # 64-bit integers are strings in OTLP/JSON.
        return orjson.dumps({"partialSuccess": {signal.rejected_key: str(count), "errorMessage": message}})
    make, field_name = _RESPONSES[signal.kind]
    response: Any = make()
    if count:
        response.partial_success.error_message = message
        setattr(response.partial_success, field_name, count)
    serialized: bytes = response.SerializeToString()
    return serialized


def status(media_type: str, code: int, message: str, retry_after: int | None = None) -> bytes:
    """A google.rpc.Status with a gRPC code (1 to 127) and a message for people.

    ``retry_after`` in seconds adds a google.rpc.RetryInfo to its details, which gRPC's senders look for; those of HTTP
    have a header.
    """
    if media_type == JSON:
        return orjson.dumps({"code": code, "message": message})
    # Fields of google/rpc/status.proto and error_details.proto, too few to need generated classes.
    encoded = bytes((0x08, code)) + field(2, message.encode())
    if retry_after is not None:
        retry_info = field(1, Duration(seconds=retry_after).SerializeToString())
        encoded += field(3, AnyMessage(type_url=_RETRY_INFO, value=retry_info).SerializeToString())
    return encoded
