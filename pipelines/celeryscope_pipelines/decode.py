"""A Kafka message as records: OTLP/JSON or OTLP protobuf, as our collector or an OpenTelemetry Collector writes it.

The header ``content-type`` tells which of the two it is, and where there is none (an OpenTelemetry Collector's
kafkaexporter writes none) the first byte does. Keys of messages say nothing here. A message holds any number of
resources.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
from google.protobuf.message import DecodeError

from celeryscope import semconv
from celeryscope.errors import Rejected
from celeryscope.service.protobuf import export_request
from celeryscope_pipelines.attributes import plain
from celeryscope_pipelines.records import KEYS, LOG, SPAN, Keys, Origin, Record

KIND_OF_TOPIC = {semconv.TOPIC_TRACES: SPAN, semconv.TOPIC_LOGS: LOG}
_CONTENT_TYPE: Final = "content-type"


@dataclass(frozen=True, slots=True)
class Malformed:
    """A part of a message that is no part of an export request."""

    value: bytes
    """A request that holds this part and nothing else; empty when it is nested too deeply to be written."""
    error: str


@dataclass(frozen=True, slots=True)
class Decoded:
    """What a message holds; a malformed part takes nothing along but what is inside of it."""

    records: list[Record] = field(default_factory=list)
    malformed: list[Malformed] = field(default_factory=list)


def content_type(headers: Sequence[tuple[str, bytes]] | None) -> str:
    """What the headers of a Kafka message say about its encoding; empty when they say nothing."""
    for name, content in headers or ():
        if name.lower() == _CONTENT_TYPE and content:
            return content.decode(errors="replace").partition(";")[0].strip().lower()
    return ""


def decode(value: bytes, kind: str, place: str = "", encoding: str = "") -> Decoded:
    """All records of a message of ``kind``, in their order; ``encoding`` is its content type.

    A log record without ``log.record.uid`` gets one of the message's ``place`` (``topic/partition/offset``) and its
    number in the message, the same each time the message is read. Raises Rejected when the message as a whole is no
    OTLP export request of that kind.
    """
    request = _request(value, kind, encoding)
    keys = KEYS[kind]
    if value not in {b"", b"{}"} and keys.outer not in request:
        raise Rejected("undecodable", f"The message is no OTLP export request with {keys.outer}.")
    if not isinstance(request.get(keys.outer) or [], list):
        raise Rejected("undecodable", f"{keys.outer} of an OTLP export request is a list.")
    found = Decoded()
    for by_resource in request.get(keys.outer) or ():
        _resource(found, by_resource, kind)
    if place and kind == LOG:
        for number, record in enumerate(found.records):
            if not record.identity:
                _identify(record, f"{place}/{number}")
    return found


def record_of(text: bytes, kind: str, origin: Origin) -> Record | None:
    """The record of which this is the text in JSON; None for what is no record, or a log record without an id."""
    try:
        item = orjson.loads(text)
    except orjson.JSONDecodeError:  # hundreds of levels
        return None
    if not isinstance(item, dict):
        return None
    record = Record(kind, origin, item, plain(item.get("attributes")))
    return record if kind == SPAN or record.identity else None


def _resource(found: Decoded, by_resource: Any, kind: str) -> None:
    keys = KEYS[kind]
    if not isinstance(by_resource, dict) or not isinstance(by_resource.get("resource") or {}, dict):
        _put_aside(found, {keys.outer: [by_resource]}, f"{keys.outer} holds objects with a resource each.")
        return
    scopes = by_resource.get(keys.inner) or []
    if not isinstance(scopes, list):
        _put_aside(found, {keys.outer: [by_resource]}, f"{keys.inner} is a list.")
        return
    schema_url = by_resource.get("schemaUrl")
    for by_scope in scopes:
        if not _is_scope(by_scope, keys):
            part = {**by_resource, keys.inner: [by_scope]}
            _put_aside(found, {keys.outer: [part]}, f"{keys.inner} holds objects with a scope and {keys.leaf}.")
            continue
        resource, scope = by_resource.get("resource") or {}, by_scope.get("scope") or {}
        origin = Origin(resource, scope, schema_url if isinstance(schema_url, str) else "")
        _items(found, by_scope.get(keys.leaf) or (), kind, origin)


def _is_scope(by_scope: Any, keys: Keys) -> bool:
    return (
        isinstance(by_scope, dict)
        and isinstance(by_scope.get("scope") or {}, dict)
        and isinstance(by_scope.get(keys.leaf) or [], list)
    )


def _items(found: Decoded, items: Iterable[Any], kind: str, origin: Origin) -> None:
    for item in items:
        if isinstance(item, dict):
            found.records.append(Record(kind, origin, item, plain(item.get("attributes"))))
        else:
            _put_aside(found, origin.request(kind, item), f"{KEYS[kind].leaf} holds objects.")


def _put_aside(found: Decoded, part: dict[str, Any], error: str) -> None:
    try:
        value = orjson.dumps(part)
    except TypeError:
        value = b""
    found.malformed.append(Malformed(value, f"In an OTLP export request {error}"))


def _identify(record: Record, uid: str) -> None:
    # Also where the item itself is kept: a dead letter of it that is replayed must be the same record again.
    record.attributes[semconv.LOG_RECORD_UID] = uid
    known = record.item.get("attributes")
    added = [{"key": semconv.LOG_RECORD_UID, "value": {"stringValue": uid}}]
    record.item["attributes"] = [*known, *added] if isinstance(known, list) else added


def _request(value: bytes, kind: str, encoding: str) -> dict[str, Any]:
    if encoding == "application/json" or value[:1] == b"{":
        return _json(value)
    try:
        return export_request(value, kind)
    except DecodeError as error:
        # A line feed before the brace is how protobuf begins, too.
        if value.lstrip()[:1] == b"{":
            return _json(value)
        raise Rejected("undecodable", f"The message is neither OTLP/JSON nor OTLP protobuf: {error}") from error


def _json(value: bytes) -> dict[str, Any]:
    try:
        request = orjson.loads(value)
    except orjson.JSONDecodeError as error:
        raise Rejected("undecodable", f"The message is no JSON: {error}") from error
    if not isinstance(request, dict):
        raise Rejected("undecodable", "The message is JSON, but no object.")
    return request
