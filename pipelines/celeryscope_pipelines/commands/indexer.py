"""``celeryscope indexer``."""

import click

from celeryscope.service import logging as service_logging
from celeryscope.service.elasticsearch import ElasticsearchSettings
from celeryscope.service.kafka import KafkaSettings
from celeryscope_pipelines.settings import IndexerSettings


@click.group()
def indexer() -> None:
    """From Kafka into Elasticsearch: documents, failure clusters, dead letters."""


@indexer.command()
@click.option("--http-port", type=int, help="Port of /metrics, /healthz and /readyz; 0 takes a free one.")
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), help="Lowest level to log.")
def run(http_port: int | None, log_level: str | None) -> None:
    """Index until SIGTERM. Run as many as there are partitions; they share the work.

    \b
    Settings: CELERYSCOPE_KAFKA_*, CELERYSCOPE_ELASTICSEARCH_*, CELERYSCOPE_INDEXER_* (docs/settings.md).
    Run `celeryscope setup` once before. Example:
        CELERYSCOPE_ELASTICSEARCH_URL=https://search:9200 celeryscope indexer run
    """
    from celeryscope_pipelines.indexer import service

    settings = IndexerSettings.load(http_port=http_port, log_level=log_level)
    service_logging.configure(settings.log_level, settings.log_format)
    service.run(settings, KafkaSettings.load(), ElasticsearchSettings.load())
