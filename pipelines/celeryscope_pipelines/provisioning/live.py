"""Indices and data streams that are there follow a template that changed, as far as Elasticsearch lets them.

A field's type can't change in an index. Such a field stays as it is, by name, while all others follow; a data stream
goes on with a new index then, in which everything is as the template says.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

from elasticsearch import ApiError, Elasticsearch

from celeryscope.service.changes import Action, Change
from celeryscope_pipelines.provisioning.fields import Mapping
from celeryscope_pipelines.provisioning.templates import COPIES, FIELDS_DIGEST, REPLICAS, RETENTION

_REFUSALS: Final = frozenset({400, 500})
"""What Elasticsearch answers when an index can't follow its template; 500 where ``subobjects`` differs."""
_NAMED: Final = 5


def follow(client: Elasticsearch, before: Mapping, body: Mapping) -> Iterator[Change]:
    """Tell of each index and data stream what became of it; ``before`` are the template's notes as they were.

    Raises what the client raises, but for a refusal, which is a change that was not made.
    """
    different = {key for key in {*before, *body["_meta"]} if before.get(key) != body["_meta"].get(key)}
    is_stream = "data_stream" in body
    for pattern in body["index_patterns"]:
        for name in _resolved(client, pattern):
            if FIELDS_DIGEST in different:
                yield _fields(client, name, body, is_stream=is_stream)
            if REPLICAS in different:
                yield _followed(name, "replicas", partial(_put_copies, client, name, body))
            if RETENTION in different and is_stream:
                yield _followed(name, "retention", partial(_put_retention, client, name, body))


def _fields(client: Elasticsearch, name: str, body: Mapping, *, is_stream: bool) -> Change:
    wanted = body["template"]["mappings"]
    try:
        client.indices.put_mapping(index=name, body=wanted)
        return Change("index", name, Action.CHANGED, "fields as in the template")
    except ApiError as error:
        refusal = _reason(error)
    other = set[str]()
    present = client.indices.get_mapping(index=name)
    for index in sorted(present):
        fitting, others = _fitting(wanted["properties"], present[index]["mappings"].get("properties", {}))
        other.update(others)
        try:
            client.indices.put_mapping(index=index, body={**wanted, "properties": fitting})
        except ApiError as error:
            # Not a matter of single fields.
            refusal, other = _reason(error), set()
            break
    named = ", ".join(sorted(other)[:_NAMED]) + (f" and {len(other) - _NAMED} more" if len(other) > _NAMED else "")
    if is_stream:
        client.indices.rollover(alias=name)
        return Change("index", name, Action.CHANGED, f"continued in a new index: {named or refusal} can't change")
    if other:
        return Change("index", name, Action.KEPT, f"fields as in the template, but for {named}: a type can't change")
    return Change("index", name, Action.KEPT, f"its fields stay until the next index: {refusal}")


def _fitting(wanted: Mapping, present: Mapping, path: str = "") -> tuple[Mapping, list[str]]:
    """Of the properties that are wanted those that those present allow, and the names of the others."""
    fitting: Mapping = {}
    others: list[str] = []
    for name, field in wanted.items():
        there = present.get(name)
        if there is None:
            fitting[name] = field
        elif there.get("type", "object") != field.get("type", "object"):
            others.append(f"{path}{name}")
        elif "properties" in field:
            inner, found = _fitting(field["properties"], there.get("properties", {}), f"{path}{name}.")
            fitting[name] = {**field, "properties": inner}
            others += found
        else:
            fitting[name] = field
    return fitting, others


def _followed(name: str, what: str, put: Callable[[], object]) -> Change:
    try:
        put()
    except ApiError as error:
        return Change("index", name, Action.KEPT, f"its {what} stay until the next index: {_reason(error)}")
    return Change("index", name, Action.CHANGED, f"{what} as in the template")


def _reason(refusal: ApiError) -> str:
    """Why it is refused, in Elasticsearch's words; raises the error again when it is no refusal."""
    if refusal.meta.status not in _REFUSALS:
        raise refusal
    reason = refusal.body["error"] if isinstance(refusal.body, dict) else str(refusal)
    return str(reason["reason"] if isinstance(reason, dict) else reason)


def _put_copies(client: Elasticsearch, name: str, body: Mapping) -> None:
    settings = body["template"]["settings"]
    client.indices.put_settings(index=name, settings={key: settings[key] for key in COPIES if key in settings})


def _put_retention(client: Elasticsearch, name: str, body: Mapping) -> None:
    client.indices.put_data_lifecycle(name=name, **body["template"]["lifecycle"])


def _resolved(client: Elasticsearch, pattern: str) -> list[str]:
    found = client.indices.resolve_index(name=pattern, ignore_unavailable=True)
    return [item["name"] for part in ("indices", "data_streams") for item in found[part]]
