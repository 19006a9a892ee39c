"""CPU that each instrumentation adds to a task, in pairs with plain Celery."""

from collections.abc import Iterable, Sequence
from functools import partial
from statistics import median

from figures import Figure, paired
from measuring import in_turn
from worker import peers
from worker.measure import FAIL, SUCCEED, Bench, Worker

_GOAL_SUCCEED = 0.6
_NAMES = {SUCCEED: "no-op task", FAIL: "failing task"}
_IDLE_RUNS = 2
Costs = dict[str, list[float]]
"""Microseconds of CPU a task of each run, by peer; the runs of one position were made in turn."""


def costs(bench: Bench, names: Sequence[str], pool: str, task: str, tasks: int, pairs: int, level: str) -> Costs:
    """Each peer drains the same number of tasks ``pairs`` times, in turn with all the others.

    What its worker uses for its end alone, the smaller of two runs without tasks, is taken off each run.
    """
    workers = [Worker(peer, pool, level) for peer in names]
    for peer in names:
        bench.backlog(peer, task, tasks)
    idle = in_turn([partial(bench.drain, worker, task, 0) for worker in workers], min(_IDLE_RUNS, pairs))
    runs = in_turn([partial(bench.drain, worker, task, tasks) for worker in workers], pairs)
    return {
        peer: [(run.cpu - min(end.cpu for end in ends)) / tasks * 1e6 for run in its_runs]
        for peer, ends, its_runs in zip(names, idle, runs, strict=True)
    }


def figures(costs: Costs, pool: str, task: str, remark: str = "") -> Iterable[Figure]:
    """Plain CPU a task, what each adds, and celeryscope's share of what the peers add."""
    where = f"{_NAMES[task]}, {pool}{remark}"
    plain = costs[peers.PLAIN]
    yield Figure(f"{where}: CPU, plain Celery", median(plain), "µs")
    added = {peer: paired(plain, its_costs) for peer, its_costs in costs.items() if peer != peers.PLAIN}
    for peer, value in added.items():
        yield Figure(f"{where}: CPU added by {peer}", value, "µs")
    ours = added.pop(peers.CELERYSCOPE, None)
    if ours is not None:
        yield from (_ratio(where, task, ours, peer, value) for peer, value in added.items())


def _ratio(where: str, task: str, ours: float, peer: str, theirs: float) -> Figure:
    # A peer that adds nothing measurable would make any ratio: the goal can't be said to hold then.
    ratio = ours / theirs if theirs > 0 else float("inf")
    goal = {SUCCEED: _GOAL_SUCCEED if peer == peers.OPENTELEMETRY else None, FAIL: 1.0}[task]
    return Figure(f"{where}: celeryscope / {peer}", ratio, "ratio", goal)
