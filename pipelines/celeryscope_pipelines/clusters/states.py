"""The state of a failure cluster: how people and failures change it. Pure.

open      --resolve-->  resolved  --a failure of a later release-->  regressed
open      --ignore--->  ignored   --its time or count is over----->  open
any       --reopen--->  open

A change keeps what it was decided on, so that a failure that comes twice, late or in another order leads to the same
state. Moments are those of failures, by their senders' clocks, against that of whoever decided.
"""

from typing import Final

from celeryscope import semconv
from celeryscope_pipelines.clusters import Entity
from celeryscope_pipelines.clusters.facts import DECISIONS, Sightings, hashed
from celeryscope_pipelines.clusters.releases import is_later

OURSELVES: Final = "celeryscope"
"""Who changed a state because of failures."""
_HISTORY: Final = 20
_NOT_OF_A_STATE: Final = frozenset({semconv.FAILURE_HISTORY, semconv.FAILURE_MERGED_INTO, semconv.FAILURE_JOINED})
_OF_A_STATE: Final = frozenset(DECISIONS) - _NOT_OF_A_STATE


def state_of(entity: Entity) -> str:
    """The state; open for an entity that was written before there were states."""
    return str(entity.get(semconv.FAILURE_STATE) or semconv.CLUSTER_OPEN)


def decided(entity: Entity, state: str, *, at: str, by: str, reason: str = "", **more: object) -> Entity:
    """The entity in the state that somebody put it into; nothing of an earlier decision stays but its history.

    ``more`` are fields of the state, by the names of their constants in ``semconv`` (``FAILURE_RESOLVED_AT=...``).
    """
    kept = {name: value for name, value in entity.items() if name not in _OF_A_STATE}
    fields = {getattr(semconv, name): value for name, value in more.items()}
    decision = {
        semconv.FAILURE_STATE: state,
        semconv.FAILURE_DECIDED_AT: at,
        semconv.FAILURE_DECIDED_BY: by,
        semconv.FAILURE_REASON: reason or None,
        **fields,
    }
    kept |= {name: value for name, value in decision.items() if value not in (None, [], "")}
    return noted(kept, at, state, by, reason)


def noted(entity: Entity, at: str, what: str, by: str, reason: str = "") -> Entity:
    """The entity with one line more in its history."""
    line = f"{at} {what} by {by}" + (f": {' '.join(reason.split())}" if reason else "")
    return entity | {semconv.FAILURE_HISTORY: [*entity.get(semconv.FAILURE_HISTORY, ()), line[:1000]][-_HISTORY:]}


def after_failures(entity: Entity, seen: Sightings) -> Entity:
    """The entity in the state that it has after these failures."""
    state = state_of(entity)
    if state == semconv.CLUSTER_RESOLVED:
        return _after_resolution(entity, seen)
    if state == semconv.CLUSTER_IGNORED:
        return _while_ignored(entity, seen)
    return entity


def _after_resolution(entity: Entity, seen: Sightings) -> Entity:
    resolved_at = str(entity.get(semconv.FAILURE_RESOLVED_AT, ""))
    old = entity.get(semconv.FAILURE_OLD_RELEASES, ())
    remedy = entity.get(semconv.FAILURE_RESOLVED_RELEASE)
    # The versions of one service say nothing of another's.
    in_order = len({*entity.get(semconv.FAILURE_SERVICES, ()), *seen.services()}) <= 1
    back = [
        (first if first > resolved_at else last, release or "")
        for release, first, last in seen.by_release()
        if last > resolved_at and (release is None or is_later(release, old, remedy, in_order=in_order))
    ]
    if not back:
        return entity
    at, release = min(back)
    changed = entity | {
        semconv.FAILURE_STATE: semconv.CLUSTER_REGRESSED,
        semconv.FAILURE_REGRESSED_AT: at,
        **({semconv.FAILURE_REGRESSED_RELEASE: release} if release else {}),
    }
    return noted(changed, at, semconv.CLUSTER_REGRESSED, OURSELVES, f"seen in {release}" if release else "seen again")


def _while_ignored(entity: Entity, seen: Sightings) -> Entity:
    until, most = entity.get(semconv.FAILURE_IGNORED_UNTIL), entity.get(semconv.FAILURE_IGNORED_COUNT)
    if until and (over := [time for time in seen.attempts.values() if time > until]):
        return _open_again(entity, min(over), f"ignored until {until}")
    if not most:
        return entity
    since = str(entity.get(semconv.FAILURE_IGNORED_AT, ""))
    times = {hashed(attempt): time for attempt, time in seen.attempts.items() if time > since}
    counted = {*entity.get(semconv.FAILURE_IGNORED_ATTEMPTS, ()), *times}
    if len(counted) >= int(most):
        return _open_again(entity, max(times.values(), default=since), f"{len(counted)} attempts failed")
    return entity | {semconv.FAILURE_IGNORED_ATTEMPTS: sorted(counted)} if times else entity


def _open_again(entity: Entity, at: str, reason: str) -> Entity:
    kept = {name: value for name, value in entity.items() if name not in _OF_A_STATE}
    return noted(kept | {semconv.FAILURE_STATE: semconv.CLUSTER_OPEN}, at, semconv.CLUSTER_OPEN, OURSELVES, reason)
