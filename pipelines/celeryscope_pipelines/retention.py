"""Deletes what is older than it is to be kept.

Spans and logs are deleted by Elasticsearch itself, by the lifecycle of their data streams; here it is told how long.
The days of attempts are indices, deleted by their exact names. Failure clusters, workers, queues and schedules are
documents, deleted one by one, unless they are seen again at that very moment.
"""

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from elasticsearch import Elasticsearch, NotFoundError

from celeryscope import semconv
from celeryscope.errors import Unauthorized, Unavailable
from celeryscope.service.changes import Action
from celeryscope.service.elasticsearch import our_errors
from celeryscope_pipelines.durations import FOREVER
from celeryscope_pipelines.provisioning.indices import keep_stream
from celeryscope_pipelines.provisioning.templates import LOGS, TRACES

_DAY: Final = re.compile(re.escape(semconv.INDEX_TASKS) + r"-(\d{4}\.\d{2}\.\d{2})")
_LAST_SEEN: Final = {
    semconv.INDEX_FAILURES: semconv.LAST_SEEN,
    semconv.INDEX_WORKERS: "@timestamp",
    semconv.INDEX_QUEUES: "@timestamp",
    semconv.INDEX_SCHEDULES: "@timestamp",
    semconv.INDEX_ALERTS: "@timestamp",
    semconv.INDEX_KIBANA_ALERTS: "@timestamp",
}
_AT_ONCE: Final = 1000
_SETTLED: Final = frozenset({200, 404, 409})
"""Deleted, by us or by another run, or seen again meanwhile."""


@dataclass(frozen=True, slots=True)
class Keep:
    """For how many seconds; FOREVER, or None, which leaves things as they are."""

    spans: int | None = None
    logs: int | None = None
    tasks: int | None = None
    """Attempts, since the end of the day they were sent."""
    failures: int | None = None
    """Failure clusters, since they were seen last."""
    entities: int | None = None
    """Workers, queues and schedules, since they were seen last."""
    alerts: int | None = None
    """What became of alerts, here and in Kibana."""

    def of(self, index: str) -> int | None:
        """How long the documents of an index of entities are kept."""
        if index == semconv.INDEX_FAILURES:
            return self.failures
        return self.alerts if index in {semconv.INDEX_ALERTS, semconv.INDEX_KIBANA_ALERTS} else self.entities


@dataclass(frozen=True, slots=True)
class Item:
    """What was done, or would be done, about one index, data stream or kind of entity."""

    name: str
    action: str
    """``deleted``, ``changed`` (its lifecycle), ``unchanged``, or ``kept``, with the reason as the detail."""
    documents: int = 0
    """How many were deleted."""
    bytes: int = 0
    """Of the index that was deleted."""
    detail: str = ""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


@our_errors()
def enforce(client: Elasticsearch, keep: Keep, now: datetime, *, dry_run: bool) -> list[Item]:
    """Delete what is too old at ``now`` and tell of each; with ``dry_run`` tell what would be deleted.

    Raises NotFound before setup, Unavailable, Unauthorized or WrongVersion; what was done before stays.
    """
    items = [
        *_streams(client, TRACES, keep.spans, dry_run=dry_run),
        *_streams(client, LOGS, keep.logs, dry_run=dry_run),
    ]
    if keep.tasks:
        items += _days(client, now - timedelta(seconds=keep.tasks), dry_run=dry_run)
    for index, field in _LAST_SEEN.items():
        seconds = keep.of(index)
        if seconds:
            before = now - timedelta(seconds=seconds)
            items.append(_documents(client, index, {"range": {field: {"lt": before.isoformat()}}}, dry_run=dry_run))
    return items


def _streams(client: Elasticsearch, template: str, seconds: int | None, *, dry_run: bool) -> Iterator[Item]:
    if seconds is None:
        return
    kept = "for ever" if seconds == FOREVER else f"{seconds // 3600} h"
    for change in keep_stream(client, template, seconds, dry_run=dry_run):
        detail = change.detail if change.action is Action.KEPT else f"Elasticsearch keeps its documents {kept}"
        yield Item(change.name, change.action.value, detail=detail)


def _days(client: Elasticsearch, before: datetime, *, dry_run: bool) -> Iterator[Item]:
    found = client.indices.resolve_index(name=semconv.INDEX_TASKS_ALL)
    for name in sorted(item["name"] for item in found["indices"]):
        day = _day(name)
        if day is None or day + timedelta(days=1) > before:
            continue
        try:
            told = client.indices.stats(index=name, metric=["docs", "store"], expand_wildcards="none")["_all"]["total"]
            if not dry_run:
                client.indices.delete(index=name, expand_wildcards="none")
        except NotFoundError:
            # Another run was quicker.
            continue
        yield Item(name, "deleted", told["docs"]["count"], told["store"]["size_in_bytes"])


def _day(name: str) -> datetime | None:
    """The day of an index of attempts, UTC; None for any other index."""
    found = _DAY.fullmatch(name)
    try:
        return datetime.strptime(found[1], "%Y.%m.%d").replace(tzinfo=UTC) if found else None
    except ValueError:
        return None


def _documents(client: Elasticsearch, index: str, query: dict[str, Any], *, dry_run: bool) -> Item:
    if dry_run:
        return _item(index, int(client.count(index=index, query=query)["count"]))
    deleted = 0
    while True:
        client.indices.refresh(index=index)
        found = client.search(index=index, query=query, size=_AT_ONCE, source=False, seq_no_primary_term=True)
        operations = [
            {"delete": {"_id": hit["_id"], "if_seq_no": hit["_seq_no"], "if_primary_term": hit["_primary_term"]}}
            for hit in found["hits"]["hits"]
        ]
        answers = client.bulk(index=index, operations=operations)["items"] if operations else []
        done = sum(answer["delete"]["status"] == 200 for answer in answers)
        deleted += done
        _require_deletable(index, answers)
        # What was seen again meanwhile is a conflict, and not found the next time.
        if not done:
            return _item(index, deleted)


def _require_deletable(index: str, answers: list[dict[str, Any]]) -> None:
    """Raise Unauthorized or Unavailable when Elasticsearch lets us delete nothing, as behind a block of the index."""
    for answer in answers:
        status, cause = answer["delete"]["status"], answer["delete"].get("error", {})
        if status not in _SETTLED:
            kind = Unauthorized if cause.get("type") == "security_exception" else Unavailable
            raise kind(f"Elasticsearch deletes no documents of {index} ({status}: {cause.get('reason')}).")


def _item(index: str, deleted: int) -> Item:
    return Item(index, "deleted" if deleted else "unchanged", deleted)
