"""Writes to Elasticsearch: requests of bounded size, a verdict for each item, and only what failed is tried again."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from elasticsearch import ApiError, Elasticsearch, TransportError

from celeryscope.errors import CeleryscopeError, Rejected, Unauthorized, Unavailable
from celeryscope.service.elasticsearch import MENDABLE_STATUSES, translate
from celeryscope_pipelines.indexer import metrics
from celeryscope_pipelines.indexer.batch import Item
from celeryscope_pipelines.indexer.patience import Patience
from celeryscope_pipelines.indexer.transform import Refused

_CONFLICT: Final = 409
_TOO_LARGE: Final = 413
_OVERLOADED: Final = 429
_REQUEST_BYTES: Final = 8 * 1024 * 1024
"""Elasticsearch refuses, again and again, a request above a tenth of its heap: a batch is written in several."""
_LEAST_BYTES: Final = 64 * 1024
_TRIES_OF_A_SIZE: Final = 3
"""So often an overloaded Elasticsearch sees a request before it sees half of it: its circuit breakers count bytes."""
_HEADERS: Final = {"accept": "application/json", "content-type": "application/x-ndjson"}
_TARGET: Final = "/_bulk?filter_path=errors,items.*.status,items.*.error.type,items.*.error.reason"
_REASON: Final = "refused_by_elasticsearch"


class _TooLarge(Exception):
    """The request as it is has more bytes than Elasticsearch, or a proxy before it, takes at once."""


class BulkWriter:
    """Writes until Elasticsearch has a verdict on each item; thread-safe."""

    def __init__(self, client: Elasticsearch, patience: Patience) -> None:
        self._client = client
        self._patience = patience
        self._most = _REQUEST_BYTES

    def write(self, items: Sequence[Item]) -> list[Refused]:
        """Write all items; returns those that Elasticsearch refuses for ever, with the reason.

        Blocks while Elasticsearch is away or overloaded. Raises Stopped when the process is to end meanwhile.
        """
        latest, snapshots = _latest(items)
        refused = [found for part in _parts(latest, self._most) for found in self._write_part(part)]
        # What was left out in favour of a snapshot that is refused now is not in Elasticsearch either.
        return [one._replace(item=item) for one in refused for item in snapshots.get(one.item.entity, [one.item])]

    def _write_part(self, pending: Sequence[Item]) -> list[Refused]:
        attempt = 0
        refused: list[Refused] = []
        while pending:
            try:
                answers = self._send(pending)
            except _TooLarge as error:
                return refused + self._write_less(pending, str(error))
            except Rejected as error:
                return refused + self._write_halves(pending, _REASON, str(error))
            except (Unavailable, Unauthorized) as error:
                self._patience.pause(attempt, error)
                attempt += 1
                if attempt >= _TRIES_OF_A_SIZE and _is_overloaded(error) and _size(pending) > _LEAST_BYTES:
                    return refused + self._write_halves(pending, _REASON, str(error))
                continue
            self._patience.worked()
            if not answers:
                return refused
            verdicts = _judge(pending, answers)
            refused += verdicts.refused
            pending = verdicts.again
            if pending:
                self._patience.pause(attempt, Unavailable(f"{len(pending)} documents wait: {verdicts.why_again}"))
                attempt += 1
        return refused

    def _write_less(self, items: Sequence[Item], error: str) -> list[Refused]:
        """Half of it at a time, and no request of that size any more."""
        if len(items) > 1:
            self._most = max(min(self._most, _size(items) // 2), _LEAST_BYTES)
        return self._write_halves(items, "too_large", error)

    def _write_halves(self, items: Sequence[Item], reason: str, error: str) -> list[Refused]:
        if len(items) == 1:
            return [Refused(items[0], reason, error)]
        half = len(items) // 2
        return self._write_part(items[:half]) + self._write_part(items[half:])

    def _send(self, items: Sequence[Item]) -> Sequence[dict[str, Any]]:
        """The verdicts, in the order of the items; none when all are written."""
        body = b"".join([item.lines for item in items])
        try:
            with metrics.bulk_seconds.time():
                answer = self._client.perform_request("POST", _TARGET, headers=_HEADERS, body=body)
        except ApiError as error:
            if error.meta.status == _TOO_LARGE:
                raise _TooLarge(f"Elasticsearch takes no request of {len(body)} bytes (413).") from error
            raise translate(error) from error
        except TransportError as error:
            raise translate(error) from error
        if not answer["errors"]:
            metrics.documents.labels("written").inc(len(items))
            return ()
        return [next(iter(item.values())) for item in answer["items"]]


def _is_overloaded(error: CeleryscopeError) -> bool:
    cause = error.__cause__
    return isinstance(cause, ApiError) and cause.meta.status == _OVERLOADED


def _size(items: Sequence[Item]) -> int:
    return sum(len(item.lines) for item in items)


_Snapshots = dict[tuple[str, str] | None, list[Item]]


def _latest(items: Sequence[Item]) -> tuple[list[Item], _Snapshots]:
    """What to write, and all snapshots of each entity: of these only the latest is written, it holds all of them."""
    chosen: list[Item] = []
    snapshots: _Snapshots = {}
    for item in items:
        if item.entity is None:
            chosen.append(item)
        else:
            snapshots.setdefault(item.entity, []).append(item)
    chosen += [max(same, key=lambda item: item.version) for same in snapshots.values()]
    return chosen, snapshots


def _parts(items: Sequence[Item], most: int) -> Iterator[list[Item]]:
    """The items in requests of bounded size; an item that is larger than that goes alone."""
    part: list[Item] = []
    size = 0
    for item in items:
        if part and size + len(item.lines) > most:
            yield part
            part, size = [], 0
        part.append(item)
        size += len(item.lines)
    if part:
        yield part


@dataclass(slots=True)
class _Verdicts:
    again: list[Item] = field(default_factory=list)
    why_again: str = ""
    refused: list[Refused] = field(default_factory=list)


def _judge(items: Sequence[Item], answers: Sequence[dict[str, Any]]) -> _Verdicts:
    """What to try again, and what is refused for ever, with the reasons."""
    verdicts = _Verdicts()
    written = unchanged = 0
    for item, answer in zip(items, answers, strict=True):
        status = answer["status"]
        if status < 300:
            written += 1
        elif status == _CONFLICT:
            unchanged += 1
        else:
            error = answer.get("error") or {}
            reason = f"{status} {error.get('type')}: {error.get('reason')}"
            if status in MENDABLE_STATUSES:
                verdicts.again.append(item)
                verdicts.why_again = reason
            else:
                verdicts.refused.append(Refused(item, _REASON, reason))
    metrics.documents.labels("written").inc(written)
    metrics.documents.labels("unchanged").inc(unchanged)
    return verdicts
