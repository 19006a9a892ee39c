"""Writes to Elasticsearch: one bulk request, a verdict for each item, and only what failed is tried again."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson
from elasticsearch import ApiError, Elasticsearch, TransportError

from celeryscope.errors import Rejected, Unauthorized, Unavailable
from celeryscope_pipelines.elasticsearch import MENDABLE_STATUSES, translate
from celeryscope_pipelines.indexer import metrics
from celeryscope_pipelines.indexer.batch import Sourced
from celeryscope_pipelines.indexer.patience import Patience
from celeryscope_pipelines.writes import Op, Write

_CONFLICT = 409
_TOO_LARGE = 413
_REQUEST_BYTES = 8 * 1024 * 1024
"""Elasticsearch refuses, again and again, a request above a tenth of its heap: a batch is written in several."""
_ANSWER = "errors,items.*.status,items.*.error.type,items.*.error.reason"


class _Encoded(NamedTuple):
    """An item with its two lines of the request; made once, and here: the client's own JSON is several times slower."""

    source: Sourced
    action: bytes
    body: bytes


class BulkWriter:
    """Writes until Elasticsearch has a verdict on each item; thread-safe."""

    def __init__(self, client: Elasticsearch, patience: Patience) -> None:
        self._client = client
        self._patience = patience

    def write(self, items: Sequence[Sourced]) -> list[tuple[Sourced, str]]:
        """Write all items; returns those that Elasticsearch refuses for ever, with its reason.

        Blocks while Elasticsearch is away or overloaded. Raises Stopped when the process is to end meanwhile.
        """
        places = _by_place(items)
        latest = [_encoded(max(same, key=lambda item: item.write.version)) for same in places.values()]
        refused = [found for part in _parts(latest) for found in self._write_part(part)]
        # What was left out in favour of a snapshot that is refused now is not in Elasticsearch either.
        return [(item, error) for one, error in refused for item in places[_place(one)]]

    def _write_part(self, pending: Sequence[_Encoded]) -> list[tuple[Sourced, str]]:
        attempt = 0
        refused: list[tuple[Sourced, str]] = []
        while pending:
            try:
                answers = self._send(pending)
            except Rejected as error:
                if len(pending) == 1:
                    return [*refused, (pending[0].source, str(error))]
                half = len(pending) // 2
                return [*refused, *self._write_part(pending[:half]), *self._write_part(pending[half:])]
            except (Unavailable, Unauthorized) as error:
                self._patience.pause(attempt, error)
                attempt += 1
                continue
            self._patience.worked()
            verdicts = _judge(pending, answers)
            refused += verdicts.refused
            pending = verdicts.again
            if pending:
                self._patience.pause(attempt, Unavailable(f"{len(pending)} documents wait: {verdicts.why_again}"))
                attempt += 1
        return refused

    def _send(self, items: Sequence[_Encoded]) -> list[dict[str, Any]]:
        try:
            lines: list[Any] = [line for item in items for line in (item.action, item.body)]
            with metrics.bulk_seconds.time():
                answer = self._client.bulk(operations=lines, filter_path=_ANSWER)
        except ApiError as error:
            if error.meta.status == _TOO_LARGE:
                raise Rejected("too_large", "Elasticsearch finds the request too large.") from error
            raise translate(error) from error
        except TransportError as error:
            raise translate(error) from error
        return [next(iter(item.values())) for item in answer["items"]]


def _encoded(item: Sourced) -> _Encoded:
    return _Encoded(item, orjson.dumps(_action(item.write)), orjson.dumps(item.write.body))


def _action(write: Write) -> dict[str, Any]:
    if write.op is Op.CREATE:
        # Without its template a data stream would be made as an ordinary index, with mappings by guess.
        return {"create": {"_index": write.index, "_id": write.id, "require_data_stream": True}}
    return {"index": {"_index": write.index, "_id": write.id, "version": write.version, "version_type": "external"}}


def _place(item: Sourced) -> tuple[str, str]:
    return (item.write.index, item.write.id)


def _by_place(items: Sequence[Sourced]) -> dict[tuple[str, str], list[Sourced]]:
    """Of the snapshots of one entity only the latest is written: it holds all that the earlier ones said."""
    places: dict[tuple[str, str], list[Sourced]] = {}
    for item in items:
        places.setdefault(_place(item), []).append(item)
    return places


def _parts(items: Sequence[_Encoded]) -> Iterator[list[_Encoded]]:
    """The items in requests of bounded size; an item that is larger than that goes alone."""
    part: list[_Encoded] = []
    size = 0
    for item in items:
        if part and size + len(item.body) > _REQUEST_BYTES:
            yield part
            part, size = [], 0
        part.append(item)
        size += len(item.body)
    if part:
        yield part


@dataclass(slots=True)
class _Verdicts:
    again: list[_Encoded] = field(default_factory=list)
    why_again: str = ""
    refused: list[tuple[Sourced, str]] = field(default_factory=list)


def _judge(items: Sequence[_Encoded], answers: Sequence[dict[str, Any]]) -> _Verdicts:
    """What to try again, and what is refused for ever, with the reasons."""
    verdicts = _Verdicts()
    for item, answer in zip(items, answers, strict=True):
        status, error = answer["status"], answer.get("error") or {}
        reason = f"{status} {error.get('type')}: {error.get('reason')}"
        if status < 300:
            metrics.documents.labels("written").inc()
        elif status == _CONFLICT:
            metrics.documents.labels("unchanged").inc()
        elif status in MENDABLE_STATUSES:
            verdicts.again.append(item)
            verdicts.why_again = reason
        else:
            verdicts.refused.append((item.source, reason))
    return verdicts
