"""CPU that each instrumentation adds to a task, in pairs with plain Celery."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from statistics import median

from worker import peers
from worker.figures import Figure, paired
from worker.measure import FAIL, SUCCEED, Bench, Drained, Worker, in_turn

_GOAL_SUCCEED = 0.6
_NAMES = {SUCCEED: "no-op task", FAIL: "failing task"}
Drains = dict[str, list[Drained]]


def drains(bench: Bench, names: Sequence[str], pool: str, task: str, tasks: int, pairs: int, level: str) -> Drains:
    """Each peer drains the same number of tasks ``pairs`` times, in turn with all the others."""
    workers = [Worker(peer, pool, level) for peer in names]
    for peer in names:
        bench.backlog(peer, task, tasks)
    kinds: list[Callable[[], Drained]] = [partial(bench.drain, worker, task, tasks) for worker in workers]
    return dict(zip(names, in_turn(kinds, pairs), strict=True))


def figures(drained: Drains, pool: str, task: str, remark: str = "") -> Iterable[Figure]:
    """Plain CPU a task, what each adds, and celeryscope's share of what the peers add."""
    where = f"{_NAMES[task]}, {pool}{remark}"
    plain = [run.cpu_a_task for run in drained[peers.PLAIN]]
    yield Figure(f"{where}: CPU, plain Celery", median(plain), "µs")
    added = {
        peer: paired(plain, [run.cpu_a_task for run in runs]) for peer, runs in drained.items() if peer != peers.PLAIN
    }
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
