"""Memory of collector and indexer along a steady load, an hour of it by default.

Each second the sender posts a request of events and one of spans, as workers would; collector and indexer are the real
processes. Resident memory (RSS) of both is looked at ten times a minute; its growth is from the median of what was seen
in the second sixth of the time, when caches are full, to the median of the last sixth. Both are told every 5 minutes.
"""

import sys
import time
from collections.abc import Iterator
from statistics import median

import psutil

from collector_process import Collector
from figures import Figure
from measuring import MeasurementFailed
from pipeline import load
from pipeline.bench import Bench
from pipeline.indexer import warm_tenant
from pipeline.target import Target, wait_for

_ITEMS = 200
"""Events a second, and as many spans."""
_LOOKS_A_MINUTE = 10
_PARTS = 6
_GROWTH = 20.0
_MEGABYTE = 1024 * 1024
_PATHS = {load.LOGS: "/v1/logs", load.SPANS: "/v1/traces"}


def figures(bench: Bench) -> Iterator[Figure]:
    """Megabytes at most, and how much they grew, of the collector and of the indexer."""
    target = Target(bench)
    folder = bench.new_folder("collector")
    with Collector(bench.kafka.bootstrap_servers, folder, tenant=warm_tenant(target)) as collector:
        with target.indexers() as (indexer,):
            processes = {"collector": collector.process.pid, "indexer": indexer.process.pid}
            sizes = {name: [_resident(pid)] for name, pid in processes.items()}
            sent, end = 0, time.monotonic() + bench.soak_minutes * 60
            while (now := time.monotonic()) < end:
                sent += _send(collector)
                if sent // (2 * _ITEMS) % (60 // _LOOKS_A_MINUTE) == 0:
                    for name, pid in processes.items():
                        sizes[name].append(_resident(pid))
                if sent // (2 * _ITEMS) % 300 == 0:
                    seen = ", ".join(f"{name} {size[-1]:.1f} MiB" for name, size in sizes.items())
                    print(f"soak: {sent:,} records: {seen}", file=sys.stderr, flush=True)
                time.sleep(max(now + 1 - time.monotonic(), 0))
            wait_for(lambda: indexer.metric("celeryscope_indexer_records_total") >= sent, f"{sent} records are indexed")
    yield Figure(f"soak: records within {bench.soak_minutes} minutes", sent, "records")
    for name, seen in sizes.items():
        part = len(seen) // _PARTS
        yield Figure(f"soak: {name}, at most", max(seen), "MiB")
        growth = median(seen[-part:]) - median(seen[part : 2 * part])
        yield Figure(f"soak: {name}, growth from the second sixth to the last", growth, "MiB", _GROWTH)


def _send(collector: Collector) -> int:
    for kind, path in _PATHS.items():
        (body,) = load.requests(kind, 1, _ITEMS)
        if (answer := collector.post(path, body)).status != 200:
            raise MeasurementFailed(f"The collector answers {answer.status} {answer.data!r}.")
    return 2 * _ITEMS


def _resident(pid: int) -> float:
    return float(psutil.Process(pid).memory_info().rss) / _MEGABYTE
