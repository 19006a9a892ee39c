"""First and last seen of failure clusters: merged with what is there, by compare and set."""

import logging
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from elasticsearch import Elasticsearch

from celeryscope import semconv
from celeryscope.errors import Rejected, Unavailable
from celeryscope_pipelines.elasticsearch import MENDABLE_STATUSES, our_errors
from celeryscope_pipelines.writes import Write

logger = logging.getLogger(__name__)

_CONFLICT = 409
_REMEMBERED = 10_000
_AT_ONCE = 50
_REQUEST_BYTES = 4 * 1024 * 1024


@dataclass(slots=True)
class _Seen:
    """What this process knows of a cluster: its latest sample with first and last seen, and what of it is written."""

    body: dict[str, Any]
    written: bool = False
    written_at: float = 0.0


class FailureClusters:
    """Keeps the entities in ``celery-failures``; thread-safe, and writing the same again changes nothing.

    A new cluster, or an earlier first seen, is due at once; a cluster that fails all the time at most once in
    ``interval`` seconds.
    """

    def __init__(self, client: Elasticsearch, interval: float) -> None:
        self._client = client
        self._interval = interval
        self._known: dict[str, _Seen] = {}
        self._lock = threading.Lock()
        self._flushing = threading.Lock()

    def add(self, writes: Iterable[Write]) -> None:
        """Merge the failures of a batch in memory."""
        with self._lock:
            for write in writes:
                known = self._known.get(write.id)
                if known is None:
                    self._known[write.id] = _Seen(dict(write.body))
                    continue
                merged = merge(known.body, write.body)
                if merged == known.body:
                    continue
                if merged[semconv.FIRST_SEEN] != known.body[semconv.FIRST_SEEN]:
                    known.written_at = 0.0
                known.body, known.written = merged, False

    def flush(self, everything: bool = False) -> None:
        """Write what is due, or ``everything`` that is new. Raises Unavailable and the like; the rest stays due."""
        with self._flushing:
            with self._lock:
                now = time.monotonic()
                due = [cluster for cluster, seen in self._known.items() if everything or self._is_due(seen, now)]
                due = [cluster for cluster in due if not self._known[cluster].written]
            for part in self._parts(due):
                self._write_part(part)
            with self._lock:
                self._forget()

    def _is_due(self, seen: _Seen, now: float) -> bool:
        return seen.written_at == 0 or now - seen.written_at >= self._interval

    def _parts(self, due: list[str]) -> Iterator[list[str]]:
        """Requests of bounded size: each cluster holds the whole stack of a sample."""
        part: list[str] = []
        size = 0
        for cluster in due:
            length = len(str(self._known[cluster].body.get(semconv.EXCEPTION_STACKTRACE, "")))
            if part and (len(part) >= _AT_ONCE or size + length > _REQUEST_BYTES):
                yield part
                part, size = [], 0
            part.append(cluster)
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
                    self._settle(part[0], self._merged(part[0], None), str(error))
                self._write_part(part[:half])
                part = part[half:] if half else []

    @our_errors()
    def _write(self, due: list[str]) -> list[str]:
        """Returns the ids that somebody else has written meanwhile."""
        found = self._client.mget(index=semconv.INDEX_FAILURES, ids=due)
        operations: list[dict[str, Any]] = []
        bodies: list[dict[str, Any]] = []
        for cluster, document in zip(due, found["docs"], strict=True):
            is_there = bool(document.get("found"))
            bodies.append(self._merged(cluster, document["_source"] if is_there else None))
            if is_there:
                condition = {"if_seq_no": document["_seq_no"], "if_primary_term": document["_primary_term"]}
                operations += [{"index": {"_id": cluster, **condition}}, bodies[-1]]
            else:
                operations += [{"create": {"_id": cluster}}, bodies[-1]]
        answer = self._client.bulk(index=semconv.INDEX_FAILURES, operations=operations)
        verdicts = [next(iter(item.values())) for item in answer["items"]]
        for cluster, body, verdict in zip(due, bodies, verdicts, strict=True):
            if verdict["status"] != _CONFLICT and verdict["status"] not in MENDABLE_STATUSES:
                self._settle(cluster, body, "" if verdict["status"] < 300 else str(verdict["error"]["reason"]))
        for verdict in verdicts:
            if verdict["status"] in MENDABLE_STATUSES:
                # The caller pauses; here a second try would follow at once, with everybody else waiting for the lock.
                raise Unavailable(f"Failure clusters wait: {verdict['status']} {verdict['error']['reason']}")
        return [cluster for cluster, verdict in zip(due, verdicts, strict=True) if verdict["status"] == _CONFLICT]

    def _merged(self, cluster: str, stored: dict[str, Any] | None) -> dict[str, Any]:
        with self._lock:
            known = self._known[cluster]
            if stored is not None:
                known.body = merge(stored, known.body)
            return known.body

    def _settle(self, cluster: str, body: dict[str, Any], refusal: str) -> None:
        """It is written, or refused for ever; the failure itself stands in the logs either way."""
        if refusal:
            logger.error("Failure cluster %s is refused: %s", cluster, refusal)
        with self._lock:
            known = self._known[cluster]
            # What was added while the request was on its way is due again.
            known.written = known.body is body
            known.written_at = time.monotonic()

    def _forget(self) -> None:
        """Keep the memory bounded; what is forgotten is merged with the stored one when it is seen again."""
        if len(self._known) > _REMEMBERED:
            self._known = {cluster: seen for cluster, seen in self._known.items() if not seen.written}


def merge(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """The later one's sample with the earlier first seen; ISO dates of one form compare as text."""
    later = max(one, other, key=lambda body: str(body[semconv.LAST_SEEN]))
    first = min(str(one[semconv.FIRST_SEEN]), str(other[semconv.FIRST_SEEN]))
    return later if later[semconv.FIRST_SEEN] == first else {**later, semconv.FIRST_SEEN: first}
