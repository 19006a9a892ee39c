"""Memory of a prefork child: what it holds more than a plain one, and whether that grows.

Two measures. Private memory (``Private_Clean + Private_Dirty`` of ``smaps_rollup``) is what one more child costs. It
also grows in a child that allocates nothing: when Python looks through all objects for garbage it writes to pages that
were shared with the main process until then. Resident memory (``Rss``) counts shared pages too, so it grows only with
what the child has allocated: it tells a leak.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from figures import Figure
from worker import peers
from worker.measure import QUEUE, SUCCEED, Bench, Running, Worker

_STEPS = 10
_GOAL_OVER_PLAIN, _GOAL_GROWTH = 15.0, 1.0


@dataclass(frozen=True)
class _Memory:
    """MiB of one process."""

    private: float
    resident: float


def figures(bench: Bench, tasks: int) -> Iterator[Figure]:
    """A child of celeryscope over one of plain Celery after a fifth of the tasks; the curves over all of them."""
    step = tasks // _STEPS
    plain = _curve(bench, Worker(peers.PLAIN, concurrency=1), step)
    ours = _curve(bench, Worker(peers.CELERYSCOPE, concurrency=1), step)
    over = ours[1][1].private - plain[1][1].private
    yield Figure("memory: a child over a plain one, private", over, "MiB", _GOAL_OVER_PLAIN)
    for name, curve in (("celeryscope", ours), ("plain", plain)):
        for number, (_, child) in enumerate(curve, start=1):
            where = f"memory: {name}, the child after {number * step:,} tasks"
            yield Figure(f"{where}, private", child.private, "MiB")
            yield Figure(f"{where}, resident", child.resident, "MiB")
        yield Figure(f"memory: {name}, the main process at the end, resident", curve[-1][0].resident, "MiB")
    growth = ours[-1][1].resident - ours[1][1].resident
    name = f"memory: the child's growth from {2 * step:,} to {tasks:,} tasks, resident"
    yield Figure(name, growth, "MiB", _GOAL_GROWTH)


def _curve(bench: Bench, worker: Worker, step: int) -> list[tuple[_Memory, _Memory]]:
    """Of (main process, child) after each step."""
    key = bench.backlog(worker.peer, SUCCEED, step)
    bench.redis.copy(key, "step")
    bench.redis.ltrim("step", 0, step - 1)
    curve = []
    with Running(bench, worker) as running:
        for _ in range(_STEPS):
            bench.redis.copy("step", QUEUE)
            bench.wait_until_drained(running, look_every=0.2)
            main, child = running.processes()
            curve.append((_memory(main), _memory(child)))
    bench.redis.delete("step")
    bench.sink.report()
    return curve


def _memory(process: psutil.Process) -> _Memory:
    lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()
    kib = {words[0]: int(words[1]) for words in map(str.split, lines) if words[-1] == "kB"}
    return _Memory((kib["Private_Clean:"] + kib["Private_Dirty:"]) / 1024, kib["Rss:"] / 1024)
