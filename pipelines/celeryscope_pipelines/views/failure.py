"""One failure cluster: what it is, where, since when and with which release, how often, what was decided, what next."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from rich.console import RenderableType
from rich.text import Text

from celeryscope import semconv
from celeryscope.service.terminal import plain_table, verbatim
from celeryscope_pipelines.clusters import Entity
from celeryscope_pipelines.views.documents import instant, integer, iso, strings, text
from celeryscope_pipelines.views.failures import SHORT_ID, Cluster, cluster_dict, state_text
from celeryscope_pipelines.views.logs import LogLine, line_dict
from celeryscope_pipelines.views.sparkline import sparkline
from celeryscope_pipelines.views.tracebacks import with_places
from celeryscope_pipelines.views.wording import Clock, counted, one_line

TREND_STEP: Final = 1800
"""Seconds of a step of the trend."""
TREND_STEPS: Final = 48
_PLACES: Final = (
    ("queues", semconv.FAILURE_QUEUES),
    ("workers", semconv.FAILURE_WORKERS),
    ("releases", semconv.FAILURE_RELEASES),
    ("services", semconv.FAILURE_SERVICES),
    ("environments", semconv.FAILURE_ENVIRONMENTS),
)


@dataclass(frozen=True, slots=True)
class FailureView:
    """A cluster with its entity (empty when it is too new to have one) and its latest failures."""

    cluster: Cluster
    entity: Entity
    latest: Sequence[LogLine]
    trend: Sequence[int]
    """Failures of each half hour of the last day, the oldest first."""

    @property
    def traceback(self) -> str | None:
        """Of the latest failure that is still there, else the cluster's own sample."""
        found = next((line.stacktrace for line in self.latest if line.stacktrace), None)
        return found or text(self.entity.get(semconv.EXCEPTION_STACKTRACE))

    @property
    def culprit(self) -> str | None:
        """Where, with file and line."""
        file, line = text(self.entity.get(semconv.CULPRIT_FILE)), self.entity.get(semconv.CULPRIT_LINE)
        known = self.cluster.culprit
        return f"{known} ({file}:{line})" if known and file else known

    @property
    def root_cause(self) -> str | None:
        """The first exception of the chain, if it is another one."""
        kind, message = (text(self.entity.get(name)) for name in (semconv.ROOT_CAUSE_TYPE, semconv.ROOT_CAUSE_MESSAGE))
        if not kind:
            return None
        where = text(self.entity.get(semconv.ROOT_CAUSE_CULPRIT))
        return (f"{kind}: {message}" if message else kind) + (f" in {where}" if where else "")


def render(view: FailureView, clock: Clock, ascii_only: bool) -> list[RenderableType]:
    """The view of ``celeryscope failures show``."""
    facts = plain_table("", "")
    facts.show_header = False
    for name, value in _facts(view, clock, ascii_only):
        if value:
            facts.add_row(Text(name, "bright_black"), value if isinstance(value, Text) else Text(one_line(value)))
    parts: list[RenderableType] = [verbatim(one_line(view.cluster.title), "bold red"), facts]
    if traceback := view.traceback:
        parts += [Text(), Text("Traceback of the latest failure", "bold"), with_places(traceback)]
    if view.latest:
        parts += [Text(), Text(f"Latest failures (times are {clock.zone()})", "bold")]
        parts += [_occurrence(line, clock) for line in view.latest]
    return [*parts, Text(), *_next(view)]


def _facts(view: FailureView, clock: Clock, ascii_only: bool) -> list[tuple[str, str | Text | None]]:
    cluster, entity = view.cluster, view.entity
    owner = (entity.get(semconv.OWNER_TEAM), entity.get(semconv.OWNER_SEVERITY))
    bars = sparkline(view.trend, ascii_only)
    frame = "|" if ascii_only else "▏"
    return [
        ("state", _state(view, clock)),
        ("cluster", cluster.fingerprint),
        ("where", view.culprit or "unknown"),
        ("root cause", view.root_cause),
        ("first seen", _seen(cluster.first_seen, entity.get(semconv.FAILURE_FIRST_RELEASE), clock)),
        ("last seen", _seen(cluster.last_seen or cluster.last, entity.get(semconv.FAILURE_LAST_RELEASE), clock)),
        ("count", f"{cluster.count:,} in the time asked for; {sum(view.trend):,} in the last 24 h"),
        ("last 24 h", f"{frame}{bars}{frame} by half hours, at most {max(view.trend):,}" if sum(view.trend) else None),
        (
            "tasks",
            ", ".join(f"{name} ({count:,})" for name, count in cluster.tasks) or _set(view, semconv.FAILURE_TASKS),
        ),
        *((name, _set(view, field)) for name, field in _PLACES),
        ("owner", ", ".join(str(one) for one in owner if one)),
        ("runbook", text(entity.get(semconv.OWNER_RUNBOOK))),
        ("merged", ", ".join(name[:SHORT_ID] for name in cluster.members)),
        ("samples", ", ".join(samples(entity))),
        *(("history" if not at else "", line) for at, line in enumerate(strings(entity.get(semconv.FAILURE_HISTORY)))),
    ]


def _seen(time: Any, release: object, clock: Clock) -> str:
    seen = f"{clock.date(time)}, {clock.ago(time)}" if time else "unknown"
    return f"{seen}, release {release}" if release else seen


def _set(view: FailureView, field: str) -> str:
    """The values of a set, and how many it lacks; workers of the time asked for, if the entity has none."""
    values = strings(view.entity.get(field))
    if field == semconv.FAILURE_WORKERS:
        values = values or view.cluster.workers
    shown = ", ".join(values[:10])
    more = integer(view.entity.get(f"{field}{semconv.LEFT_OUT_SUFFIX}"))
    about = "about " if more else ""
    more += max(len(values) - 10, 0)
    return f"{shown} and {about}{more:,} more" if more else shown


def _state(view: FailureView, clock: Clock) -> Text:
    entity, state = view.entity, view.cluster.state
    shown = state_text(state)
    details: list[str] = []
    if state == semconv.CLUSTER_REGRESSED:
        details.append(f"since {clock.date(instant(entity.get(semconv.FAILURE_REGRESSED_AT)))}")
        if release := entity.get(semconv.FAILURE_REGRESSED_RELEASE):
            details.append(f"in release {release}")
        details.append(f"was resolved {clock.date(instant(entity.get(semconv.FAILURE_RESOLVED_AT)))}")
    elif state == semconv.CLUSTER_RESOLVED:
        details.append(f"since {clock.date(instant(entity.get(semconv.FAILURE_RESOLVED_AT)))}")
    elif state == semconv.CLUSTER_IGNORED:
        details.append(ignored_until(entity, clock))
    if release := entity.get(semconv.FAILURE_RESOLVED_RELEASE):
        details.append(f"with release {release}")
    if who := entity.get(semconv.FAILURE_DECIDED_BY):
        reason = entity.get(semconv.FAILURE_REASON)
        details.append(f"by {who}" + (f": {reason}" if reason else ""))
    return shown.append(f"  {one_line(', '.join(details))}", "default not bold") if details else shown


def ignored_until(entity: Entity, clock: Clock) -> str:
    """``for ever``, ``until 2026-11-21 14:00:00``, ``until 100 attempts more have failed (7 so far)``, or both."""
    ends: list[str] = []
    if until := instant(entity.get(semconv.FAILURE_IGNORED_UNTIL)):
        ends.append(f"until {clock.date(until)}")
    if count := integer(entity.get(semconv.FAILURE_IGNORED_COUNT)):
        so_far = len(strings(entity.get(semconv.FAILURE_IGNORED_ATTEMPTS)))
        ends.append(f"until {counted(count, 'attempt')} more have failed ({so_far:,} so far)")
    return " or ".join(ends) or "for ever"


def samples(entity: Entity) -> list[str]:
    """Attempts of the cluster: the first, a few in between, the latest; each once."""
    between = strings(entity.get(semconv.FAILURE_SAMPLES))
    ends = (text(entity.get(name)) for name in (semconv.FAILURE_FIRST_ATTEMPT, semconv.ATTEMPT))
    first, latest = ends
    return list(dict.fromkeys(one for one in (first, *(one for one in between if one != latest), latest) if one))


def _occurrence(line: LogLine, clock: Clock) -> Text:
    occurrence = Text(overflow="ignore")
    occurrence.append(f"{clock.date(line.time)}  ", "bright_black")
    occurrence.append(one_line(line.task_id or "(no task id)"))
    occurrence.append(f"  {one_line(line.task_name or '')}", "cyan")
    occurrence.append(f"  attempt {line.retries + 1}")
    occurrence.append(f"  {one_line(line.worker or '')}", "bright_black")
    return occurrence


def _next(view: FailureView) -> list[Text]:
    short, state = view.cluster.fingerprint[:SHORT_ID], view.cluster.state
    commands: list[str] = []
    attempt = text(view.entity.get(semconv.ATTEMPT)) or ""
    task_id = (view.latest[0].task_id if view.latest else None) or attempt.rpartition(":")[0]
    if task_id:
        number = view.latest[0].retries + 1 if view.latest else integer(attempt.rpartition(":")[2]) + 1
        commands += [f"task {task_id}", f"workflow {task_id}", f"logs --task {task_id} --attempt {number}"]
    is_done = state in {semconv.CLUSTER_RESOLVED, semconv.CLUSTER_IGNORED}
    commands.append(f"failures reopen {short}" if is_done else f"failures resolve {short}")
    lines = [f"{'Next:' if not at else '     '} celeryscope {command}" for at, command in enumerate(commands)]
    return [verbatim(one_line_kept(line), "bright_black") for line in lines]


def one_line_kept(line: str) -> str:
    """The line, harmless on a terminal, with its indentation."""
    indented = len(line) - len(line.lstrip())
    return " " * indented + one_line(line)


def as_dict(view: FailureView) -> dict[str, Any]:
    """The view for ``--json``."""
    entity = view.entity
    return {
        **cluster_dict(view.cluster),
        **decision_dict(entity),
        "culprit_file": entity.get(semconv.CULPRIT_FILE),
        "culprit_line": entity.get(semconv.CULPRIT_LINE),
        "root_cause": view.root_cause,
        "first_release": entity.get(semconv.FAILURE_FIRST_RELEASE),
        "last_release": entity.get(semconv.FAILURE_LAST_RELEASE),
        "seen": {
            name: {"values": list(strings(entity.get(field))), "left_out": integer(entity.get(_left_out(field)))}
            for name, field in (("tasks", semconv.FAILURE_TASKS), *_PLACES)
        },
        "owner": {
            "team": entity.get(semconv.OWNER_TEAM),
            "severity": entity.get(semconv.OWNER_SEVERITY),
            "tier": entity.get(semconv.OWNER_TIER),
            "runbook": entity.get(semconv.OWNER_RUNBOOK),
        },
        "samples": samples(entity),
        "trend": {"seconds": TREND_STEP, "counts": list(view.trend)},
        "traceback": view.traceback,
        "latest": [line_dict(line) for line in view.latest],
    }


def _left_out(field: str) -> str:
    return f"{field}{semconv.LEFT_OUT_SUFFIX}"


def decision_dict(entity: Entity) -> dict[str, Any]:
    """What was decided about a cluster, for ``--json``."""
    dates = {
        "regressed_at": semconv.FAILURE_REGRESSED_AT,
        "resolved_at": semconv.FAILURE_RESOLVED_AT,
        "ignored_at": semconv.FAILURE_IGNORED_AT,
        "ignored_until": semconv.FAILURE_IGNORED_UNTIL,
        "decided_at": semconv.FAILURE_DECIDED_AT,
    }
    plain = {
        "regressed_release": semconv.FAILURE_REGRESSED_RELEASE,
        "resolved_release": semconv.FAILURE_RESOLVED_RELEASE,
        "ignored_count": semconv.FAILURE_IGNORED_COUNT,
        "decided_by": semconv.FAILURE_DECIDED_BY,
        "reason": semconv.FAILURE_REASON,
    }
    return {
        **{name: iso(instant(entity.get(field))) for name, field in dates.items()},
        **{name: entity.get(field) for name, field in plain.items()},
        "old_releases": list(strings(entity.get(semconv.FAILURE_OLD_RELEASES))),
        "history": list(strings(entity.get(semconv.FAILURE_HISTORY))),
        "joined": bool(entity.get(semconv.FAILURE_JOINED)),
    }
