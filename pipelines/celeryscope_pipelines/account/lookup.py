"""Looks up in Elasticsearch which of the expected documents are there."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from elasticsearch import Elasticsearch, NotFoundError

from celeryscope.service.elasticsearch import our_errors
from celeryscope_pipelines.account.expected import Expected

_AT_ONCE = 5000


@dataclass(frozen=True, slots=True)
class Found:
    """Identities of records."""

    there: set[str]
    """All of whose documents are there (a snapshot: in that version or a later one)."""
    doubled: set[str]
    """Those of them with a document that is there more than once."""


class Lookup:
    """Asks in large batches; sees what is searchable now."""

    def __init__(self, client: Elasticsearch) -> None:
        self._client = client

    @our_errors()
    def found(self, expected: Mapping[str, Expected]) -> Found:
        """Which of the expected records are there, and which of them more than once."""
        by_stream: dict[str, dict[str, list[tuple[str, int]]]] = defaultdict(lambda: defaultdict(list))
        for identity, wanted in expected.items():
            for place in wanted.places:
                by_stream[place.stream][place.id].append((identity, place.version))
        absent = {identity for identity, wanted in expected.items() if not wanted.places}
        doubled: set[str] = set()
        for stream, by_id in by_stream.items():
            versions = self._versions(stream, list(by_id)) if self._refresh(stream) else {}
            absent |= {
                identity
                for one, wanting in by_id.items()
                for identity, version in wanting
                if max(versions.get(one, ()), default=-1) < version
            }
            doubled |= {identity for one in versions if len(versions[one]) > 1 for identity, _ in by_id[one]}
        there = expected.keys() - absent
        return Found(there, doubled & there)

    def _refresh(self, stream: str) -> bool:
        """Make what was written searchable; False when there is no such index."""
        try:
            self._client.indices.refresh(index=stream)
        except NotFoundError:
            return False
        return True

    def _versions(self, stream: str, ids: Sequence[str]) -> dict[str, list[int]]:
        """Versions of each document that is there, one for each index of a data stream that has it."""
        versions: dict[str, list[int]] = defaultdict(list)
        for start in range(0, len(ids), _AT_ONCE):
            part = ids[start : start + _AT_ONCE]
            # Twice as many: a record that came again after a data stream went on with a new index is in both.
            answer = self._client.search(
                index=stream, query={"ids": {"values": part}}, size=2 * len(part), source=False, version=True
            )
            for hit in answer["hits"]["hits"]:
                versions[hit["_id"]].append(hit["_version"])
        return versions
