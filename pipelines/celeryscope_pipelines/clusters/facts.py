"""What failures say of their cluster: merged so that neither order nor repetition makes a difference.

That is how at-least-once delivery leaves an entity right: a failure that comes a second time says nothing new. A plain
count could not be kept so; failures are counted where each is one document.
"""

import hashlib
from collections.abc import Iterable
from typing import Any, Final

from celeryscope import semconv
from celeryscope_pipelines.clusters import Entity

SETS: Final = {
    semconv.FAILURE_TASKS: semconv.TASK_NAME,
    semconv.FAILURE_QUEUES: semconv.MESSAGING_DESTINATION,
    semconv.FAILURE_WORKERS: semconv.WORKER,
    semconv.FAILURE_RELEASES: semconv.SERVICE_VERSION,
    semconv.FAILURE_SERVICES: semconv.SERVICE_NAME,
    semconv.FAILURE_ENVIRONMENTS: semconv.DEPLOYMENT_ENVIRONMENT,
}
"""A cluster's sets, and the fields of a failure that their values come from."""
DECISIONS: Final = (
    semconv.FAILURE_STATE,
    semconv.FAILURE_REGRESSED_AT,
    semconv.FAILURE_REGRESSED_RELEASE,
    semconv.FAILURE_RESOLVED_AT,
    semconv.FAILURE_RESOLVED_RELEASE,
    semconv.FAILURE_OLD_RELEASES,
    semconv.FAILURE_IGNORED_AT,
    semconv.FAILURE_IGNORED_UNTIL,
    semconv.FAILURE_IGNORED_COUNT,
    semconv.FAILURE_IGNORED_ATTEMPTS,
    semconv.FAILURE_DECIDED_AT,
    semconv.FAILURE_DECIDED_BY,
    semconv.FAILURE_REASON,
    semconv.FAILURE_HISTORY,
    semconv.FAILURE_MERGED_INTO,
    semconv.FAILURE_JOINED,
)
"""Fields that no failure says anything about."""
MOST: Final = 50
"""Values of a set."""
SAMPLES: Final = 3
"""Attempts between the first and the latest one."""
COUNTED_MOST: Final = 1_000
"""Attempts that are told apart, so that they can be counted."""

_HASHES: Final = 2**64
_FIRST: Final = (semconv.FIRST_SEEN, semconv.FAILURE_FIRST_RELEASE, semconv.FAILURE_FIRST_ATTEMPT)
_NO_DECISIONS: Final = frozenset(DECISIONS)

Place = tuple[Any, ...]
"""Where a failure happened: the values of ``SETS``, None for what is not known."""


class Sightings:
    """Failures of one cluster that are not written yet; ``add`` is quick, since every failure goes through it."""

    __slots__ = ("_first", "_latest", "attempts", "places")

    def __init__(self) -> None:
        self._first: Entity = {}
        self._latest: Entity = {}
        self.attempts: dict[str, str] = {}
        """Attempts with the time of their failure, at least COUNTED_MOST if there are so many."""
        self.places: dict[Place, list[str]] = {}
        """Each place with the times of the first and the last failure there."""

    def __bool__(self) -> bool:
        return bool(self.places)

    @property
    def first_seen(self) -> str:
        """When the first of these happened."""
        return str(self._first[semconv.FIRST_SEEN])

    @property
    def stacktrace_length(self) -> int:
        """Characters of the largest part of the entity."""
        return len(str(self._latest.get(semconv.EXCEPTION_STACKTRACE, "")))

    @property
    def coarse(self) -> str:
        """``celery.fingerprint_coarse``."""
        return str(self._latest.get(semconv.FINGERPRINT_COARSE, ""))

    def add(self, failure: Entity) -> Place:
        """One more failure, as ``documents.failures.cluster`` describes it; returns where it happened."""
        place = tuple(map(failure.get, SETS.values()))
        try:
            times = self.places.get(place)
        except TypeError:
            # A sender gave a list where a name belongs.
            place = tuple(None if value is None else str(value) for value in place)
            times = self.places.get(place)
        seen = failure[semconv.LAST_SEEN]
        if times is None:
            self.places[place] = [seen, seen]
        elif seen > times[1]:
            times[1] = seen
        elif seen < times[0]:
            times[0] = seen
        if not self._latest:
            self._first = self._latest = failure
        elif _latest(failure) > _latest(self._latest):
            self._latest = failure
        elif _first(failure) < _first(self._first):
            self._first = failure
        self._count(str(failure.get(semconv.ATTEMPT, "")), seen)
        return place

    def absorb(self, other: "Sightings") -> None:
        """All that the other has seen, too."""
        if not other:
            return
        for place, (first, last) in other.places.items():
            times = self.places.setdefault(place, [first, last])
            times[:] = min(first, times[0]), max(last, times[1])
        self._first = min((self._first or other._first), other._first, key=_first)
        self._latest = max((self._latest or other._latest), other._latest, key=_latest)
        for attempt, seen in other.attempts.items():
            self._count(attempt, seen)

    def _count(self, attempt: str, seen: str) -> None:
        if seen > self.attempts.get(attempt, ""):
            self.attempts[attempt] = seen
        if len(self.attempts) > 2 * COUNTED_MOST:
            self.attempts = {kept: self.attempts[kept] for kept in _chosen(self.attempts, COUNTED_MOST)}

    def facts(self) -> Entity:
        """The entity as these failures alone would make it."""
        entity = {
            **self._latest,
            **_sets(zip(SETS, zip(*self.places, strict=True), strict=True)),
            semconv.FIRST_SEEN: self.first_seen,
            semconv.FAILURE_FIRST_RELEASE: self._first.get(semconv.SERVICE_VERSION),
            semconv.FAILURE_FIRST_ATTEMPT: self._first.get(semconv.ATTEMPT),
            semconv.FAILURE_LAST_RELEASE: self._latest.get(semconv.SERVICE_VERSION),
            semconv.FAILURE_SAMPLES: _chosen(self.attempts, SAMPLES),
            semconv.FAILURE_STATE: semconv.CLUSTER_OPEN,
        }
        return {name: value for name, value in entity.items() if value is not None}

    def services(self) -> set[str]:
        """Services that these failures are known to be of."""
        at = list(SETS).index(semconv.FAILURE_SERVICES)
        return {str(place[at]) for place in self.places if place[at] is not None}

    def by_release(self) -> list[tuple[str | None, str, str]]:
        """(release or None, first, last) of these failures."""
        at = list(SETS).index(semconv.FAILURE_RELEASES)
        return [
            (None if place[at] is None else str(place[at]), first, last) for place, (first, last) in self.places.items()
        ]


def complete(entity: Entity) -> Entity:
    """The entity, with the fields that it lacks when an earlier version has written it."""
    if semconv.FAILURE_TASKS in entity or semconv.LAST_SEEN not in entity:
        return entity
    known: Entity = {name: [str(entity[field])] for name, field in SETS.items() if entity.get(field) is not None}
    known[semconv.FAILURE_STATE] = semconv.CLUSTER_OPEN
    if release := entity.get(semconv.SERVICE_VERSION):
        known[semconv.FAILURE_LAST_RELEASE] = release
    return known | entity


def merge(one: Entity, other: Entity) -> Entity:
    """Both together: the later one's sample, what either has seen, and the decisions of ``one`` before the other's."""
    later = max(one, other, key=_latest)
    first = min(one, other, key=_first)
    merged = {name: value for name, value in later.items() if name not in _NO_DECISIONS}
    for name in _FIRST:
        merged.pop(name, None)
    merged |= {name: first[name] for name in _FIRST if name in first}
    merged[semconv.LAST_SEEN] = max(one[semconv.LAST_SEEN], other[semconv.LAST_SEEN])
    merged |= _merged_sets(one, other)
    samples = {*one.get(semconv.FAILURE_SAMPLES, ()), *other.get(semconv.FAILURE_SAMPLES, ())}
    merged[semconv.FAILURE_SAMPLES] = _chosen(samples, SAMPLES)
    decisions = {name: entity[name] for entity in (other, one) for name in DECISIONS if name in entity}
    return merged | decisions


def _merged_sets(one: Entity, other: Entity) -> Entity:
    merged: Entity = {}
    for name in SETS:
        values = {*one.get(name, ()), *other.get(name, ())}
        left_out = f"{name}{semconv.LEFT_OUT_SUFFIX}"
        more = bool(one.get(left_out) or other.get(left_out))
        merged |= _bounded(name, values, more=more)
    return merged


def _sets(values: Iterable[tuple[str, Iterable[Any]]]) -> Entity:
    sets: Entity = {}
    for name, found in values:
        sets |= _bounded(name, {str(value) for value in found if value is not None}, more=False)
    return sets


def _bounded(name: str, values: set[str], *, more: bool) -> Entity:
    """At most MOST of the values, those with the smallest hashes, and about how many there are beside.

    So the same values stay whoever merges them in whatever order, and the share of all hashes that lies below the
    largest one kept tells how many values there must be (within some 15 %), without any of them being kept.
    """
    if len(values) < MOST or (len(values) == MOST and not more):
        return {name: sorted(values)}
    kept = sorted(values, key=_hash)[:MOST]
    estimate = round((MOST - 1) * _HASHES / (_hash(kept[-1]) + 1)) - MOST
    return {name: sorted(kept), f"{name}{semconv.LEFT_OUT_SUFFIX}": max(estimate, 1)}


def _chosen(attempts: Iterable[str], most: int) -> list[str]:
    """As good as by chance, and the same ones again when failures come again."""
    return sorted(attempts, key=_hash)[:most]


def hashed(text: str) -> str:
    """16 hexadecimal digits that stand for the text."""
    return hashlib.blake2b(text.encode(errors="replace"), digest_size=8).hexdigest()


def _hash(text: str) -> int:
    return int(hashed(text), 16)


def _latest(failure: Entity) -> tuple[str, str]:
    # The sample's own time: the last seen of a cluster that others are merged into may be theirs.
    return str(failure.get("@timestamp") or failure[semconv.LAST_SEEN]), str(failure.get(semconv.ATTEMPT, ""))


def _first(failure: Entity) -> tuple[str, str]:
    attempt = failure.get(semconv.FAILURE_FIRST_ATTEMPT) or failure.get(semconv.ATTEMPT, "")
    return str(failure[semconv.FIRST_SEEN]), str(attempt)
