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
_IDS: Final = {digits: re.compile(rf"(?!0+$)[0-9a-f]{{{digits}}}") for digits in (16, 32)}


def plain(attributes: Any) -> dict[str, Any]:
    """OTLP's ``[{"key", "value"}]`` as a dict; entries of another form are left out."""
    return _plain(attributes, 0)


def value(any_value: Any) -> Any:
    """An OTLP ``AnyValue`` as a string, bool, int, float, list or dict; None when it is empty or malformed.

    None also stands for numbers that Elasticsearch has no type for: not finite, or of more than 64 bits.
    """
    return _value(any_value, 0)


def _plain(attributes: Any, depth: int) -> dict[str, Any]:
    found = {}
    for item in attributes if isinstance(attributes, list) else ():
        if isinstance(item, dict) and isinstance(key := item.get("key"), str) and key:
            # Elasticsearch refuses NUL in the names of a flattened field, and paths of more than 32,766 bytes.
            name = key.replace("\0", "_")
            found[name[:_NAME_MOST] if depth else name] = _value(item.get("value"), depth)
    return found


def _value(any_value: Any, depth: int) -> Any:
    if not isinstance(any_value, dict):
        return None
    for kind, content in any_value.items():
        if kind == "stringValue":
            return content if isinstance(content, str) else None
        if kind == "intValue":
            number = integer(content)
            return number if number is not None and -LONG_MOST <= number <= LONG_MOST else None
        if kind == "boolValue":
            return content if isinstance(content, bool) else None
        if kind == "doubleValue":
            return _double(content)
        if kind in {"arrayValue", "kvlistValue"}:
            return _nested(kind, content, depth + 1)
        if kind == "bytesValue":
            return content if isinstance(content, str) else None
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
    if isinstance(content, int):
        return None if isinstance(content, bool) else content
    try:
        return int(content)
    except (TypeError, ValueError, OverflowError):
        return None


def _double(content: Any) -> float | None:
    try:
        number = float(content)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) and not isinstance(content, bool) else None


def as_document(attributes: dict[str, Any]) -> dict[str, Any]:
    """The attributes as fields of a document.

    Without None; moments as dates (left out where they are none); all maps together under one name, since their keys
    may be anything; lists of one type; names that Elasticsearch refuses changed to the nearest it takes.
    """
    document: dict[str, Any] = {}
    maps: dict[str, Any] = {}
    for key, content in attributes.items():
        if content is None:
            continue
        if key in MOMENTS:
            if is_moment(content):
                document[key] = moment(content)
        elif isinstance(content, dict) or key == semconv.MAPS:
            maps[key[:_NAME_MOST]] = content
        else:
            document[field_name(key)] = _list(content) if isinstance(content, list) else content
    if maps:
        document[semconv.MAPS] = maps
    return document


@lru_cache(maxsize=8192)
def field_name(key: str) -> str:
    """The key as a field's name: no empty parts between its dots, not without end."""
    name = ".".join(part for part in key[:_NAME_MOST].split(".") if part.strip())
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
    if not isinstance(text, str):
        return ""
    lower = text.lower()
    return lower if _IDS[digits].fullmatch(lower) else ""


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
