"""An indexer that is killed again and again leaves the states of failure clusters right."""

import secrets
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaProducer

from celeryscope import semconv
from integration.failure_clusters import Shop
from servers import Elasticsearch, Kafka
from support.commands import IndexerProcess, celeryscope, environment
from support.waiting import until

pytestmark = [pytest.mark.kafka, pytest.mark.elasticsearch]


def test_states_and_places_are_right_after_an_indexer_was_killed_between_batches(
    kafka: Kafka, elasticsearch: Elasticsearch, tmp_path: Path
) -> None:
    found = environment(
        kafka.bootstrap_servers,
        elasticsearch.url,
        CELERYSCOPE_INDEXER_GROUP_ID=f"test-{secrets.token_hex(4)}",
        # Nothing is written because time has passed: what survives was written at once.
        CELERYSCOPE_INDEXER_FAILURE_INTERVAL="3600",
        CELERYSCOPE_INDEXER_SESSION_TIMEOUT="6",
        CELERYSCOPE_INDEXER_DEAD_LETTER_LIMIT="100000",
    )
    assert celeryscope(found, "setup").returncode == 0
    shop = Shop(elasticsearch.url)

    def fails(**attributes: str) -> None:
        release = attributes.pop("release")
        for message in shop.failure(release=release, **attributes).messages:
            producer.send(semconv.TOPIC_LOGS, message.value).get(timeout=60)

    def entity() -> dict[str, Any]:
        return shop.entities().get("charge", {})

    with (
        shop.client,
        KafkaProducer(bootstrap_servers=kafka.bootstrap_servers) as producer,
        IndexerProcess(found, tmp_path / "indexer.log") as indexer,
    ):
        fails(release="1.0", WORKER="celery@a")
        until(entity, what="the cluster is there")
        assert shop.failures("resolve", shop.fingerprint(), "--by", "ann").exit_code == 0
        fails(release="1.0", WORKER="celery@b")
        until(lambda: "celery@b" in str(entity()[semconv.FAILURE_WORKERS]), what="the other worker is known")
        indexer.kill()
        assert entity()[semconv.FAILURE_STATE] == semconv.CLUSTER_RESOLVED

        fails(release="1.0", WORKER="celery@c")
        fails(release="1.1", WORKER="celery@b")
        indexer.start()
        until(lambda: entity()[semconv.FAILURE_STATE] == semconv.CLUSTER_REGRESSED, what="it is regressed")
        assert shop.failures("resolve", shop.fingerprint(), "--now", "--by", "bob").exit_code == 0
        indexer.kill()

        fails(release="1.0", WORKER="celery@a")
        indexer.start()
        until(lambda: entity()[semconv.FAILURE_STATE] == semconv.CLUSTER_REGRESSED, what="it is regressed again")
        until(lambda: shop.json("show", shop.fingerprint())["count"] == 5, what="each failure is one document")
        # A batch's documents are there before what they say of their cluster.
        workers = ["celery@a", "celery@b", "celery@c"]
        until(lambda: entity()[semconv.FAILURE_WORKERS] == workers, what="each worker is known")
        known = entity()
    assert known[semconv.FAILURE_DECIDED_BY] == "bob"
    assert [line.split()[1] for line in known[semconv.FAILURE_HISTORY]] == [
        "resolved",
        "regressed",
        "resolved",
        "regressed",
    ]
