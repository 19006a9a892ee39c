"""Looks up in Elasticsearch which of the expected documents are there."""

from collections import defaultdict
from collections.abc import Iterable, Mapping

from elasticsearch import Elasticsearch, NotFoundError

from celeryscope_pipelines.audit.expected import Expected
from celeryscope_pipelines.elasticsearch import our_errors

_AT_ONCE = 5000


class Lookup:
    """Asks in large batches; sees what is searchable now."""

    def __init__(self, client: Elasticsearch) -> None:
        self._client = client

    @our_errors()
    def found(self, expected: Mapping[str, Expected]) -> set[str]:
        """The identities whose document is there (a snapshot: in that version or a later one)."""
        by_index: dict[str, list[str]] = defaultdict(list)
        for identity, wanted in expected.items():
            if wanted.stream:
                by_index[wanted.stream].append(identity)
        there: set[str] = set()
        for index, identities in by_index.items():
            if not self._refresh(index):
                continue
            for start in range(0, len(identities), _AT_ONCE):
                part = identities[start : start + _AT_ONCE]
                versions = self._versions(index, {expected[identity].id for identity in part})
                there |= {one for one in part if versions.get(expected[one].id, -1) >= expected[one].version}
        return there

    def _refresh(self, index: str) -> bool:
        """Make what was written searchable; False when there is no such index."""
        try:
            self._client.indices.refresh(index=index)
        except NotFoundError:
            return False
        return True

    def _versions(self, index: str, ids: Iterable[str]) -> dict[str, int]:
        """Version of each document that is there."""
        wanted = list(ids)
        answer = self._client.search(
            index=index, query={"ids": {"values": wanted}}, size=len(wanted), source=False, version=True
        )
        return {hit["_id"]: hit["_version"] for hit in answer["hits"]["hits"]}
