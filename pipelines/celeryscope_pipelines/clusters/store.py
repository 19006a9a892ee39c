"""The only class that reads and writes ``celery-failures`` by its documents' ids and versions."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from elasticsearch import Elasticsearch

from celeryscope import semconv
from celeryscope.errors import NotFound, Unavailable
from celeryscope.service.elasticsearch import our_errors
from celeryscope_pipelines.clusters import Entity
from celeryscope_pipelines.views import queries

CONFLICT: Final = 409
_TRIES: Final = 50
_MOST: Final = 10_000


@dataclass(frozen=True, slots=True)
class Stored:
    """An entity as it is in Elasticsearch; ``entity`` is None when there is none."""

    id: str
    entity: Entity | None
    seq_no: int = 0
    primary_term: int = 0

    def write(self, entity: Entity) -> list[dict[str, Any]]:
        """The lines of a bulk request that put the entity there, unless somebody else was quicker."""
        if self.entity is None:
            return [{"create": {"_id": self.id}}, entity]
        condition = {"if_seq_no": self.seq_no, "if_primary_term": self.primary_term}
        return [{"index": {"_id": self.id, **condition}}, entity]


class ClusterStore:
    """Entities by id, ``<tenant>/<fingerprint>``.

    Every method raises Unavailable, Unauthorized or WrongVersion when the server can't be asked.
    """

    def __init__(self, client: Elasticsearch) -> None:
        self._client = client

    @our_errors()
    def read(self, ids: Collection[str]) -> dict[str, Stored]:
        """The entities of these ids, as of now."""
        if not ids:
            return {}
        found = self._client.mget(index=semconv.INDEX_FAILURES, ids=list(ids))
        return {document["_id"]: _stored(document) for document in found["docs"]}

    def read_with_heads(self, ids: Collection[str]) -> dict[str, Stored]:
        """These, and all that they are merged into."""
        found: dict[str, Stored] = {}
        wanted = set(ids)
        while wanted:
            found |= self.read(wanted)
            entities = {name: one.entity for name, one in found.items() if one.entity is not None}
            wanted = {target for target in pointers(entities).values() if target not in found}
        return found

    @our_errors()
    def decide(self, identity: str, change: Callable[[Entity], Entity]) -> Entity:
        """Change an entity, whoever else writes it meanwhile; ``change`` may be called several times.

        Returns it as it is then, to be found by searches. Raises NotFound, and what ``change`` raises.
        """
        for _ in range(_TRIES):
            stored = self.read([identity])[identity]
            if stored.entity is None:
                raise NotFound(f"There is no failure cluster {identity.partition('/')[2]} (any more).")
            changed = change(stored.entity)
            if changed == stored.entity:
                return changed
            # A search that comes next must see it: so does the command that follows a decision. The index is small.
            answer = self._client.bulk(index=semconv.INDEX_FAILURES, operations=stored.write(changed), refresh=True)
            verdict = next(iter(answer["items"][0].values()))
            if verdict["status"] < 300:
                return changed
            if verdict["status"] != CONFLICT:
                raise Unavailable(f"Elasticsearch does not write the cluster: {verdict['error']['reason']}")
        raise Unavailable("Others write this cluster all the time. Try again.")

    def joined_heads(self, tenant: str, coarse: Collection[str]) -> dict[str, str]:
        """Coarse fingerprints to the cluster that all new ones with them are merged into."""
        if not coarse:
            return {}
        filters: list[Mapping[str, Any]] = [{"terms": {semconv.FINGERPRINT_COARSE: sorted(coarse)}}]
        query = queries.of_tenant(tenant, queries.term(semconv.FAILURE_JOINED, value=True), *filters)
        fields = [semconv.FINGERPRINT_COARSE]
        found = self._search(semconv.INDEX_FAILURES, query=query, _source=fields, size=_MOST)
        return {
            str(hit["_source"][semconv.FINGERPRINT_COARSE]): hit["_id"].partition("/")[2]
            for hit in sorted(found["hits"]["hits"], key=lambda hit: str(hit["_id"]), reverse=True)
        }

    def alike(self, tenant: str, fingerprint: str) -> set[str]:
        """Fingerprints of the clusters with the same coarse one, without this one."""
        entity = self.read([f"{tenant}/{fingerprint}"])[f"{tenant}/{fingerprint}"].entity or {}
        coarse = entity.get(semconv.FINGERPRINT_COARSE)
        if not coarse:
            return set()
        query = queries.of_tenant(tenant, queries.term(semconv.FINGERPRINT_COARSE, coarse))
        found = self._search(semconv.INDEX_FAILURES, query=query, _source=False, size=_MOST)
        return {hit["_id"].partition("/")[2] for hit in found["hits"]["hits"]} - {fingerprint}

    def running_releases(self, tenant: str, services: Collection[str], since: str) -> list[str]:
        """Values of ``service.version`` in which attempts of these services were sent after that moment."""
        filters: list[Mapping[str, Any]] = [{"range": {"@timestamp": {"gt": since}}}]
        if services:
            filters.append({"terms": {semconv.SERVICE_NAME: sorted(services)}})
        releases = {"releases": {"terms": {"field": semconv.SERVICE_VERSION, "size": 100}}}
        found = self._search(queries.TASKS, query=queries.of_tenant(tenant, *filters), size=0, aggs=releases)
        buckets = (found.get("aggregations") or {}).get("releases", {}).get("buckets", [])
        return [str(bucket["key"]) for bucket in buckets]

    @our_errors()
    def _search(self, index: str, **body: Any) -> dict[str, Any]:
        answer = self._client.search(
            index=index, ignore_unavailable=True, allow_no_indices=True, allow_partial_search_results=False, **body
        )
        return dict(answer.body)


def pointers(entities: Mapping[str, Entity]) -> dict[str, str]:
    """Ids of the entities that are merged into others, with the ids of these."""
    return {
        name: f"{name.partition('/')[0]}/{entity[semconv.FAILURE_MERGED_INTO]}"
        for name, entity in entities.items()
        if entity.get(semconv.FAILURE_MERGED_INTO)
    }


def _stored(document: Mapping[str, Any]) -> Stored:
    if not document.get("found"):
        return Stored(document["_id"], None)
    return Stored(document["_id"], document["_source"], document["_seq_no"], document["_primary_term"])
