"""From the end of a task to searchable, at a low rate: sender, collector, Kafka, indexer, Elasticsearch, as in life.

The sender posts one task's records (event, span, log line) at a time, stamped with the moment of the task's end, to a
real collector. Elasticsearch refreshes every second. A search asks every 20 ms which of the events it finds: the first
search that finds one ends its time. What workers add before (the shipper looks once a second) is not in it.
"""

import secrets
import threading
import time
import uuid
from collections.abc import Iterator
from statistics import quantiles

import orjson

from celeryscope import semconv
from collector_process import Collector
from figures import Figure
from measuring import MeasurementFailed
from pipeline.bench import Bench
from pipeline.indexer import warm_tenant
from pipeline.target import TIMEOUT, Target
from support import messages

_TASKS, _QUICK_TASKS = 600, 150
_RATE = 10.0
"""Tasks a second."""
_LOOK = 0.02
_MEDIAN, _TAIL = 1.5, 3.0


def figures(bench: Bench) -> Iterator[Figure]:
    """Median and 99th percentile in seconds."""
    target = Target(bench)
    tasks = _QUICK_TASKS if bench.quick else _TASKS
    folder = bench.new_folder("collector")
    with Collector(bench.kafka.bootstrap_servers, folder, tenant=warm_tenant(target)) as collector:
        with target.indexers():
            _run(target, collector, tasks=10)
            seconds = _run(target, collector, tasks)
    cuts = quantiles(seconds, n=100)
    yield Figure("latency: end of a task to searchable, median", cuts[49], "s", _MEDIAN)
    yield Figure("latency: end of a task to searchable, 99th percentile", cuts[98], "s", _TAIL)


def _run(target: Target, collector: Collector, tasks: int) -> list[float]:
    """Seconds of each task."""
    ended: dict[str, float] = {}
    sender = threading.Thread(target=_send, args=(collector, tasks, ended))
    sender.start()
    found: dict[str, float] = {}
    deadline = time.monotonic() + TIMEOUT
    while len(found) < tasks:
        if time.monotonic() > deadline:
            raise MeasurementFailed(f"Only {len(found)} of {tasks} tasks were searchable in {TIMEOUT:g} s.")
        now = time.monotonic()
        for task_id in _searchable(target, [one for one in list(ended) if one not in found]):
            found[task_id] = now - ended[task_id]
        time.sleep(_LOOK)
    sender.join()
    return list(found.values())


def _send(collector: Collector, tasks: int, ended: dict[str, float]) -> None:
    begin = time.monotonic()
    for number in range(tasks):
        time.sleep(max(begin + number / _RATE - time.monotonic(), 0))
        task_id = str(uuid.uuid4())
        ended[task_id] = time.monotonic()
        about = {semconv.TASK_ID: task_id, semconv.ROOT_ID: task_id}
        event = messages.event(semconv.EVENT_TASK_SUCCEEDED, task_id)
        logs = messages.request("logs", "", event, messages.line("done", **about))
        spans = messages.request("spans", "", messages.span(secrets.token_hex(16), secrets.token_hex(8), **about))
        for path, body in (("/v1/logs", logs), ("/v1/traces", spans)):
            if (answer := collector.post(path, body)).status != 200:
                raise MeasurementFailed(f"The collector answers {answer.status} {answer.data!r}.")


def _searchable(target: Target, task_ids: list[str]) -> list[str]:
    if not task_ids:
        return []
    query = {
        "size": len(task_ids),
        "_source": False,
        "fields": [semconv.TASK_ID],
        "query": {"terms": {semconv.TASK_ID: task_ids}},
    }
    answer = target.request("POST", f"/{semconv.INDEX_TASKS}-*/_search", orjson.dumps(query))
    return [hit["fields"][semconv.TASK_ID][0] for hit in answer["hits"]["hits"]] if answer else []
