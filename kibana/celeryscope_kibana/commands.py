"""``celeryscope kibana``: install, verify, export, uninstall."""

import sys
from collections.abc import Callable
from pathlib import Path

import click
from pydantic import SecretStr

from celeryscope.errors import ConfigError
from celeryscope.service.changes import Action, patiently, tell
from celeryscope.service.rules.adjusting import ActiveRule, activate, read_adjustments
from celeryscope.service.rules.reading import read_rules
from celeryscope.service.terminal import show_json
from celeryscope_kibana.api import Kibana
from celeryscope_kibana.bundle import SHIPPED, for_space
from celeryscope_kibana.comparing import reviewable
from celeryscope_kibana.connectors import connectors, possible_connectors
from celeryscope_kibana.installing import Wanted
from celeryscope_kibana.installing import install as install_all
from celeryscope_kibana.settings import KibanaSettings
from celeryscope_kibana.verifying import changes
from celeryscope_kibana.verifying import uninstall as uninstall_all
from celeryscope_kibana.verifying import verify as verify_all


def _common(command: Callable[..., None]) -> Callable[..., None]:
    for option in (
        click.option("--kibana-url", metavar="URL", help="Kibana.  [http://127.0.0.1:5601]"),
        click.option("--space", metavar="ID", help="The space to use; made when it is missing.  [default]"),
        click.option("--json", "as_json", is_flag=True, help="Write JSON instead."),
    ):
        command = option(command)
    return command


def _rules_file(command: Callable[..., None]) -> Callable[..., None]:
    return click.option(
        "--rules-file",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        envvar="CELERYSCOPE_WATCH_RULES",
        help="Your thresholds, as `celeryscope watch` takes them.",
    )(command)


@click.group()
def kibana() -> None:
    """Views and rules in Kibana.

    Credentials come from the environment: CELERYSCOPE_KIBANA_API_KEY, or CELERYSCOPE_KIBANA_USERNAME and _PASSWORD;
    addresses that are secret, too: CELERYSCOPE_KIBANA_WEBHOOK, CELERYSCOPE_KIBANA_SLACK and CELERYSCOPE_KIBANA_EMAIL.
    """


@kibana.command()
@_common
@_rules_file
@click.option("--rules/--no-rules", default=True, help="Alert rules, too.  [yes]")
@click.option("--solution-view", is_flag=True, help="The space shows Observability, for stack traces and traces.")
@click.option("--overwrite-rules", is_flag=True, help="Also rules that were changed in Kibana.")
@click.option("--webhook", metavar="URL", help="Alerts go there, too (needs a Gold licence).  [env: ..._WEBHOOK]")
@click.option(
    "--slack", metavar="URL", help="Alerts go to this incoming webhook of Slack, too (the same).  [env: ..._SLACK]"
)
@click.option(
    "--email", metavar="URL", help="Alerts are mailed by smtp://...?from=&to=, too (the same).  [env: ..._EMAIL]"
)
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.option("--wait", type=click.FloatRange(min=0), default=0, metavar="SECONDS", help="For a Kibana that starts up.")
def install(
    kibana_url: str | None,
    space: str | None,
    as_json: bool,
    rules_file: Path | None,
    rules: bool,
    webhook: str | None,
    slack: str | None,
    email: str | None,
    dry_run: bool,
    wait: float,
    **how: bool,
) -> None:
    """Bring dashboards, searches, connectors and alert rules into Kibana.

    Run it after each upgrade, too; a second run changes nothing. Views become what celeryscope ships, so save what you
    change under a name of your own. Rules that were changed in Kibana stay as they are.

    \b
    Examples:
      celeryscope kibana install --dry-run
      celeryscope kibana install --space celery --solution-view
    """
    settings = KibanaSettings.load(url=kibana_url, space=space, webhook=webhook, slack=slack, email=email)
    api = Kibana(settings)
    active = _rules(rules_file) if rules else ()
    on = {rule.rule.id for rule in active}
    wanted = Wanted(
        bundle=_bundle(api),
        rules=active,
        off=tuple(rule for rule in read_rules() if rules and rule.id not in on),
        connectors=connectors(
            api.space, _revealed(settings.webhook), _revealed(settings.slack), _revealed(settings.email)
        ),
        **how,
    )
    tell(patiently(lambda: list(install_all(api, wanted, dry_run=dry_run)), wait), as_json=as_json, dry_run=dry_run)


@kibana.command()
@_common
@_rules_file
@click.option("--rules/--no-rules", default=True, help="Alert rules, too.  [yes]")
def verify(kibana_url: str | None, space: str | None, as_json: bool, rules_file: Path | None, rules: bool) -> None:
    """Check that all of it is there and that the rules run; exit code 1 when something is missing or fails."""
    api = _connect(kibana_url, space)
    # Of those that every installation has; who has no webhook needs none.
    wanted = Wanted(_bundle(api), _rules(rules_file), connectors(api.space)) if rules else Wanted(_bundle(api))
    found = list(verify_all(api, wanted))
    tell(found, as_json=as_json)
    if any(change.action in {Action.MISSING, Action.KEPT} for change in found):
        sys.exit(1)


@kibana.command()
@_common
@click.option("--output", type=click.Path(file_okay=False, path_type=Path), help="Write the changed objects there.")
def export(kibana_url: str | None, space: str | None, as_json: bool, output: Path | None) -> None:
    """Show what was changed in our views, as a diff; --output writes the objects as readable JSON, a file each.

    Exit code 0 when nothing was changed, 1 otherwise, like diff.
    """
    api = _connect(kibana_url, space)
    found = list(changes(api, _bundle(api)))
    if output is not None:
        for saved, _ in found:
            path = output / saved["type"] / f"{saved['id']}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(reviewable(saved), encoding="utf-8")
    if as_json:
        show_json({"items": [saved for saved, _ in found]})
    else:
        click.echo("".join(text for _, text in found) or "Nothing was changed.", nl=not found)
    if found:
        sys.exit(1)


@kibana.command()
@_common
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
def uninstall(kibana_url: str | None, space: str | None, as_json: bool, dry_run: bool) -> None:
    """Delete what `install` has made: rules, connectors, views. A space stays, and so do copies of your own."""
    api = _connect(kibana_url, space)
    wanted = Wanted(_bundle(api), activate(read_rules()), possible_connectors(api.space))
    tell(uninstall_all(api, wanted, dry_run=dry_run), as_json=as_json, dry_run=dry_run)


def _connect(url: str | None, space: str | None) -> Kibana:
    return Kibana(KibanaSettings.load(url=url, space=space))


def _revealed(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret else None


def _bundle(api: Kibana) -> bytes:
    return for_space(SHIPPED.read_text(encoding="utf-8"), api.space or "default").encode()


def _rules(path: Path | None) -> tuple[ActiveRule, ...]:
    shipped = read_rules()
    active = activate(shipped, read_adjustments(path, shipped))
    if not active:
        raise ConfigError("All alert rules are switched off; use --no-rules.")
    return active
