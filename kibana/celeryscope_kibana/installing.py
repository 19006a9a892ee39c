"""Brings our views, connectors and rules into a Kibana, as often as one likes."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from celeryscope.errors import ConfigError, NotFound
from celeryscope.service.changes import Action, Change
from celeryscope.service.rules.adjusting import ActiveRule
from celeryscope.service.rules.models import Rule
from celeryscope_kibana.alerting import (
    Connector,
    change_of,
    identifier,
    is_changed_by_user,
    rule_body,
    stored_digest,
)
from celeryscope_kibana.api import Conflict, Json, Kibana
from celeryscope_kibana.comparing import is_as_shipped
from celeryscope_kibana.connectors import require_licence


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be in Kibana."""

    bundle: bytes
    """Saved objects, one JSON document a line."""
    rules: tuple[ActiveRule, ...] = ()
    connectors: tuple[Connector, ...] = ()
    solution_view: bool = False
    """Whether the space shows the Observability navigation, which Discover's stack traces and traces need."""
    overwrite_rules: bool = False
    """Whether rules that a user has changed become ours again."""
    off: tuple[Rule, ...] = ()
    """Rules that the operator's file switches off: they go, unless a user has changed them."""


def objects_of(bundle: bytes) -> list[Json]:
    """The saved objects of a bundle."""
    return [json.loads(line) for line in bundle.splitlines() if line.strip()]


def title_of(saved: Mapping[str, Any]) -> str:
    """What people call a saved object."""
    attributes = saved.get("attributes", {})
    return str(attributes.get("title") or attributes.get("name") or saved["id"])


def install(kibana: Kibana, wanted: Wanted, *, dry_run: bool = False) -> Iterator[Change]:
    """Bring it all about and tell of each; with ``dry_run`` tell what would become of it, and change nothing.

    Saved objects of ours become what we ship, also those a user has changed: who changes one saves it under a name of
    its own. Rules that a user has changed stay, unless ``overwrite_rules``; whether a rule is on always stays. Raises
    ConfigError when Kibana can't keep rules or the licence lacks a connector, and what Kibana's methods raise; what was
    done before stays, and a second call goes on.
    """
    kibana.version()
    if wanted.rules:
        _require_key(kibana)
        require_licence(wanted.connectors, kibana.unlicensed_connectors())
    yield from _space(kibana, wanted.solution_view, dry_run=dry_run)
    yield from _objects(kibana, wanted.bundle, dry_run=dry_run)
    if wanted.rules:
        for connector in wanted.connectors:
            yield _connector(kibana, connector, dry_run=dry_run)
    for active in wanted.rules:
        yield _rule(kibana, active, wanted, dry_run=dry_run)
    for rule in wanted.off:
        yield from _switched_off(kibana, rule, wanted, dry_run=dry_run)


def _require_key(kibana: Kibana) -> None:
    if not kibana.alerting_health().get("has_permanent_encryption_key", True):
        raise ConfigError(
            "This Kibana has no encryption key, and keeps no rules without one: set "
            "xpack.encryptedSavedObjects.encryptionKey (32 characters or more) in kibana.yml and restart it, or "
            "install without rules (--no-rules)."
        )


def _space(kibana: Kibana, solution_view: bool, *, dry_run: bool) -> Iterator[Change]:
    if not kibana.space and not solution_view:
        return
    space = kibana.space or "default"
    try:
        found = kibana.get_space(space)
    except NotFound:
        body: Json = {"id": space, "name": space, "description": "Celery: tasks, failures, workflows (celeryscope)"}
        if solution_view:
            body["solution"] = "oblt"
        if not dry_run:
            kibana.create_space(body)
        yield Change("space", space, Action.CREATED)
        return
    if solution_view and found.get("solution") != "oblt":
        if not dry_run:
            kibana.update_space({key: found[key] for key in found if not key.startswith("_")} | {"solution": "oblt"})
        yield Change("space", space, Action.CHANGED, "Observability navigation")
    else:
        yield Change("space", space, Action.UNCHANGED)


def _objects(kibana: Kibana, bundle: bytes, *, dry_run: bool) -> Iterator[Change]:
    objects = objects_of(bundle)
    before = _found(kibana, objects, dry_run=dry_run)
    changes = [_change(saved, before.get((saved["type"], saved["id"]))) for saved in objects]
    if not dry_run and any(change.action is not Action.UNCHANGED for change in changes):
        kibana.import_objects(bundle)
    yield from changes


def _found(kibana: Kibana, objects: list[Json], *, dry_run: bool) -> dict[tuple[str, str], Json]:
    try:
        found = kibana.export_objects([(saved["type"], saved["id"]) for saved in objects])
    except NotFound:
        # A space that a dry run did not make.
        if not dry_run:
            raise
        return {}
    return {(saved["type"], saved["id"]): saved for saved in found}


def _change(shipped: Json, found: Json | None) -> Change:
    name = title_of(shipped)
    if found is None:
        return Change(shipped["type"], name, Action.CREATED)
    return Change(shipped["type"], name, Action.UNCHANGED if is_as_shipped(shipped, found) else Action.CHANGED)


def _connector(kibana: Kibana, connector: Connector, *, dry_run: bool) -> Change:
    name = str(connector.body["name"])
    create = _creation(lambda: kibana.create_connector(connector.id, connector.body), dry_run=dry_run)
    try:
        found = kibana.get_connector(connector.id)
    except NotFound:
        if create():
            return Change("connector", name, Action.CREATED)
        found = {}
    config = connector.body.get("config", {})
    same = found.get("name") == name and config.items() <= (found.get("config") or {}).items()
    if same and not connector.body.get("secrets"):
        return Change("connector", name, Action.UNCHANGED)
    if not dry_run:
        body: Json = {key: connector.body[key] for key in ("name", "config", "secrets") if key in connector.body}
        kibana.update_connector(connector.id, body)
    # A secret can't be read back, so it is always written.
    return Change("connector", name, Action.CHANGED)


def _rule(kibana: Kibana, active: ActiveRule, wanted: Wanted, *, dry_run: bool) -> Change:
    name, body = active.rule.title, rule_body(active, wanted.connectors, kibana.space)
    rule = identifier(f"rule {active.rule.id}", kibana.space)
    create = _creation(lambda: kibana.create_rule(rule, body), dry_run=dry_run)
    try:
        found = kibana.get_rule(rule)
    except NotFound:
        if create():
            return Change("rule", name, Action.CREATED)
        # Another installation was quicker.
        found = kibana.get_rule(rule)
    if is_changed_by_user(found) and not wanted.overwrite_rules:
        return Change("rule", name, Action.KEPT, "changed in Kibana; --overwrite-rules makes it ours again")
    if stored_digest(found) == stored_digest(body) and not is_changed_by_user(found):
        return Change("rule", name, Action.UNCHANGED)
    if not dry_run:
        kibana.update_rule(rule, change_of(body))
    return Change("rule", name, Action.CHANGED)


def _switched_off(kibana: Kibana, rule: Rule, wanted: Wanted, *, dry_run: bool) -> Iterator[Change]:
    identity = identifier(f"rule {rule.id}", kibana.space)
    try:
        found = kibana.get_rule(identity)
    except NotFound:
        return
    if is_changed_by_user(found) and not wanted.overwrite_rules:
        yield Change("rule", rule.title, Action.KEPT, "changed in Kibana; --overwrite-rules deletes it")
        return
    if not dry_run:
        kibana.delete_rule(identity)
    yield Change("rule", rule.title, Action.DELETED, "switched off in the rules file")


def _creation(create: Callable[[], None], *, dry_run: bool) -> Callable[[], bool]:
    """A function that makes an object, or would; False when somebody else has made it meanwhile."""

    def attempt() -> bool:
        if dry_run:
            return True
        try:
            create()
        except Conflict:
            return False
        return True

    return attempt
