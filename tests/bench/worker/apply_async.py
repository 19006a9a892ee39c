"""Time of ``apply_async`` on a real Redis: two processes, one plain and one instrumented, publish in turn in batches.

``python -m worker.apply_async`` is such a process: for each number on its standard input it calls ``apply_async`` that
often and prints a JSON list of ``[nanoseconds, nanoseconds of the calling thread's CPU]``.
"""

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from statistics import median, quantiles

from figures import Figure
from worker import peers
from worker.measure import Bench, Worker

_BATCH = 250
_WARM_UP = 500
_QUEUE = "called"
_GOAL_MEDIAN, _GOAL_P99 = 60.0, 1000.0


def figures(bench: Bench, names: Sequence[str], calls: int) -> Iterator[Figure]:
    """Microseconds added to the median and to the 99th percentile."""
    publishers = {peer: _Publisher(bench, peer) for peer in names}
    times: dict[str, list[tuple[float, float]]] = {peer: [] for peer in names}
    for publisher in publishers.values():
        publisher.call(_WARM_UP)
    for _ in range(max(calls // _BATCH, 1)):
        for peer, publisher in publishers.items():
            times[peer] += publisher.call(_BATCH)
            bench.redis.delete(_QUEUE)
    for publisher in publishers.values():
        publisher.end()
    walls, cpus = ({peer: [call[part] for call in its] for peer, its in times.items()} for part in (0, 1))
    yield Figure("apply_async, plain Celery: median", median(walls[peers.PLAIN]), "µs")
    yield Figure("apply_async, plain Celery: p99", _p99(walls[peers.PLAIN]), "µs")
    for peer in names:
        if peer == peers.PLAIN:
            continue
        goals = (_GOAL_MEDIAN, _GOAL_P99) if peer == peers.CELERYSCOPE else (None, None)
        name = f"apply_async, added by {peer}"
        yield Figure(f"{name}: median", median(walls[peer]) - median(walls[peers.PLAIN]), "µs", goals[0])
        yield Figure(f"{name}: p99", _p99(walls[peer]) - _p99(walls[peers.PLAIN]), "µs", goals[1])
        yield Figure(f"{name}: median CPU of the thread", median(cpus[peer]) - median(cpus[peers.PLAIN]), "µs")


def _p99(times: Sequence[float]) -> float:
    return quantiles(times, n=100)[98]


class _Publisher:
    def __init__(self, bench: Bench, peer: str) -> None:
        folder = bench.new_folder("calls")
        environ = bench.environ(Worker(peer), folder, pool=None)
        command = [sys.executable, "-m", "worker.apply_async"]
        self._process = subprocess.Popen(
            command, env=environ, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def call(self, times: int) -> list[tuple[float, float]]:
        """Microseconds of each call, and of its thread's CPU."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{times}\n")
        self._process.stdin.flush()
        return [(wall / 1000, cpu / 1000) for wall, cpu in json.loads(self._process.stdout.readline())]

    def end(self) -> None:
        self._process.communicate()


def _main() -> None:
    from worker.app import succeed

    for line in sys.stdin:
        taken = []
        for _ in range(int(line)):
            wall, cpu = time.perf_counter_ns(), time.thread_time_ns()
            succeed.apply_async(queue=_QUEUE)
            taken.append((time.perf_counter_ns() - wall, time.thread_time_ns() - cpu))
        print(json.dumps(taken), flush=True)


if __name__ == "__main__":
    _main()
