"""A resource or scope of OTLP/JSON dicts as protobuf."""

import base64
from typing import Any

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList
from opentelemetry.proto.resource.v1.resource_pb2 import Resource


def resource_message(resource: dict[str, Any]) -> bytes:
    """Of a valid resource."""
    dropped = int(resource.get("droppedAttributesCount", 0))
    message = Resource(attributes=_attributes(resource), dropped_attributes_count=dropped)
    return bytes(message.SerializeToString())


def scope_message(scope: dict[str, Any]) -> bytes:
    """Of a valid scope."""
    message = InstrumentationScope(
        name=scope.get("name", ""),
        version=scope.get("version", ""),
        attributes=_attributes(scope),
        dropped_attributes_count=int(scope.get("droppedAttributesCount", 0)),
    )
    return bytes(message.SerializeToString())


def _attributes(part: dict[str, Any]) -> list[KeyValue]:
    return [KeyValue(key=each["key"], value=_value(each["value"])) for each in part.get("attributes", ())]


def _value(value: dict[str, Any]) -> AnyValue:
    for kind, content in value.items():
        if kind == "stringValue":
            return AnyValue(string_value=content)
        if kind == "intValue":
            return AnyValue(int_value=int(content))
        if kind == "doubleValue":
            return AnyValue(double_value=float(content))
        if kind == "boolValue":
            return AnyValue(bool_value=content)
        if kind == "bytesValue":
            return AnyValue(bytes_value=base64.b64decode(content))
        members = content.get("values", ())
        if kind == "arrayValue":
            return AnyValue(array_value=ArrayValue(values=[_value(member) for member in members]))
        return AnyValue(kvlist_value=KeyValueList(values=_attributes({"attributes": members})))
    return AnyValue()
