"""From a rule to the request for Elasticsearch: parameters filled in, the time window as Kibana sets it. Pure.

Kibana's ``.es-query`` rule (``searchType: esqlQuery``, ``groupBy: row``) sends the text with ``| limit <most alerts>``
and a filter: the time field is later than now less the window and not later than now. A row's identity are the columns
of the last ``STATS ... BY`` (renamed ones by their new names), so that is what each query of ours ends with.
"""

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

from celeryscope import semconv
from celeryscope.service.rules.models import Globs, Rule, Value

MOST_ROWS: Final = 1000
"""Kibana's default of ``xpack.alerting.rules.run.alerts.max``."""

PLACEHOLDER: Final = re.compile(r"(?<!%)\{([a-z0-9_-]+)\}")
_NOW: Final = re.compile(r"\bNOW\(\)")
_LAST_BY: Final = re.compile(r"\bSTATS\b(?:(?!\bSTATS\b).)*?\bBY\b\s+([^|]+)", re.DOTALL)
_RENAME: Final = re.compile(r"\|\s*RENAME\s+([^|]+)", re.DOTALL)


class Special(NamedTuple):
    """Another value of a parameter, where the column matches one of the patterns."""

    column: str
    patterns: Globs
    value: Value


def filled(
    text: str,
    rule: Rule,
    values: Mapping[str, Value] | None = None,
    special: Mapping[str, Iterable[Special]] | None = None,
    ignored: Mapping[str, Globs] | None = None,
) -> str:
    """A text of the rule's with its parameters: ``values`` instead of the defaults, for some patterns others again.

    Rows whose columns match ``ignored`` patterns are left out. Raises KeyError for a placeholder without a parameter.
    """

    def value(found: re.Match[str]) -> str:
        name = found[1]
        return _case(tuple((special or {}).get(name, ())), (values or {}).get(name, rule.parameters[name].default))

    text = PLACEHOLDER.sub(value, text).rstrip()
    for column, patterns in (ignored or {}).items():
        text += f"\n| WHERE NOT ({_matches(column, patterns)})"
    return text


def at(query: str, now: datetime) -> str:
    """The query as if it were run at ``now``: Elasticsearch's clock gives way to a literal.

    That is the only difference to what Kibana runs. Together with ``time_filter`` documents later than ``now`` do not
    count; an entity, which holds its latest state only, is not brought back to an earlier one.
    """
    return _NOW.sub(f'TO_DATETIME("{_iso(now)}")', query)


def time_filter(rule: Rule, now: datetime) -> dict[str, Any]:
    """The filter that Kibana adds, for a run at ``now``."""
    bounds = {"gt": _iso(now - rule.window), "lte": _iso(now), "format": "strict_date_optional_time"}
    return {"bool": {"filter": [{"range": {rule.time_field: bounds}}]}}


def request(rule: Rule, query: str, now: datetime) -> dict[str, Any]:
    """The body of ``POST /_query`` for a rule with its filled query."""
    return {"query": f"{at(query, now)}\n| LIMIT {MOST_ROWS}", "filter": time_filter(rule, now)}


def narrowed(request: dict[str, Any], column: str, values: Iterable[str]) -> dict[str, Any]:
    """The request about these values of a column only; it goes through no other attempts. Other documents all count."""
    these = {"terms": {column: list(values)}}
    others = {"bool": {"must_not": {"wildcard": {"_index": semconv.INDEX_TASKS_ALL}}}}
    either = {"bool": {"should": [these, others], "minimum_should_match": 1}}
    return request | {"filter": {"bool": {"filter": [request["filter"], either]}}}


def identity_columns(query: str) -> tuple[str, ...]:
    """The columns that Kibana takes as an alert's identity; empty when the query has no ``STATS ... BY``."""
    found = list(_LAST_BY.finditer(query))
    if not found:
        return ()
    last = found[-1]
    columns = [column.strip() for column in last[1].split(",")]
    for renames in _RENAME.finditer(query, last.end()):
        for rename in renames[1].split(","):
            old, new = re.split(r"\s+AS\s+", rename.strip())
            columns = [new if column == old else column for column in columns]
    return tuple(columns)


def _case(specials: tuple[Special, ...], default: Value) -> str:
    # All values of a CASE must be of one type.
    as_float = any(isinstance(value, float) for value in (default, *(one.value for one in specials)))
    cases = [f"{_matches(one.column, one.patterns)}, {_written(one.value, as_float)}" for one in specials]
    return f"CASE({', '.join([*cases, _written(default, as_float)])})" if cases else _written(default, as_float)


def _matches(column: str, patterns: Globs) -> str:
    return " OR ".join(f'{column} LIKE "{_quoted(pattern)}"' for pattern in patterns)


def _quoted(pattern: str) -> str:
    # Backslashes escape in the pattern and in the text around it.
    return pattern.replace("\\", r"\\\\").replace('"', r"\"").replace("\n", " ")


def _written(value: Value, as_float: bool) -> str:
    if isinstance(value, timedelta):
        value = int(value.total_seconds())
    return repr(float(value) if as_float else value)


def _iso(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
