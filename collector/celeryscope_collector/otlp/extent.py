"""How much a request would become once parsed: an empty value is two bytes on the wire, and a hundred times that here.

Checked before anything is parsed, by counting, so that no request can cost much more time and memory than its bytes.
"""

from typing import Final

from celeryscope_collector.otlp.content import TooLarge
from celeryscope_collector.records import LOGS, TRACES, Signal

MAX_PARTS: Final = 500_000
"""Objects and lists of a JSON request, messages of a protobuf request; an attribute has two of them."""

_SMALL_BYTES: Final = 1024 * 1024
"""Protobuf below this is not counted, since counting costs a fifth of decoding; it becomes 100 MB at worst."""

# The messages of OTLP that hold messages: for each the tags (field * 8 + 2) of these, and what they are.
_TAGS: Final[dict[str, dict[int, str]]] = {
    "request": {0x0A: "resources"},
    "resources": {0x0A: "resource", 0x12: "scopes"},
    "resource": {0x0A: "attribute"},
    "scopes": {0x0A: "scope", 0x12: "record"},
    "scope": {0x1A: "attribute"},
    "attribute": {0x12: "value"},
    "value": {0x2A: "list", 0x32: "map"},
    "list": {0x0A: "value"},
    "map": {0x0A: "attribute"},
    "event": {0x1A: "attribute"},
    "link": {0x22: "attribute"},
}
_RECORDS: Final[dict[str, dict[int, str]]] = {
    TRACES.kind: {0x4A: "attribute", 0x5A: "event", 0x6A: "link"},
    LOGS.kind: {0x2A: "value", 0x32: "attribute"},
}
_FIXED: Final = {1: 8, 5: 4}


class _Broken(Exception):
    """This is no protobuf; the parser will say so better."""


def check_json(body: bytes) -> None:
    """Raises TooLarge when the JSON has too many objects and lists."""
    # Each of them has an end, too.
    if len(body) > 2 * MAX_PARTS and body.count(b"{") + body.count(b"[") > MAX_PARTS:
        raise _too_many()


def check_protobuf(body: bytes, signal: Signal) -> None:
    """Raises TooLarge when the export request has too many messages; broken protobuf is left to the parser."""
    if len(body) < _SMALL_BYTES:
        return
    tags = _TAGS | {"record": _RECORDS[signal.kind]}
    waiting, count = [("request", 0, len(body))], 0
    try:
        while waiting:
            kind, position, end = waiting.pop()
            inner = _inner(body, position, end, tags.get(kind, {}))
            count += len(inner)
            if count > MAX_PARTS:
                raise _too_many()
            waiting += inner
    except (_Broken, IndexError):
        return


def _inner(body: bytes, position: int, end: int, tags: dict[int, str]) -> list[tuple[str, int, int]]:
    found: list[tuple[str, int, int]] = []
    while position < end:
        tag, position = _varint(body, position)
        if tag & 7 != 2:
            position = _skipped(body, position, tag & 7)
            continue
        size, position = _varint(body, position)
        kind = tags.get(tag)
        if kind is not None:
            found.append((kind, position, min(position + size, end)))
            if len(found) > MAX_PARTS:
                raise _too_many()
        position += size
    return found


def _varint(body: bytes, position: int) -> tuple[int, int]:
    number = body[position]
    if number < 0x80:
        return number, position + 1
    number &= 0x7F
    for shift in range(7, 70, 7):
        position += 1
        part = body[position]
        number |= (part & 0x7F) << shift
        if part < 0x80:
            return number, position + 1
    raise _Broken


def _skipped(body: bytes, position: int, wire_type: int) -> int:
    if wire_type == 0:
        return _varint(body, position)[1]
    if wire_type not in _FIXED:
        raise _Broken
    return position + _FIXED[wire_type]


def _too_many() -> TooLarge:
    return TooLarge(f"the request has over {MAX_PARTS} records, attributes and values: send smaller batches")
