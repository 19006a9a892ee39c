"""The only class of the views that talks to Elasticsearch: questions in, plain data out."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, Final

from elasticsearch import Elasticsearch

from celeryscope import semconv
from celeryscope.errors import NotFound
from celeryscope.service.elasticsearch import our_errors
from celeryscope_pipelines import measurements
from celeryscope_pipelines.clusters.store import ClusterStore
from celeryscope_pipelines.views import queries
from celeryscope_pipelines.views.attempts import Attempt, attempt_from
from celeryscope_pipelines.views.documents import fields, instant, text
from celeryscope_pipelines.views.failure_store import FailureStore
from celeryscope_pipelines.views.logs import LogLine, log_line
from celeryscope_pipelines.views.queries import FailureSelection, LogSelection, Query
from celeryscope_pipelines.views.status import Status, worker_from
from celeryscope_pipelines.writes import Write

MAX_ATTEMPTS: Final = 20_000
"""Attempts of a workflow that are read at most; the view says when there are more."""
_PAGE: Final = 2_000


class Store:
    """Reads what one tenant's tasks left behind.

    Every method raises Unavailable, Unauthorized or WrongVersion when the server can't be asked. Indices that do not
    exist are empty ones: finding nothing is for the caller to judge.
    """

    def __init__(self, client: Elasticsearch, tenant: str) -> None:
        self._client = client
        self.tenant = tenant

    def attempts_of_task(self, task_id: str) -> list[Attempt]:
        """All attempts of the task, the first one first."""
        found = self.search(
            queries.TASKS,
            query=queries.of_tenant(self.tenant, queries.term(semconv.TASK_ID, task_id)),
            sort=[queries.by(semconv.RETRIES, kind="long")],
            size=1_000,
        )
        return [attempt_from(hit["_source"]) for hit in found["hits"]["hits"]]

    def root_of(self, any_id: str) -> str:
        """The root id of the workflow that the id belongs to: a root, one of its tasks, or a step it planned.

        Raises NotFound.
        """
        found = self.search(
            queries.TASKS,
            query=queries.related_to(any_id, self.tenant),
            _source=[semconv.ROOT_ID, semconv.TASK_ID],
            size=1,
        )
        for hit in found["hits"]["hits"]:
            known = fields(hit["_source"])
            return text(known.get(semconv.ROOT_ID)) or text(known.get(semconv.TASK_ID)) or any_id
        raise NotFound(
            f"No task, workflow or planned step has the id {any_id!r}. "
            "Ids are complete ones, as in `celeryscope failures FINGERPRINT` or the worker's log; a task that was "
            "published a moment ago may still be on its way: try again in a few seconds."
        )

    def attempts_of_workflow(self, root_id: str) -> tuple[list[Attempt], int]:
        """Attempts under the root id by the time they were sent (at most MAX_ATTEMPTS), and how many there are."""
        attempts: list[Attempt] = []
        total = 0
        search: dict[str, Any] = {
            "query": queries.of_tenant(self.tenant, _under(root_id)),
            "sort": [queries.by(semconv.SENT_AT, kind="date_nanos"), queries.by(semconv.ATTEMPT)],
            "source_excludes": [semconv.ARGS, semconv.KWARGS],
            "size": _PAGE,
            "track_total_hits": True,
        }
        while True:
            found = self.search(queries.TASKS, **search)
            hits = found["hits"]["hits"]
            total = max(total, found["hits"]["total"]["value"])
            attempts += [attempt_from(hit["_source"]) for hit in hits]
            if len(hits) < _PAGE or len(attempts) >= MAX_ATTEMPTS:
                return attempts, total
            search["search_after"] = hits[-1]["sort"]

    def log_lines(self, selection: LogSelection, limit: int) -> tuple[list[LogLine], int]:
        """The latest lines of the selection in time order, and how many lines it has in all."""
        found = self.search(
            queries.logs_index(self.tenant),
            query=queries.log_query(selection),
            sort=[
                queries.by("@timestamp", "desc", "date_nanos"),
                queries.by(f"attributes.{semconv.LOG_RECORD_UID}", "desc"),
            ],
            size=limit,
            track_total_hits=True,
        )
        lines = [log_line(hit["_source"]) for hit in found["hits"]["hits"]]
        return lines[::-1], found["hits"]["total"]["value"]

    @property
    def failures(self) -> FailureStore:
        """The failures, and the clusters that they are of."""
        return FailureStore(self.search, self.tenant)

    @property
    def cluster_store(self) -> ClusterStore:
        """The entities of failure clusters, to be changed."""
        return ClusterStore(self._client)

    def status(self, start: datetime, now: datetime) -> Status:
        """Everything that the overview shows; attempts are counted since ``start``."""
        counted = self.search(
            queries.TASKS,
            query=queries.of_tenant(self.tenant, queries.since("@timestamp", start)),
            size=0,
            aggs=queries.state_aggregations(),
        )
        unfinished = self.search(
            queries.TASKS,
            query=queries.of_tenant(self.tenant, queries.not_final()),
            sort=[queries.by("@timestamp", kind="date_nanos")],
            size=5,
            track_total_hits=True,
        )
        workers = self.search(
            semconv.INDEX_WORKERS,
            query=queries.of_tenant(self.tenant),
            sort=[queries.by(semconv.WORKER)],
            size=1_000,
        )
        buckets = (counted.get("aggregations") or {}).get("states", {}).get("buckets", [])
        return Status(
            since=start,
            states={bucket["key"]: bucket["doc_count"] for bucket in buckets},
            unfinished=tuple(attempt_from(hit["_source"]) for hit in unfinished["hits"]["hits"]),
            unfinished_total=unfinished["hits"]["total"]["value"],
            workers=tuple(worker_from(hit["_source"]) for hit in workers["hits"]["hits"]),
            recent=self.failures.clusters(FailureSelection(start=now - timedelta(hours=1)), 5, queries.ORDER_COUNT),
            health=self._health(),
            newest=self._newest(),
        )

    def documents_since(self, start: datetime) -> int:
        """Spans and log documents of that time or later."""
        streams = f"{queries.logs_index(self.tenant)},{queries.traces_index(self.tenant)}"
        found = self.search(streams, query=queries.since("@timestamp", start), size=0, track_total_hits=True)
        return int(found["hits"]["total"]["value"])

    def record(self, documents: Iterable[Write]) -> None:
        """Store measurements; those of this moment that are there already stay as they are."""
        measurements.write(self._client, documents)

    def _newest(self) -> dict[str, datetime | None]:
        entities = queries.of_tenant(self.tenant)
        sources: dict[str, tuple[str, Query]] = {
            "attempts": (queries.TASKS, entities),
            "workers": (semconv.INDEX_WORKERS, entities),
            "logs": (queries.logs_index(self.tenant), {"match_all": {}}),
            "spans": (queries.traces_index(self.tenant), {"match_all": {}}),
        }
        newest: dict[str, datetime | None] = {}
        for kind, (index, query) in sources.items():
            latest = queries.by("@timestamp", "desc", "date_nanos")
            found = self.search(index, query=query, sort=[latest], size=1, _source=["@timestamp"])
            hits = found["hits"]["hits"]
            newest[kind] = instant(hits[0]["_source"].get("@timestamp")) if hits else None
        return newest

    def search(self, index: str, **body: Any) -> dict[str, Any]:
        """One search; an answer that lacks a part of the data is an error, a missing index is an empty one."""
        with our_errors():
            answer = self._client.search(
                index=index,
                ignore_unavailable=True,
                allow_no_indices=True,
                allow_partial_search_results=False,
                **body,
            )
        return dict(answer.body)

    def _health(self) -> dict[str, Any]:
        """The cluster's health, as Elasticsearch tells it."""
        with our_errors():
            return dict(self._client.cluster.health().body)


def _under(root_id: str) -> Query:
    return {
        "bool": {
            "should": [queries.term(semconv.ROOT_ID, root_id), queries.term(semconv.TASK_ID, root_id)],
            "minimum_should_match": 1,
        }
    }
