"""One worker drains a queue that was full before: CPU of its whole process tree, and seconds.

The messages are published once for each peer, by a process with the same instrumentation, and copied for each run, so
every run of a peer does the same work. A run is:

1. The worker starts on a queue with a few messages, which warm it up: connections, lazy imports, first spans.
2. When these are done, the CPU its processes have used so far is read (``CPU_BEGIN``), and the backlog is renamed to be
   the worker's queue, in one step. The publisher is long gone by then.
3. When the queue and the list of unacknowledged messages are empty, the worker gets SIGTERM, finishes, flushes its
   telemetry and ends. CPU of all its processes until their end (``CPU_END``), by ``wait4`` in their reaper (``tree``).

``CPU_END - CPU_BEGIN`` has no start-up in it, and all that happens in the background and at the end: batches on their
way, the shipper, the flush. What the same worker uses for its end without any task between is taken off again (see
``cost``), so the figure doesn't depend on the number of tasks. CPU times are the kernel's, of whole processes.
"""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import psutil
from redis import Redis

from measuring import MeasurementFailed, cpu_now
from worker import peers
from worker.sink import Sink

QUEUE = "work"
SUCCEED, FAIL = "succeed", "fail"
WARM_UP = 200
_PACKAGE = Path(__file__).parents[1]


@dataclass(frozen=True)
class Worker:
    """Which worker: instrumentation, pool and log level."""

    peer: str
    pool: str = "prefork"
    level: str = "WARNING"
    concurrency: int = 2
    environ: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Drained:
    """CPU in seconds of the process tree and wall-clock seconds for ``tasks`` tasks; what the sink got meanwhile."""

    tasks: int
    cpu: float
    seconds: float
    report: dict[str, Any]


class Bench:
    """A Redis, a sink and a folder; makes backlogs and drains them."""

    def __init__(self, redis_url: str, sink: Sink, folder: Path) -> None:
        self.redis: Redis = Redis.from_url(redis_url)
        self.sink = sink
        self.folder = folder
        self._url = redis_url
        self._runs = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.redis.close()

    def environ(self, worker: Worker, folder: Path, pool: str | None) -> dict[str, str]:
        """Of a process with the worker's instrumentation; ``pool`` None: a publisher."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("CELERYSCOPE_", "OTEL_"))}
        return clean | {
            "PYTHONPATH": os.pathsep.join(filter(None, [str(_PACKAGE), os.environ.get("PYTHONPATH")])),
            # The order of sets and dicts is each process's own otherwise, and so is its speed.
            "PYTHONHASHSEED": "0",
            "BENCH_REDIS": self._url,
            "BENCH_QUEUE": QUEUE,
            "BENCH_PEER": worker.peer,
            "BENCH_POOL": pool or "",
            "BENCH_SINK": self.sink.url,
            "CELERYSCOPE_ENDPOINT": self.sink.url,
            "CELERYSCOPE_SPOOL_DIR": str(folder / "spool"),
            **worker.environ,
        }

    def backlog(self, peer: str, task: str, tasks: int) -> str:
        """The key of a list of at least ``tasks`` messages (and those to warm up), published at the first call."""
        key = f"stock.{peer}.{task}"
        missing = tasks + WARM_UP - int(self.redis.llen(key))
        if missing > 0:
            self.publish(Worker(peer), task, missing, key)
        return key

    def publish(self, worker: Worker, task: str, tasks: int, key: str) -> None:
        """Publish messages into the queue ``key`` from a process with the worker's instrumentation."""
        folder = self.new_folder("publisher")
        command = [sys.executable, "-m", "worker.publish", task, str(tasks), key]
        log = folder / "publisher.log"
        with log.open("ab") as output:
            environ = self.environ(worker, folder, pool=None)
            done = subprocess.run(command, env=environ, cwd=folder, stdout=output, stderr=output, check=False)
        if done.returncode:
            raise MeasurementFailed(f"The publisher failed; see {log}.")

    def drain(self, worker: Worker, task: str, tasks: int, away: Path | None = None) -> Drained:
        """Run a worker over ``tasks`` messages (0: it warms up and ends).

        ``away``: the worker's folder, when its collector is away. Raises MeasurementFailed when it didn't do all the
        tasks, or didn't deliver them although the collector is there.
        """
        key = self.backlog(worker.peer, task, tasks)
        messages = self.redis.lrange(key, 0, tasks + WARM_UP - 1)
        self.redis.delete(QUEUE, "backlog")
        self.redis.rpush(QUEUE, *messages[:WARM_UP])
        if tasks:
            self.redis.rpush("backlog", *messages[WARM_UP:])
        self.sink.report()
        with Running(self, worker, away) as running:
            self.wait_until_drained(running)
            begin = running.cpu()
            since = time.monotonic()
            if tasks:
                self.redis.rename("backlog", QUEUE)
            seconds = self.wait_until_drained(running) - since
        drained = Drained(tasks, running.ended_cpu - begin, seconds, self.sink.report())
        if away is None:
            check_delivery(worker, task, tasks + WARM_UP, drained.report, running.log)
        return drained

    def wait_until_drained(self, running: "Running", look_every: float = 0.02) -> float:
        """Returns the monotonic time at which every message was acknowledged."""
        empty_since: float | None = None
        while empty_since is None or time.monotonic() - empty_since < 0.5:
            if not running.is_alive:
                raise MeasurementFailed(f"The worker ended; see {running.log}.")
            if self.redis.llen(QUEUE) or self.redis.hlen("unacked"):
                empty_since = None
            elif empty_since is None:
                empty_since = time.monotonic()
            time.sleep(look_every)
        return empty_since

    def new_folder(self, name: str) -> Path:
        """A folder that no other run has."""
        self._runs += 1
        folder = self.folder / f"{self._runs:04d}-{name}"
        folder.mkdir(parents=True)
        return folder


class Running:
    """A worker under ``tree``, from its start to its end with SIGTERM."""

    def __init__(self, bench: Bench, worker: Worker, folder: Path | None = None) -> None:
        """``folder``: where its log and its spool are, if not a new one."""
        self.folder = folder or bench.new_folder(worker.peer)
        self.log = self.folder / "worker.log"
        self._out = self.folder / "cpu.json"
        command = [sys.executable, "-m", "worker.tree", str(self._out), sys.executable, "-m", "celery"]
        command += ["-A", "worker.app", "worker", "-P", worker.pool, "-c", str(worker.concurrency), "-l", worker.level]
        command += ["--without-mingle"]  # it waits a second for other workers
        environ = bench.environ(worker, self.folder, worker.pool)
        with self.log.open("ab") as log:
            self._tree = subprocess.Popen(command, env=environ, cwd=self.folder, stdout=log, stderr=log)
        self.ended_cpu = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        if raised[0] is None:
            self._end()
        elif self.is_alive:
            for process in psutil.Process(self._tree.pid).children(recursive=True):
                process.kill()
            self._tree.wait()

    @property
    def is_alive(self) -> bool:
        """Whether any process of it is left."""
        return self._tree.poll() is None

    def processes(self) -> list[psutil.Process]:
        """The worker's main process first."""
        main = self._main()
        return [main, *main.children(recursive=True)]

    def cpu(self) -> float:
        """Seconds used so far by the processes that run, and by those they have waited for."""
        return sum(cpu_now(process.pid) + sum(process.cpu_times()[2:4]) for process in self.processes())

    def _main(self) -> psutil.Process:
        return psutil.Process(int(self._out.with_suffix(".pid").read_text()))

    def _end(self) -> None:
        self._tree.send_signal(signal.SIGTERM)
        try:
            self._tree.wait(180)
        except subprocess.TimeoutExpired as error:
            raise MeasurementFailed(f"The worker didn't end; see {self.log}.") from error
        ended = json.loads(self._out.read_text())
        if ended["status"] != 0:
            raise MeasurementFailed(f"The worker failed with wait status {ended['status']}; see {self.log}.")
        self.ended_cpu = ended["cpu"]


def check_delivery(worker: Worker, task: str, tasks: int, report: dict[str, Any], log: Path | None = None) -> None:
    """Raises MeasurementFailed unless the sink got all that each task should bring: who sends nothing costs nothing."""
    for kind in expected(worker.peer, task):
        found = report["counts"].get(kind, 0)
        if found < tasks:
            raise MeasurementFailed(f"{worker.peer} delivered {found} {kind} of {tasks} tasks ({report}); see {log}.")


def expected(peer: str, task: str) -> tuple[str, ...]:
    """The kinds of records, as the sink counts them, of which each task brings at least one."""
    if peer == peers.PLAIN:
        return ()
    if peer == peers.CELERYSCOPE:
        # A start is sent only while its end isn't known yet.
        return ("task spans", {SUCCEED: "celery.task.succeeded", FAIL: "celery.task.failed"}[task])
    of_failures = {peers.OPENTELEMETRY: (), peers.OPENTELEMETRY_LOGS: ("logs",)}.get(peer, ("errors",))
    return ("task spans", *(of_failures if task == FAIL else ()))
