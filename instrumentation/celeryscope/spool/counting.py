"""Counts the records of a spool: written, shipped, waiting, and dropped by reason."""

from collections import Counter
from pathlib import Path
from typing import Any

from celeryscope.spool import ledger
from celeryscope.spool.batch import Batch
from celeryscope.spool.folder import families, segments
from celeryscope.spool.format import MAX_PAYLOAD
from celeryscope.spool.process_reader import Position, ProcessReader, position_before


def count(folder: Path) -> dict[str, Any]:
    """``{"families", "written", "shipped", "superseded", "pending", "dropped": {reason: n}}`` of a spool.

    Right also while the spool is in use.
    """
    total = ledger.past(folder)
    waiting = 0
    found = families(folder)
    for family in found:
        saved = ledger.read_json(family / ledger.CHECKPOINT)
        total.add(ledger.Ledger.from_dict(saved))
        waiting += pending(family, saved, total.dropped)
    return {
        "families": len(found),
        "written": total.shipped + total.superseded + waiting + total.dropped.total(),
        "shipped": total.shipped,
        "superseded": total.superseded,
        "pending": waiting,
        "dropped": dict(total.dropped),
    }


def pending(family: Path, saved: dict[str, Any], dropped: Counter[str]) -> int:
    """How many records of a family wait; what is missing among them is added to ``dropped``."""
    waiting = 0
    for process, found in segments(family).items():
        if process not in saved.get("done", ()):
            batch = Batch()
            at = saved.get("positions", {}).get(process)
            position = Position(*at) if at else position_before(found)
            ProcessReader(position).read(found, batch, MAX_PAYLOAD * 64, dropped)
            waiting += len(batch)
    return waiting
