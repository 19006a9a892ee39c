"""The index ``celery-watcher``: documents that are compared and set, so that two watchers never undo each other."""

import json
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from elasticsearch import ConflictError, Elasticsearch, NotFoundError

from celeryscope import semconv
from celeryscope.errors import CeleryscopeError, NotFound
from celeryscope.service.elasticsearch import our_errors
from celeryscope_pipelines.watcher.silences import Silence

_MOST: Final = 1000
_KIND: Final = "kind"
_CONTENT: Final = "content"


class Outdated(CeleryscopeError):
    """Somebody else has written meanwhile: another watcher is active."""


class Document:
    """One document of the watcher, read once and then written as the last reader or writer left it."""

    def __init__(self, client: Elasticsearch, kind: str, identity: str) -> None:
        self._client = client
        self._kind = kind
        self._id = identity
        self._place: dict[str, int] | None = None

    @property
    def version(self) -> tuple[int, ...] | None:
        """Another one after each write; None when nothing was read or written yet."""
        return tuple(self._place.values()) if self._place else None

    @our_errors()
    def read(self) -> dict[str, Any] | None:
        """Its content; None when it was never written. Raises Unavailable and the like."""
        try:
            found = self._client.get(index=semconv.INDEX_WATCHER, id=self._id)
        except NotFoundError as error:
            if "error" in error.body:
                raise
            self._place = None
            return None
        self._remember(found)
        content: dict[str, Any] = json.loads(found["_source"][_CONTENT])
        return content

    def write(self, content: dict[str, Any], at: str) -> None:
        """Put another content in the place of what was read. Raises Outdated when that is not there any more."""
        body = {"@timestamp": at, _KIND: self._kind, _CONTENT: json.dumps(content, default=str)}
        # Without anything read, it must be the first.
        how: dict[str, Any] = self._place or {"op_type": "create"}
        try:
            with our_errors():
                self._remember(self._write(body, how))
        except CeleryscopeError as error:
            if isinstance(error.__cause__, ConflictError):
                raise Outdated(
                    f"Another watcher has written {self._id} of {semconv.INDEX_WATCHER} meanwhile."
                ) from error
            raise

    def _write(self, body: dict[str, Any], how: dict[str, Any]) -> Any:
        return self._client.index(index=semconv.INDEX_WATCHER, id=self._id, document=body, **how)

    def _remember(self, answer: Any) -> None:
        self._place = {"if_seq_no": answer["_seq_no"], "if_primary_term": answer["_primary_term"]}


class Silences:
    """The silences that people have set; documents of their own, so that all watchers see them."""

    def __init__(self, client: Elasticsearch) -> None:
        self._client = client

    @our_errors()
    def all(self, now: datetime) -> list[Silence]:
        """Those that are not over, the one that ends first first. Raises Unavailable and the like."""
        in_force = [{"term": {_KIND: "silence"}}, {"range": {"@timestamp": {"gt": now.isoformat()}}}]
        found = self._client.search(index=semconv.INDEX_WATCHER, query={"bool": {"filter": in_force}}, size=_MOST)
        known = [Silence.from_dict(json.loads(hit["_source"][_CONTENT])) for hit in found["hits"]["hits"]]
        return sorted((silence for silence in known if silence.until > now), key=lambda silence: silence.until)

    @our_errors()
    def add(self, silence: Silence) -> None:
        """Set one; all watchers see it with their next turn. Its document's time is when it is over."""
        body = {"@timestamp": silence.until.isoformat(), _KIND: "silence", _CONTENT: json.dumps(silence.as_dict())}
        self._client.index(index=semconv.INDEX_WATCHER, id=f"silence/{silence.id}", document=body, refresh="wait_for")

    def end(self, identity: str, now: datetime) -> Silence:
        """End one, by the first characters of its id. Raises NotFound when none, or more than one, begins so."""
        fitting = [silence for silence in self.all(now) if silence.id.startswith(identity)]
        if len(fitting) != 1:
            known = ", ".join(silence.id for silence in fitting or self.all(now)) or "none"
            raise NotFound(f"Not one silence begins with {identity!r}. There are: {known}.")
        ended = replace(fitting[0], until=now)
        self.add(ended)
        return ended
