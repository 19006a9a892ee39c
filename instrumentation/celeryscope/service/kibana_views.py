"""Addresses of celeryscope's views in Kibana: for the links within them, and for messages about alerts. Pure.

The state of an address is written in Rison, Kibana's JSON for addresses.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal, TypeAlias
from urllib.parse import quote

from celeryscope import semconv

ID_PREFIX: Final = "celeryscope-"
"""Begins the id of each of our objects in Kibana, and stands nowhere else in a bundle."""
SPACE_PATTERN: Final = r"^[a-z0-9_-]*$"
"""What Kibana takes as the id of a space."""

View: TypeAlias = Literal["overview", "failure-clusters", "tracebacks", "workflow", "workers", "pipeline-health"]
"""The dashboards, by the names that their ids are made of."""

_FILTERS: Final = (
    semconv.TASK_NAME,
    semconv.FINGERPRINT,
    semconv.WORKER,
    semconv.MESSAGING_DESTINATION,
    semconv.SERVICE_NAME,
    semconv.DEPLOYMENT_ENVIRONMENT,
)
"""What documents of all kinds call the same, so that a dashboard can be filtered by it."""
_BEFORE: Final = timedelta(hours=1)
"""How much of the time before something begun is shown: what was usual."""


def identifier(name: str, space: str = "") -> str:
    """The id of an object of ours in a space; Kibana wants ids to be unique over all spaces."""
    return f"{ID_PREFIX}{space}-{name}" if space not in {"", "default"} else ID_PREFIX + name


def dashboard(identity: str, begin: str, query: str = "") -> str:
    """The path of a dashboard from ``begin`` until now, filtered by a query in KQL; both are escaped already."""
    return f"app/dashboards#/view/{identity}{_state(begin, query)}"


def discover(identity: str, begin: str, query: str) -> str:
    """The path of a saved search, likewise."""
    return f"app/discover#/view/{identity}{_state(begin, query)}"


@dataclass(frozen=True, slots=True)
class Kibana:
    """Where people find Kibana."""

    url: str
    """With its base path, without a slash at the end."""
    space: str = ""

    def of_alert(self, view: View, group: tuple[str, ...], row: Mapping[str, Any], since: datetime) -> str:
        """The view of what an alert is about, from an hour before it began; ``row`` has the columns of ``group``."""
        begin = (since - _BEFORE).astimezone(UTC).strftime("'%Y-%m-%dT%H:%M:%S.000Z'")
        query = " and ".join(_conditions(group, row))
        return f"{self._base}/{dashboard(identifier(view, self.space), begin, _escaped(query))}"

    def of_view(self, view: View) -> str:
        """The view as it is, over the last day."""
        return f"{self._base}/{dashboard(identifier(view, self.space), 'now-24h')}"

    @property
    def _base(self) -> str:
        return f"{self.url}/s/{self.space}" if self.space else self.url


def _state(begin: str, query: str) -> str:
    asked = f"&_a=(query:(language:kuery,query:'{query}'))" if query else ""
    return f"?_g=(time:(from:{begin},to:now)){asked}"


def _conditions(group: tuple[str, ...], row: Mapping[str, Any]) -> Iterator[str]:
    if tenant := row.get(semconv.TENANT):
        # Entities have it as a field, the data streams in their names.
        yield f"({_is(semconv.TENANT, tenant)} or {_is('data_stream.namespace', tenant)})"
    for column in group:
        if column in _FILTERS and column in row:
            yield _is(column, row[column])


def _is(field: str, value: Any) -> str:
    values = value if isinstance(value, list) else [value]
    quoted = ['"' + str(one).replace("\\", "\\\\").replace('"', '\\"') + '"' for one in values]
    return f"{field}:{quoted[0]}" if len(quoted) == 1 else f"{field}:({' or '.join(quoted)})"


def _escaped(text: str) -> str:
    """Within a text of Rison, within an address."""
    return quote(text.replace("!", "!!").replace("'", "!'"), safe=":!'()*")
