"""OTLP protobuf as the dicts of OTLP/JSON, for whoever takes both.

Protobuf's own ``MessageToDict`` says the same (but for ids, which OTLP/JSON has in hexadecimal), and looks at each
field of each message anew. Here a function for each kind of message is made once, and attributes have one of their own.
"""

import base64
from collections.abc import Callable
from math import isfinite
from typing import Any, Final, TypeAlias

from google.protobuf.descriptor import FieldDescriptor
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

Convert: TypeAlias = Callable[[Any], Any]

_REQUESTS: Final[dict[str, Any]] = {"span": ExportTraceServiceRequest, "log": ExportLogsServiceRequest}
_HEXADECIMAL: Final = frozenset({"traceId", "spanId", "parentSpanId"})


def export_request(body: bytes, kind: str) -> dict[str, Any]:
    """An export request of ``kind`` "span" or "log"; raises google.protobuf's DecodeError when the bytes are none."""
    converted: dict[str, Any] = _OF_REQUESTS[kind](_REQUESTS[kind].FromString(body))
    return converted


def _of_message(descriptor: Any, made: dict[str, Convert]) -> Convert:
    """What makes a dict of such messages: their fields that are set, by their names in JSON."""
    known = made.get(descriptor.full_name)
    if known is not None:
        return known
    fields: dict[int, tuple[str, Convert]] = {}

    def convert(message: Any) -> dict[str, Any]:
        found = {}
        for field, value in message.ListFields():
            name, of_value = fields[field.number]
            found[name] = of_value(value)
        return found

    # Known before its fields are: values hold values.
    made[descriptor.full_name] = convert
    for field in descriptor.fields:
        fields[field.number] = field.json_name, _of_field(field, made)
    return convert


def _of_field(field: Any, made: dict[str, Convert]) -> Convert:
    convert = _of_scalar(field) if field.message_type is None else _of_message(field.message_type, made)
    if not field.is_repeated:
        return convert
    return lambda values: [convert(value) for value in values]


def _of_scalar(field: Any) -> Convert:
    if field.type == FieldDescriptor.TYPE_BYTES:
        return bytes.hex if field.json_name in _HEXADECIMAL else lambda value: base64.b64encode(value).decode()
    if field.cpp_type in {FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT64}:
        return str
    return _number if field.type == FieldDescriptor.TYPE_DOUBLE else lambda value: value


def _number(value: float) -> float | str:
    # JSON has no numbers for these.
    if isfinite(value):
        return value
    return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"  # noqa: PLR0124


def _key_value(attribute: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if key := attribute.key:
        found["key"] = key
    if attribute.HasField("value"):
        value = attribute.value
        kind = value.WhichOneof("value")
        # What nearly all values are; the others go the way of all messages.
        if kind == "string_value":
            found["value"] = {"stringValue": value.string_value}
        elif kind == "int_value":
            found["value"] = {"intValue": str(value.int_value)}
        else:
            found["value"] = _any_value(value)
    return found


_made: Final[dict[str, Convert]] = {KeyValue.DESCRIPTOR.full_name: _key_value}
_any_value: Final = _of_message(AnyValue.DESCRIPTOR, _made)
_OF_REQUESTS: Final = {kind: _of_message(message.DESCRIPTOR, _made) for kind, message in _REQUESTS.items()}
