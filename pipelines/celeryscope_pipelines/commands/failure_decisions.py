"""``celeryscope failures resolve|reopen|ignore|merge|split``: what people decide about failure clusters."""

import getpass
import re
import socket
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import wraps
from typing import Any, Final

import click

from celeryscope import semconv
from celeryscope.errors import NotFound
from celeryscope.service.options import json_option
from celeryscope.service.terminal import show_json
from celeryscope_pipelines.clusters import Entity
from celeryscope_pipelines.clusters.facts import COUNTED_MOST, complete
from celeryscope_pipelines.clusters.states import decided, noted
from celeryscope_pipelines.views.documents import iso, strings
from celeryscope_pipelines.views.failure import decision_dict, ignored_until
from celeryscope_pipelines.views.failures import SHORT_ID
from celeryscope_pipelines.views.fetch import Store
from celeryscope_pipelines.views.options import store_options
from celeryscope_pipelines.views.queries import FailureSelection
from celeryscope_pipelines.views.wording import Clock, counted, one_line

_SPAN: Final = re.compile(r"(\d+)\s*(m|min|h|d|w)", re.IGNORECASE)
_MINUTES: Final = {"m": 1, "min": 1, "h": 60, "d": 1440, "w": 10_080}
_RUNNING: Final = timedelta(days=14)
"""Releases that ran in this time before a resolution may still run."""

Change = Callable[[Entity], Entity]


class Decision:
    """Who decides when about the clusters of a tenant, and why."""

    def __init__(self, store: Store, by: str | None, reason: str, as_json: bool) -> None:
        self.store = store
        self.clusters = store.cluster_store
        self.by = by or _user()
        self.reason = reason
        self.at = iso(datetime.now(UTC)) or ""
        self._as_json = as_json

    def find(self, prefix: str) -> str:
        """The fingerprint of the one cluster that begins so; of a member, that of the cluster it was merged into."""
        return self.store.failures.find(prefix, FailureSelection())

    def decide(self, fingerprint: str, change: Change) -> Entity:
        """Write the change; as ``ClusterStore.decide``."""
        return self.clusters.decide(f"{self.store.tenant}/{fingerprint}", lambda entity: change(complete(entity)))

    def into_state(self, fingerprint: str, state: str, **more: object) -> Entity:
        """Put the cluster into the state."""
        return self.decide(
            fingerprint, lambda entity: decided(entity, state, at=self.at, by=self.by, reason=self.reason, **more)
        )

    def tell(self, fingerprint: str, entity: Entity, sentence: str, **more: Any) -> None:
        """Say on standard output what became of the cluster."""
        if self._as_json:
            state = entity.get(semconv.FAILURE_STATE)
            show_json({"fingerprint": fingerprint, "state": state, **more, **decision_dict(entity)})
            return
        title = one_line(str(entity.get(semconv.FAILURE_TITLE) or ""))
        click.echo(f"{fingerprint[:SHORT_ID]} {sentence} ({title})")


def _deciding(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of every decision; the command gets a ``Decision`` as its first argument."""

    @click.option("--reason", default="", metavar="TEXT", help="Why; others will see it.")
    @click.option("--by", metavar="NAME", help="Who decides.  [default: the user and host]")
    @json_option
    @store_options
    @wraps(command)
    def with_decision(store: Store, *args: Any, by: str | None, reason: str, as_json: bool, **options: Any) -> Any:
        return command(Decision(store, by, reason, as_json), *args, **options)

    return with_decision


def _user() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = "unknown"
    return f"{user}@{socket.gethostname()}"


def _until(ctx: click.Context, param: click.Parameter, value: str | None) -> datetime | None:
    """A moment to come: ``3d`` from now, or a date (ISO 8601, local time)."""
    if value is None:
        return None
    span = _SPAN.fullmatch(value.strip())
    now = datetime.now(UTC)
    try:
        if span:
            moment = now + timedelta(minutes=int(span[1]) * _MINUTES[span[2].lower()])
        else:
            moment = datetime.fromisoformat(value).astimezone(UTC)
    except (ValueError, OverflowError):
        raise click.BadParameter(f"{value!r} is no time; use e.g. 90m, 3d or 2026-12-01.", ctx, param) from None
    if moment <= now:
        raise click.BadParameter(f"{value!r} is over already.", ctx, param)
    return moment


@click.command()
@click.argument("fingerprint")
@click.option("--release", metavar="VERSION", help="The first release with the remedy (its service.version).")
@click.option("--now", "any_release", is_flag=True, help="The remedy needs no release: any failure from now on counts.")
@_deciding
def resolve(decision: Decision, fingerprint: str, release: str | None, any_release: bool) -> None:
    """The problem is solved: should it come back, the cluster is regressed.

    It comes back with a failure from now on in a release that is later than the remedy's (--release), else than those
    that run until now: workers of an old release may go on failing. A failure whose release is not known always counts.

    \b
    Examples:
      celeryscope failures resolve 3f9a21c4 --release 1.4.2 --reason "timeout raised"
      celeryscope failures resolve 3f9a21c4 --now --reason "gateway is back"
    """
    if release and any_release:
        raise click.UsageError("--release and --now contradict each other.")
    name = decision.find(fingerprint)
    old = [] if any_release else _old_releases(decision, name, release)
    entity = decision.into_state(
        name,
        semconv.CLUSTER_RESOLVED,
        FAILURE_RESOLVED_AT=decision.at,
        FAILURE_RESOLVED_RELEASE=release,
        FAILURE_OLD_RELEASES=old,
    )
    if release:
        rule = f"a failure in {one_line(release)} or later is a regression"
    elif old:
        rule = f"a failure in a later release than {', '.join(map(one_line, old[:5]))} is a regression"
    else:
        rule = "any failure from now on is a regression"
    decision.tell(name, entity, f"is resolved; {rule}")


def _old_releases(decision: Decision, fingerprint: str, remedy: str | None) -> list[str]:
    """Releases that run until now, of the cluster and of its services, but for that of the remedy."""
    _, entity = decision.store.failures.cluster(fingerprint, FailureSelection())
    since = iso(datetime.now(UTC) - _RUNNING) or ""
    services = strings(entity.get(semconv.FAILURE_SERVICES))
    running = decision.clusters.running_releases(decision.store.tenant, services, since)
    return sorted({*strings(entity.get(semconv.FAILURE_RELEASES)), *running} - {remedy})


@click.command()
@click.argument("fingerprint")
@_deciding
def reopen(decision: Decision, fingerprint: str) -> None:
    """The cluster is open again: neither resolved nor ignored.

    \b
    Example: celeryscope failures reopen 3f9a21c4
    """
    name = decision.find(fingerprint)
    decision.tell(name, decision.into_state(name, semconv.CLUSTER_OPEN), "is open")


@click.command()
@click.argument("fingerprint")
@click.option("--until", callback=_until, metavar="TIME", help="Until then: 90m, 3d, or a date such as 2026-12-01.")
@click.option(
    "--count", type=click.IntRange(1, COUNTED_MOST), metavar="N", help="Until so many attempts more have failed."
)
@_deciding
def ignore(decision: Decision, fingerprint: str, until: datetime | None, count: int | None) -> None:
    """The cluster is known and alerts nobody: until a time, until it has failed so often, or for ever.

    \b
    Examples:
      celeryscope failures ignore 3f9a21c4 --until 3d --reason "fix is under way"
      celeryscope failures ignore 3f9a21c4 --count 100
      celeryscope failures ignore 3f9a21c4
    """
    name = decision.find(fingerprint)
    entity = decision.into_state(
        name,
        semconv.CLUSTER_IGNORED,
        FAILURE_IGNORED_AT=decision.at,
        FAILURE_IGNORED_UNTIL=iso(until),
        FAILURE_IGNORED_COUNT=count,
    )
    decision.tell(name, entity, f"is ignored {ignored_until(entity, Clock(datetime.now(UTC)))}")


@click.command()
@click.argument("fingerprint")
@click.argument("others", nargs=-1)
@click.option("--joined", is_flag=True, help="All of its type and place, whatever they say, also those to come.")
@_deciding
def merge(decision: Decision, fingerprint: str, others: tuple[str, ...], joined: bool) -> None:
    """Several clusters are one problem: the OTHERS become a part of the first.

    Its state is that of all, their failures are counted together, and failures to come with the OTHERS' fingerprints
    belong to it. Documents keep their own fingerprint, so `split` has nothing to undo but this.

    \b
    Examples:
      celeryscope failures merge 3f9a21c4 8d01b7aa 77e0c1d2
      celeryscope failures merge 3f9a21c4 --joined
    """
    if not others and not joined:
        raise click.UsageError("Say which clusters to merge into the first, or --joined.")
    head = decision.find(fingerprint)
    names = {decision.find(other) for other in others} - {head}
    if not names and not joined:
        raise click.UsageError("These are one cluster already.")
    if joined:
        # First what the indexer goes by: a cluster that is new meanwhile is either seen here or joined there.
        decision.decide(head, lambda one: one | {semconv.FAILURE_JOINED: True})
        names |= decision.clusters.alike(decision.store.tenant, head)
        names -= {*decision.store.failures.decided().all_of(head)}
    what = f"has {counted(len(names), 'cluster')} merged into it"
    entity = decision.decide(head, lambda one: noted(one, decision.at, what, decision.by, decision.reason))
    for name in sorted(names):
        decision.decide(name, lambda one: _merged(decision, one, head))
    what += "; those to come of its type and place are, too" if joined else ""
    decision.tell(head, entity, what, members=sorted(names))


def _merged(decision: Decision, entity: Entity, head: str) -> Entity:
    merged = entity | {semconv.FAILURE_MERGED_INTO: head}
    return noted(merged, decision.at, f"merged into {head}", decision.by, decision.reason)


@click.command()
@click.argument("fingerprint")
@_deciding
def split(decision: Decision, fingerprint: str) -> None:
    """Undo a merge: a member is a cluster of its own again; of a cluster that others were merged into, all of them are.

    \b
    Example: celeryscope failures split 8d01b7aa
    """
    name = decision.store.failures.find_exactly(fingerprint)
    known = decision.store.failures.decided()
    head = known.head_of(name)
    parts = [name] if head != name else list(known.all_of(name)[1:])
    entity = decision.clusters.read([f"{decision.store.tenant}/{name}"])[f"{decision.store.tenant}/{name}"].entity or {}
    if not parts and not entity.get(semconv.FAILURE_JOINED):
        raise NotFound(
            f"Nothing was merged into {name[:SHORT_ID]}, nor it into another cluster. A failure rules file splits it "
            f'into the ways that lead to it: a rule with `clusters: ["{name[:SHORT_ID]}*"]` and `key: "{{way}}"`.'
        )
    if head == name:
        entity = decision.decide(name, lambda one: _alone(decision, one))
    for part in parts:
        entity = decision.decide(part, lambda one: _alone(decision, one))
    single = f"is a cluster of its own again; it was a part of {head[:SHORT_ID]}"
    whole = f"has {counted(len(parts), 'cluster')} less: each is one of its own again"
    decision.tell(name, entity, single if head != name else whole, split=parts)


def _alone(decision: Decision, entity: Entity) -> Entity:
    left_out = {semconv.FAILURE_MERGED_INTO, semconv.FAILURE_JOINED}
    alone = {name: value for name, value in entity.items() if name not in left_out}
    return noted(alone, decision.at, "split", decision.by, decision.reason)
