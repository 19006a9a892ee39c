"""The only class of the report that talks to Elasticsearch: the views' own requests, and those for details."""

from datetime import datetime
from typing import Any, Final

from elasticsearch import Elasticsearch

from celeryscope import semconv
from celeryscope.errors import NotFound
from celeryscope.service.elasticsearch import our_errors
from celeryscope_kibana.report.context import Context
from celeryscope_kibana.vega.source import Spec

_LOGS: Final = f"{semconv.DATA_STREAM_LOGS}-"
_TASKS: Final = semconv.INDEX_TASKS_ALL
_FINGERPRINT: Final = f"attributes.{semconv.FINGERPRINT}"
_FAILED: Final = {"term": {"attributes.processor.event": "error"}}
"""What every document of a failure carries, and a retry does not."""
_MOST_TRACEBACKS: Final = 1000
"""Tracebacks of a workflow that are read."""
_OF_FAILURE: Final = (
    semconv.TASK_ID,
    semconv.TASK_NAME,
    semconv.RETRIES,
    semconv.ROOT_ID,
    semconv.WORKER,
    semconv.EXCEPTION_TYPE,
    semconv.EXCEPTION_MESSAGE,
    semconv.EXCEPTION_STACKTRACE,
)


class Store:
    """Reads what one tenant's tasks left behind.

    Every method raises Unavailable, Unauthorized or WrongVersion when the server can't be asked. Indices that do not
    exist are empty ones.
    """

    def __init__(self, client: Elasticsearch, tenant: str) -> None:
        self._client = client
        self.tenant = tenant

    def answer(self, request: Spec, context: Context, **more: Any) -> Spec:
        """What a view's request ``{index, body}`` finds in the context; ``more`` replaces parts of the body."""
        return self._search(request["index"], **{**context.fill(request["body"]), **more})

    def workflow_of(self, any_id: str) -> tuple[str, datetime, datetime]:
        """The root id of the workflow that a root or task id belongs to, and its first and last moment.

        Raises NotFound.
        """
        ids = [{"term": {name: any_id}} for name in (semconv.ROOT_ID, semconv.TASK_ID)]
        either = {"bool": {"should": ids, "minimum_should_match": 1}}
        found = self._search(_TASKS, query=either, size=1, _source=[semconv.ROOT_ID])["hits"]["hits"]
        root = found[0]["_source"].get(semconv.ROOT_ID) if found else None
        if not root:
            raise NotFound(
                f"No workflow and no task has the id {any_id!r}. Ids are complete ones, as `celeryscope workflow` and "
                "the worker's log show them; one of a moment ago may still be on its way."
            )
        bounds = {name: {name: {"field": "@timestamp"}} for name in ("min", "max")}
        times = self._search(_TASKS, query={"term": {semconv.ROOT_ID: root}}, size=0, aggs=bounds)["aggregations"]
        first, last = (datetime.fromisoformat(times[name]["value_as_string"]) for name in ("min", "max"))
        return root, first, last

    def workflows_within(self, context: Context) -> int:
        """How many workflows have an attempt in the time range, about."""
        counted = {"workflows": {"cardinality": {"field": semconv.ROOT_ID}}}
        found = self._search(_TASKS, query=_within(context), size=0, aggs=counted)
        return int(found.get("aggregations", {}).get("workflows", {}).get("value", 0))

    def tracebacks_of(self, root: str) -> list[Spec]:
        """The failures and retries of a workflow that have a traceback, the latest first; see ``_failures``."""
        of_workflow = {"term": {f"attributes.{semconv.ROOT_ID}": root}}
        with_text = {"exists": {"field": f"attributes.{semconv.EXCEPTION_STACKTRACE}"}}
        return self._failures([of_workflow, with_text], _MOST_TRACEBACKS)

    def failures_of(self, fingerprint: str, context: Context, most: int) -> list[Spec]:
        """The cluster's failures of the time range, the latest first; see ``_failures``."""
        of_cluster = {"term": {_FINGERPRINT: fingerprint}}
        return self._failures([of_cluster, _within(context), _FAILED], most)

    def fingerprint_of(self, prefix: str, context: Context) -> str:
        """The fingerprint that begins so, of a failure in the time range. Raises NotFound for none and for several."""
        query = {"bool": {"filter": [_within(context), _FAILED, {"prefix": {_FINGERPRINT: prefix.lower()}}]}}
        which = {"keys": {"terms": {"field": _FINGERPRINT, "size": 3}}}
        found = self._search(f"{_LOGS}*", query=query, size=0, aggs=which)
        keys = [bucket["key"] for bucket in found.get("aggregations", {}).get("keys", {}).get("buckets", [])]
        if not keys:
            raise NotFound(
                f"No failure cluster begins with {prefix!r} in this time. "
                "`celeryscope failures` lists them; --since 30d looks further back."
            )
        if len(keys) > 1:
            several = ", ".join(key[:16] for key in keys)
            raise NotFound(f"Several failure clusters begin with {prefix!r}: {several}. Give more characters.")
        return str(keys[0])

    def _failures(self, filters: list[Spec], most: int) -> list[Spec]:
        """Log documents as ``{"at": date, <attribute>: value}``."""
        found = self._search(
            f"{_LOGS}*",
            query={"bool": {"filter": filters}},
            sort=[{"@timestamp": {"order": "desc", "unmapped_type": "date_nanos"}}],
            size=most,
            _source=["@timestamp", *(f"attributes.{name}" for name in _OF_FAILURE)],
        )
        sources = [hit["_source"] for hit in found["hits"]["hits"]]
        return [{"at": source["@timestamp"], **source.get("attributes", {})} for source in sources]

    def _search(self, index: str, *, query: Spec, **body: Any) -> Spec:
        """One search in the tenant's own data; an answer that lacks a part of the data is an error."""
        if index.startswith(_LOGS):
            index = f"{_LOGS}{self.tenant}"
        else:
            query = {"bool": {"must": [query], "filter": [{"term": {semconv.TENANT: self.tenant}}]}}
        with our_errors():
            answer = self._client.search(
                index=index,
                query=query,
                ignore_unavailable=True,
                allow_no_indices=True,
                allow_partial_search_results=False,
                **body,
            )
        return dict(answer.body)


def _within(context: Context) -> Spec:
    return {"range": {"@timestamp": {"gte": context.start.isoformat(), "lte": context.end.isoformat()}}}
