"""OTLP attributes as plain Python values, and as fields of a document; ids and points in time likewise.

What senders may send is far more than what Elasticsearch takes, so this is where anything becomes something that a
document can hold: nothing here raises, except for Rejected where a function says so.
"""

import math
import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final, TypeGuard

import orjson

from celeryscope import semconv
from celeryscope.errors import Rejected

MOMENTS: Final = frozenset(
    {
        semconv.SENT_AT,
        semconv.RECEIVED_AT,
        semconv.STARTED_AT,
        semconv.ENDED_AT,
        semconv.ETA,
        semconv.EXPIRES,
        semconv.RETRY_ETA,
        semconv.BROKER_LOST_AT,
        semconv.BEAT_STARTED_AT,
        semconv.BEAT_DUE_AT,
        semconv.BEAT_LAST_RUN_AT,
        semconv.BEAT_NEXT_AT,
    }
)
"""Attributes whose value is microseconds since the Unix epoch; documents hold them as dates."""

LONG_MOST: Final = 2**63 - 1
"""The largest number of Elasticsearch's ``long``, and the last nanosecond of its ``date_nanos`` (in the year 2262)."""
_DEEPEST: Final = 8
"""Levels of nested values; what is deeper becomes a JSON text."""
_NAME_MOST: Final = 512
_NAMES_MOST: Final = 8192
_DIGITS_OF_LONG: Final = 19
_AS_IT_IS: Final = {"stringValue": str, "boolValue": bool, "bytesValue": str}
"""Kinds of values that are in JSON what they are here; bytes stay in base64."""
_SCALARS: Final = frozenset({str, int, float, bool})
_TEXT: Final = frozenset({str})
_fitting: Final[set[str]] = set()
"""Names seen so far that are names of fields as they are, and no moments: a memo, asked for many at once."""
_IDENTIFIER: Final = re.compile("(?!0+$)[0-9a-f]+")


def plain(attributes: Any) -> dict[str, Any]:
    """OTLP's ``[{"key", "value"}]`` as a dict; entries of another form are left out."""
    return _plain(attributes, 0)


def value(any_value: Any) -> Any:
    """An OTLP ``AnyValue`` as a string, bool, int, float, list or dict; None when it is empty or malformed.

    None also stands for numbers that Elasticsearch has no type for: not finite, or of more than 64 bits.
    """
    return _value(any_value, 0)


def _plain(attributes: Any, depth: int) -> dict[str, Any]:
    try:
        # Nearly all values are texts or integers of less than 19 digits; these go the short way.
        found = {
            item["key"]: text
            if type(text := (given := item["value"]).get("stringValue")) is str
            else int(number)
            if type(number := given.get("intValue")) is str and len(number) < _DIGITS_OF_LONG
            else _value(given, depth)
            for item in attributes
        }
    except (KeyError, TypeError, ValueError, AttributeError):
        found = _readable(attributes, depth)
    if not _TEXT.issuperset(map(type, found)) or "" in found:
        found = {key: content for key, content in found.items() if isinstance(key, str) and key}
    # Those of a record's own attributes become names of fields, which see field_name().
    return {_map_name(key): content for key, content in found.items()} if depth else found


def _map_name(key: str) -> str:
    """Elasticsearch refuses NUL in the names of a flattened field, and paths of more than 32,766 bytes."""
    return key.replace("\0", "_")[:_NAME_MOST]


def _readable(attributes: Any, depth: int) -> dict[Any, Any]:
    """What can be read of a list in which something has another form."""
    items = [item for item in attributes if isinstance(item, dict)] if isinstance(attributes, list) else []
    return {key: _value(item.get("value"), depth) for item in items if isinstance(key := item.get("key"), str)}


def _value(any_value: Any, depth: int) -> Any:
    for kind, content in any_value.items() if isinstance(any_value, dict) else ():
        if kind == "intValue":
            number = integer(content)
            return number if number is not None and -LONG_MOST <= number <= LONG_MOST else None
        if kind == "doubleValue":
            return _double(content)
        if kind in {"arrayValue", "kvlistValue"}:
            return _nested(kind, content, depth + 1)
        if (expected := _AS_IT_IS.get(kind)) is not None:
            return content if isinstance(content, expected) else None
    return None


def _nested(kind: str, content: Any, depth: int) -> Any:
    values = content.get("values") if isinstance(content, dict) else None
    if depth > _DEEPEST:
        return _json(values)
    if kind == "kvlistValue":
        return _plain(values, depth)
    return [_value(item, depth) for item in values] if isinstance(values, list) else []


def _json(content: Any) -> str | None:
    try:
        return orjson.dumps(content).decode()
    except orjson.JSONEncodeError:  # hundreds of levels
        return None


def integer(content: Any) -> int | None:
    """OTLP's 64-bit integers, numbers or decimal strings; None when it is neither."""
    if type(content) is int:
        return content
    try:
        return None if isinstance(content, bool) else int(content)
    except (TypeError, ValueError, OverflowError):
        return None


def _double(content: Any) -> float | None:
    if type(content) is not float:
        try:
            content = float(content) if not isinstance(content, bool) else None
        except (TypeError, ValueError, OverflowError):
            return None
    return content if content is not None and math.isfinite(content) else None


def as_document(attributes: dict[str, Any]) -> dict[str, Any]:
    """The attributes as fields of a document; a dict of the caller's own.

    Without None; moments as dates (left out where they are none); all maps together under one name, since their keys
    may be anything; lists of one type; names that Elasticsearch refuses changed to the nearest it takes.
    """
    document = attributes.copy()
    maps: dict[str, Any] = {}
    # Asked of all at once: nearly all are plain values, under names that were seen before.
    if semconv.MAPS in document or not _SCALARS.issuperset(map(type, document.values())):
        maps = _without_maps(document)
    if not _fitting.issuperset(document):
        _adapt(document)
    if maps:
        document[semconv.MAPS] = maps
    return document


def _without_maps(document: dict[str, Any]) -> dict[str, Any]:
    """Takes the maps, and what is None; lists become those of one type."""
    maps: dict[str, Any] = {}
    for key in [key for key, content in document.items() if type(content) not in _SCALARS or key == semconv.MAPS]:
        content = document[key]
        if isinstance(content, list) and key != semconv.MAPS:
            document[key] = _list(content)
            continue
        del document[key]
        if content is not None and key not in MOMENTS:
            maps[_map_name(key)] = content
    return maps


def _adapt(document: dict[str, Any]) -> None:
    """Moments become dates, names those of fields."""
    for key in [key for key in document if key not in _fitting]:
        if key in MOMENTS:
            content = document[key]
            if is_moment(content):
                document[key] = moment(content)
            else:
                del document[key]
            continue
        name = field_name(key)
        if name != key:
            document[name] = document.pop(key)
        elif len(_fitting) < _NAMES_MOST:
            _fitting.add(name)


@lru_cache(maxsize=8192)
def field_name(key: str) -> str:
    """The key as a field's name: no empty parts between its dots, not without end."""
    name = ".".join(part for part in key[:_NAME_MOST].replace("\0", "_").split(".") if part.strip())
    return name or "unnamed"


def _list(content: list[Any]) -> list[Any]:
    """Elasticsearch has one type for all values of a field, so mixed ones become strings, and nested ones JSON."""
    kinds = {type(item) for item in content}
    if len(kinds) <= 1 and not kinds & {list, dict, type(None)}:
        return content
    present = [item for item in content if item is not None]
    if {type(item) for item in present} <= {int, float}:
        return present
    return [item if isinstance(item, str) else _json(item) for item in present]


def identifier(text: Any, digits: int) -> str:
    """A trace's id (32 hexadecimal digits) or a span's (16), in lower case; empty when it is none, or all zeros."""
    if not isinstance(text, str) or len(text) != digits:
        return ""
    if _IDENTIFIER.fullmatch(text):
        return text
    lower = text.lower()
    return lower if _IDENTIFIER.fullmatch(lower) else ""


def is_moment(microseconds: Any) -> TypeGuard[int]:
    """Whether it is an integer that ``moment`` takes."""
    return type(microseconds) is int and 0 < microseconds <= LONG_MOST // 1000


def moment(microseconds: int) -> str:
    """ISO 8601 with microseconds, in UTC, of microseconds since the Unix epoch; see ``is_moment``."""
    seconds, rest = divmod(microseconds, 1_000_000)
    return f"{_second(seconds)}.{rest:06d}Z"


def nanos(text: Any) -> int:
    """OTLP's nanoseconds since the Unix epoch; 0 when it is none."""
    return max(integer(text) or 0, 0)


def timestamp(nanoseconds: int) -> str:
    """ISO 8601 with nanoseconds, in UTC. Raises Rejected for times that ``date_nanos`` doesn't have, and for 0."""
    if not 0 < nanoseconds <= LONG_MOST:
        raise Rejected("bad_time", "A record needs its time, between 1970 and 2262.")
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    return f"{_second(seconds)}.{rest:09d}Z"


@lru_cache(maxsize=4096)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
