"""Who is not told of what, and when: silences that people set, and maintenance windows of the settings. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any, Final
from zoneinfo import ZoneInfo

from celeryscope.service.rules.adjusting import Maintenance
from celeryscope.service.rules.models import Globs
from celeryscope_pipelines.watcher.alerts import Alert

_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@dataclass(frozen=True, slots=True)
class Silence:
    """Alerts of these rules whose columns match are recorded, and nobody is told, until then."""

    id: str
    rules: Globs
    match: Mapping[str, Globs]
    until: datetime
    by: str
    reason: str

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "id": self.id,
            "rules": list(self.rules),
            "match": {column: list(patterns) for column, patterns in self.match.items()},
            "until": self.until.isoformat(),
            "by": self.by,
            "reason": self.reason,
        }

    @classmethod
    def from_dict(cls, known: Mapping[str, Any]) -> "Silence":
        """What ``as_dict`` gave."""
        match = {column: tuple(patterns) for column, patterns in known["match"].items()}
        until = datetime.fromisoformat(known["until"])
        return cls(known["id"], tuple(known["rules"]), match, until, known["by"], known["reason"])


def silencer_of(alert: Alert, silences: Iterable[Silence], windows: Iterable[Maintenance], now: datetime) -> str:
    """The silence or maintenance window that the alert falls under at ``now``; empty when people are to be told."""
    for silence in silences:
        if now < silence.until and matches(alert, silence.rules, silence.match):
            return f"silence {silence.id}"
    for window in windows:
        if is_open(window, now) and matches(alert, window.rules, window.match):
            return f"maintenance {window.name}"
    return ""


def matches(alert: Alert, rules: Globs, match: Mapping[str, Globs]) -> bool:
    """Whether the alert is of one of the rules (of any, when none is named) and each column matches a pattern."""
    return _any_of(rules, [alert.rule]) and all(
        _any_of(patterns, _texts(alert.row.get(column))) for column, patterns in match.items()
    )


def is_open(window: Maintenance, now: datetime) -> bool:
    """Whether the window has begun and is not over; one that begins before midnight may last beyond it."""
    if window.once is not None:
        return window.once <= now < window.once + window.length
    if window.begin is None:
        return False
    here = now.astimezone(ZoneInfo(window.zone))
    for back in range(window.length.days + 2):
        day = here.date() - timedelta(days=back)
        begin = datetime.combine(day, window.begin, tzinfo=ZoneInfo(window.zone))
        if _DAYS[day.weekday()] in window.days and begin <= now < begin + window.length:
            return True
    return False


def _any_of(patterns: Globs, texts: Iterable[str]) -> bool:
    return not patterns or any(fnmatchcase(text, pattern) for pattern in patterns for text in texts)


def _texts(value: Any) -> list[str]:
    if value is None:
        return []
    return [str(item) for item in value] if isinstance(value, list) else [str(value)]
