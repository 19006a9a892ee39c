"""One rule asked of Elasticsearch: a finding for each row of the answer.

A rule with candidates is asked in two steps, of which mostly the first suffices: what may there be a row about? Only
about that the query is asked, so it does not go through all attempts of six hours at each look.
"""

import warnings
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from elasticsearch import Elasticsearch, ElasticsearchWarning

from celeryscope.service.elasticsearch import our_errors
from celeryscope.service.rules.adjusting import ActiveRule
from celeryscope.service.rules.query import MOST_ROWS, identity_columns, narrowed, request
from celeryscope.service.rules.wording import worded

_SINCE = "since"


@dataclass(frozen=True, slots=True)
class Finding:
    """A row of a rule's query: something is as it should not be."""

    rule: str
    key: str
    """The values of the rule's group columns, joined by ``/``; missing ones are ``-``."""
    subject: tuple[str, ...]
    """What it is about: names and values, to tell which alerts are one incident."""
    row: dict[str, Any]
    """All columns of the row that have a value."""
    since: datetime
    """Since when it is so, as far as the data tell."""
    message: str
    show: str
    """The command that shows more."""


def evaluate(client: Elasticsearch, rule: ActiveRule, now: datetime) -> list[Finding]:
    """What the rule finds as of ``now``, which may be a simulated time.

    Only documents up to ``now`` count, by the rule's time field; an entity, of which only the latest state is stored,
    is not brought back to an earlier one. Raises Unavailable (TooSlow when the client has waited long enough; also when
    a shard can't be read), Unauthorized, or Rejected (also when an index that the query names does not exist yet).
    """
    asked = request(rule.rule, rule.query, now)
    if rule.candidates:
        found = _rows(client, request(rule.rule, rule.candidates, now))
        if not found:
            return []
        asked = _about(found, rule, asked)
    return [_finding(rule, row, now) for row in _rows(client, asked)]


def _about(found: list[dict[str, Any]], rule: ActiveRule, asked: dict[str, Any]) -> dict[str, Any]:
    """The rule's request about the candidates that were found."""
    (column,) = identity_columns(rule.candidates) or ("",)
    values = [row[column] for row in found if column in row]
    # More than all of these there may be, and a document without the field can't be asked for by its value.
    return narrowed(asked, column, values) if len(values) == len(found) < MOST_ROWS else asked


def _rows(client: Elasticsearch, asked: dict[str, Any]) -> list[dict[str, Any]]:
    with our_errors(), warnings.catch_warnings():
        warnings.simplefilter("ignore", ElasticsearchWarning)
        # Without the documents of a shard that is away, a worker that is there would be missed, and an alert be over.
        answer = client.esql.query(**asked, allow_partial_results=False)
    names = [column["name"] for column in answer["columns"]]
    return [
        {name: value for name, value in zip(names, values, strict=True) if value is not None}
        for values in answer["values"]
    ]


def _finding(rule: ActiveRule, row: dict[str, Any], now: datetime) -> Finding:
    since = datetime.fromisoformat(row[_SINCE]) if _SINCE in row else now
    return Finding(
        rule=rule.rule.id,
        key="/".join(str(row.get(column, "-")) for column in rule.rule.group),
        subject=tuple(f"{column}={row.get(column, '-')}" for column in rule.rule.subject or rule.rule.group),
        row=row,
        since=min(since, now),
        message=worded(rule.rule.message, row),
        show=worded(rule.rule.show, row),
    )
