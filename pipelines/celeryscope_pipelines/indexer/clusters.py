"""What failures say of their clusters, written to ``celery-failures`` by compare and set."""

import logging
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from elasticsearch import Elasticsearch

from celeryscope import semconv
from celeryscope.errors import Rejected, Unavailable
from celeryscope.service.elasticsearch import MENDABLE_STATUSES, our_errors
from celeryscope_pipelines.clusters.facts import Place, Sightings
from celeryscope_pipelines.clusters.store import CONFLICT, ClusterStore
from celeryscope_pipelines.indexer.cluster_changes import Changes, changes
from celeryscope_pipelines.writes import Write

logger = logging.getLogger(__name__)

_REMEMBERED: Final = 10_000
_PLACES_REMEMBERED: Final = 1_000
_AT_ONCE: Final = 50
_REQUEST_BYTES: Final = 4 * 1024 * 1024


@dataclass(slots=True)
class _Cluster:
    """What this process knows of a cluster: what is not written yet, and what of it can't wait."""

    news: Sightings = field(default_factory=Sightings)
    is_urgent: bool = True
    """Something else than a later last seen is new: it is not to be lost with this process."""
    is_watched: bool = False
    """Any failure may change its state: it is resolved."""
    first_seen: str = ""
    """The earliest one that is written; empty before the first write."""
    places: set[Place] = field(default_factory=set)
    written_at: float = 0.0

    def has_urgent_news(self) -> bool:
        """Whether the news say more than that the cluster was seen once more."""
        news = self.news
        new_places = not news.places.keys() <= self.places
        return bool(news) and (self.is_watched or new_places or news.first_seen < self.first_seen)


class FailureClusters:
    """Keeps the entities in ``celery-failures``; thread-safe, and writing the same again changes nothing.

    What is new about a cluster (the cluster itself, a release, a worker, an earlier first seen; any failure of a
    resolved one) is written at once; a later last seen and sample at most once in ``interval`` seconds.
    """

    def __init__(self, client: Elasticsearch, interval: float) -> None:
        self._client = client
        self._store = ClusterStore(client)
        self._interval = interval
        self._known: dict[str, _Cluster] = {}
        self._lock = threading.Lock()
        self._flushing = threading.Lock()

    def add(self, writes: Iterable[Write]) -> None:
        """Merge the failures of a batch in memory."""
        with self._lock:
            for write in writes:
                known = self._known.get(write.id)
                if known is None:
                    known = self._known[write.id] = _Cluster()
                place = known.news.add(write.body)
                if known.is_watched or place not in known.places or write.body[semconv.FIRST_SEEN] < known.first_seen:
                    known.is_urgent = True

    def flush(self, everything: bool = False) -> None:
        """Write what is due, or ``everything`` that is new. Raises Unavailable and the like; the rest stays due."""
        with self._flushing:
            now = time.monotonic()
            with self._lock:
                due = [
                    identity
                    for identity, known in self._known.items()
                    if known.news and (everything or self._is_due(known, now))
                ]
            for part in self._parts(due):
                self._write_part(part)
            with self._lock:
                self._forget()

    def _is_due(self, known: _Cluster, now: float) -> bool:
        return known.is_urgent or now - known.written_at >= self._interval

    def _parts(self, due: list[str]) -> Iterator[list[str]]:
        """Requests of bounded size: each cluster holds the whole stack of a sample."""
        part: list[str] = []
        size = 0
        for identity in due:
            length = self._known[identity].news.stacktrace_length
            if part and (len(part) >= _AT_ONCE or size + length > _REQUEST_BYTES):
                yield part
                part, size = [], 0
            part.append(identity)
            size += length
        if part:
            yield part

    def _write_part(self, part: list[str]) -> None:
        while part:
            try:
                part = self._write(part)
            except Rejected as error:
                half = len(part) // 2
                if not half:
                    self._refused(part[0], self._take(part)[part[0]], str(error))
                    return
                self._write_part(part[:half])
                part = part[half:]

    def _write(self, due: list[str]) -> list[str]:
        """Returns the ids of those that somebody else has written meanwhile; these and what fails stay new."""
        news = self._take(due)
        try:
            return self._settle(changes(self._store, news), news)
        finally:
            with self._lock:
                for identity, left in news.items():
                    self._known[identity].news.absorb(left)

    @our_errors()
    def _settle(self, found: Changes, news: dict[str, Sightings]) -> list[str]:
        """Write the entities, and take from the news what is written for good, or refused for ever."""
        verdicts: dict[str, Any] = {}
        if found.entities:
            operations = [line for one, entity in found.entities.items() for line in found.stored[one].write(entity)]
            answer = self._client.bulk(index=semconv.INDEX_FAILURES, operations=operations)
            verdicts = {one["_id"]: one for item in answer["items"] for one in item.values()}
        again: list[str] = []
        away = ""
        for identity in list(news):
            told = [verdicts[one] for one in (identity, found.heads[identity]) if one in verdicts]
            failed = [one for one in told if one["status"] >= 300]
            mendable = [one for one in failed if one["status"] in MENDABLE_STATUSES]
            if mendable:
                away = f"{mendable[0]['status']} {mendable[0]['error']['reason']}"
            elif any(one["status"] == CONFLICT for one in failed):
                again.append(identity)
            elif failed:
                self._refused(identity, news.pop(identity), failed[0]["error"]["reason"])
            else:
                self._written(identity, news.pop(identity), found)
        if away:
            # The caller pauses; here a second try would follow at once, with everybody else waiting for the lock.
            raise Unavailable(f"Failure clusters wait: {away}")
        return again

    def _take(self, due: list[str]) -> dict[str, Sightings]:
        """The news of these; what comes while they are on their way is new again."""
        taken: dict[str, Sightings] = {}
        with self._lock:
            for identity in due:
                known = self._known[identity]
                taken[identity], known.news = known.news, Sightings()
        return taken

    def _written(self, identity: str, news: Sightings, found: Changes) -> None:
        with self._lock:
            known = self._known[identity]
            known.is_watched = identity in found.watched
            self._remember(known, news)

    def _refused(self, identity: str, news: Sightings, refusal: str) -> None:
        """The failures themselves stand in the logs."""
        logger.error("Failure cluster %s is refused: %s", identity, refusal)
        with self._lock:
            self._remember(self._known[identity], news)

    def _remember(self, known: _Cluster, news: Sightings) -> None:
        known.written_at = time.monotonic()
        known.first_seen = min(known.first_seen or news.first_seen, news.first_seen)
        if len(known.places) > _PLACES_REMEMBERED:
            known.places.clear()
        known.places.update(news.places)
        # Of what came while the write was on its way.
        known.is_urgent = known.has_urgent_news()

    def _forget(self) -> None:
        """Keep the memory bounded; what is forgotten is merged with the stored one when it is seen again."""
        if len(self._known) > _REMEMBERED:
            self._known = {name: known for name, known in self._known.items() if known.news}
