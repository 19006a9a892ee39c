"""What stands in a rule's file; docs/alerts.md tells the same to whoever writes one."""

import re
from datetime import timedelta
from typing import Annotated, Final, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from celeryscope.service.kibana_views import View

Severity: TypeAlias = Literal["low", "medium", "high", "critical"]
"""As in ``celery.owner.severity``."""
SEVERITIES: Final[tuple[Severity, ...]] = ("low", "medium", "high", "critical")

_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_DURATION: Final = re.compile(r"(\d{1,6})\s*([smhd])")


class Section(BaseModel):
    """Base of all: unknown keys are refused, nothing is converted (007 is no text), nothing changes later."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


def duration(written: object) -> timedelta:
    """A duration as people write it: ``90s``, ``5m``, ``2h``, ``1d``. Raises ValueError for anything else."""
    found = _DURATION.fullmatch(written) if isinstance(written, str) else None
    if found is None:
        raise ValueError("a duration is needed, e.g. 90s, 5m, 2h or 1d")
    return timedelta(seconds=int(found[1]) * _SECONDS[found[2]])


def shown(length: timedelta) -> str:
    """A duration as one would write it: ``90s``, ``5m``."""
    seconds = int(length.total_seconds())
    unit = next((unit for unit in ("d", "h", "m") if seconds and seconds % _SECONDS[unit] == 0), "s")
    return f"{seconds // _SECONDS[unit]}{unit}"


def _one_line(text: str) -> str:
    return " ".join(text.split())


Duration: TypeAlias = Annotated[timedelta, BeforeValidator(duration)]
Slug: TypeAlias = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,49}$")]
Text: TypeAlias = Annotated[str, Field(min_length=1, max_length=2000), AfterValidator(_one_line)]
Column: TypeAlias = Annotated[str, Field(min_length=1, max_length=100)]
Globs: TypeAlias = tuple[Annotated[str, Field(min_length=1, max_length=200)], ...]
"""Patterns, any of which may match: ``*`` is any text, ``?`` one character; case matters."""
Value: TypeAlias = int | float | Duration


def written(value: Value) -> str:
    """A parameter's value for people: ``90s``, ``0.75``, ``104857600``."""
    return shown(value) if isinstance(value, timedelta) else f"{value:g}" if isinstance(value, float) else str(value)


class Parameter(Section):
    """A threshold, or a length of time; stands in the query as ``{name}`` (a length of time in seconds)."""

    default: Value
    description: Text
    minimum: float = 0
    """Of a length of time in seconds."""
    maximum: float | None = None
    by: Column | None = None
    """The column whose patterns may have values of their own; without it, the parameter is one for all."""


class Inhibition(Section):
    """Another rule whose alert explains this one's: while it lasts, this one stays quiet."""

    rule: Slug
    equal: tuple[Column, ...] = ()
    """Columns in which the two must agree; without any, each alert of the other rule counts."""


class Rule(Section):
    """One rule: what is asked of Elasticsearch, and what a row of the answer means."""

    id: Slug
    title: Text
    severity: Severity
    category: Literal["tasks", "workers", "queues", "schedules", "pipeline"]
    means: Text
    what_to_do: Text
    query: Annotated[str, Field(min_length=1, max_length=10_000)]
    """ES|QL; each row of the answer is an alert, told apart from others by ``group``."""
    candidates: Annotated[str, Field(max_length=10_000)] = ""
    """ES|QL that is quickly answered: what the query may have a row about, by one of the columns of ``group``, or by
    none. Without a row of it the query has none either, and with some it has them about these only. The watcher asks
    it first; Kibana knows nothing of it."""
    window: Duration
    """How far back ``time_field`` of a document may lie."""
    time_field: Column = "@timestamp"
    interval: Duration
    """From one evaluation to the next."""
    group: tuple[Column, ...] = Field(min_length=1)
    """Columns that are an alert's identity: those of the query's last ``BY``, which Kibana takes."""
    subject: tuple[Column, ...] = ()
    """Of ``group``: what the alert is about. Alerts of several rules about the same are one incident."""
    message: Text
    """With ``{column}`` for the row's values; see ``celeryscope.service.rules.wording``."""
    show: Text
    """The command that shows more, likewise."""
    view: View | None = None
    """The dashboard in Kibana that shows more; without it the category's."""
    parameters: dict[Slug, Parameter] = {}
    hold: Duration = timedelta(0)
    """How long rows must keep coming before the alert fires; in Kibana rounded up to whole intervals."""
    resolve_after: Duration = timedelta(minutes=2)
    """How long no row may have come before the alert is resolved."""
    inhibited_by: tuple[Inhibition, ...] = ()

    @property
    def dashboard(self) -> View:
        """The dashboard in Kibana that shows more."""
        return self.view or _VIEWS[self.category]


_VIEWS: Final[dict[str, View]] = {
    "tasks": "overview",
    "workers": "workers",
    "queues": "workers",
    "schedules": "workers",
    "pipeline": "pipeline-health",
}
