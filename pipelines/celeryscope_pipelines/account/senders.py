"""What the senders say they wrote and shipped: from the spools on this machine, or from the workers' heartbeats."""

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from elasticsearch import Elasticsearch

from celeryscope import semconv
from celeryscope.service.elasticsearch import our_errors
from celeryscope.spool.counting import count
from celeryscope_pipelines.account.balance import Workers
from celeryscope_pipelines.views.documents import fields, integer

_PAGE: Final = 200
_COUNTS: Final = (semconv.SPOOL_SHIPPED, semconv.SPOOL_SUPERSEDED)
_EVENTS: Final = (semconv.EVENT_WORKER_ONLINE, semconv.EVENT_WORKER_HEARTBEAT, semconv.EVENT_WORKER_OFFLINE)


def of_spools(folders: Iterable[Path]) -> Workers:
    """The sum over these spools, of all that was ever written to them."""
    total = Workers("spools", pending=0)
    for folder in folders:
        counted = count(folder)
        total.shipped += counted["shipped"]
        total.superseded += counted["superseded"]
        total.pending = (total.pending or 0) + counted["pending"]
        total.dropped.update(counted["dropped"])
        total.families += counted["families"]
    return total


def sender(attributes: dict[str, Any]) -> str:
    """Who sent a record, by its resource: a service on a host."""
    return f"{attributes.get(semconv.SERVICE_NAME, '?')} on {attributes.get(semconv.HOST_NAME, '?')}"


@our_errors()
def of_heartbeats(
    client: Elasticsearch, since: datetime | None, until: datetime | None, tenant: str | None
) -> Workers | None:
    """What the workers' heartbeats in this time say; None when there are none.

    With ``since``, what came between a worker's first and last heartbeat in this time, so that all of it was shipped
    in it; else all since the start of its processes.
    """
    total = Workers("heartbeats", pending_bytes=0)
    for first, last in _first_and_last(client, since, until, tenant):
        counts = Counter({key: integer(last.get(key)) for key in last if _is_count(key)})
        if since is not None:
            counts.subtract({key: integer(first.get(key)) for key in first if _is_count(key)})
        total.families += 1
        total.shipped += counts[semconv.SPOOL_SHIPPED]
        total.superseded += counts[semconv.SPOOL_SUPERSEDED]
        total.pending_bytes = (total.pending_bytes or 0) + integer(last.get(semconv.SPOOL_PENDING_BYTES))
        total.by_sender[sender(last)] += counts[semconv.SPOOL_SHIPPED]
        prefix = semconv.SPOOL_DROPPED_PREFIX
        total.dropped += Counter({key.removeprefix(prefix): n for key, n in counts.items() if key.startswith(prefix)})
    return total if total.families else None


def _is_count(key: str) -> bool:
    return key in _COUNTS or key.startswith(semconv.SPOOL_DROPPED_PREFIX)


def _first_and_last(
    client: Elasticsearch, since: datetime | None, until: datetime | None, tenant: str | None
) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Of each process family its first and its last snapshot, as fields by dotted name."""
    times = {"gte": since and since.isoformat(), "lt": until and until.isoformat()}
    query = {
        "bool": {
            "filter": [
                {"terms": {"event_name": _EVENTS}},
                {"exists": {"field": semconv.SPOOL_SHIPPED}},
                {"range": {"@timestamp": {name: time for name, time in times.items() if time}}},
            ]
        }
    }
    keys = [{name: {"terms": {"field": name}}} for name in (semconv.SERVICE_INSTANCE_ID, semconv.WORKER)]
    families: dict[str, Any] = {"composite": {"size": _PAGE, "sources": keys}, "aggs": {}}
    for name, order in (("first", "asc"), ("last", "desc")):
        families["aggs"][name] = {"top_hits": {"size": 1, "sort": [{"@timestamp": order}]}}
    index: dict[str, Any] = {
        "index": f"{semconv.DATA_STREAM_LOGS}-{tenant or '*'}",
        "ignore_unavailable": True,
        "allow_no_indices": True,
    }
    client.indices.refresh(**index)
    while True:
        found = client.search(**index, size=0, query=query, aggs={"families": families})
        page = (found.get("aggregations") or {}).get("families", {})
        for bucket in page.get("buckets", []):
            first, last = (fields(bucket[name]["hits"]["hits"][0]["_source"]) for name in ("first", "last"))
            yield first, last
        if "after_key" not in page:
            return
        families["composite"]["after"] = page["after_key"]
