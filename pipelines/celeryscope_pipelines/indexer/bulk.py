"""Writes to Elasticsearch: one bulk request, a verdict for each item, and only what failed is tried again."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
from elasticsearch import ApiError, Elasticsearch, TransportError

from celeryscope.errors import Rejected, Unauthorized, Unavailable
from celeryscope_pipelines.elasticsearch import RETRYABLE_STATUSES, translate
from celeryscope_pipelines.indexer import metrics
from celeryscope_pipelines.indexer.batch import Sourced
from celeryscope_pipelines.indexer.patience import Patience
from celeryscope_pipelines.writes import Op, Write

_CONFLICT = 409
_TOO_LARGE = 413
_ANSWER = "errors,items.*.status,items.*.error.type,items.*.error.reason"


class BulkWriter:
    """Writes until Elasticsearch has a verdict on each item; thread-safe."""

    def __init__(self, client: Elasticsearch, patience: Patience) -> None:
        self._client = client
        self._patience = patience

    def write(self, items: Sequence[Sourced]) -> list[tuple[Sourced, str]]:
        """Write all items; returns those that Elasticsearch refuses for ever, with its reason.

        Blocks while Elasticsearch is away or overloaded. Raises Stopped when the process is to end meanwhile.
        """
        pending, attempt = _coalesced(items), 0
        refused: list[tuple[Sourced, str]] = []
        while pending:
            try:
                answers = self._send(pending)
            except Rejected as error:
                if len(pending) == 1:
                    return [*refused, (pending[0], str(error))]
                half = len(pending) // 2
                return [*refused, *self.write(pending[:half]), *self.write(pending[half:])]
            except (Unavailable, Unauthorized) as error:
                metrics.elasticsearch_up.set(0)
                self._patience.pause(attempt, error)
                attempt += 1
                continue
            metrics.elasticsearch_up.set(1)
            verdicts = _judge(pending, answers)
            refused += verdicts.refused
            pending = verdicts.again
            if pending:
                self._patience.pause(attempt, Unavailable(f"{len(pending)} documents wait: {verdicts.why_again}"))
                attempt += 1
        return refused

    def _send(self, items: Sequence[Sourced]) -> list[dict[str, Any]]:
        try:
            with metrics.bulk_seconds.time():
                answer = self._client.bulk(operations=_lines(items), filter_path=_ANSWER)
        except ApiError as error:
            if error.meta.status == _TOO_LARGE:
                raise Rejected("too_large", "Elasticsearch finds the request too large.") from error
            raise translate(error) from error
        except TransportError as error:
            raise translate(error) from error
        return [next(iter(item.values())) for item in answer["items"]]


def _lines(items: Sequence[Sourced]) -> list[Any]:
    """Lines of the request's body; made here, because the client's own JSON is several times slower."""
    return [line for item in items for line in (orjson.dumps(_action(item.write)), orjson.dumps(item.write.body))]


def _action(write: Write) -> dict[str, Any]:
    if write.op is Op.CREATE:
        # Without its template a data stream would be made as an ordinary index, with mappings by guess.
        return {"create": {"_index": write.index, "_id": write.id, "require_data_stream": True}}
    return {"index": {"_index": write.index, "_id": write.id, "version": write.version, "version_type": "external"}}


def _coalesced(items: Sequence[Sourced]) -> list[Sourced]:
    """Of the snapshots of one entity only the latest: it holds all that the earlier ones said."""
    latest: dict[tuple[str, str], Sourced] = {}
    for item in items:
        place = (item.write.index, item.write.id)
        known = latest.get(place)
        if known is None or item.write.version > known.write.version:
            latest[place] = item
    return list(latest.values())


@dataclass(slots=True)
class _Verdicts:
    again: list[Sourced] = field(default_factory=list)
    why_again: str = ""
    refused: list[tuple[Sourced, str]] = field(default_factory=list)


def _judge(items: Sequence[Sourced], answers: Sequence[dict[str, Any]]) -> _Verdicts:
    """What to try again, and what is refused for ever, with the reasons."""
    verdicts = _Verdicts()
    for item, answer in zip(items, answers, strict=True):
        status, error = answer["status"], answer.get("error") or {}
        reason = f"{status} {error.get('type')}: {error.get('reason')}"
        if status < 300:
            metrics.documents.labels("written").inc()
        elif status == _CONFLICT:
            metrics.documents.labels("unchanged").inc()
        elif status in RETRYABLE_STATUSES:
            verdicts.again.append(item)
            verdicts.why_again = reason
        else:
            verdicts.refused.append((item, reason))
    return verdicts
