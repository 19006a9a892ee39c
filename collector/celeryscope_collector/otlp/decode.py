"""An OTLP export request, JSON or protobuf, as records."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Final

import orjson
from google.protobuf.message import DecodeError

from celeryscope.errors import Rejected
from celeryscope.service.protobuf import export_request
from celeryscope_collector.chunks import Chunk, Dicts, Payloads, Texts
from celeryscope_collector.otlp import cut_json
from celeryscope_collector.otlp.answers import JSON
from celeryscope_collector.otlp.cut import items_of, scopes
from celeryscope_collector.otlp.cut_json import NOT_AS_EXPECTED
from celeryscope_collector.otlp.extent import check_json, check_protobuf
from celeryscope_collector.otlp.shapes import Shapes
from celeryscope_collector.otlp.survey import surveyed
from celeryscope_collector.otlp.validity import CHECKS, checked_origin
from celeryscope_collector.otlp.wire import NotPlain
from celeryscope_collector.otlp.wire_survey import surveyed as wire_surveyed
from celeryscope_collector.records import SIGNALS, Origin, Signal

CHUNK: Final = 50
"""So many records are judged together: one that is not plain makes the others of its chunk slow, and no more."""

SHAPES: Final = {signal.kind: Shapes(signal) for signal in SIGNALS}


@dataclass
class Decoded:
    """The records of a request in their order, and how many were refused for which reason."""

    chunks: list[Chunk] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)


def decode(body: bytes, media_type: str, signal: Signal, *, keep_protobuf: bool = True) -> Decoded:
    """All records of an (uncompressed) export request.

    Records in protobuf stay so where that is possible, unless ``keep_protobuf`` is false. Raises Rejected when the
    request as a whole is not OTLP. A record that is malformed by itself is refused alone; one in a malformed resource
    or scope is refused with it.
    """
    if media_type == JSON:
        check_json(body)
        try:
            return _of_texts(body, signal)
        except NOT_AS_EXPECTED:
            return _of_dicts(_parsed_json(body), signal)
    check_protobuf(body, signal)
    if keep_protobuf:
        try:
            return _of_payloads(body, signal)
        except (NotPlain, DecodeError):
            pass  # a real parser knows better what is wrong, if it is
    return _of_dicts(_parsed_protobuf(body, signal), signal)


def _of_texts(body: bytes, signal: Signal) -> Decoded:
    decoded = Decoded()
    for scope in cut_json.scopes(body, signal):
        origin = _origin(scope.by_resource, scope.by_scope)
        if isinstance(origin, Rejected):
            # Whether they can be parsed has to be known nevertheless.
            decoded.refused[origin.reason] += len(_parsed_texts(scope.payloads))
            continue
        for start in range(0, len(scope.payloads), CHUNK):
            decoded.chunks += _texts(origin, scope.payloads[start : start + CHUNK], signal, decoded.refused)
    return decoded


def _texts(origin: Origin, texts: list[bytes], signal: Signal, refused: Counter[str]) -> Iterator[Chunk]:
    shapes = SHAPES[signal.kind]
    fits = map(shapes.fit, texts)
    for is_fit, run in groupby(zip(texts, fits, strict=True), lambda pair: pair[1] is not None):
        some, found = map(list, zip(*run, strict=True))
        if is_fit:
            yield Texts.of(origin, some, found)
            continue
        items = _parsed_texts(some)
        chunk = _dicts(origin, items, signal, refused)
        if chunk.survey is not None:
            shapes.learn(some[0], items[0])
        yield chunk


def _parsed_texts(texts: list[bytes]) -> list[Any]:
    items: list[Any] = orjson.loads(b"[%b]" % b",".join(texts))
    return items


def _of_dicts(request: dict[str, Any], signal: Signal) -> Decoded:
    decoded = Decoded()
    for by_resource in _objects(request, signal.resource_key):
        for by_scope in _objects(by_resource, signal.scope_key):
            items = _objects(by_scope, signal.item_key, any_items=True)
            origin = _origin(by_resource, by_scope)
            if isinstance(origin, Rejected):
                decoded.refused[origin.reason] += len(items)
                continue
            for start in range(0, len(items), CHUNK):
                decoded.chunks.append(_dicts(origin, items[start : start + CHUNK], signal, decoded.refused))
    return decoded


def _of_payloads(body: bytes, signal: Signal) -> Decoded:
    decoded = Decoded()
    for scope in scopes(body, signal):
        origin = _origin(scope.by_resource, scope.by_scope)
        if isinstance(origin, Rejected):
            # Whether they are protobuf has to be known nevertheless.
            decoded.refused[origin.reason] += len(items_of(scope.payloads, signal)) if scope.payloads else 0
            continue
        for start in range(0, len(scope.payloads), CHUNK):
            some = slice(start, start + CHUNK)
            chunk = _payloads(origin, scope.payloads[some], scope.fields[some], signal, decoded.refused)
            decoded.chunks.append(chunk)
    return decoded


def _dicts(origin: Origin, items: list[Any], signal: Signal, refused: Counter[str]) -> Dicts:
    survey = surveyed(items, signal)
    return Dicts(origin, items if survey is not None else list(_valid(items, signal, refused)), survey)


def _payloads(
    origin: Origin, payloads: list[bytes], fields: Sequence[bytes], signal: Signal, refused: Counter[str]
) -> Chunk:
    try:
        survey, routes = wire_surveyed(payloads, fields, signal)
        return Payloads(origin, payloads, list(fields), routes, survey, signal)
    except (NotPlain, UnicodeDecodeError):
        return _dicts(origin, items_of(payloads, signal), signal, refused)


def _valid(items: list[Any], signal: Signal, refused: Counter[str]) -> Iterator[dict[str, Any]]:
    check = CHECKS[signal.kind]
    for item in items:
        try:
            yield check(item)
        except Rejected as error:
            refused[error.reason] += 1


def _origin(by_resource: dict[str, Any], by_scope: dict[str, Any]) -> Origin | Rejected:
    try:
        return Origin(
            checked_origin(by_resource.get("resource")),
            checked_origin(by_scope.get("scope")),
            _text(by_resource.get("schemaUrl")),
            _text(by_scope.get("schemaUrl")),
        )
    except Rejected as error:
        return error


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
    try:
        request = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Rejected("malformed", f"the body is not valid JSON: {error}") from None
    if type(request) is not dict:
        raise Rejected("malformed", "the body is not an OTLP export request: it must be a JSON object")
    return request


def _parsed_protobuf(body: bytes, signal: Signal) -> dict[str, Any]:
    try:
        return export_request(body, signal.kind)
    except DecodeError as error:
        raise Rejected("malformed", f"the body is not a valid protobuf export request: {error}") from None
