"""A Kafka message as records: OTLP/JSON or OTLP protobuf, as our collector or any other one writes it."""

import base64
from typing import Any

import orjson
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from celeryscope import semconv
from celeryscope.errors import Rejected
from celeryscope_pipelines.attributes import plain
from celeryscope_pipelines.records import KEYS, LOG, SPAN, Origin, Record

KIND_OF_TOPIC = {semconv.TOPIC_TRACES: SPAN, semconv.TOPIC_LOGS: LOG}
_MESSAGES: dict[str, Any] = {SPAN: ExportTraceServiceRequest, LOG: ExportLogsServiceRequest}
_IDS = ("traceId", "spanId", "parentSpanId")


def decode(value: bytes, kind: str) -> list[Record]:
    """All records of a message of ``kind``. Raises Rejected when the message is no OTLP export request of that kind."""
    request = _json(value) if value[:1] == b"{" else _protobuf(value, kind)
    outer, inner, leaf = KEYS[kind]
    records: list[Record] = []
    try:
        for by_resource in request.get(outer) or ():
            for by_scope in by_resource.get(inner) or ():
                origin = Origin(
                    by_resource.get("resource") or {}, by_scope.get("scope") or {}, by_resource.get("schemaUrl") or ""
                )
                records += [
                    Record(kind, origin, item, plain(item.get("attributes"))) for item in by_scope.get(leaf) or ()
                ]
    except (AttributeError, TypeError) as error:
        raise Rejected("undecodable", f"The message is no OTLP export request: {error}") from error
    return records


def _json(value: bytes) -> dict[str, Any]:
    try:
        request = orjson.loads(value)
    except orjson.JSONDecodeError as error:
        raise Rejected("undecodable", f"The message is no JSON: {error}") from error
    assert isinstance(request, dict)  # it begins with a brace
    return request


def _protobuf(value: bytes, kind: str) -> dict[str, Any]:
    try:
        message = _MESSAGES[kind].FromString(value)
    except DecodeError as error:
        raise Rejected("undecodable", f"The message is neither OTLP/JSON nor OTLP protobuf: {error}") from error
    request: dict[str, Any] = MessageToDict(message, use_integers_for_enums=True)
    outer, inner, leaf = KEYS[kind]
    for by_resource in request.get(outer, ()):
        for by_scope in by_resource.get(inner, ()):
            for item in by_scope.get(leaf, ()):
                for part in (item, *item.get("links", ())):
                    # protobuf's own JSON has bytes in base64, OTLP's has ids in hexadecimal
                    part.update({name: base64.b64decode(part[name]).hex() for name in _IDS if name in part})
    return request
