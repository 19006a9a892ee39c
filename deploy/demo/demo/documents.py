"""Reads what Elasticsearch has about the load's attempts, failures and log lines."""

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import urllib3

from celeryscope import semconv
from celeryscope.errors import Unavailable
from demo.outcome import Attempt

_PAGE = 5_000
_CHUNK = 500


class Documents:
    """Documents of one tenant, asked for with plain HTTP requests, so that no code of the product is between."""

    def __init__(self, url: str, tenant: str) -> None:
        self._url = url
        self._tenant = tenant
        self._http = urllib3.PoolManager(retries=False, timeout=30)

    def attempts(self, root_ids: Iterable[str]) -> list[Attempt]:
        """All attempts of these workflows that are searchable now."""
        return [_attempt(hit) for hit in self._search(semconv.INDEX_TASKS_ALL, "", semconv.ROOT_ID, root_ids)]

    def all_attempts(self) -> list[Attempt]:
        """All attempts of the tenant, also those of beat's tasks."""
        index = semconv.INDEX_TASKS_ALL
        self._post(f"/{index}/_refresh")
        return [_attempt(hit) for hit in self._pages(index, {"term": {semconv.TENANT: self._tenant}})]

    def logs(self, field: str, values: Iterable[str]) -> list[dict[str, Any]]:
        """Log lines and failures whose attribute `field` has one of the values, as flat attributes."""
        index = f"{semconv.DATA_STREAM_LOGS}-{self._tenant}"
        return [_flat(hit) for hit in self._search(index, "attributes.", field, values)]

    def spans(self, field: str, values: Iterable[str]) -> list[dict[str, Any]]:
        """Spans whose attribute `field` has one of the values, as flat attributes."""
        index = f"{semconv.DATA_STREAM_TRACES}-{self._tenant}"
        return [_flat(hit) for hit in self._search(index, "attributes.", field, values)]

    def everything(self, index: str, fields: Sequence[str]) -> Iterator[dict[str, Any]]:
        """All documents of an index or data stream, whosever they are, with these of their fields; flat attributes."""
        self._post(f"/{index}/_refresh")
        return (_flat(hit) for hit in self._pages(index, {"match_all": {}}, fields))

    def close(self) -> None:
        """Close the connections."""
        self._http.clear()

    def _search(self, index: str, prefix: str, field: str, values: Iterable[str]) -> Iterator[dict[str, Any]]:
        wanted = list(values)
        self._post(f"/{index}/_refresh")
        for start in range(0, len(wanted), _CHUNK):
            query = {"terms": {prefix + field: wanted[start : start + _CHUNK]}}
            yield from self._pages(index, query)

    def _pages(self, index: str, query: dict[str, Any], fields: Sequence[str] = ("*",)) -> Iterator[dict[str, Any]]:
        body = {"query": query, "size": _PAGE, "_source": False, "fields": list(fields), "sort": ["_doc"]}
        point = self._post(f"/{index}/_pit?keep_alive=1m&ignore_unavailable=true").get("id")
        if point is None:
            return
        search_after: list[Any] | None = None
        while hits := self._page({**body, "pit": {"id": point, "keep_alive": "1m"}}, search_after):
            yield from hits
            search_after = hits[-1]["sort"]

    def _page(self, body: dict[str, Any], search_after: list[Any] | None) -> list[dict[str, Any]]:
        paging = {"search_after": search_after} if search_after else {}
        hits: list[dict[str, Any]] = self._post("/_search", {**body, **paging})["hits"]["hits"]
        return hits

    def _post(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        try:
            answer = self._http.request("POST", self._url + path, json=body)
        except urllib3.exceptions.HTTPError as error:
            raise Unavailable(f"Elasticsearch at {self._url} is unreachable: {error}") from error
        result: dict[str, Any] = answer.json()
        if answer.status == 404:
            # Nothing has been indexed yet.
            return {}
        if answer.status != 200:
            raise Unavailable(f"Elasticsearch refused {path}: {result}")
        return result


def _flat(hit: dict[str, Any]) -> dict[str, Any]:
    """Names without `attributes.`, values without the array around a single one; `_id` beside them."""
    fields = {
        name.removeprefix("attributes."): values[0] if len(values) == 1 else values
        for name, values in hit.get("fields", {}).items()
    }
    return {**fields, "_id": hit["_id"]}


def _attempt(hit: dict[str, Any]) -> Attempt:
    document = _flat(hit)
    ids, names = (_array(document.get(name)) for name in (semconv.CHAIN_IDS, semconv.CHAIN_NAMES))
    return Attempt(
        task_id=document[semconv.TASK_ID],
        root_id=document[semconv.ROOT_ID],
        task=document.get(semconv.TASK_NAME, ""),
        retries=int(document.get(semconv.RETRIES, 0)),
        state=document[semconv.STATE],
        trace_id=document.get("trace_id"),
        failure_type=document.get(semconv.EXCEPTION_TYPE),
        failure_message=document.get(semconv.EXCEPTION_MESSAGE),
        failure_kind=document.get(semconv.FAILURE_KIND),
        chord_id=document.get(semconv.CHORD_ID),
        sent_at=document.get(semconv.SENT_AT),
        received_at=document.get(semconv.RECEIVED_AT),
        started_at=document.get(semconv.STARTED_AT),
        ended_at=document.get(semconv.ENDED_AT),
        chain=tuple(zip(ids, names, strict=True)),
    )


def _array(value: Any) -> list[str]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


@contextlib.contextmanager
def documents(url: str, tenant: str) -> Iterator[Documents]:
    """Documents whose connections are closed at the end."""
    reader = Documents(url, tenant)
    try:
        yield reader
    finally:
        reader.close()
