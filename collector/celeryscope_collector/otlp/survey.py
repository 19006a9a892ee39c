"""Whether many spans or log records at once are plainly what OTLP/JSON says they are, and what is in them.

``validity`` says that of any record, and mends what may be mended; it takes its time over each attribute. Nearly all
records need no mending and have fields of the expected types, and that can be seen of some dozens of them column by
column, in loops that run in C: all times, all keys, all strings. Whatever is not as plain as that is not judged here.

What is found plain here, ``validity`` accepts without changing it; there is a property test of that.
"""

from collections.abc import Callable
from itertools import chain
from operator import itemgetter
from typing import Any, Final, TypeAlias

from celeryscope.redaction import redact_urls
from celeryscope_collector.otlp.validity import MAX_DEPTH
from celeryscope_collector.processors import Survey
from celeryscope_collector.records import LOGS, TRACES, Signal

_KEY, _VALUE = itemgetter("key"), itemgetter("value")
_HEXADECIMAL: Final = b"0123456789abcdef"
_SAFE_DIGITS: Final = 18
"""So many digits are below 2**63, whatever they are."""


class _NotPlain(Exception):
    """Some part is none that can be judged here."""


class _Found:
    """What was found so far; ``texts`` are all that must be strings."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.texts: list[str] = []
        self.longest_bytes = 0
        self.most = 0


Column: TypeAlias = Callable[[list[Any], _Found], None]


def surveyed(items: list[Any], signal: Signal) -> Survey | None:
    """What is in these spans or log records; None unless all of them are plainly valid as they are."""
    found = _Found()
    try:
        _columns(items, _FIELDS[signal.kind], found)
        if signal is TRACES and not all("traceId" in item and "spanId" in item for item in items):
            return None
        joined = "\n".join(found.texts)
    except (_NotPlain, TypeError, KeyError):
        # What has another type than expected does not support what is done with it here: joined, hashed, looked up.
        return None
    if not set(map(type, found.names)) <= {str}:
        return None
    longest = max(map(len, found.texts), default=0) * (1 if joined.isascii() else 4)
    return Survey(
        names=frozenset(found.names),
        longest=max(longest, found.longest_bytes),
        # A log record may yet be given its id.
        most=found.most + 1,
        url_passwords=redact_urls(joined) != joined,
    )


def _columns(parts: list[Any], fields: dict[str, Column], found: _Found) -> None:
    _all_are(dict, parts)
    unknown = sum(map(len, parts))
    for name, check in fields.items():
        column = [part[name] for part in parts if name in part]
        if column:
            check(column, found)
            unknown -= len(column)
    if unknown:
        raise _NotPlain


def _all_are(kind: type, column: list[Any]) -> None:
    if set(map(type, column)) != {kind}:
        raise _NotPlain


def _short_texts(column: list[Any], _found: _Found) -> None:
    _all_are(str, column)


def _texts(column: list[Any], found: _Found) -> None:
    found.texts += column


def _numbers(column: list[Any], _found: _Found) -> None:
    _all_are(int, column)


def _times(column: list[Any], _found: _Found) -> None:
    # A 64-bit number has 20 digits at most; times of our millennium have 19.
    if not _are_digits(column, _SAFE_DIGITS + 1):
        raise _NotPlain


def _are_digits(column: list[str], most: int) -> bool:
    joined = "".join(column)
    return joined.isascii() and joined.isdigit() and all(column) and max(map(len, column)) <= most


def _ids(length: int) -> Column:
    none = "0" * length

    def check(column: list[Any], _found: _Found) -> None:
        if set(map(len, column)) != {length} or none in column or _not_hexadecimal("".join(column)):
            raise _NotPlain

    return check


def _not_hexadecimal(text: str) -> bytes:
    return text.encode(errors="replace").translate(None, _HEXADECIMAL)


def _attribute_lists(column: list[Any], found: _Found) -> None:
    _all_are(list, column)
    found.most = max(found.most, *map(len, column))
    _attributes(list(chain.from_iterable(column)), found, 0)


def _attributes(attributes: list[Any], found: _Found, depth: int) -> None:
    found.names.update(map(_KEY, attributes))
    values = list(map(_VALUE, attributes))
    if sum(map(len, attributes)) != 2 * len(values):
        raise _NotPlain
    _values(values, found, depth)


def _values(values: list[Any], found: _Found, depth: int = 0) -> None:
    # One kind each: as many kinds as values, and (below) every value has one that is known.
    if depth > MAX_DEPTH or sum(map(len, values)) != len(values):
        raise _NotPlain
    found.texts += [value["stringValue"] for value in values if "stringValue" in value]
    others = [value for value in values if "stringValue" not in value]
    known = 0
    for kind, check in _KINDS.items():
        if known == len(others):
            return
        column = [value[kind] for value in others if kind in value]
        if column:
            check(column, found, depth)
            known += len(column)
    if known != len(others):
        raise _NotPlain


def _integers(column: list[Any], _found: _Found, _depth: int) -> None:
    if set(map(type, column)) == {int}:
        if min(column) < -(2**63) or max(column) >= 2**63:
            raise _NotPlain
    elif not _are_digits(column, _SAFE_DIGITS) and not _are_digits(_absolute(column), _SAFE_DIGITS):
        raise _NotPlain


def _absolute(column: list[str]) -> list[str]:
    return [number.removeprefix("-") if type(number) is str else "" for number in column]


def _doubles(column: list[Any], _found: _Found, _depth: int) -> None:
    if not set(map(type, column)) <= {float, int}:
        raise _NotPlain


def _booleans(column: list[Any], _found: _Found, _depth: int) -> None:
    _all_are(bool, column)


def _bytes(column: list[Any], found: _Found, _depth: int) -> None:
    _all_are(str, column)
    found.longest_bytes = max(found.longest_bytes, *map(len, column))


def _arrays(column: list[Any], found: _Found, depth: int) -> None:
    _values(_members(column), found, depth + 1)


def _maps(column: list[Any], found: _Found, depth: int) -> None:
    _attributes(_members(column), found, depth + 1)


def _members(column: list[Any]) -> list[Any]:
    _all_are(dict, column)
    lists = [content["values"] for content in column]
    _all_are(list, lists)
    if sum(map(len, column)) != len(column):
        raise _NotPlain
    return list(chain.from_iterable(lists))


def _bodies(column: list[Any], found: _Found) -> None:
    _values(column, found)


def _parts(fields: dict[str, Column]) -> Column:
    def check(column: list[Any], found: _Found) -> None:
        _columns(column, fields, found)

    return check


def _lists_of_parts(fields: dict[str, Column]) -> Column:
    def check(column: list[Any], found: _Found) -> None:
        _all_are(list, column)
        parts = list(chain.from_iterable(column))
        if parts:
            _columns(parts, fields, found)

    return check


# In the order of their frequency.
_KINDS: Final[dict[str, Callable[[list[Any], _Found, int], None]]] = {
    "intValue": _integers,
    "doubleValue": _doubles,
    "arrayValue": _arrays,
    "boolValue": _booleans,
    "kvlistValue": _maps,
    "bytesValue": _bytes,
}
_LOG: Final[dict[str, Column]] = {
    "timeUnixNano": _times,
    "observedTimeUnixNano": _times,
    "severityNumber": _numbers,
    "severityText": _short_texts,
    "body": _bodies,
    "attributes": _attribute_lists,
    "droppedAttributesCount": _numbers,
    "flags": _numbers,
    "traceId": _ids(32),
    "spanId": _ids(16),
    "eventName": _short_texts,
}
_EVENT: Final[dict[str, Column]] = {
    "timeUnixNano": _times,
    "name": _short_texts,
    "attributes": _attribute_lists,
    "droppedAttributesCount": _numbers,
}
_LINK: Final[dict[str, Column]] = {
    "traceId": _ids(32),
    "spanId": _ids(16),
    "traceState": _short_texts,
    "attributes": _attribute_lists,
    "droppedAttributesCount": _numbers,
    "flags": _numbers,
}
_SPAN: Final[dict[str, Column]] = {
    "traceId": _ids(32),
    "spanId": _ids(16),
    "traceState": _short_texts,
    "parentSpanId": _ids(16),
    "flags": _numbers,
    "name": _short_texts,
    "kind": _numbers,
    "startTimeUnixNano": _times,
    "endTimeUnixNano": _times,
    "attributes": _attribute_lists,
    "droppedAttributesCount": _numbers,
    "events": _lists_of_parts(_EVENT),
    "droppedEventsCount": _numbers,
    "links": _lists_of_parts(_LINK),
    "droppedLinksCount": _numbers,
    "status": _parts({"code": _numbers, "message": _texts}),
}
_FIELDS: Final = {LOGS.kind: _LOG, TRACES.kind: _SPAN}
