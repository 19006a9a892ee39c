"""Measurements of the pipeline as documents, so that views and rules can ask for what only Kafka and ``/metrics`` know.

One document a measure and part (a topic, a reason, a processor): `celery.pipeline.measured` in the tenant's logs. A
document's id is its quarter of a minute, its measure and its part, so several that measure at once write each once.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from elasticsearch import Elasticsearch

from celeryscope import semconv
from celeryscope.errors import NotFound, Rejected, Unavailable
from celeryscope.service.elasticsearch import our_errors
from celeryscope.service.kafka import KafkaSettings
from celeryscope_pipelines.account.balance import Collectors
from celeryscope_pipelines.dead_letters import read_dead_letters
from celeryscope_pipelines.lag import PartitionLag, lag_of, oldest_of
from celeryscope_pipelines.processes import IndexerTold, of_collectors, of_indexers
from celeryscope_pipelines.settings import PipelineSettings
from celeryscope_pipelines.views.documents import iso
from celeryscope_pipelines.views.pipeline import Pipeline
from celeryscope_pipelines.writes import Op, Write

_CONFLICT = 409
_DATASET = "celery.otel"
_SLOT = 15
LETTERS_WITHIN = timedelta(minutes=10)
"""Dead letters of this time are measured."""
_LETTERS_MOST = 1_000
"""Each may have megabytes, and there may be millions when something is wrong: just then the rules must not wait."""

Measured = tuple[str, str, float]
"""A measure, a part of the pipeline, and the value."""


def documents_of(measured: Iterable[Measured], tenant: str, now: datetime) -> list[Write]:
    """The documents of what was measured."""
    time = now.astimezone(UTC)
    slot = time.replace(second=time.second // _SLOT * _SLOT, microsecond=0)
    return [_document(one, tenant, slot, now) for one in measured]


def measure_kafka(client: Elasticsearch, kafka: KafkaSettings, group: str, now: datetime) -> None:
    """Write down what Kafka tells, which is no tenant's alone, in the logs of the default one.

    Of dead letters at most _LETTERS_MOST are counted. Raises Unavailable, Unauthorized or NotFound when a server does
    not tell or take it; what could be told before is written then.
    """
    partitions = lag_of(kafka, group, now)
    write(client, documents_of(of_kafka(partitions, {}, now), semconv.DEFAULT_TENANT, now))
    letters = _each(semconv.MEASURE_DEAD_LETTERS, _letters(kafka, now - LETTERS_WITHIN))
    write(client, documents_of(letters, semconv.DEFAULT_TENANT, now))


def measure_processes(client: Elasticsearch, settings: PipelineSettings, now: datetime) -> None:
    """Write down what collectors and indexers tell, likewise.

    Raises Unavailable when one of them tells nothing; what the others told is written then.
    """
    collectors, (indexers, silent) = of_collectors(settings), of_indexers(settings)
    write(client, documents_of(_of_processes(collectors, indexers), semconv.DEFAULT_TENANT, now))
    missing = [*collectors.silent, *(f"the indexer {why}" for why in silent)]
    if missing:
        raise Unavailable(" ".join(missing))


def _letters(kafka: KafkaSettings, since: datetime) -> Counter[str]:
    try:
        with closing(read_dead_letters(kafka, since)) as letters:
            return Counter(letter.reason for letter in islice(letters, _LETTERS_MOST))
    except NotFound:
        return Counter()


def measured_of(pipeline: Pipeline, now: datetime) -> Iterator[Measured]:
    """All measures that are known; what could not be asked has none."""
    yield from of_kafka(pipeline.partitions, pipeline.fresh_letters or {}, now)
    yield semconv.MEASURE_INDEXED, "elasticsearch", pipeline.indexed_per_second
    yield from _of_processes(pipeline.collectors, pipeline.indexers)


def of_kafka(partitions: Iterable[PartitionLag], letters: Mapping[str, int], now: datetime) -> Iterator[Measured]:
    """What Kafka knows: of a topic, all its partitions together; dead letters by reason, those of LETTERS_WITHIN."""
    topics: dict[str, list[PartitionLag]] = {}
    for partition in partitions:
        topics.setdefault(partition.topic, []).append(partition)
    for topic, parts in sorted(topics.items()):
        yield from _of_topic(topic, parts, now)
    yield from _each(semconv.MEASURE_DEAD_LETTERS, letters)


@our_errors()
def write(client: Elasticsearch, writes: Iterable[Write]) -> None:
    """Write them; what another one has written in this quarter of a minute is left. Raises Unavailable and the like."""
    operations = [
        part
        for document in writes
        for part in ({"create": {"_index": document.index, "_id": document.id}}, document.body)
    ]
    if not operations:
        return
    answer = client.bulk(operations=operations)
    for item in answer["items"]:
        verdict = next(iter(item.values()))
        if verdict["status"] >= 300 and verdict["status"] != _CONFLICT:
            raise Rejected("measurement", f"Elasticsearch refuses a measurement: {verdict['error']['reason']}")


def _of_processes(collectors: Collectors, indexers: Iterable[IndexerTold]) -> Iterator[Measured]:
    if collectors.reached:
        yield semconv.MEASURE_ACCEPTED, "collectors", collectors.accepted
        yield from _each(semconv.MEASURE_REFUSED, collectors.refused)
        yield from _each(semconv.MEASURE_DROPPED, collectors.dropped)
    for indexer in indexers:
        yield semconv.MEASURE_WAITING, indexer.url, float(indexer.waiting)


def _of_topic(topic: str, partitions: list[PartitionLag], now: datetime) -> Iterator[Measured]:
    oldest = oldest_of(partitions)
    yield semconv.MEASURE_BEHIND, topic, sum(partition.behind for partition in partitions)
    yield semconv.MEASURE_OLDEST, topic, max((now - oldest).total_seconds(), 0.0) if oldest else 0.0
    yield semconv.MEASURE_EXPIRED, topic, sum(partition.forgotten for partition in partitions)
    yield semconv.MEASURE_ARRIVING, topic, sum(partition.arriving for partition in partitions)


def _each(measure: str, counts: Mapping[str, int] | Counter[str]) -> Iterator[Measured]:
    for part, count in sorted(counts.items()):
        yield measure, part, count


def _document(measured: Measured, tenant: str, slot: datetime, now: datetime) -> Write:
    measure, part, value = measured
    body: dict[str, Any] = {
        "@timestamp": iso(now),
        "data_stream": {"type": "logs", "dataset": _DATASET, "namespace": tenant},
        "event_name": semconv.EVENT_PIPELINE_MEASURED,
        "severity_number": 9,
        "severity_text": "INFO",
        "body": {"text": f"{measure} {part}: {value:g}"},
        "attributes": {
            semconv.PIPELINE_MEASURE: measure,
            semconv.PIPELINE_PART: part,
            semconv.PIPELINE_VALUE: float(value),
        },
        "resource": {"attributes": {semconv.SERVICE_NAME: "celeryscope"}},
    }
    identity = f"measured/{slot.isoformat()}/{measure}/{part}"[:500]
    return Write(Op.CREATE, f"{semconv.DATA_STREAM_LOGS}-{tenant}", identity, body)
