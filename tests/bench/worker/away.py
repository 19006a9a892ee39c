"""The collector is away for a worker's whole life: the same throughput, and all is delivered later."""

import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from statistics import median

from celeryscope.spool.counting import count
from figures import Figure
from measuring import MeasurementFailed, in_turn
from servers.process import free_port
from worker import peers
from worker.measure import (
    QUEUE,
    SUCCEED,
    WARM_UP,
    Bench,
    Drained,
    Running,
    Worker,
    expected,
)
from worker.sink import Sink

_GOAL_THROUGHPUT = 0.95
_LATER = 120.0


def figures(bench: Bench, tasks: int, pairs: int) -> Iterator[Figure]:
    """Throughput with a port that refuses connections to that with the sink; then what a later worker delivers."""
    port = free_port()
    away = Worker(peers.CELERYSCOPE, environ={"CELERYSCOPE_ENDPOINT": f"http://127.0.0.1:{port}"})
    folders: list[Path] = []

    def drain_away() -> Drained:
        folder = bench.new_folder("away")
        folders.append(folder)
        return bench.drain(away, SUCCEED, tasks, folder)

    present = partial(bench.drain, Worker(peers.CELERYSCOPE), SUCCEED, tasks)
    with_it, without = in_turn([present, drain_away], pairs)
    ratio = median(a.seconds / b.seconds for a, b in zip(with_it, without, strict=True))
    yield Figure("collector away: throughput / throughput with it", ratio, "ratio", _GOAL_THROUGHPUT, at_least=True)
    with Sink(port) as sink:
        missing = _missing(bench, away, folders[0], sink, tasks + WARM_UP)
    of = len(expected(away.peer, SUCCEED)) * (tasks + WARM_UP)
    yield Figure(f"collector away: spans and final events missing later, of {of:,}", missing, "records", 0.0)


def _missing(bench: Bench, worker: Worker, folder: Path, sink: Sink, tasks: int) -> int:
    """Start a worker on the spool that was left, until it is empty; how many of the tasks' records never came."""
    if not count(folder / "spool")["pending"]:
        raise MeasurementFailed(f"Nothing waits in {folder / 'spool'} although the collector was away.")
    bench.redis.delete(QUEUE)
    deadline = time.monotonic() + _LATER
    with Running(bench, worker, folder) as running:
        while count(folder / "spool")["pending"] and running.is_alive and time.monotonic() < deadline:
            time.sleep(0.5)
    counts = sink.report()["counts"]
    return sum(max(tasks - counts.get(kind, 0), 0) for kind in expected(worker.peer, SUCCEED))
