"""What Celery's pool says of itself: its kind, its size, its processes and what these have done."""

import os
from typing import Any


def kind(pool: Any) -> str:
    """``prefork``, ``solo``, ``thread``, ``gevent``, ``eventlet``, or the module of another pool."""
    return str(type(pool).__module__).rsplit(".", 1)[-1]


def size(pool: Any) -> int | None:
    """How many tasks the pool runs at once, now: the autoscaler moves it."""
    return getattr(pool, "num_processes", None) or getattr(pool, "limit", None)


def children(pool: Any) -> dict[int, int | None]:
    """The pool's processes by pid, with the tasks each has done; empty for pools that run in the worker's own process.

    Done is what billiard counts for itself, in a number that it shares with the child: results that the main process
    has read, of whatever outcome. None where billiard has no such number.
    """
    billiard_pool = getattr(pool, "_pool", None)
    workers = getattr(billiard_pool, "_pool", None)
    if not isinstance(workers, list):
        return {}
    counters = getattr(billiard_pool, "_on_ready_counters", {})
    # The main thread may take processes in and out while this one reads.
    pids = [worker.pid for worker in list(workers) if worker.pid and worker.pid != os.getpid()]
    return {pid: _count(counters.get(pid)) for pid in pids}


def _count(counter: Any) -> int | None:
    # Without the counter's lock, which a child shares that may be killed while it holds it; an int is read whole.
    return None if counter is None else int(counter.get_obj().value)
