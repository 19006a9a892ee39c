"""A Kafka message as records: OTLP/JSON or OTLP protobuf, as our collector or any other one writes it."""

from collections.abc import Iterator
from typing import Any

import orjson
from google.protobuf.message import DecodeError

from celeryscope import semconv
from celeryscope.errors import Rejected
from celeryscope.service.protobuf import export_request
from celeryscope_pipelines.attributes import plain
from celeryscope_pipelines.records import KEYS, LOG, SPAN, Origin, Record

KIND_OF_TOPIC = {semconv.TOPIC_TRACES: SPAN, semconv.TOPIC_LOGS: LOG}


def decode(value: bytes, kind: str) -> list[Record]:
    """All records of a message of ``kind``; a message is JSON when it begins with a brace, otherwise protobuf.

    Raises Rejected when it is no OTLP export request of that kind, or any part of it isn't: its other records would
    come a second time when somebody mends and replays it.
    """
    request = _json(value) if value[:1] == b"{" else _protobuf(value, kind)
    outer, inner, leaf = KEYS[kind]
    if value not in {b"", b"{}"} and outer not in request:
        raise Rejected("undecodable", f"The message is no OTLP export request with {outer}.")
    return [
        Record(kind, origin, item, plain(item.get("attributes")))
        for by_resource in _objects(request, outer)
        for by_scope in _objects(by_resource, inner)
        for origin in (_origin(by_resource, by_scope),)
        for item in _objects(by_scope, leaf)
    ]


def _origin(by_resource: dict[str, Any], by_scope: dict[str, Any]) -> Origin:
    schema_url = by_resource.get("schemaUrl")
    return Origin(
        _object(by_resource.get("resource") or {}, "resource"),
        _object(by_scope.get("scope") or {}, "scope"),
        schema_url if isinstance(schema_url, str) else "",
    )


def _objects(parent: dict[str, Any], key: str) -> Iterator[dict[str, Any]]:
    children = parent.get(key) or []
    if not isinstance(children, list):
        raise Rejected("undecodable", f"{key} of an OTLP export request is a list.")
    return (_object(child, key) for child in children)


def _object(content: Any, key: str) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise Rejected("undecodable", f"{key} of an OTLP export request holds objects.")
    return content


def _json(value: bytes) -> dict[str, Any]:
    try:
        request = orjson.loads(value)
    except orjson.JSONDecodeError as error:
        raise Rejected("undecodable", f"The message is no JSON: {error}") from error
    assert isinstance(request, dict)  # it begins with a brace
    return request


def _protobuf(value: bytes, kind: str) -> dict[str, Any]:
    try:
        return export_request(value, kind)
    except DecodeError as error:
        raise Rejected("undecodable", f"The message is neither OTLP/JSON nor OTLP protobuf: {error}") from error
