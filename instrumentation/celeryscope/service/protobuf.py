"""OTLP protobuf as the dicts of OTLP/JSON, for whoever takes both."""

import base64
from typing import Any, Final

from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

_REQUESTS: Final[dict[str, Any]] = {"span": ExportTraceServiceRequest, "log": ExportLogsServiceRequest}
_LEVELS: Final = {
    "span": ("resourceSpans", "scopeSpans", "spans"),
    "log": ("resourceLogs", "scopeLogs", "logRecords"),
}
_IDS: Final = ("traceId", "spanId", "parentSpanId")


def export_request(body: bytes, kind: str) -> dict[str, Any]:
    """An export request of ``kind`` "span" or "log"; raises google.protobuf's DecodeError when the bytes are none."""
    request: dict[str, Any] = MessageToDict(_REQUESTS[kind].FromString(body), use_integers_for_enums=True)
    outer, inner, leaf = _LEVELS[kind]
    for by_resource in request.get(outer, ()):
        for by_scope in by_resource.get(inner, ()):
            for item in by_scope.get(leaf, ()):
                for part in (item, *item.get("links", ())):
                    # Protobuf's own JSON has bytes in base64; OTLP/JSON has these three in hexadecimal.
                    part.update({name: base64.b64decode(part[name]).hex() for name in _IDS if name in part})
    return request
