"""One rule asked of Elasticsearch: a finding for each row of the answer."""

import warnings
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from elasticsearch import Elasticsearch, ElasticsearchWarning

from celeryscope.service.elasticsearch import our_errors
from celeryscope.service.rules.adjusting import ActiveRule
from celeryscope.service.rules.query import request
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
    is not brought back to an earlier one. Raises Unavailable (TooSlow when the client has waited long enough),
    Unauthorized, or Rejected (also when an index that the query names does not exist yet).
    """
    with our_errors(), warnings.catch_warnings():
        warnings.simplefilter("ignore", ElasticsearchWarning)
        answer = client.esql.query(**request(rule.rule, rule.query, now))
    names = [column["name"] for column in answer["columns"]]
    rows = (
        {name: value for name, value in zip(names, values, strict=True) if value is not None}
        for values in answer["values"]
    )
    return [_finding(rule, row, now) for row in rows]


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
