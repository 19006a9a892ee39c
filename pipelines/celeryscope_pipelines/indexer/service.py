"""The indexer as a process: signals, threads, the order of starting and stopping."""

import logging
import signal
from threading import Event

from elasticsearch import Elasticsearch

from celeryscope import semconv
from celeryscope.errors import CeleryscopeError, ConfigError
from celeryscope.service.elasticsearch import ElasticsearchSettings, our_errors
from celeryscope.service.garbage import look_for_garbage_rarely
from celeryscope.service.kafka import KafkaSettings
from celeryscope_pipelines.health import HealthServer
from celeryscope_pipelines.indexer import metrics
from celeryscope_pipelines.indexer.build import Indexer, build
from celeryscope_pipelines.indexer.patience import Stopped
from celeryscope_pipelines.settings import IndexerSettings

logger = logging.getLogger(__name__)

_GARBAGE = 20_000
"""Containers; a message is decoded and done with before the next one is."""
TOPICS = (semconv.TOPIC_TRACES, semconv.TOPIC_LOGS)


def run(settings: IndexerSettings, kafka: KafkaSettings, elasticsearch: ElasticsearchSettings) -> None:
    """Index until SIGTERM or SIGINT; then finish what is in flight, commit it and return.

    Raises one of celeryscope.errors when it can't start or must not go on (TooManyDeadLetters).
    """
    stop, give_up = Event(), Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    indexer = build(settings, kafka, elasticsearch, give_up)
    _require_setup(indexer.client)
    look_for_garbage_rarely(_GARBAGE)
    health = HealthServer(
        settings.http_host,
        settings.http_port,
        lambda: _why_not_ready(indexer),
        metrics.registry,
        "CELERYSCOPE_INDEXER_HTTP_PORT",
    )
    logger.info("The indexer runs; health and metrics on http://%s:%d", settings.http_host, health.port)
    try:
        indexer.consumer.run(TOPICS, stop)
    finally:
        _stop(indexer, settings.stop_timeout, give_up)
        health.close()


@our_errors()
def _require_setup(client: Elasticsearch) -> None:
    """Without our templates mappings would be guesses; the clusters' index tells, and any writer may ask for it."""
    if not client.indices.exists(index=semconv.INDEX_FAILURES):
        raise ConfigError(f"Elasticsearch has no index {semconv.INDEX_FAILURES}. Run `celeryscope setup` first.")


def _why_not_ready(indexer: Indexer) -> str:
    if not indexer.consumer.has_joined:
        return "not in the consumer group yet"
    return indexer.patience.waiting_for


def _stop(indexer: Indexer, timeout: float, give_up: Event) -> None:
    try:
        indexer.consumer.finish(timeout)
        indexer.clusters.flush(everything=True)
    except (CeleryscopeError, Stopped) as error:
        logger.warning("Stopped before everything in flight was written; it will be read again: %s", error)
    finally:
        give_up.set()
        indexer.dead_letters.close()
        indexer.client.close()
    logger.info("The indexer has stopped.")
