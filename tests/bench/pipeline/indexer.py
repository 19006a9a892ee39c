"""From Kafka to searchable: the indexer beside the direct limit of the same Elasticsearch, and its CPU.

The direct limit is what Elasticsearch takes when the same documents are posted to it ready-made, in bulks of 1,000 over
the best number of connections. The indexer is stopped (SIGSTOP) while Kafka is filled, so that all of it is a backlog;
its time is from SIGCONT until a search finds every document. Its CPU is that of the whole process, Kafka's client, TLS
(none here), HTTP and Python's start excepted. Both take turns, with a tenant, and so data streams, of their own each.
"""

import secrets
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from statistics import median

from celeryscope_pipelines.indexer.batch import Batch, Item
from celeryscope_pipelines.indexer.batch import Message as ReadMessage
from celeryscope_pipelines.indexer.transform import transform
from figures import Figure
from measuring import MeasurementFailed, cpu_now, in_turn
from pipeline.bench import Bench
from pipeline.mix import RECORDS_A_TASK, Message, mix
from pipeline.target import Target, wait_for
from support.commands import IndexerProcess

RECORDS, QUICK_RECORDS = 140_000, 42_000
WARM_UP = 5_000
_BULK = 1_000
_CONNECTIONS = (2, 4, 8)
_RATIO, _CPU = 0.8, 2.5


@dataclass(frozen=True)
class Rate:
    """What one run reached."""

    documents_a_second: float
    cpu: float = 0.0
    """CPU-seconds for 100,000 records."""


def figures(bench: Bench) -> Iterator[Figure]:
    """The direct limit, the indexer's rate, their ratio, and the indexer's CPU."""
    target = Target(bench)
    records = QUICK_RECORDS if bench.quick else RECORDS
    _direct(target, records // 2, 4)
    best = max(_CONNECTIONS, key=lambda connections: _direct(target, records // 2, connections).documents_a_second)
    kafka_before = target.bytes_in_kafka()
    with target.indexers() as indexers:
        through(target, indexers, WARM_UP)
        runs = [partial(_direct, target, records, best), partial(through, target, indexers, records)]
        direct, ours = in_turn(runs, bench.runs)
    limit = median(rate.documents_a_second for rate in direct)
    reached = median(rate.documents_a_second for rate in ours)
    yield Figure(f"indexer: direct limit, {best} connections", limit, "documents/s")
    yield Figure("indexer: Kafka to searchable", reached, "documents/s")
    yield Figure("indexer: Kafka to searchable / direct limit", reached / limit, "ratio", _RATIO, at_least=True)
    cpu = median(rate.cpu for rate in ours)
    yield Figure("indexer: CPU for 100,000 records", cpu, "CPU-s", _CPU)
    tasks = (WARM_UP + records * bench.runs) / RECORDS_A_TASK
    yield Figure("indexer: disk of Elasticsearch a task", target.bytes_a_task(), "bytes")
    yield Figure("indexer: disk of Kafka a task", (target.bytes_in_kafka() - kafka_before) / tasks, "bytes")


def items_of(messages: list[Message]) -> list[Item]:
    """What the indexer makes of the messages."""
    read = [
        ReadMessage(message.topic, message.partition, number, message.value) for number, message in enumerate(messages)
    ]
    return transform(Batch(read)).items


def distinct(items: list[Item]) -> int:
    """How many documents there are in the end: the snapshots of an attempt are one."""
    return len({item.entity or item.lines.split(b"\n", 1)[0] for item in items})


def warm_tenant(target: Target) -> str:
    """A tenant whose data streams are there already."""
    tenant = f"bench{secrets.token_hex(4)}"
    target.post(_bodies(items_of(list(mix(tenant, 1)))), 1)
    return tenant


def _bodies(items: list[Item]) -> list[bytes]:
    lines = [item.lines for item in items]
    return [b"".join(lines[at : at + _BULK]) for at in range(0, len(lines), _BULK)]


def _direct(target: Target, records: int, connections: int) -> Rate:
    tenant = warm_tenant(target)
    items = items_of(list(mix(tenant, records)))
    bodies = _bodies(items)
    begin = time.monotonic()
    target.post(bodies, connections)
    target.searchable(tenant)
    return Rate(len(items) / (time.monotonic() - begin))


def through(target: Target, indexers: list[IndexerProcess], records: int) -> Rate:
    """Let the indexers work a backlog of so many records off."""
    tenant = warm_tenant(target)
    messages = list(mix(tenant, records))
    items = items_of(messages)
    expected = target.searchable(tenant) + distinct(items)
    before = _records(indexers)
    for indexer in indexers:
        indexer.process.send_signal(signal.SIGSTOP)
    try:
        target.fill(messages)
    finally:
        cpu, begin = _cpu_of(indexers), time.monotonic()
        for indexer in indexers:
            indexer.process.send_signal(signal.SIGCONT)
    wait_for(lambda: _records(indexers) - before >= len(items) * 0.9, f"{records} records read", pause=0.1)
    wait_for(lambda: target.searchable(tenant) >= expected, f"{expected} documents searchable")
    seconds, used = time.monotonic() - begin, _cpu_of(indexers) - cpu
    if (there := target.searchable(tenant)) != expected:
        raise MeasurementFailed(f"{there} documents are searchable, not {expected}.")
    return Rate(len(items) / seconds, used / (_records(indexers) - before) * 100_000)


def _records(indexers: list[IndexerProcess]) -> float:
    return sum(indexer.metric("celeryscope_indexer_records_total") for indexer in indexers)


def _cpu_of(indexers: list[IndexerProcess]) -> float:
    return sum(cpu_now(indexer.process.pid) for indexer in indexers)
