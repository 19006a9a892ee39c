"""Two requests, and the lines that come of them."""

from typing import Final

from celeryscope import semconv
from celeryscope_kibana.vega.source import (
    Spec,
    aggregate,
    formula,
    in_context,
    in_time_range,
    lookup,
    quoted,
    search,
    stored,
)

MOST: Final = 100
"""Clusters in the table: those that fail most."""
_DECISIONS: Final = 5000
"""Clusters whose state is looked up: those seen last."""
LOGS: Final = f"{semconv.DATA_STREAM_LOGS}-*"


def attribute(name: str) -> str:
    """The path of an attribute in a data stream, which every mapping knows."""
    return f"attributes.{name}"


def data() -> list[Spec]:
    """The data sets ``decisions``, ``buckets``, ``clusters`` (a line each) and ``trends`` (their steps)."""
    return [_decisions(), _buckets(), _clusters(), _trends()]


def _decisions() -> Spec:
    texts = {
        "fingerprint": semconv.FINGERPRINT,
        "state": semconv.FAILURE_STATE,
        "merged_into": semconv.FAILURE_MERGED_INTO,
        "first_release": semconv.FAILURE_FIRST_RELEASE,
        "last_release": semconv.FAILURE_LAST_RELEASE,
        "owner": semconv.OWNER_TEAM,
        "severity": semconv.OWNER_SEVERITY,
    }
    body = {
        "size": _DECISIONS,
        "_source": [*texts.values(), semconv.FIRST_SEEN],
        "sort": [{semconv.LAST_SEEN: {"order": "desc", "unmapped_type": "date_nanos"}}],
        "query": {"range": {semconv.LAST_SEEN: {"gte": {"%timefilter%": "min"}}}},
    }
    transform = [
        *(formula(name, f"{stored(field)} || ''") for name, field in texts.items()),
        formula("first_seen", f"{stored(semconv.FIRST_SEEN)} ? toDate({stored(semconv.FIRST_SEEN)}) : null"),
    ]
    return search("decisions", semconv.INDEX_FAILURES, body, "hits.hits", transform)


def _buckets() -> Spec:
    def best(field: str) -> Spec:
        return {"terms": {"field": field, "size": 1}}

    aggregations = {
        "trend": {
            "date_histogram": {
                "field": "@timestamp",
                "fixed_interval": {"%autointerval%": 30},
                "min_doc_count": 0,
                "extended_bounds": {"min": {"%timefilter%": "min"}, "max": {"%timefilter%": "max"}},
            }
        },
        "first": {"min": {"field": "@timestamp"}},
        "last": {"max": {"field": "@timestamp"}},
        "title": best(attribute(semconv.FAILURE_TITLE)),
        "culprit": best(attribute(semconv.CULPRIT)),
        "task": best(attribute(semconv.TASK_NAME)),
        "tasks": {"cardinality": {"field": attribute(semconv.TASK_NAME)}},
        "owner": best(attribute(semconv.OWNER_TEAM)),
        "release": {
            "terms": {
                "field": f"resource.attributes.{semconv.SERVICE_VERSION}",
                "size": 1,
                "order": {"newest": "desc"},
            },
            "aggs": {"newest": {"max": {"field": "@timestamp"}}},
        },
    }
    body = {
        "size": 0,
        "query": in_context(in_time_range(), {"term": {attribute("processor.event"): "error"}}),
        "aggs": {"clusters": {"terms": {"field": attribute(semconv.FINGERPRINT), "size": MOST}, "aggs": aggregations}},
    }

    def first_key(name: str) -> Spec:
        return formula(name, f"datum.{name}.buckets[0] ? datum.{name}.buckets[0].key : ''")

    transform = [
        formula("trend", "datum.trend.buckets"),
        formula("first", "datum.first.value"),
        formula("last", "datum.last.value"),
        formula("tasks", "datum.tasks.value"),
        *(first_key(name) for name in ("title", "culprit", "task", "owner", "release")),
        lookup("decisions", "fingerprint", "key", ["merged_into"]),
        formula("cluster", "datum.merged_into || datum.key"),
        # What a cluster is called: its own failures say it, else those of its largest member.
        formula("weight", "datum.merged_into ? datum.doc_count : 1e12"),
    ]
    return search("buckets", LOGS, body, "aggregations.clusters.buckets", transform)


def _clusters() -> Spec:
    of_cluster = ["state", "first_seen", "first_release", "last_release", "owner", "severity"]
    return {
        "name": "clusters",
        "source": "buckets",
        "transform": [
            aggregate(
                ["cluster"],
                biggest=("argmax", "weight"),
                count=("sum", "doc_count"),
                first=("min", "first"),
                last=("max", "last"),
                tasks=("max", "tasks"),
                parts=("count", None),
                members=("values", "key"),
            ),
            formula("members", "pluck(datum.members, 'key')"),
            *(formula(name, f"datum.biggest.{name}") for name in ("title", "culprit", "task", "release")),
            lookup("decisions", "fingerprint", "cluster", of_cluster),
            formula("owner", "datum.owner || datum.biggest.owner || ''"),
            formula("state", f"datum.state || {quoted(semconv.CLUSTER_OPEN)}"),
            formula("release", "datum.release || datum.last_release || ''"),
            formula("first_seen", "datum.first_seen || datum.first"),
            # The start of the time range: that of the first step of any trend.
            formula("is_new", "datum.first_seen >= datum.biggest.trend[0].key"),
            {"type": "collect", "sort": {"field": ["count", "last"], "order": ["descending", "descending"]}},
            {"type": "window", "ops": ["row_number"], "as": ["line"]},
        ],
    }


def _trends() -> Spec:
    return {
        "name": "trends",
        "source": "buckets",
        "transform": [
            {"type": "flatten", "fields": ["trend"], "as": ["step"]},
            formula("at", "datum.step.key"),
            formula("failures", "datum.step.doc_count"),
            aggregate(["cluster", "at"], failures=("sum", "failures")),
            {
                "type": "joinaggregate",
                "groupby": ["cluster"],
                "ops": ["max", "min", "max"],
                "fields": ["failures", "at", "at"],
                "as": ["most", "begin", "end"],
            },
            {
                "type": "joinaggregate",
                "groupby": ["cluster"],
                "ops": ["distinct"],
                "fields": ["at"],
                "as": ["steps"],
            },
            lookup("clusters", "cluster", "cluster", ["line"]),
            formula("place", "datum.end > datum.begin ? (datum.at - datum.begin) / (datum.end - datum.begin) : 0"),
        ],
    }
