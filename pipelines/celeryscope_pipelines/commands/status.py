"""``celeryscope status``: everything at once."""

from datetime import UTC, datetime

import click
from rich.text import Text

from celeryscope.errors import NotFound
from celeryscope.service.options import json_option, since_option
from celeryscope.service.terminal import Terminal, show_json
from celeryscope_pipelines import measurements
from celeryscope_pipelines.views import pipeline as pipeline_view
from celeryscope_pipelines.views import status as view
from celeryscope_pipelines.views.ask_pipeline import ask_pipeline
from celeryscope_pipelines.views.fetch import Store
from celeryscope_pipelines.views.options import store_options
from celeryscope_pipelines.views.wording import Clock


@click.command()
@since_option("24h")
@json_option
@click.option(
    "--record",
    is_flag=True,
    help="Store what is said of the pipeline, for Kibana's health view; once a minute is enough.",
)
@store_options
def status(store: Store, since: datetime, as_json: bool, record: bool) -> None:
    """States of all attempts, workers, recent failures, and whether data arrives: lag, ages, rates, drops by reason.

    Failures of tasks do not change the exit code; it tells whether the question could be answered.

    \b
    Examples:
      celeryscope status
      celeryscope status --since 1h --json
      celeryscope status --record          (from cron, each minute)
    """
    now = datetime.now(UTC)
    found = store.status(since, now)
    if found.empty and not record:
        raise NotFound(
            f"There is no data of celeryscope for the tenant {store.tenant!r}. Was `celeryscope setup` run, "
            "is the indexer running, and do workers send to the collector?"
        )
    pipeline = ask_pipeline(store, since, now)
    if record:
        measured = measurements.measured_of(pipeline, now)
        store.record(measurements.documents_of(measured, store.tenant, now))
    if as_json:
        show_json(view.as_dict(found, now) | {"pipeline": pipeline_view.as_dict(pipeline, now)})
    else:
        terminal, clock = Terminal(), Clock(now)
        parts = view.render(found, clock, terminal.ascii_only)
        terminal.show(*parts, Text(), *pipeline_view.render(pipeline, clock))
