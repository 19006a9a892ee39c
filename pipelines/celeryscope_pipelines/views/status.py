"""The view of everything at once: are tasks fine, are workers there, does data arrive, was anything dropped?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from rich.console import RenderableType
from rich.text import Text

from celeryscope import semconv
from celeryscope.service.terminal import plain_table, verbatim
from celeryscope_pipelines.views.attempts import Attempt, attempt_dict
from celeryscope_pipelines.views.documents import fields, instant, integer, iso, text
from celeryscope_pipelines.views.failures import SHORT_ID, Clusters, cluster_dict
from celeryscope_pipelines.views.wording import Clock, counted, look, one_line

SILENT_AFTER: Final = 60.0
"""Seconds without a heartbeat after which a worker that never said goodbye is called silent."""
_MAX_WORKERS: Final = 30


@dataclass(frozen=True, slots=True)
class Worker:
    """The last snapshot of a worker."""

    name: str
    state: str
    seen: datetime | None
    active: int
    processed: int
    concurrency: int
    pool: str | None
    pending_bytes: int
    dropped: Mapping[str, int]
    """Records that its spool dropped, by reason, since the start of its process family."""

    def condition(self, now: datetime) -> str:
        """``online``, ``offline``, or ``silent`` for a worker that just stopped talking."""
        if self.state != "ONLINE":
            return one_line(self.state.lower())
        silent = self.seen is None or (now - self.seen).total_seconds() > SILENT_AFTER
        return "silent" if silent else "online"


@dataclass(frozen=True, slots=True)
class Status:
    """What ``celeryscope status`` shows."""

    since: datetime
    states: Mapping[str, int]
    """Attempts sent since then, by state."""
    unfinished: tuple[Attempt, ...]
    """The oldest attempts that are under way, of any age."""
    unfinished_total: int
    workers: tuple[Worker, ...]
    recent: Clusters
    """Failures of the last hour."""
    health: Mapping[str, Any]
    newest: Mapping[str, datetime | None]
    """Time of the newest document by kind: ``attempts``, ``logs``, ``spans``, ``workers``."""

    @property
    def dropped(self) -> dict[str, int]:
        """Records that spools dropped, by reason, over all workers."""
        totals: dict[str, int] = {}
        for worker in self.workers:
            for reason, count in worker.dropped.items():
                totals[reason] = totals.get(reason, 0) + count
        return totals

    @property
    def empty(self) -> bool:
        """Whether there is no data of celeryscope at all."""
        return not any(self.newest.values())


def worker_from(source: Mapping[str, Any]) -> Worker:
    """The worker that a document of ``celery-workers`` describes."""
    known = fields(source)
    prefix = semconv.SPOOL_DROPPED_PREFIX
    return Worker(
        name=text(known.get(semconv.WORKER)) or "(unnamed worker)",
        state=text(known.get(semconv.STATE)) or "?",
        seen=instant(known.get(semconv.LAST_SEEN)) or instant(known.get("@timestamp")),
        active=integer(known.get(semconv.ACTIVE)),
        processed=integer(known.get(semconv.PROCESSED)),
        concurrency=integer(known.get(semconv.CONCURRENCY)),
        pool=text(known.get(semconv.POOL)),
        pending_bytes=integer(known.get(semconv.SPOOL_PENDING_BYTES)),
        dropped={
            name.removeprefix(prefix): integer(count)
            for name, count in known.items()
            if name.startswith(prefix) and integer(count)
        },
    )


def render(status: Status, clock: Clock, ascii_only: bool) -> list[RenderableType]:
    """The view of ``celeryscope status``."""
    return [
        *_attempts(status, clock, ascii_only),
        Text(),
        *_workers(status, clock),
        Text(),
        *_failures(status),
        Text(),
        *_data(status, clock),
    ]


def _attempts(status: Status, clock: Clock, ascii_only: bool) -> list[RenderableType]:
    total = sum(status.states.values())
    heading = f"{counted(total, 'attempt')} sent since {clock.date(status.since)} {clock.zone()}"
    parts: list[RenderableType] = [Text(heading, "bold")]
    table = plain_table("count", "state", right=("count",))
    table.show_header = False
    for state, count in sorted(status.states.items(), key=lambda item: -item[1]):
        shown = look(state)
        table.add_row(f"{count:,}", Text(shown.label(ascii_only), shown.style))
    if status.states:
        parts.append(table)
    if status.unfinished_total:
        parts.append(Text(f"\n{counted(status.unfinished_total, 'attempt')} not final, the oldest:", "bold"))
    for attempt in status.unfinished:
        shown = look(attempt.state)
        line = Text(f"{shown.label(ascii_only):11} ", shown.style, overflow="ignore")
        line.append(f"{clock.ago(attempt.first_time):16} ", "bright_black")
        line.append(f"{one_line(attempt.name)} ", "cyan").append(one_line(attempt.task_id), "default")
        parts.append(line)
    return parts


def _workers(status: Status, clock: Clock) -> list[RenderableType]:
    if not status.workers:
        return [Text("No worker has reported yet.", "yellow")]
    styles = {"online": "green", "silent": "bold red"}
    right = ("active", "processed", "not shipped")
    table = plain_table("worker", "state", "last heartbeat", *right, right=right)
    for worker in status.workers[:_MAX_WORKERS]:
        condition = worker.condition(clock.now)
        table.add_row(
            Text(one_line(worker.name), "cyan"),
            Text(condition, styles.get(condition, "bright_black")),
            clock.ago(worker.seen),
            f"{worker.active}/{worker.concurrency}" if worker.concurrency else str(worker.active),
            f"{worker.processed:,}",
            size(worker.pending_bytes),
        )
    parts: list[RenderableType] = [table]
    if len(status.workers) > _MAX_WORKERS:
        parts.append(Text(f"and {counted(len(status.workers) - _MAX_WORKERS, 'more worker')}", "bright_black"))
    return parts


def _failures(status: Status) -> list[RenderableType]:
    recent = status.recent
    if not recent.failures:
        return [Text("No failures in the last hour.", "green")]
    heading = f"{counted(recent.failures, 'failure')} in {counted(recent.total, 'cluster')} in the last hour"
    parts: list[RenderableType] = [Text(heading, "bold")]
    for cluster in recent.clusters:
        line = Text(overflow="ignore")
        line.append(one_line(cluster.fingerprint)[:SHORT_ID], "cyan").append(f" {cluster.count:>6,}  ", "bold")
        parts.append(line.append(one_line(cluster.title), "red"))
    return [*parts, verbatim("Next: celeryscope failures", "bright_black")]


def _data(status: Status, clock: Clock) -> list[RenderableType]:
    health = str(status.health.get("status", "unknown"))
    nodes = counted(integer(status.health.get("number_of_nodes")), "node")
    elasticsearch = Text("Elasticsearch: ").append(one_line(health), health if health in _HEALTH else "default")
    elasticsearch.append(f", {nodes}", "default")
    ages = ", ".join(f"{kind} {clock.ago(time) or 'none'}" for kind, time in status.newest.items())
    parts: list[RenderableType] = [elasticsearch, Text(f"Newest data: {ages}")]
    if status.dropped:
        reasons = ", ".join(f"{one_line(reason)} {count:,}" for reason, count in sorted(status.dropped.items()))
        parts.append(Text(f"Dropped by spools: {reasons}", "bold red"))
    else:
        parts.append(Text("Dropped by spools: nothing"))
    return parts


_HEALTH: Final = frozenset({"green", "yellow", "red"})


def size(count: int) -> str:
    """A number of bytes as people say it: ``0 B``, ``12.3 KB``."""
    amount, unit = float(count), "B"
    for bigger in ("KB", "MB", "GB"):
        if amount < 1000:
            break
        amount, unit = amount / 1000, bigger
    return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"


def _worker_dict(worker: Worker, now: datetime) -> dict[str, Any]:
    return {
        "name": worker.name,
        "state": worker.condition(now),
        "last_seen": iso(worker.seen),
        "active": worker.active,
        "processed": worker.processed,
        "concurrency": worker.concurrency,
        "pool": worker.pool,
        "spool_pending_bytes": worker.pending_bytes,
        "spool_dropped": dict(worker.dropped),
    }


def as_dict(status: Status, now: datetime) -> dict[str, Any]:
    """The view for ``--json``."""
    unfinished: Sequence[Attempt] = status.unfinished
    return {
        "since": iso(status.since),
        "states": dict(status.states),
        "attempts": sum(status.states.values()),
        "unfinished": {"total": status.unfinished_total, "oldest": [attempt_dict(attempt) for attempt in unfinished]},
        "workers": [_worker_dict(worker, now) for worker in status.workers],
        "failures_last_hour": {
            "failures": status.recent.failures,
            "total": status.recent.total,
            "clusters": [cluster_dict(cluster) for cluster in status.recent.clusters],
        },
        "elasticsearch": {
            "status": status.health.get("status"),
            "nodes": status.health.get("number_of_nodes"),
            "unassigned_shards": status.health.get("unassigned_shards"),
        },
        "newest": {kind: iso(time) for kind, time in status.newest.items()},
        "dropped": status.dropped,
    }
