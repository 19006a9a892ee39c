"""``celeryscope report``: timelines and failure clusters as a page."""

import sys
import webbrowser
from datetime import UTC, datetime
from pathlib import Path

import click
from elasticsearch import Elasticsearch

from celeryscope.errors import ConfigError
from celeryscope.service.options import connection_options, since_option
from celeryscope_kibana.report.gathering import Report, Selection, gather
from celeryscope_kibana.report.page import page_of
from celeryscope_kibana.report.store import Store


@click.command()
@click.option("--workflow", metavar="ROOT_ID", help="Open at this workflow, of whatever time; any task's id will do.")
@click.option("--failure", metavar="FINGERPRINT", help="Open at this failure cluster; the first characters are enough.")
@since_option("24h")
@click.option(
    "--output",
    type=click.Path(dir_okay=False, allow_dash=True, path_type=str),
    help="File to write, - for the standard output.  [default: celeryscope-report-<date>-<time>.html]",
)
@click.option("--open", "open_it", is_flag=True, help="Show the page in the browser.")
@connection_options
def report(
    client: Elasticsearch,
    tenant: str,
    workflow: str | None,
    failure: str | None,
    since: datetime,
    output: str | None,
    open_it: bool,
) -> None:
    """Timelines of workflows and failure clusters as one HTML page, for people without Kibana.

    The page holds the workflows that failed, ran long or waited long, and the failure clusters. It needs no server and
    no network: it can be mailed, kept with an incident, and printed.

    \b
    Examples:
      celeryscope report
      celeryscope report --since 7d --output week.html
      celeryscope report --workflow 0a11da7e-6c5e-4d0b-9d0a-9a3f0f4f2a11 --open
      celeryscope report --failure 3f9a21c4
    """
    now = datetime.now(UTC)
    found = gather(Store(client, tenant), Selection(since, now, workflow, failure))
    content = page_of(found, tenant, since, now)
    if output == "-":
        sys.stdout.buffer.write(content.encode())
        return
    path = Path(output or f"celeryscope-report-{now.astimezone():%Y%m%d-%H%M%S}.html")
    _write(path, content)
    click.echo(f"{path}: {_summary(found)}, {len(content.encode()) / 1e6:.1f} MB.")
    if open_it:
        webbrowser.open(path.absolute().as_uri())


def _write(path: Path, content: str) -> None:
    try:
        path.write_text(content, "utf-8")
    except OSError as error:
        raise ConfigError(f"{path} can't be written ({error.strerror}). Name another file with --output.") from error


def _summary(found: Report) -> str:
    text = f"{len(found.workflows)} workflows of {found.workflows_in_range}, {len(found.failures)} failure clusters"
    return f"{text}, {len(found.left_out)} timelines left out for their size" if found.left_out else text
