"""The searches of the views, as bodies for Elasticsearch. Pure.

Nothing here needs more than the smallest Elasticsearch has: no scripts, no runtime fields, no ES|QL.
In the data streams an attribute is asked for by its full path, which works with any mapping.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from celeryscope import semconv
from celeryscope_pipelines.views.documents import iso

Query = dict[str, Any]

TASKS: Final = semconv.INDEX_TASKS_ALL
FAILED_EVENT: Final = {"term": {"attributes.processor.event": "error"}}
"""What every document of a failure carries, and nothing else of ours."""

_FINGERPRINT: Final = f"attributes.{semconv.FINGERPRINT}"
_OF_CLUSTER: Final[Query] = {
    "first": {"min": {"field": "@timestamp"}},
    "last": {"max": {"field": "@timestamp"}},
    "tasks": {"terms": {"field": f"attributes.{semconv.TASK_NAME}", "size": 10}},
    "workers": {"terms": {"field": f"attributes.{semconv.WORKER}", "size": 10}},
    semconv.FAILURE_TITLE: {"terms": {"field": f"attributes.{semconv.FAILURE_TITLE}", "size": 1}},
    semconv.CULPRIT: {"terms": {"field": f"attributes.{semconv.CULPRIT}", "size": 1}},
}
"""What is counted of each cluster."""

ORDER_COUNT: Final = "count"
ORDER_LATEST: Final = "latest"


def logs_index(tenant: str) -> str:
    """The tenant's logs."""
    return f"{semconv.DATA_STREAM_LOGS}-{tenant}"


def traces_index(tenant: str) -> str:
    """The tenant's spans."""
    return f"{semconv.DATA_STREAM_TRACES}-{tenant}"


def of_tenant(tenant: str, *filters: Mapping[str, Any]) -> Query:
    """The filters, within the tenant's entities."""
    return {"bool": {"filter": [{"term": {semconv.TENANT: tenant}}, *filters]}}


def term(name: str, value: object) -> Query:
    """The field has the value."""
    return {"term": {name: value}}


def since(field: str, start: datetime | None, end: datetime | None = None) -> Query:
    """The field's date lies in the range; both ends are optional."""
    bounds = {"gte": iso(start), "lte": iso(end)}
    return {"range": {field: {name: bound for name, bound in bounds.items() if bound}}}


def by(field: str, order: Literal["asc", "desc"] = "asc", kind: str = "keyword") -> Query:
    """Sort by the field, also where an index lacks it."""
    return {field: {"order": order, "unmapped_type": kind, "missing": "_last"}}


def related_to(any_id: str, tenant: str) -> Query:
    """Entities that say which workflow an id belongs to: its root, one of its tasks, or a step it planned."""
    names = (semconv.ROOT_ID, semconv.TASK_ID, semconv.CHAIN_IDS, semconv.CHORD_ID, semconv.GROUP_ID)
    return of_tenant(tenant, {"bool": {"should": [term(name, any_id) for name in names], "minimum_should_match": 1}})


@dataclass(frozen=True, slots=True)
class LogSelection:
    """Which log lines to show; None stands for any."""

    task_id: str | None = None
    attempt: int | None = None
    """Retries of the attempt: 0 for the first."""
    root_id: str | None = None
    severity: int | None = None
    """Lowest severity number (OpenTelemetry: 5 debug, 9 info, 13 warn, 17 error)."""
    start: datetime | None = None
    end: datetime | None = None


def log_query(selection: LogSelection) -> Query:
    """The documents of the selection: lines of the application and failures, by their time."""
    filters: list[Query] = []
    if selection.task_id is not None:
        filters.append(term(f"attributes.{semconv.TASK_ID}", selection.task_id))
    if selection.attempt is not None:
        filters.append(term(f"attributes.{semconv.RETRIES}", selection.attempt))
    if selection.root_id is not None:
        filters.append(term(f"attributes.{semconv.ROOT_ID}", selection.root_id))
    if selection.severity is not None:
        filters.append({"range": {"severity_number": {"gte": selection.severity}}})
    if selection.start or selection.end:
        filters.append(since("@timestamp", selection.start, selection.end))
    return {"bool": {"filter": filters}}


@dataclass(frozen=True, slots=True)
class FailureSelection:
    """Which failures to count; None stands for any."""

    start: datetime | None = None
    task: str | None = None
    """A task's name; ``*`` and ``?`` stand for any characters and any one."""
    fingerprints: tuple[str, ...] | None = None
    """Only failures with one of these."""
    without: tuple[str, ...] = ()
    """No failures with one of these."""


def failure_query(selection: FailureSelection) -> Query:
    """The documents of failures in the selection."""
    filters: list[Query] = [FAILED_EVENT]
    if selection.start:
        filters.append(since("@timestamp", selection.start))
    if selection.task:
        name = f"attributes.{semconv.TASK_NAME}"
        wild = "*" in selection.task or "?" in selection.task
        filters.append({"wildcard": {name: {"value": selection.task}}} if wild else term(name, selection.task))
    if selection.fingerprints is not None:
        filters.append({"terms": {_FINGERPRINT: [*selection.fingerprints]}})
    if selection.without:
        filters.append({"bool": {"must_not": [{"terms": {_FINGERPRINT: [*selection.without]}}]}})
    return {"bool": {"filter": filters}}


def cluster_aggregations(limit: int, order: str, merged: Mapping[str, Sequence[str]]) -> Query:
    """Counts of failures by cluster, each with its first and last time, tasks and workers.

    ``merged`` are the clusters of several fingerprints: each of them is counted on its own, apart from those of one.
    """
    by_order: Query = {"last": "desc"} if order == ORDER_LATEST else {"_count": "desc"}
    parts = sorted({name for names in merged.values() for name in names})
    single: Query = {"match_all": {}} if not parts else {"bool": {"must_not": [{"terms": {_FINGERPRINT: parts}}]}}
    found: Query = {
        "single": {
            "filter": single,
            "aggs": {
                "clusters": {
                    "terms": {"field": _FINGERPRINT, "size": limit, "order": by_order},
                    "aggs": _OF_CLUSTER,
                },
                "distinct": {"cardinality": {"field": _FINGERPRINT}},
            },
        }
    }
    if merged:
        filters = {head: {"terms": {_FINGERPRINT: [*names]}} for head, names in merged.items()}
        found["merged"] = {"filters": {"filters": filters}, "aggs": _OF_CLUSTER}
    return found


def trend_aggregation(start: datetime, end: datetime, seconds: int) -> Query:
    """Counts of failures in steps of so many seconds, also where there is none."""
    bounds = {"min": iso(start), "max": iso(end)}
    histogram = {"field": "@timestamp", "fixed_interval": f"{seconds}s", "min_doc_count": 0}
    return {"trend": {"date_histogram": {**histogram, "extended_bounds": bounds}}}


def decided(tenant: str) -> Query:
    """Clusters that aren't just open: somebody, or a failure after that, has changed their state or merged them."""
    states = [semconv.CLUSTER_RESOLVED, semconv.CLUSTER_IGNORED, semconv.CLUSTER_REGRESSED]
    either = [{"terms": {semconv.FAILURE_STATE: states}}, {"exists": {"field": semconv.FAILURE_MERGED_INTO}}]
    return of_tenant(tenant, {"bool": {"should": either, "minimum_should_match": 1}})


def state_aggregations(field: str = semconv.STATE) -> Query:
    """Counts of attempts by state."""
    return {"states": {"terms": {"field": field, "size": 30}}}


def not_final() -> Query:
    """Attempts that are under way."""
    return {"bool": {"must_not": [{"terms": {semconv.STATE: sorted(semconv.FINAL_STATES)}}]}}


def ids(values: Sequence[str]) -> Query:
    """Documents by their ids; unlike a get it finds them behind patterns and in missing indices finds nothing."""
    return {"ids": {"values": list(values)}}
