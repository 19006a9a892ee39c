"""Questions about failures and their clusters; clusters that were merged are one in every answer."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import reduce
from typing import Any, Final

from celeryscope import semconv
from celeryscope.errors import NotFound
from celeryscope_pipelines.clusters import Entity
from celeryscope_pipelines.clusters.facts import DECISIONS, complete, merge
from celeryscope_pipelines.clusters.heads import head_of, members
from celeryscope_pipelines.views import queries
from celeryscope_pipelines.views.documents import fields, instant, iso
from celeryscope_pipelines.views.failures import Cluster, Clusters, cluster_from
from celeryscope_pipelines.views.logs import LogLine, log_line
from celeryscope_pipelines.views.queries import FailureSelection

_DECIDED_MOST: Final = 10_000
_SIMILAR: Final = 6
_OF_HEAD: Final = (semconv.FINGERPRINT, semconv.FAILURE_TITLE, semconv.CULPRIT)
_NOTHING: Final[Mapping[str, Any]] = {"doc_count": 0, "first": {}, "last": {}, "tasks": {"buckets": []}}

Search = Callable[..., dict[str, Any]]
"""One search of an index; what is missing is empty."""


@dataclass(frozen=True, slots=True)
class Decided:
    """What people have decided about clusters, as far as it isn't that they are open."""

    states: Mapping[str, str]
    """Fingerprints of clusters that are not open, also those of their members, with their state."""
    merged: Mapping[str, tuple[str, ...]]
    """Heads with all fingerprints that are theirs, their own first."""

    def all_of(self, fingerprint: str) -> tuple[str, ...]:
        """The cluster's fingerprints, its own first."""
        return self.merged.get(fingerprint, (fingerprint,))

    def head_of(self, fingerprint: str) -> str:
        """The cluster that speaks for this one."""
        return next((head for head, names in self.merged.items() if fingerprint in names), fingerprint)


class FailureStore:
    """Failures of one tenant; every method raises what ``search`` raises."""

    def __init__(self, search: Search, tenant: str) -> None:
        self._search = search
        self._tenant = tenant

    def clusters(self, selection: FailureSelection, limit: int, order: str, states: Collection[str] = ()) -> Clusters:
        """Failures of the selection by cluster; ``order`` is one of queries.ORDER_*, no ``states`` are all."""
        decided = self.decided()
        if states:
            selection = _in_states(selection, decided, states)
        found = self._search(
            queries.logs_index(self._tenant),
            query=queries.failure_query(selection),
            size=0,
            track_total_hits=True,
            aggs=queries.cluster_aggregations(limit, order, decided.merged),
        )
        aggregations = found.get("aggregations") or {}
        single = aggregations.get("single", {})
        whole = [
            {**bucket, "key": head}
            for head, bucket in aggregations.get("merged", {}).get("buckets", {}).items()
            if bucket["doc_count"]
        ]
        buckets = _first(order, limit, [*single.get("clusters", {}).get("buckets", []), *whole])
        described = self._described([str(bucket["key"]) for bucket in buckets], decided)
        return Clusters(
            failures=found["hits"]["total"]["value"],
            total=int(single.get("distinct", {}).get("value", 0)) + len(whole),
            clusters=tuple(_cluster(bucket, described, decided) for bucket in buckets),
        )

    def find(self, prefix: str, selection: FailureSelection) -> str:
        """The one cluster whose fingerprint, or that of a member, begins with the prefix.

        Looks at all clusters, and at the failures of the selection (a new cluster may be found there a moment
        earlier). Raises NotFound for none and for several.
        """
        decided = self.decided()
        names = self._beginning(prefix) or self._failing(prefix, selection)
        return _only({decided.head_of(name) for name in names}, prefix)

    def find_exactly(self, prefix: str) -> str:
        """The one cluster, or member of one, whose fingerprint begins with the prefix. Raises NotFound."""
        return _only(self._beginning(prefix), prefix)

    def cluster(self, fingerprint: str, selection: FailureSelection) -> tuple[Cluster, Entity]:
        """A cluster in the selection (maybe without any failure there), and its entity (maybe empty)."""
        decided = self.decided()
        names = decided.all_of(fingerprint)
        found = self._search(
            queries.logs_index(self._tenant),
            query=queries.failure_query(replace(selection, fingerprints=names)),
            size=0,
            aggs=queries.cluster_aggregations(1, queries.ORDER_COUNT, {fingerprint: names}),
        )
        buckets = (found.get("aggregations") or {}).get("merged", {}).get("buckets", {})
        bucket = {**_NOTHING, "workers": {"buckets": []}, **buckets.get(fingerprint, {}), "key": fingerprint}
        described = self._described([fingerprint], decided)
        return _cluster(bucket, described, decided), described.get(fingerprint, {})

    def occurrences(self, selection: FailureSelection, limit: int) -> list[LogLine]:
        """The latest failures of the selection, the newest first."""
        found = self._search(
            queries.logs_index(self._tenant),
            query=queries.failure_query(selection),
            sort=[queries.by("@timestamp", "desc", "date_nanos")],
            size=limit,
        )
        return [log_line(hit["_source"]) for hit in found["hits"]["hits"]]

    def trend(self, names: Collection[str], start: datetime, end: datetime, seconds: int) -> list[int]:
        """How many failures each step of so many seconds had; ``start`` is that of a step."""
        found = self._search(
            queries.logs_index(self._tenant),
            query=queries.failure_query(FailureSelection(start=start, fingerprints=tuple(names))),
            size=0,
            aggs=queries.trend_aggregation(start, end, seconds),
        )
        buckets = (found.get("aggregations") or {}).get("trend", {}).get("buckets", [])
        # A host whose clock is ahead has failures after the end.
        last = iso(end) or ""
        return [int(bucket["doc_count"]) for bucket in buckets if bucket["key_as_string"] <= last]

    def decided(self) -> Decided:
        """What people have decided about this tenant's clusters."""
        found = self._search(
            semconv.INDEX_FAILURES,
            query=queries.decided(self._tenant),
            size=_DECIDED_MOST,
            _source=[semconv.FAILURE_STATE, semconv.FAILURE_MERGED_INTO],
        )
        known = {hit["_id"].partition("/")[2]: fields(hit["_source"]) for hit in found["hits"]["hits"]}
        pointers = {
            name: str(target) for name, entity in known.items() if (target := entity.get(semconv.FAILURE_MERGED_INTO))
        }
        elsewhere = set(pointers.values()) - set(known)
        existing = {*known, *(self._entities(elsewhere) if elsewhere else ())}
        merged = members(pointers, existing)
        sound = {name: target for name, target in pointers.items() if target in existing}
        states = {
            name: state
            for name in {*known, *merged}
            if (state := str(known.get(head_of(name, sound), {}).get(semconv.FAILURE_STATE) or ""))
            and state != semconv.CLUSTER_OPEN
        }
        return Decided(states, {head: (head, *names) for head, names in merged.items()})

    def _beginning(self, prefix: str) -> set[str]:
        begins = {"prefix": {semconv.FINGERPRINT: prefix.lower()}}
        found = self._search(
            semconv.INDEX_FAILURES, query=queries.of_tenant(self._tenant, begins), size=_SIMILAR, _source=False
        )
        return {hit["_id"].partition("/")[2] for hit in found["hits"]["hits"]}

    def _failing(self, prefix: str, selection: FailureSelection) -> set[str]:
        query = queries.failure_query(selection)
        query["bool"]["filter"].append({"prefix": {f"attributes.{semconv.FINGERPRINT}": prefix.lower()}})
        found = self._search(
            queries.logs_index(self._tenant),
            query=query,
            size=0,
            aggs=queries.cluster_aggregations(_SIMILAR, queries.ORDER_COUNT, {}),
        )
        buckets = (found.get("aggregations") or {}).get("single", {}).get("clusters", {}).get("buckets", [])
        return {str(bucket["key"]) for bucket in buckets}

    def _described(self, heads: Iterable[str], decided: Decided) -> dict[str, Entity]:
        """The entities of these clusters, each with all that its members have seen."""
        names = {head: decided.all_of(head) for head in heads}
        entities = self._entities({name for parts in names.values() for name in parts})
        described: dict[str, Entity] = {}
        for head, parts in names.items():
            known = [complete(entities[name]) for name in parts if name in entities]
            if known:
                described[head] = reduce(merge, [known[0], *map(_without_decisions, known[1:])])
            if head in entities:
                described[head] |= {name: entities[head][name] for name in _OF_HEAD if name in entities[head]}
        return described

    def _entities(self, fingerprints: Collection[str]) -> dict[str, Entity]:
        if not fingerprints:
            return {}
        found = self._search(
            semconv.INDEX_FAILURES,
            query=queries.ids([f"{self._tenant}/{fingerprint}" for fingerprint in fingerprints]),
            size=len(fingerprints),
        )
        return {hit["_id"].partition("/")[2]: fields(hit["_source"]) for hit in found["hits"]["hits"]}


def _only(names: Collection[str], prefix: str) -> str:
    if not names:
        raise NotFound(
            f"No failure cluster begins with {prefix!r}. "
            "`celeryscope failures` lists them; --since 30d looks further back."
        )
    if len(names) > 1:
        several = ", ".join(name[:16] for name in sorted(names))
        raise NotFound(f"Several failure clusters begin with {prefix!r}: {several}. Give more characters.")
    return next(iter(names))


def _without_decisions(member: Entity) -> Entity:
    return {name: value for name, value in member.items() if name not in DECISIONS}


def _in_states(selection: FailureSelection, decided: Decided, states: Collection[str]) -> FailureSelection:
    if semconv.CLUSTER_OPEN in states:
        return replace(
            selection, without=tuple(sorted(n for n, state in decided.states.items() if state not in states))
        )
    return replace(selection, fingerprints=tuple(sorted(n for n, state in decided.states.items() if state in states)))


def _first(order: str, limit: int, buckets: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Elasticsearch has put the single ones in order; the merged ones find their place among them."""

    def by_order(bucket: dict[str, Any]) -> float:
        return float(bucket["last"]["value"] if order == queries.ORDER_LATEST else bucket["doc_count"])

    return sorted(buckets, key=by_order, reverse=True)[:limit]


def _cluster(bucket: Mapping[str, Any], described: Mapping[str, Entity], decided: Decided) -> Cluster:
    name = str(bucket["key"])
    found = cluster_from(bucket, described.get(name, {}))
    return replace(
        found,
        state=decided.states.get(name, semconv.CLUSTER_OPEN),
        members=decided.all_of(name)[1:],
        last_seen=max(
            filter(None, (instant(described.get(name, {}).get(semconv.LAST_SEEN)), found.last)), default=None
        ),
    )
