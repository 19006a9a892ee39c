"""Elasticsearch's side of setup: index templates, and the entity indices that exist once."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from elasticsearch import BadRequestError, Elasticsearch, NotFoundError

from celeryscope.errors import NotFound
from celeryscope.service.changes import Action, Change
from celeryscope.service.elasticsearch import ElasticsearchSettings, connect, our_errors
from celeryscope_pipelines.provisioning.fields import Mapping, Types
from celeryscope_pipelines.provisioning.live import follow
from celeryscope_pipelines.provisioning.plan import Plan
from celeryscope_pipelines.provisioning.templates import DIGEST, INDICES, NAMES, REPLICAS, RETENTION, template

_PREFERRED: Final = Types(words="match_only_text", constant="constant_keyword")
_EVERYWHERE: Final = Types()


def provision_indices(settings: ElasticsearchSettings, plan: Plan, *, dry_run: bool = False) -> Iterator[Change]:
    """Bring templates and entity indices about and tell of each; with ``dry_run`` tell what would become of it.

    Indices that are there follow a template that changes, too. Raises Unavailable, Unauthorized, WrongVersion or
    Rejected like every command that talks to Elasticsearch; what was done before stays.
    """
    with our_errors(), connect(settings) as client:
        types = _types(client)
        followed: set[str] = set()
        for name in NAMES:
            before = _stored(client, name)
            body = template(name, _as_before(plan, before), types)
            for change in _template(client, name, before, body, dry_run=dry_run):
                followed.add(change.name)
                yield change
        for name in INDICES:
            if name not in followed:
                yield _index(client, name, dry_run=dry_run)


def keep_stream(client: Elasticsearch, name: str, seconds: int, *, dry_run: bool = False) -> Iterator[Change]:
    """Bring the retention of a template's data streams about, those that are there and those to come; 0 is for ever.

    Raises NotFound when the template is missing.
    """
    before = _stored(client, name)
    if before is None:
        raise NotFound(f"Elasticsearch has no index template {name}. Run `celeryscope setup` first.")
    body = template(name, _as_before(Plan(retention=seconds), before), _types(client))
    return _template(client, name, before, body, dry_run=dry_run)


def _types(client: Elasticsearch) -> Types:
    """The field types to use: a simulated template tells what this Elasticsearch has."""
    return Types(
        words=_PREFERRED.words if _has_type(client, _PREFERRED.words) else _EVERYWHERE.words,
        constant=_PREFERRED.constant if _has_type(client, _PREFERRED.constant) else _EVERYWHERE.constant,
    )


def _has_type(client: Elasticsearch, field_type: str) -> bool:
    mappings = {"properties": {"field": {"type": field_type}}}
    try:
        client.indices.simulate_template(
            index_patterns=["celeryscope-simulated"], template={"mappings": mappings}, priority=0
        )
    except BadRequestError:
        return False
    return True


def _stored(client: Elasticsearch, name: str) -> Mapping | None:
    """The ``_meta`` of the template, None when there is no such template."""
    try:
        found = client.indices.get_index_template(name=name)["index_templates"]
    except NotFoundError:
        return None
    meta: Mapping = found[0]["index_template"].get("_meta", {})
    return meta


def _as_before(plan: Plan, before: Mapping | None) -> Plan:
    """The plan, where it says nothing as it was the last time."""
    known = before or {}
    return replace(
        plan,
        retention=known.get(RETENTION) if plan.retention is None else plan.retention,
        replicas=known.get(REPLICAS) if plan.replicas is None else plan.replicas,
    )


def _template(
    client: Elasticsearch, name: str, before: Mapping | None, body: Mapping, *, dry_run: bool
) -> Iterator[Change]:
    patterns = ", ".join(body["index_patterns"])
    meta = body["_meta"]
    if before is not None and before.get(DIGEST) == meta[DIGEST]:
        yield Change("template", name, Action.UNCHANGED, patterns)
        return
    if not dry_run:
        # With the notes of before: whatever fails on the way, the next run finds them and does it all again.
        client.indices.put_index_template(name=name, body={**body, "_meta": before or {}})
        yield from follow(client, before or {}, body)
        client.indices.put_index_template(name=name, body=body)
    yield Change("template", name, Action.CREATED if before is None else Action.CHANGED, patterns)


def _index(client: Elasticsearch, name: str, *, dry_run: bool) -> Change:
    if client.indices.exists(index=name):
        return Change("index", name, Action.UNCHANGED)
    if not dry_run:
        try:
            client.indices.create(index=name)
        except BadRequestError as error:
            if error.error != "resource_already_exists_exception":
                raise
            # Another setup, or the indexer, was quicker.
            return Change("index", name, Action.UNCHANGED)
    return Change("index", name, Action.CREATED)
