"""The waterfall of a workflow: one row an attempt, with its waiting and running times on one axis.

Pure: attempts and the present time in, rows out. All bars are in seconds since the workflow's first moment.
Hosts' clocks differ: a run that seems to begin before it was sent is moved behind it, keeping its length, and the
largest such shift is reported (``Workflow.clock_skew``), so no bar is ever negative.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from celeryscope import semconv
from celeryscope_pipelines.views.attempts import Attempt
from celeryscope_pipelines.views.tree import Node, Relation, arrange

PLANNED: Final = "PLANNED"
"""State of a step that may still be reached."""
NEVER_REACHED: Final = "NEVER_REACHED"
"""State of a step that was planned and can no longer be reached, or was not when all else had ended."""


@dataclass(frozen=True, slots=True)
class Phase:
    """A part of a bar; ``delayed`` is the time until the task's eta."""

    kind: Literal["delayed", "waiting", "running"]
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Cause:
    """The task because of which a step was never reached."""

    task_id: str
    name: str
    state: str


@dataclass(frozen=True, slots=True)
class Row:
    """An attempt, or a planned step (``attempt`` is None)."""

    task_id: str | None
    """None for a planned step whose id Celery makes only when it is reached."""
    name: str
    depth: int
    relation: Relation
    state: str
    attempt: Attempt | None = None
    attempts: int = 0
    """Attempts of the task, this one included."""
    phases: tuple[Phase, ...] = ()
    cause: Cause | None = None

    def seconds(self, *kinds: str) -> float | None:
        """Length of the phases of these kinds together; None when the attempt has none of them."""
        lengths = [phase.end - phase.start for phase in self.phases if phase.kind in kinds]
        return sum(lengths) if lengths else None


@dataclass(frozen=True, slots=True)
class Workflow:
    """All there is to say about the tasks under one root id."""

    root_id: str
    names: tuple[str, ...]
    """Names of the tasks at the top; a workflow is known by them."""
    services: tuple[str, ...]
    started_at: datetime | None
    seconds: float
    active: bool
    """Whether an attempt is under way or still to come."""
    rows: tuple[Row, ...]
    tasks: int
    states: Mapping[str, int]
    """Rows by state, planned steps included."""
    clock_skew: float
    total_attempts: int
    """Attempts that the workflow has, also those that were not fetched."""


def workflow_of(root_id: str, attempts: Iterable[Attempt], now: datetime, total: int | None = None) -> Workflow:
    """The workflow of the attempts; ``now`` (with a time zone) ends the bars of those that are under way."""
    nodes = arrange(attempts)
    own = [attempt for node in nodes for attempt in node.attempts]
    start = min((attempt.first_time for attempt in own if attempt.first_time), default=None)
    active = any(_goes_on(node) for node in nodes if node.attempts)
    causes = _causes(nodes)
    rows = tuple(row for node in nodes for row in _rows(node, start, now, causes, active))
    tops = [node.name for node in nodes if node.depth == 0 and node.relation is not Relation.ORPHAN]
    return Workflow(
        root_id=root_id,
        names=tuple(dict.fromkeys(tops or [node.name for node in nodes[:1]])),
        services=tuple(sorted({attempt.service for attempt in own if attempt.service})),
        started_at=start,
        seconds=max((phase.end for row in rows for phase in row.phases), default=0.0),
        active=active,
        rows=rows,
        tasks=sum(1 for node in nodes if node.attempts),
        states=Counter(row.state for row in rows),
        clock_skew=max((_skew(attempt) for attempt in own), default=0.0),
        total_attempts=max(total or 0, len(own)),
    )


def _goes_on(node: Node) -> bool:
    last = node.attempts[-1]
    return not last.final or last.state == semconv.STATE_RETRY


def _causes(nodes: Iterable[Node]) -> dict[str, Cause]:
    """Why each planned step can no longer be reached, where that is clear."""
    causes: dict[str, Cause] = {}
    last = {node.task_id: node.attempts[-1] for node in nodes if node.attempts}
    for node in nodes:
        for ahead in () if node.attempts else node.waits_for:
            if ahead in causes:
                causes.setdefault(node.task_id, causes[ahead])
            elif ahead in last and last[ahead].stops_the_workflow:
                causes.setdefault(node.task_id, Cause(ahead, last[ahead].name, last[ahead].state))
    return causes


def _rows(
    node: Node, start: datetime | None, now: datetime, causes: Mapping[str, Cause], active: bool
) -> Iterable[Row]:
    if not node.attempts:
        cause = causes.get(node.task_id)
        state = PLANNED if cause is None and active else NEVER_REACHED
        task_id = node.task_id if node.named else None
        yield Row(task_id, node.name, node.depth, node.relation, state, cause=cause)
    for attempt in node.attempts:
        yield Row(
            node.task_id,
            attempt.name,
            node.depth,
            node.relation,
            attempt.state,
            attempt,
            len(node.attempts),
            phases(attempt, start, now),
        )


def phases(attempt: Attempt, start: datetime | None, now: datetime) -> tuple[Phase, ...]:
    """The parts of an attempt's bar, in seconds since ``start``; each begins where the one before it ends."""
    begin = attempt.first_time
    if begin is None or start is None:
        return ()
    shift = _skew(attempt)

    def at(time: datetime, shift: float = 0.0) -> float:
        return (time - start).total_seconds() + shift

    sent = at(begin)
    last = _end(attempt, now)
    # The moment of now is of our own clock: it is never moved.
    end = max(sent, at(last, shift if attempt.final else 0.0))
    began = min(max(sent, at(attempt.started_at, shift)), end) if attempt.started_at else end
    ready = min(max(sent, at(attempt.eta)), began) if attempt.eta else sent
    parts: list[Phase] = []
    if ready > sent:
        parts.append(Phase("delayed", sent, ready))
    if began > ready or not attempt.started_at:
        parts.append(Phase("waiting", ready, began))
    if attempt.started_at:
        parts.append(Phase("running", began, end))
    return tuple(parts)


def _end(attempt: Attempt, now: datetime) -> datetime:
    if attempt.ended_at:
        return attempt.ended_at
    if attempt.final:
        return attempt.started_at or attempt.received_at or attempt.first_time or now
    return max(now, attempt.started_at or now)


def _skew(attempt: Attempt) -> float:
    """Seconds by which the worker's clock is behind the sender's, as far as this attempt shows."""
    sent, seen = attempt.sent_at, attempt.started_at or attempt.received_at or attempt.ended_at
    return max(0.0, (sent - seen).total_seconds()) if sent and seen else 0.0


def visible(rows: tuple[Row, ...], limit: int) -> tuple[Row, ...]:
    """At most ``limit`` rows in their order (0: all); those that did not succeed go before those that did."""
    if limit <= 0 or len(rows) <= limit:
        return rows
    remarkable = [index for index, row in enumerate(rows) if row.state != semconv.STATE_SUCCESS]
    plain = [index for index, row in enumerate(rows) if row.state == semconv.STATE_SUCCESS]
    return tuple(rows[index] for index in sorted([*remarkable, *plain][:limit]))
