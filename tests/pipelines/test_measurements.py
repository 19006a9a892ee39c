"""Measurements of the pipeline: what becomes a document, and that several observers write each only once."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from celeryscope import semconv
from celeryscope_pipelines import measurements
from celeryscope_pipelines.account.balance import Collectors
from celeryscope_pipelines.lag import PartitionLag
from celeryscope_pipelines.processes import IndexerTold
from celeryscope_pipelines.views.pipeline import Pipeline
from servers import Elasticsearch
from support.search import client_of

NOW = datetime(2026, 11, 21, 20, 15, 30, tzinfo=UTC)
BUSY = Pipeline(
    partitions=(
        PartitionLag(semconv.TOPIC_LOGS, 0, 5, NOW - timedelta(seconds=90), 1.5, 0),
        PartitionLag(semconv.TOPIC_LOGS, 1, 7, NOW - timedelta(seconds=30), 0.5, 2),
        PartitionLag(semconv.TOPIC_TRACES, 0, 0, None, 0.0, 0),
    ),
    dead_letters=Counter({"bad_time": 300}),
    fresh_letters=Counter({"bad_time": 3}),
    indexed_per_second=12.5,
    collectors=Collectors(reached=["http://a"], accepted=100, refused=Counter({"no_name": 4}), dropped=Counter()),
    indexers=(IndexerTold("http://b", waiting=True, written=1, unchanged=0, dead_letters={}, retries={}),),
)


def measured(pipeline: Pipeline) -> dict[tuple[str, str], float]:
    return {(measure, part): value for measure, part, value in measurements.measured_of(pipeline, NOW)}


def test_the_partitions_of_a_topic_count_together() -> None:
    found = measured(BUSY)
    assert found[semconv.MEASURE_BEHIND, semconv.TOPIC_LOGS] == 12
    assert found[semconv.MEASURE_OLDEST, semconv.TOPIC_LOGS] == 90
    assert found[semconv.MEASURE_EXPIRED, semconv.TOPIC_LOGS] == 2
    assert found[semconv.MEASURE_ARRIVING, semconv.TOPIC_LOGS] == 2
    assert found[semconv.MEASURE_OLDEST, semconv.TOPIC_TRACES] == 0


def test_what_is_counted_by_reason_has_a_document_a_reason() -> None:
    found = measured(BUSY)
    assert found[semconv.MEASURE_DEAD_LETTERS, "bad_time"] == 3
    assert found[semconv.MEASURE_REFUSED, "no_name"] == 4
    assert found[semconv.MEASURE_WAITING, "http://b"] == 1


def test_what_could_not_be_asked_has_no_document() -> None:
    assert measured(Pipeline()).keys() == {(semconv.MEASURE_INDEXED, "elasticsearch")}


@pytest.mark.elasticsearch
def test_two_observers_within_a_quarter_of_a_minute_write_each_measurement_once(elasticsearch: Elasticsearch) -> None:
    tenant = f"measured-{uuid4().hex[:8]}"
    index = f"{semconv.DATA_STREAM_LOGS}-{tenant}"
    with client_of(elasticsearch.url) as client:
        client.indices.put_index_template(
            name=tenant, index_patterns=[index], priority=1000, template={}, data_stream={}
        )
        for moment in (NOW, NOW + timedelta(seconds=10), NOW + timedelta(seconds=20)):
            found = measurements.measured_of(BUSY, NOW)
            measurements.write(client, measurements.documents_of(found, tenant, moment))
        client.indices.refresh(index=index)
        # The first two fall into one quarter of a minute.
        assert client.count(index=index)["count"] == 2 * len(measured(BUSY))
