"""An OTLP export request, JSON or protobuf, as records."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
from google.protobuf.message import DecodeError

from celeryscope.errors import Rejected
from celeryscope.service.protobuf import export_request
from celeryscope_collector.otlp.answers import JSON
from celeryscope_collector.otlp.extent import check_json, check_protobuf
from celeryscope_collector.otlp.survey import surveyed
from celeryscope_collector.otlp.validity import checked_log, checked_origin, checked_span
from celeryscope_collector.processors import Survey
from celeryscope_collector.records import LOGS, TRACES, Origin, Signal

_CHECKS: Final = {TRACES.kind: checked_span, LOGS.kind: checked_log}
CHUNK: Final = 50
"""So many records are judged together: one that is not plain makes the others of its chunk slow, and no more."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Valid records of one origin, next to each other, as OTLP/JSON dicts; None when little is known of them."""

    origin: Origin
    items: list[dict[str, Any]]
    survey: Survey | None


@dataclass
class Decoded:
    """The records of a request in their order, and how many were refused for which reason."""

    chunks: list[Chunk] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)


def decode(body: bytes, media_type: str, signal: Signal) -> Decoded:
    """All records of an (uncompressed) export request.

    Raises Rejected when the request as a whole is not OTLP. A record that is malformed by itself is refused alone; one
    in a malformed resource or scope is refused with it.
    """
    request = _parsed_json(body) if media_type == JSON else _parsed_protobuf(body, signal)
    decoded = Decoded()
    for origin, items in _groups(request, signal, decoded.refused):
        for start in range(0, len(items), CHUNK):
            chunk = items[start : start + CHUNK]
            survey = surveyed(chunk, signal)
            if survey is None:
                chunk = list(_valid(chunk, signal, decoded.refused))
            decoded.chunks.append(Chunk(origin, chunk, survey))
    return decoded


def _valid(items: list[Any], signal: Signal, refused: Counter[str]) -> Iterator[dict[str, Any]]:
    check = _CHECKS[signal.kind]
    for item in items:
        try:
            yield check(item)
        except Rejected as error:
            refused[error.reason] += 1


def _groups(request: dict[str, Any], signal: Signal, refused: Counter[str]) -> list[tuple[Origin, list[Any]]]:
    groups = []
    for by_resource in _objects(request, signal.resource_key):
        for by_scope in _objects(by_resource, signal.scope_key):
            items = _objects(by_scope, signal.item_key, any_items=True)
            try:
                origin = Origin(
                    checked_origin(by_resource.get("resource")),
                    checked_origin(by_scope.get("scope")),
                    _text(by_resource.get("schemaUrl")),
                    _text(by_scope.get("schemaUrl")),
                )
            except Rejected as error:
                refused[error.reason] += len(items)
                continue
            groups.append((origin, items))
    return groups


def _objects(parent: dict[str, Any], key: str, *, any_items: bool = False) -> list[Any]:
    members = parent.get(key)
    if members is None:
        return []
    if type(members) is not list or not (any_items or all(type(member) is dict for member in members)):
        raise Rejected("malformed", f"{key} must be a list of objects")
    return members


def _text(value: Any) -> str:
    return value if type(value) is str else ""


def _parsed_json(body: bytes) -> dict[str, Any]:
    check_json(body)
    try:
        request = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Rejected("malformed", f"the body is not valid JSON: {error}") from None
    if type(request) is not dict:
        raise Rejected("malformed", "the body is not an OTLP export request: it must be a JSON object")
    return request


def _parsed_protobuf(body: bytes, signal: Signal) -> dict[str, Any]:
    check_protobuf(body, signal)
    try:
        return export_request(body, signal.kind)
    except DecodeError as error:
        raise Rejected("malformed", f"the body is not a valid protobuf export request: {error}") from None
