"""Time of ``apply_async`` on a real Redis: two processes, one plain and one instrumented, publish in turn in batches.

``python -m worker.apply_async`` is such a process: for each number on its standard input it calls ``apply_async`` that
often and prints the calls' nanoseconds as a JSON list.
"""

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from statistics import median, quantiles

from worker import peers
from worker.figures import Figure
from worker.measure import Bench, Worker

_BATCH = 250
_WARM_UP = 500
_QUEUE = "called"
_GOAL_MEDIAN, _GOAL_P99 = 60.0, 1000.0


def figures(bench: Bench, names: Sequence[str], calls: int) -> Iterator[Figure]:
    """Microseconds added to the median and to the 99th percentile."""
    publishers = {peer: _Publisher(bench, peer) for peer in names}
    times: dict[str, list[float]] = {peer: [] for peer in names}
    for publisher in publishers.values():
        publisher.call(_WARM_UP)
    for _ in range(max(calls // _BATCH, 1)):
        for peer, publisher in publishers.items():
            times[peer] += publisher.call(_BATCH)
            bench.redis.delete(_QUEUE)
    for publisher in publishers.values():
        publisher.end()
    plain = times.pop(peers.PLAIN)
    yield Figure("apply_async, plain Celery: median", median(plain), "µs")
    yield Figure("apply_async, plain Celery: p99", _p99(plain), "µs")
    for peer, its in times.items():
        goals = (_GOAL_MEDIAN, _GOAL_P99) if peer == peers.CELERYSCOPE else (None, None)
        yield Figure(f"apply_async, added by {peer}: median", median(its) - median(plain), "µs", goals[0])
        yield Figure(f"apply_async, added by {peer}: p99", _p99(its) - _p99(plain), "µs", goals[1])


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

    def call(self, times: int) -> list[float]:
        """Microseconds of each call."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{times}\n")
        self._process.stdin.flush()
        return [taken / 1000 for taken in json.loads(self._process.stdout.readline())]

    def end(self) -> None:
        self._process.communicate()


def _main() -> None:
    from worker.app import succeed

    for line in sys.stdin:
        taken = []
        for _ in range(int(line)):
            begin = time.perf_counter_ns()
            succeed.apply_async(queue=_QUEUE)
            taken.append(time.perf_counter_ns() - begin)
        print(json.dumps(taken), flush=True)


if __name__ == "__main__":
    _main()
