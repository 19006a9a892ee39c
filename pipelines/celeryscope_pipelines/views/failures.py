"""Failure clusters: the failures that are one problem, counted and described."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from rich.console import RenderableType
from rich.text import Text

from celeryscope import semconv
from celeryscope.service.terminal import plain_table, verbatim
from celeryscope_pipelines.views.documents import instant, iso, text
from celeryscope_pipelines.views.wording import Clock, counted, one_line

SHORT_ID = 8
"""Characters of a fingerprint that are shown; a prefix is enough to ask for a cluster."""

_STATE_STYLES: Final = {
    semconv.CLUSTER_OPEN: "yellow",
    semconv.CLUSTER_RESOLVED: "green",
    semconv.CLUSTER_IGNORED: "bright_black",
    semconv.CLUSTER_REGRESSED: "bold magenta",
}


@dataclass(frozen=True, slots=True)
class Cluster:
    """A failure cluster within a time range."""

    fingerprint: str
    title: str
    culprit: str | None
    count: int
    first: datetime | None
    """First failure within the range."""
    last: datetime | None
    first_seen: datetime | None
    """First failure ever, as far as it is known."""
    tasks: tuple[tuple[str, int], ...]
    workers: tuple[str, ...]
    state: str = semconv.CLUSTER_OPEN
    members: tuple[str, ...] = ()
    """Fingerprints that were merged into it."""
    last_seen: datetime | None = None
    """Last failure ever, as far as it is known."""


@dataclass(frozen=True, slots=True)
class Clusters:
    """The clusters of a selection; ``total`` counts also those that the limit left out."""

    failures: int
    total: int
    clusters: tuple[Cluster, ...]


def cluster_from(bucket: Mapping[str, Any], description: Mapping[str, Any]) -> Cluster:
    """A cluster from a bucket of ``queries.cluster_aggregations`` and the fields of its ``celery-failures`` entity."""
    first, last = _bucket_time(bucket, "first"), _bucket_time(bucket, "last")
    title = text(description.get(semconv.FAILURE_TITLE)) or text(description.get(semconv.EXCEPTION_TYPE))
    return Cluster(
        fingerprint=str(bucket["key"]),
        title=title or _sampled(bucket, semconv.FAILURE_TITLE) or "(no title yet)",
        culprit=text(description.get(semconv.CULPRIT)) or _sampled(bucket, semconv.CULPRIT),
        count=int(bucket["doc_count"]),
        first=first,
        last=last,
        first_seen=min(filter(None, (instant(description.get(semconv.FIRST_SEEN)), first)), default=None),
        tasks=tuple((str(task["key"]), int(task["doc_count"])) for task in bucket["tasks"]["buckets"]),
        workers=tuple(str(worker["key"]) for worker in bucket["workers"]["buckets"]),
    )


def _bucket_time(bucket: Mapping[str, Any], name: str) -> datetime | None:
    return instant(bucket[name].get("value_as_string") or bucket[name].get("value"))


def _sampled(bucket: Mapping[str, Any], name: str) -> str | None:
    """The value on the failures themselves: a new cluster's entity is written a moment after its first failure."""
    values = bucket.get(name, {}).get("buckets", [])
    return str(values[0]["key"]) if values else None


def render(found: Clusters, clock: Clock) -> list[RenderableType]:
    """The view of ``celeryscope failures``."""
    summary = f"{counted(found.failures, 'failure')} in {counted(found.total, 'cluster')}. Times are {clock.zone()}."
    table = plain_table("id", "count", "last seen", "first seen", "failure", right=("count",))
    for cluster in found.clusters:
        table.add_row(
            Text(one_line(cluster.fingerprint)[:SHORT_ID], "cyan"),
            Text(f"{cluster.count:,}", "bold"),
            Text(clock.date(cluster.last)),
            Text(clock.date(cluster.first_seen)),
            _description(cluster),
        )
        table.add_row()
    parts: list[RenderableType] = [Text(summary), Text(), table]
    if found.total > len(found.clusters):
        left_out = counted(found.total - len(found.clusters), "more cluster")
        parts.append(Text(f"{left_out}; --limit shows more.", "bright_black"))
    first = one_line(found.clusters[0].fingerprint)[:SHORT_ID] if found.clusters else "ID"
    parts.append(verbatim(f"Next: celeryscope failures show {first}", "bright_black"))
    return parts


def state_text(state: str) -> Text:
    """The state, in its colour."""
    return Text(one_line(state), _STATE_STYLES.get(state, "default"))


def _description(cluster: Cluster) -> Text:
    lines = Text()
    if cluster.state != semconv.CLUSTER_OPEN:
        lines.append_text(state_text(cluster.state)).append("  ")
    lines.append(one_line(cluster.title), "bold red")
    if cluster.culprit:
        lines.append(f"\n{one_line(cluster.culprit)}", "default not bold")
    tasks = ", ".join(f"{one_line(name)} ({count:,})" for name, count in cluster.tasks)
    lines.append(f"\n{tasks}", "cyan not bold")
    if cluster.workers:
        lines.append(f"\non {', '.join(map(one_line, cluster.workers))}", "bright_black not bold")
    if cluster.members:
        lines.append(f"\n{counted(len(cluster.members), 'cluster')} merged into it", "bright_black not bold")
    return lines


def cluster_dict(cluster: Cluster) -> dict[str, Any]:
    """The cluster for ``--json``."""
    return {
        "fingerprint": cluster.fingerprint,
        "title": cluster.title,
        "culprit": cluster.culprit,
        "count": cluster.count,
        "first": iso(cluster.first),
        "last": iso(cluster.last),
        "first_seen": iso(cluster.first_seen),
        "tasks": [{"name": name, "count": count} for name, count in cluster.tasks],
        "workers": list(cluster.workers),
        "state": cluster.state,
        "members": list(cluster.members),
        "last_seen": iso(cluster.last_seen),
    }


def as_dict(found: Clusters, since: datetime | None) -> dict[str, Any]:
    """The view for ``--json``; ``total`` counts also the clusters that the limit left out."""
    return {
        "since": iso(since),
        "failures": found.failures,
        "total": found.total,
        "clusters": [cluster_dict(cluster) for cluster in found.clusters],
    }
