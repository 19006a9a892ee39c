"""OTLP attributes as plain Python values, and points in time as Elasticsearch takes them."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from celeryscope import semconv

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MOMENTS: Final = frozenset(
    {
        semconv.SENT_AT,
        semconv.RECEIVED_AT,
        semconv.STARTED_AT,
        semconv.ENDED_AT,
        semconv.ETA,
        semconv.EXPIRES,
        semconv.RETRY_ETA,
    }
)
"""Attributes whose value is microseconds since the Unix epoch; documents hold them as dates."""


def plain(attributes: Any) -> dict[str, Any]:
    """OTLP's ``[{"key", "value"}]`` as a dict; entries of another form are left out."""
    if not isinstance(attributes, list):
        return {}
    return {
        str(item["key"]): value(item.get("value"))
        for item in attributes
        if isinstance(item, dict) and isinstance(item.get("key"), str) and item["key"]
    }


def value(any_value: Any) -> Any:
    """An OTLP ``AnyValue`` as a string, bool, int, float, list or dict; None when it is empty or malformed."""
    if not isinstance(any_value, dict):
        return None
    for kind, content in any_value.items():
        if kind == "intValue":
            return _integer(content)
        if kind == "arrayValue":
            return [value(item) for item in (content or {}).get("values", ())]
        if kind == "kvlistValue":
            return plain((content or {}).get("values"))
        return content
    return None


def _integer(content: Any) -> int | None:
    try:
        return int(content)
    except (TypeError, ValueError):
        return None


def as_document(attributes: dict[str, Any]) -> dict[str, Any]:
    """The attributes as a document holds them: without None, moments as dates."""
    return {
        key: moment(content) if key in MOMENTS and isinstance(content, int) else content
        for key, content in attributes.items()
        if content is not None
    }


def moment(microseconds: int) -> str:
    """ISO 8601 with microseconds, in UTC, of microseconds since the Unix epoch."""
    return (_EPOCH + timedelta(microseconds=microseconds)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def nanos(text: Any) -> int:
    """OTLP's 64-bit nanoseconds, a decimal string or a number; 0 when it is neither."""
    return _integer(text) or 0


def timestamp(nanoseconds: int) -> str:
    """ISO 8601 with nanoseconds, in UTC."""
    whole, rest = divmod(nanoseconds, 1_000_000_000)
    return (_EPOCH + timedelta(seconds=whole)).strftime("%Y-%m-%dT%H:%M:%S.") + f"{rest:09d}Z"
