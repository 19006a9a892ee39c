"""How it grows: the same backlog with one, two and four indexers on this machine."""

from collections.abc import Iterator
from functools import partial
from statistics import median

from figures import Figure
from measuring import in_turn
from pipeline import indexer
from pipeline.bench import Bench
from pipeline.target import Target

_PROCESSES = (1, 2, 4)


def figures(bench: Bench) -> Iterator[Figure]:
    """Documents a second and CPU for each number of processes, in turn."""
    target = Target(bench)
    records = indexer.QUICK_RECORDS if bench.quick else indexer.RECORDS
    runs = [partial(_run, target, number, records) for number in _PROCESSES]
    for number, rates in zip(_PROCESSES, in_turn(runs, bench.runs), strict=True):
        name = f"scaling: {number} indexer{'s' if number > 1 else ''}"
        yield Figure(f"{name}, Kafka to searchable", median(rate.documents_a_second for rate in rates), "documents/s")
        yield Figure(f"{name}, CPU for 100,000 records", median(rate.cpu for rate in rates), "CPU-s")


def _run(target: Target, number: int, records: int) -> indexer.Rate:
    with target.indexers(number) as indexers:
        while not all(one.metric("celeryscope_indexer_messages_total") for one in indexers):
            indexer.through(target, indexers, indexer.WARM_UP)
        return indexer.through(target, indexers, records)
