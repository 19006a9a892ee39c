"""Memory of the indexer: along a load, and with Elasticsearch away.

Resident memory (RSS) of the process. Along the load, it is compared after a fifth of it and at its end. With
Elasticsearch away Kafka holds more than the indexer may have in flight, and it is looked at until it reads no more.
"""

import time
from collections.abc import Iterator

import psutil

from figures import Figure
from pipeline import indexer
from pipeline.bench import Bench
from pipeline.mix import mix
from pipeline.target import Target, wait_for
from support.commands import IndexerProcess

_RUNS, _QUICK_RUNS = 15, 4
_MEGABYTE = 1024 * 1024
_GROWTH, _AWAY = 20.0, 400.0
_LOOK_SECONDS = 10.0


def figures(bench: Bench) -> Iterator[Figure]:
    """Megabytes after the first records, at the end, and at most with Elasticsearch away."""
    target = Target(bench)
    runs = _QUICK_RUNS if bench.quick else _RUNS
    with target.indexers() as indexers:
        sizes = []
        for _ in range(runs):
            indexer.through(target, indexers, indexer.QUICK_RECORDS)
            sizes.append(_resident(indexers[0]))
        early, late = sizes[runs // 5], sizes[-1]
        yield Figure(f"memory: after {runs * indexer.QUICK_RECORDS:,} records", late, "MiB")
        yield Figure(
            f"memory: growth over the last {runs - 1 - runs // 5} of {runs} parts", late - early, "MiB", _GROWTH
        )
    yield Figure("memory: at most while Elasticsearch is away", _away(target), "MiB", _AWAY)


def _away(target: Target) -> float:
    tenant = indexer.warm_tenant(target)
    with target.indexers(group_id="away") as (running,):
        target.bench.elasticsearch.stop()
        try:
            target.fill(mix(tenant, indexer.QUICK_RECORDS))
            wait_for(lambda: running.metric("celeryscope_indexer_waiting") == 1, "the indexer waits")
            most, end = 0.0, time.monotonic() + _LOOK_SECONDS
            while time.monotonic() < end:
                most = max(most, _resident(running))
                time.sleep(0.1)
        finally:
            target.bench.elasticsearch.start()
    return most


def _resident(running: IndexerProcess) -> float:
    return float(psutil.Process(running.process.pid).memory_info().rss) / _MEGABYTE
