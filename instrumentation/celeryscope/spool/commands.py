"""``celeryscope spool``: what is in a spool."""

from pathlib import Path

import click
import orjson

from celeryscope.spool.counting import count
from celeryscope.spool.inspect_command import existing, inspect


@click.group()
def spool() -> None:
    """Look into the spool: telemetry on local disk that the collector does not have yet."""


@spool.command()
@click.option("--dir", "folder", type=click.Path(path_type=Path), help="The spool [default: CELERYSCOPE_SPOOL_DIR].")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def status(folder: Path | None, as_json: bool) -> None:
    """Count the records written, shipped, waiting, and dropped by reason.

    written = shipped + superseded + pending + dropped, over all process families that ever used the spool. Superseded
    states were not sent because the attempt's end, sent instead, says them again.
    """
    folder = existing(folder)
    counts = count(folder)
    if as_json:
        click.echo(orjson.dumps(counts, option=orjson.OPT_INDENT_2).decode())
        return
    click.echo(f"spool      {folder}")
    click.echo(f"families   {counts['families']}")
    for name in ("written", "shipped", "superseded", "pending"):
        click.echo(f"{name:<10} {counts[name]}")
    for reason, dropped in counts["dropped"].items():
        click.echo(f"dropped    {dropped} ({reason})")


spool.add_command(inspect)
