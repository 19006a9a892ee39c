"""What the watcher writes down of the pipeline, for the rules about it and for Kibana's health view."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from elasticsearch import Elasticsearch as Client
from kafka import KafkaProducer

from celeryscope import semconv
from celeryscope.errors import Unavailable
from celeryscope.service.elasticsearch import ElasticsearchSettings
from celeryscope.service.kafka import KafkaSettings
from celeryscope_pipelines import measurements
from celeryscope_pipelines.measurements import measure_kafka, measure_processes
from celeryscope_pipelines.provisioning import provision
from celeryscope_pipelines.settings import PipelineSettings
from celeryscope_pipelines.watcher.evaluation import evaluate
from pipelines.watcher.world import RULES, adjusted
from servers import Elasticsearch, Kafka
from support import messages
from support.expositions import telling
from support.waiting import until

pytestmark = [pytest.mark.kafka, pytest.mark.elasticsearch]


def test_messages_that_nobody_has_read_and_dead_letters_are_told_of(
    kafka: Kafka, elasticsearch: Elasticsearch, client: Client
) -> None:
    settings = KafkaSettings(bootstrap_servers=kafka.bootstrap_servers)
    provision(settings, ElasticsearchSettings(url=elasticsearch.url))
    with KafkaProducer(bootstrap_servers=kafka.bootstrap_servers) as producer:
        waiting = messages.request("logs", "measured", messages.line("a line"))
        for topic in (semconv.TOPIC_LOGS, semconv.TOPIC_DEAD_LETTER):
            producer.send(topic, waiting).get(timeout=10)
    group = f"nobody-{uuid4().hex[:8]}"
    # By then the message is old enough to be a lag.
    then = datetime.now(UTC) + timedelta(seconds=10)
    until(lambda: _measured(client, settings, group, then), what="Kafka's coordinator is ready")
    client.indices.refresh(index=f"{semconv.DATA_STREAM_LOGS}-{semconv.DEFAULT_TENANT}")
    after = then + timedelta(seconds=1)
    (letters,) = evaluate(client, RULES["dead-letters"], after)
    assert letters.row["letters"] >= 1
    (lag,) = evaluate(client, adjusted("pipeline-lag", parameters={"max_age": "5s"}), after)
    assert lag.row["behind"] >= 1
    assert lag.since < then - timedelta(seconds=5)
    assert evaluate(client, adjusted("pipeline-lag", parameters={"max_age": "1d"}), after) == []


def test_lag_is_told_where_there_are_no_dead_letters(
    kafka: Kafka, elasticsearch: Elasticsearch, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = KafkaSettings(bootstrap_servers=kafka.bootstrap_servers)
    provision(settings, ElasticsearchSettings(url=elasticsearch.url))
    monkeypatch.setattr(semconv, "TOPIC_DEAD_LETTER", "no-topic-of-that-name")
    now = datetime(2032, 1, 1, 12, tzinfo=UTC)
    until(lambda: _measured(client, settings, f"nobody-{uuid4().hex[:8]}", now), what="Kafka's coordinator is ready")
    told = _measures(client, now)
    assert semconv.MEASURE_BEHIND in told
    assert semconv.MEASURE_DEAD_LETTERS not in told


def test_of_many_dead_letters_a_bounded_number_is_read(
    kafka: Kafka, elasticsearch: Elasticsearch, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = KafkaSettings(bootstrap_servers=kafka.bootstrap_servers)
    provision(settings, ElasticsearchSettings(url=elasticsearch.url))
    with KafkaProducer(bootstrap_servers=kafka.bootstrap_servers) as producer:
        for _ in range(5):
            producer.send(semconv.TOPIC_DEAD_LETTER, b"{}").get(timeout=10)
    monkeypatch.setattr(measurements, "_LETTERS_MOST", 2)
    # Another quarter of a minute than that of any other test: what is measured in it already stays.
    now = datetime.now(UTC) + timedelta(minutes=5)
    until(lambda: _measured(client, settings, f"nobody-{uuid4().hex[:8]}", now), what="Kafka's coordinator is ready")
    assert _measures(client, now)[semconv.MEASURE_DEAD_LETTERS] == 2


def test_what_collectors_and_indexers_tell_is_written_down_also_when_one_is_silent(
    elasticsearch: Elasticsearch, client: Client
) -> None:
    collector = (
        b'celeryscope_collector_records_accepted_total 7\nceleryscope_collector_records_refused_total{reason="x"} 2\n'
    )
    # Another quarter of a minute than that of any other test.
    now = datetime(2032, 1, 1, 13, tzinfo=UTC)
    with telling(collector) as one, telling(b"celeryscope_indexer_waiting 1\n") as two:
        asked = PipelineSettings.load(
            collectors=f"http://127.0.0.1:{one},http://127.0.0.1:1", indexers=f"http://127.0.0.1:{two}"
        )
        with pytest.raises(Unavailable, match=r"the collector http://127\.0\.0\.1:1/metrics tells nothing"):
            measure_processes(client, asked, now)
    assert _measures(client, now) == {
        semconv.MEASURE_ACCEPTED: 7,
        semconv.MEASURE_REFUSED: 2,
        semconv.MEASURE_WAITING: 1,
    }


def _measures(client: Client, now: datetime) -> dict[str, float]:
    """Each measure of that moment, its parts together."""
    index = f"{semconv.DATA_STREAM_LOGS}-{semconv.DEFAULT_TENANT}"
    client.indices.refresh(index=index)
    at_once = {"term": {"@timestamp": now.isoformat()}}
    found = client.search(index=index, query=at_once, size=100)["hits"]["hits"]
    sums: dict[str, float] = {}
    for hit in found:
        told = hit["_source"]["attributes"]
        measure = told[semconv.PIPELINE_MEASURE]
        sums[measure] = sums.get(measure, 0.0) + told[semconv.PIPELINE_VALUE]
    return sums


def _measured(client: Client, kafka: KafkaSettings, group: str, now: datetime) -> bool:
    try:
        measure_kafka(client, kafka, group, now)
    except Unavailable:
        return False
    return True
