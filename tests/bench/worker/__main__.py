"""The command line: ``python -m worker --help``; ``make bench-worker`` measures everything."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import session
from figures import Figure
from options import list_of
from servers import Redis
from worker import apply_async, away, cost, memory, peers, traffic
from worker.measure import FAIL, SUCCEED, Bench
from worker.sink import Sink

_OUTPUT = Path(__file__).parents[3] / "build" / "bench" / "worker.json"
PARTS = ("succeed", "fail", "lines", "traffic", "calls", "memory", "away")


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when all was measured, whether the goals hold or not; 1 when something could not be."""
    options = _options(arguments)

    @contextmanager
    def measuring(folder: Path) -> Iterator[Iterator[Figure]]:
        with Redis(folder / "redis") as redis, Sink() as sink, Bench(redis.url, sink, folder) as bench:
            yield _measure(bench, options)

    return session.run("worker", options.output, measuring)


def _measure(bench: Bench, options: argparse.Namespace) -> Iterator[Figure]:
    names = [name for name in peers.ALL if name == peers.PLAIN or name in options.peers]
    yield from _costs(bench, names, options)
    if "traffic" in options.only:
        yield from traffic.figures(bench, options.tasks)
    if "calls" in options.only:
        yield from apply_async.figures(bench, names, options.calls)
    if "memory" in options.only:
        yield from memory.figures(bench, options.memory_tasks)
    if "away" in options.only:
        yield from away.figures(bench, 2 * options.tasks, options.pairs)


def _costs(bench: Bench, names: list[str], options: argparse.Namespace) -> Iterator[Figure]:
    for pool in options.pools:
        for task, tasks in ((SUCCEED, options.tasks), (FAIL, max(options.tasks // 3, 1))):
            if task in options.only:
                costs = cost.costs(bench, names, pool, task, tasks, options.pairs, "WARNING")
                yield from cost.figures(costs, pool, task)
    if "lines" in options.only:
        names = [name for name in names if name in {peers.PLAIN, peers.CELERYSCOPE, peers.OPENTELEMETRY_LOGS}]
        costs = cost.costs(bench, names, "prefork", SUCCEED, options.tasks, options.pairs, "INFO")
        yield from cost.figures(costs, "prefork", SUCCEED, ", with log lines (-l INFO)")


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m worker", description=__doc__)
    parser.add_argument("--pairs", type=int, default=5, help="runs of each kind [5]")
    parser.add_argument("--tasks", type=int, default=2400, help="no-op tasks a run; of failing ones a third [2400]")
    parser.add_argument("--calls", type=int, default=5000, help="calls of apply_async of each kind [5000]")
    parser.add_argument("--memory-tasks", type=int, default=100_000, help="tasks of the memory's curve [100000]")
    parser.add_argument("--peers", type=list_of(peers.ALL), default=list(peers.ALL), help=", ".join(peers.ALL))
    parser.add_argument("--pools", type=list_of(("prefork", "solo")), default=["prefork", "solo"], help="prefork, solo")
    parser.add_argument("--only", type=list_of(PARTS), default=list(PARTS), help=", ".join(PARTS))
    parser.add_argument("--quick", action="store_true", help="fewer and shorter runs: for development")
    parser.add_argument("--output", type=Path, default=_OUTPUT, help="the figures' file")
    options = parser.parse_args(arguments)
    if options.quick:
        options.pairs, options.tasks, options.calls, options.memory_tasks = 3, 1000, 1000, 10_000
    return options


if __name__ == "__main__":
    sys.exit(main())
