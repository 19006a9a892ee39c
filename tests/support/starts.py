"""A task's start, as a worker's process writes it down."""

from typing import Any

from celeryscope.spool.state import Start


def a_start(**more: Any) -> Start:
    """The start of ``shop.pay``; ``more``: fields that are to be others."""
    start = Start(
        time_ns=5000,
        name="shop.pay",
        delivery="ff",
        worker="celery@host",
        system="redis",
        clock=7,
        uid="u",
        request={"id": "7", "retries": 0},
        trace_id="1f",
        span_id="03",
        parent_id="02",
    )
    start.update(more)  # type: ignore[typeddict-item]
    return start
