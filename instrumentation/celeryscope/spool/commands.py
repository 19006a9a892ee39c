"""``celeryscope spool``: what is in a spool."""

from collections import Counter
from pathlib import Path
from typing import Any

import click
import orjson

from celeryscope.errors import NotFound
from celeryscope.settings import Settings
from celeryscope.spool import ledger
from celeryscope.spool.batch import Batch
from celeryscope.spool.folder import families, segments
from celeryscope.spool.format import MAX_PAYLOAD
from celeryscope.spool.process_reader import Position, ProcessReader


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
    folder = folder or Settings.load().spool_dir
    if not folder.is_dir():
        raise NotFound(f"There is no spool at {folder}; name it with --dir or CELERYSCOPE_SPOOL_DIR.")
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


def count(folder: Path) -> dict[str, Any]:
    """``{"families", "written", "shipped", "superseded", "pending", "dropped": {reason: n}}`` of a spool.

    Right also while the spool is in use.
    """
    total = ledger.past(folder)
    pending = 0
    found = families(folder)
    for family in found:
        saved = ledger.read_json(family / ledger.CHECKPOINT)
        total.add(ledger.Ledger.from_dict(saved))
        pending += _pending(family, saved, total.dropped)
    return {
        "families": len(found),
        "written": total.shipped + total.superseded + pending + total.dropped.total(),
        "shipped": total.shipped,
        "superseded": total.superseded,
        "pending": pending,
        "dropped": dict(total.dropped),
    }


def _pending(family: Path, saved: dict[str, Any], dropped: Counter[str]) -> int:
    waiting = 0
    for process, found in segments(family).items():
        if process not in saved.get("done", ()):
            batch = Batch()
            ProcessReader(Position(*saved.get("positions", {}).get(process, ()))).read(
                found, batch, MAX_PAYLOAD * 64, dropped
            )
            waiting += len(batch)
    return waiting
