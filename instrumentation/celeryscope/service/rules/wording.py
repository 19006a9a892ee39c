"""Messages from a row's values: ``{column}``, or ``{column:form}`` with one of FORMS."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

_FIELD: Final = re.compile(r"\{([\w@.-]+)(?::([a-z]+))?\}")
_MOST_LISTED: Final = 5
_UNITS: Final = ((86_400, "d"), (3600, "h"), (60, "min"))
_BYTES: Final = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))


def fields_of(template: str) -> list[tuple[str, str]]:
    """The columns that a template names, each with its form (empty when it has none)."""
    return [(found[1], found[2] or "") for found in _FIELD.finditer(template)]


def worded(template: str, row: Mapping[str, Any]) -> str:
    """The template with the row's values; what the row lacks is ``?``."""
    return _FIELD.sub(lambda found: _shown(row.get(found[1]), found[2] or ""), template)


def _shown(value: Any, form: str) -> str:
    if value is None:
        return "?"
    return FORMS[form](value) if form else _plain(value)


def _plain(value: Any) -> str:
    if isinstance(value, list):
        listed = ", ".join(_plain(item) for item in value[:_MOST_LISTED])
        return listed + (f" and {len(value) - _MOST_LISTED} more" if len(value) > _MOST_LISTED else "")
    if isinstance(value, float):
        return f"{value:,.0f}" if value == int(value) else f"{value:,.3g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _percent(value: float) -> str:
    return f"{value * 100:.3g} %"


def _length(seconds: float) -> str:
    for unit, name in _UNITS:
        if seconds >= unit:
            whole, rest = divmod(int(seconds), unit)
            smaller = {"d": (3600, "h"), "h": (60, "min"), "min": (1, "s")}[name]
            return f"{whole} {name}" + (f" {rest // smaller[0]} {smaller[1]}" if rest >= smaller[0] else "")
    return f"{seconds:.3g} s"


def _size(count: float) -> str:
    for unit, name in _BYTES:
        if count >= unit:
            return f"{count / unit:.3g} {name}"
    return f"{count:.0f} bytes"


def _time(value: Any) -> str:
    moment = datetime.fromisoformat(str(value)).astimezone(UTC)
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


FORMS: Final[dict[str, Callable[[Any], str]]] = {
    "percent": _percent,
    "length": _length,
    "size": _size,
    "time": _time,
}
"""``percent`` of a ratio, ``length`` of time from seconds, ``size`` from bytes, ``time`` of a date."""
