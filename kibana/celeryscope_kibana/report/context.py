"""What Kibana puts into a view's request: the dashboard's filters and its time range."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from celeryscope_kibana.vega.source import Spec

_STEPS: Final = {
    "1s": 1,
    "10s": 10,
    "30s": 30,
    "1m": 60,
    "5m": 300,
    "10m": 600,
    "30m": 1800,
    "1h": 3600,
    "3h": 10_800,
    "12h": 43_200,
    "1d": 86_400,
}
"""Lengths of a histogram's step, in seconds."""
_LONGEST: Final = "7d"
_USUAL_STEPS: Final = 50
_UNITS: Final = {"day": timedelta(days=1), "hour": timedelta(hours=1), "minute": timedelta(minutes=1)}


@dataclass(frozen=True, slots=True)
class Context:
    """A time range, and filters (clauses of Elasticsearch) that hold for every request made in it."""

    start: datetime
    end: datetime
    filters: tuple[Spec, ...] = ()

    def fill(self, part: Any) -> Any:
        """The part of a request with the words in per cent signs replaced as Kibana replaces them."""
        if isinstance(part, list):
            return [filled for item in part for filled in self._clauses(item)]
        if not isinstance(part, dict):
            return part
        if "%autointerval%" in part:
            steps = part["%autointerval%"]
            return self._step(_USUAL_STEPS if steps is True else steps)
        if "%timefilter%" in part:
            return self._time(part)
        return {name: self.fill(value) for name, value in part.items()}

    def _clauses(self, item: Any) -> list[Any]:
        if item == "%dashboard_context-filter_clause%":
            return list(self.filters)
        if isinstance(item, str) and item.startswith("%dashboard_context"):
            return []
        return [self.fill(item)]

    def _time(self, asked: Spec) -> Any:
        if asked["%timefilter%"] is True:
            return {"gte": self.start.isoformat(), "lte": self.end.isoformat(), "format": "strict_date_optional_time"}
        bound = self.start if asked["%timefilter%"] == "min" else self.end
        moved = bound + asked.get("shift", 0) * _UNITS[asked.get("unit", "day")]
        return int(moved.timestamp() * 1000)

    def _step(self, steps: int) -> str:
        wanted = (self.end - self.start).total_seconds() / steps
        return next((name for name, seconds in _STEPS.items() if seconds >= wanted), _LONGEST)
