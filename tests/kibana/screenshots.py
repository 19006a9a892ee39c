"""Draws the Vega views and a report from the data of a real demo run, for docs/images: `make screenshots`.

Starts the whole demo, lets its shop work, asks the real Elasticsearch what the views ask, draws with the Vega that
Kibana carries in headless Chromium, and stops everything.
"""

import shutil
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
from elasticsearch import Elasticsearch
from playwright.sync_api import Page

from celeryscope import semconv
from celeryscope_kibana.report.context import Context
from celeryscope_kibana.report.gathering import Selection, gather
from celeryscope_kibana.report.page import page_of
from celeryscope_kibana.report.store import Store
from celeryscope_kibana.vega.clusters import cluster_table
from celeryscope_kibana.vega.source import Spec
from celeryscope_kibana.vega.timeline import timeline
from demo.stack import Stack
from kibana import workflows
from shop.expected import Expected
from support.browser import headless_chromium
from support.kibana import VegaPanel, answered, answered_with, vega_modules

_WIDTH = 1200
_SINCE = timedelta(minutes=20)
_REPORTED = "a chain that stops"
_MOST_BYTES = 150_000


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
def main(folder: Path) -> None:
    """Write the pictures into FOLDER."""
    folder.mkdir(parents=True, exist_ok=True)
    home = Path(tempfile.mkdtemp(prefix="celeryscope-screenshots-"))
    stack = Stack(home)
    try:
        stack.start()
        expected = stack.publish()
        stack.wait_for(expected)
        with Elasticsearch(stack.elasticsearch.url, request_timeout=60) as client, headless_chromium() as chromium:
            draw_all(client, VegaPanel(chromium.new_page(), vega_modules()), expected, folder)
            report = home / "report.html"
            write_report(Store(client, stack.tenant), expected, report)
            draw_report(chromium.new_page(), report, folder / "report.png")
    finally:
        stack.stop()
        shutil.rmtree(home, ignore_errors=True)


def draw_all(client: Elasticsearch, panel: VegaPanel, expected: list[Expected], folder: Path) -> None:
    """All pictures: five of the demo's data, one of a workflow larger than the demo has."""

    def context(*scenario: str) -> Context:
        now = datetime.now(UTC)
        roots = [item.root_id for item in expected if item.scenario in scenario][:1]
        filters: list[Spec] = [{"match_phrase": {semconv.ROOT_ID: root}} for root in roots]
        return Context(now - _SINCE, now, tuple(filters))

    draw(panel, answered(timeline(), client, context()), 470, folder / "workflows.png")
    draw(panel, answered(cluster_table(), client, context()), 410, folder / "failure-clusters.png")
    for scenario, name, height in (
        ("a chain that stops", "chain", 210),
        ("a group with a chord", "chord", 350),
        ("retries used up", "retries", 210),
    ):
        spec = answered(timeline(), client, context(scenario))
        draw(panel, spec, height, folder / f"workflow-{name}.png")
    many = workflows.large(455)
    draw(panel, answered_with(timeline(), many.documents), 480, folder / "workflow-500-attempts.png")


def write_report(store: Store, expected: list[Expected], path: Path) -> None:
    """What `celeryscope report` writes of the last minutes, open at a workflow of the shop."""
    now = datetime.now(UTC)
    since = now - _SINCE
    root = next(item.root_id for item in expected if item.scenario == _REPORTED)
    path.write_text(page_of(gather(store, Selection(since, now, root)), store.tenant, since, now), "utf-8")


def draw_report(page: Page, report: Path, path: Path) -> None:
    """The page as one sees it after a click on the attempt that failed."""
    page.set_viewport_size({"width": _WIDTH, "height": 640})
    page.goto(report.as_uri())
    page.locator("#timeline .runs path").last.click(force=True)
    page.wait_for_selector("#attempt:visible")
    kept(page, path)


def draw(panel: VegaPanel, spec: Spec, height: int, path: Path) -> None:
    """One picture; raises ClickException when it has become too large for the repository."""
    kept(panel.show(spec, _WIDTH, height), path)


def kept(page: Page, path: Path) -> None:
    """The picture of what a page shows, likewise."""
    page.screenshot(path=path)
    if path.stat().st_size > _MOST_BYTES:
        raise click.ClickException(f"{path} has {path.stat().st_size} bytes, more than {_MOST_BYTES}")
    click.echo(f"{path}  {path.stat().st_size / 1000:.0f} KB")


if __name__ == "__main__":
    main()
