"""Whether what we installed is there, whole, and works; and its removal."""

from collections.abc import Callable, Iterator

from celeryscope.errors import NotFound
from celeryscope.service.changes import Action, Change
from celeryscope_kibana.alerting import Connector, identifier, is_changed_by_user
from celeryscope_kibana.api import Json, Kibana
from celeryscope_kibana.comparing import difference, is_as_shipped
from celeryscope_kibana.installing import Wanted, objects_of, title_of


def verify(kibana: Kibana, wanted: Wanted) -> Iterator[Change]:
    """Each object: ``unchanged``, ``changed`` (by a user; fine), or ``missing``.

    Rules also tell how their last run went. A rule that is switched off or fails is ``kept``, with the reason.
    """
    kibana.version()
    shipped = objects_of(wanted.bundle)
    found = {(saved["type"], saved["id"]): saved for saved in _export(kibana, shipped)}
    for saved in shipped:
        there = found.get((saved["type"], saved["id"]))
        if there is None:
            action, detail = Action.MISSING, "run `celeryscope kibana install`"
        elif is_as_shipped(saved, there):
            action, detail = Action.UNCHANGED, ""
        else:
            action, detail = Action.CHANGED, "`celeryscope kibana export` shows what differs"
        yield Change(saved["type"], title_of(saved), action, detail)
    for connector in wanted.connectors:
        yield _connector(kibana, connector)
    for active in wanted.rules:
        yield _rule(kibana, active.rule.title, identifier(f"rule {active.rule.id}", kibana.space))


def changes(kibana: Kibana, bundle: bytes) -> Iterator[tuple[Json, str]]:
    """The saved objects that a user has changed, each with what differs from what we shipped."""
    kibana.version()
    shipped = {(saved["type"], saved["id"]): saved for saved in objects_of(bundle)}
    for saved in _export(kibana, list(shipped.values())):
        ours = shipped[saved["type"], saved["id"]]
        if not is_as_shipped(ours, saved):
            yield saved, difference(ours, saved)


def uninstall(kibana: Kibana, wanted: Wanted, *, dry_run: bool = False) -> Iterator[Change]:
    """Delete rules, connectors and saved objects of ours; the space, and whatever isn't ours, stays."""
    kibana.version()
    for active in wanted.rules:
        rule = identifier(f"rule {active.rule.id}", kibana.space)
        yield _deleted("rule", active.rule.title, kibana.get_rule, kibana.delete_rule, rule, dry_run=dry_run)
    for connector in wanted.connectors:
        name = str(connector.body["name"])
        get, delete = kibana.get_connector, kibana.delete_connector
        yield _deleted("connector", name, get, delete, connector.id, dry_run=dry_run)
    for saved in _export(kibana, objects_of(wanted.bundle)):
        if not dry_run:
            kibana.delete_object(saved["type"], saved["id"])
        yield Change(saved["type"], title_of(saved), Action.DELETED)


def _export(kibana: Kibana, shipped: list[Json]) -> list[Json]:
    return kibana.export_objects([(saved["type"], saved["id"]) for saved in shipped])


def _connector(kibana: Kibana, connector: Connector) -> Change:
    name = str(connector.body["name"])
    try:
        kibana.get_connector(connector.id)
    except NotFound:
        return Change("connector", name, Action.MISSING, "rules can't tell of alerts; run `celeryscope kibana install`")
    return Change("connector", name, Action.UNCHANGED)


def _rule(kibana: Kibana, title: str, rule: str) -> Change:
    try:
        found = kibana.get_rule(rule)
    except NotFound:
        return Change("rule", title, Action.MISSING, "run `celeryscope kibana install`")
    status = found.get("execution_status") or {}
    if not found.get("enabled"):
        return Change("rule", title, Action.KEPT, "switched off")
    if status.get("status") in {"error", "warning"}:
        problem = status.get(status["status"]) or {}
        return Change("rule", title, Action.KEPT, f"its last run: {problem.get('message') or status['status']}")
    if is_changed_by_user(found):
        return Change("rule", title, Action.CHANGED, "changed in Kibana")
    return Change("rule", title, Action.UNCHANGED, f"its last run: {status.get('status', 'none yet')}")


def _deleted(
    kind: str, name: str, get: Callable[[str], Json], delete: Callable[[str], None], identity: str, *, dry_run: bool
) -> Change:
    try:
        if dry_run:
            get(identity)
        else:
            delete(identity)
    except NotFound:
        return Change(kind, name, Action.MISSING)
    return Change(kind, name, Action.DELETED)
