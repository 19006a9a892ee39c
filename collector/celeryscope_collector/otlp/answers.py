"""Bodies of OTLP answers: export responses and google.rpc.Status, in JSON or protobuf."""

from collections import Counter
from typing import Any, Final

import orjson
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from celeryscope_collector.records import LOGS, Signal

JSON: Final = "application/json"
PROTOBUF: Final = "application/x-protobuf"

INVALID_ARGUMENT: Final = 3
DEADLINE_EXCEEDED: Final = 4
NOT_FOUND: Final = 5
RESOURCE_EXHAUSTED: Final = 8
UNIMPLEMENTED: Final = 12
INTERNAL: Final = 13
UNAVAILABLE: Final = 14
UNAUTHENTICATED: Final = 16


def export_response(signal: Signal, media_type: str, refused: Counter[str]) -> bytes:
    """The answer to an export: empty, or a partial success with the number of refused records and the reasons."""
    count, message = refused.total(), "; ".join(f"{number} x {reason}" for reason, number in refused.most_common(8))
    if media_type == JSON:
        if not count:
            return b"{}"
        # 64-bit integers are strings in OTLP/JSON.
        return orjson.dumps({"partialSuccess": {signal.rejected_key: str(count), "errorMessage": message}})
    response: Any = ExportLogsServiceResponse() if signal is LOGS else ExportTraceServiceResponse()
    if count:
        partial = response.partial_success
        partial.error_message = message
        if signal is LOGS:
            partial.rejected_log_records = count
        else:
            partial.rejected_spans = count
    serialized: bytes = response.SerializeToString()
    return serialized


def status(media_type: str, code: int, message: str) -> bytes:
    """A google.rpc.Status with a gRPC code (1 to 127) and a message for people."""
    if media_type == JSON:
        return orjson.dumps({"code": code, "message": message})
    # Field 1 (varint) and field 2 (length-delimited) of google/rpc/status.proto; two fields need no generated class.
    text = message.encode()
    return bytes((0x08, code, 0x12)) + _varint(len(text)) + text


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
