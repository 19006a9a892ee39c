"""Documents of any of our indices as flat fields, so that ``celery.task_id`` is the same question everywhere."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

_LIFTED = ("resource.attributes.", "attributes.")
"""Where the data streams keep attributes; the later one wins when both have a name."""


def fields(source: Mapping[str, Any]) -> dict[str, Any]:
    """The document's leaves by dotted name; attributes and resource attributes lose their prefix."""
    flat = dict(_leaves(source, ""))
    for prefix in _LIFTED:
        for name in [name for name in flat if name.startswith(prefix)]:
            flat[name.removeprefix(prefix)] = flat.pop(name)
    return flat


def _leaves(value: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, inner in value.items():
        if isinstance(inner, Mapping):
            yield from _leaves(inner, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", inner


def instant(value: object) -> datetime | None:
    """A date of Elasticsearch (ISO 8601, or milliseconds since the epoch with a fraction) as a time in UTC.

    None for a value that is missing or no date.
    """
    if value is None or isinstance(value, bool):
        return None
    text = str(value)
    try:
        if text.replace(".", "", 1).isdigit():
            whole, _, fraction = text.partition(".")
            microseconds = int(whole) * 1000 + int(fraction[:3].ljust(3, "0"))
            return datetime.fromtimestamp(microseconds // 1_000_000, UTC).replace(microsecond=microseconds % 1_000_000)
        parsed = datetime.fromisoformat(text)
    except (ValueError, OverflowError, OSError):
        return None
    return parsed.astimezone(UTC) if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def text(value: object) -> str | None:
    """The value as a string; None stays None."""
    return None if value is None else str(value)


def integer(value: object, default: int = 0) -> int:
    """The value as an int; the default when it is missing or no number."""
    try:
        return int(str(value))
    except ValueError:
        return default


def number(value: object) -> float | None:
    """The value as a float; None when it is missing or no number."""
    if value is None:
        return None
    try:
        return float(str(value))
    except ValueError:
        return None


def strings(value: object) -> tuple[str, ...]:
    """The value as strings: Elasticsearch makes no difference between one value and an array of one."""
    if value is None:
        return ()
    if isinstance(value, list):
        return tuple(str(item) for item in value)
    return (str(value),)


def iso(time: datetime | None) -> str | None:
    """A time for ``--json``: ISO 8601 in UTC with microseconds."""
    return None if time is None else time.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
