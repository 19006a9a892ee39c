"""Memory of a prefork child: what it holds more than a plain one, and whether that grows.

Counted is private memory (``Private_Clean + Private_Dirty`` of ``smaps_rollup``): what one more child costs. Pages that
a child shares with the main process are the main process's.
"""

from collections.abc import Iterator
from pathlib import Path

import psutil

from figures import Figure
from worker import peers
from worker.measure import QUEUE, SUCCEED, Bench, Running, Worker

_STEPS = 10
_GOAL_OVER_PLAIN, _GOAL_GROWTH = 15.0, 1.0
_MIB = 1024 * 1024


def figures(bench: Bench, tasks: int) -> Iterator[Figure]:
    """A child of celeryscope over one of plain Celery after a fifth of the tasks; the curve over all of them."""
    step = tasks // _STEPS
    plain = _curve(bench, Worker(peers.PLAIN, concurrency=1), step, steps=2)
    ours = _curve(bench, Worker(peers.CELERYSCOPE, concurrency=1), step, _STEPS)
    over = ours[1][1] - plain[1][1]
    yield Figure("memory: a child over a plain one", over, "MiB", _GOAL_OVER_PLAIN)
    for number, (main, child) in enumerate(ours, start=1):
        yield Figure(f"memory: the child after {number * step:,} tasks", child, "MiB")
        if number in {2, _STEPS}:
            yield Figure(f"memory: the main process after {number * step:,} tasks", main, "MiB")
    growth = ours[-1][1] - ours[1][1]
    yield Figure(f"memory: the child's growth from {2 * step:,} to {tasks:,} tasks", growth, "MiB", _GOAL_GROWTH)


def _curve(bench: Bench, worker: Worker, step: int, steps: int) -> list[tuple[float, float]]:
    """Private MiB of (main process, child) after each step."""
    key = bench.backlog(worker.peer, SUCCEED, step)
    bench.redis.copy(key, "step")
    bench.redis.ltrim("step", 0, step - 1)
    curve = []
    with Running(bench, worker) as running:
        for _ in range(steps):
            bench.redis.copy("step", QUEUE)
            bench.wait_until_drained(running, look_every=0.2)
            main, *children = running.processes()
            curve.append((_private(main), sum(_private(child) for child in children)))
    bench.redis.delete("step")
    bench.sink.report()
    return curve


def _private(process: psutil.Process) -> float:
    lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Private_")) / _MIB
