"""Bytes that go to and from Redis for each task, from its publish to its acknowledgement."""

from collections.abc import Iterator

from figures import Figure
from worker import peers
from worker.measure import QUEUE, SUCCEED, Bench, Running, Worker

_GOAL = 400.0
_LOOK_EVERY = 0.25  # our own looking is traffic too: about 10 bytes a task's share of it, the same for all


def figures(bench: Bench, tasks: int) -> Iterator[Figure]:
    """What celeryscope adds, and what Celery's own events add when nobody listens to them."""
    plain = _bytes_a_task(bench, Worker(peers.PLAIN), tasks)
    yield Figure("broker traffic: plain Celery", plain, "bytes/task")
    ours = _bytes_a_task(bench, Worker(peers.CELERYSCOPE), tasks)
    yield Figure("broker traffic: added by celeryscope", ours - plain, "bytes/task", _GOAL)
    events = _bytes_a_task(bench, Worker(peers.PLAIN, environ={"BENCH_EVENTS": "1"}), tasks)
    yield Figure("broker traffic: added by Celery's events (-E, sent events too)", events - plain, "bytes/task")


def _bytes_a_task(bench: Bench, worker: Worker, tasks: int) -> float:
    begin = _bytes(bench)
    bench.publish(worker, SUCCEED, tasks, QUEUE)
    with Running(bench, worker) as running:
        bench.wait_until_drained(running, _LOOK_EVERY)
    return (_bytes(bench) - begin) / tasks


def _bytes(bench: Bench) -> int:
    stats = bench.redis.info("stats")
    return int(stats["total_net_input_bytes"]) + int(stats["total_net_output_bytes"])
