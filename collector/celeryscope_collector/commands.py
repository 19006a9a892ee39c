"""``celeryscope collector``: run it, make tokens, check the configuration."""

from pathlib import Path
from typing import Any

import click

from celeryscope.service.kafka import KafkaSettings
from celeryscope.service.logging import configure
from celeryscope_collector.settings import CollectorSettings
from celeryscope_collector.tokens import Anonymous, checked_tenant, line_for, new_token


@click.group()
def collector() -> None:
    """The OTLP service between workers and Kafka.

    Settings come from CELERYSCOPE_COLLECTOR_* and CELERYSCOPE_KAFKA_* variables (docs/collector.md); options win.
    """


@collector.command()
@click.option("--host", help="Address to listen on.  [default: 127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on; 0 takes a free one.  [default: 4318]")
@click.option("--grpc/--no-grpc", default=None, help="Take OTLP/gRPC too.  [default: --grpc]")
@click.option("--grpc-port", type=click.IntRange(0, 65535), help="Port of OTLP/gRPC.  [default: 4317]")
@click.option("--tokens-file", type=click.Path(path_type=Path), help="YAML file with the hashes of valid tokens.")
@click.option(
    "--allow-anonymous", is_flag=True, default=None, help="Accept requests without a token (one machine only)."
)
@click.option("--kafka", "bootstrap_servers", metavar="HOST:PORT", help="Kafka brokers.  [default: 127.0.0.1:9092]")
@click.option("--log-level", type=click.Choice(["DEBUG", "INFO", "WARNING", "ERROR"]), help="[default: INFO]")
def run(bootstrap_servers: str | None, **options: Any) -> None:
    """Take OTLP requests over HTTP and gRPC and put them into Kafka, until SIGTERM."""
    from celeryscope_collector.service import serve

    settings, kafka = CollectorSettings.load(**options), KafkaSettings.load(bootstrap_servers=bootstrap_servers)
    configure(settings.log_level, settings.log_format)
    serve(settings, kafka, click.echo)


@collector.command()
@click.option("--tokens-file", type=click.Path(path_type=Path), help="YAML file with the hashes of valid tokens.")
@click.option(
    "--allow-anonymous", is_flag=True, default=None, help="Accept requests without a token (one machine only)."
)
@click.option("--kafka", "bootstrap_servers", metavar="HOST:PORT", help="Kafka brokers.  [default: 127.0.0.1:9092]")
def check(bootstrap_servers: str | None, **options: Any) -> None:
    """Tell whether settings, tokens file and Kafka are fine; exit code 0 when all are."""
    from celeryscope_collector.build import who_may_send
    from celeryscope_collector.kafka_check import KafkaCheck

    settings, kafka = CollectorSettings.load(**options), KafkaSettings.load(bootstrap_servers=bootstrap_servers)
    click.echo("settings  fine")
    senders = who_may_send(settings)
    click.echo(f"senders   {'anybody' if isinstance(senders, Anonymous) else 'tenants ' + ', '.join(senders.tenants)}")
    configure("ERROR", "auto")
    connection = KafkaCheck(kafka.client_options())
    try:
        for topic, partitions in connection.partitions().items():
            click.echo(f"Kafka     {topic}: {partitions} partition{'s' * (partitions != 1)}")
    finally:
        connection.close()


@collector.group()
def token() -> None:
    """Tokens that senders need."""


@token.command("new")
@click.option("--tenant", required=True, help="Whose data it brings; a name like `shop`.")
def new(tenant: str) -> None:
    """Make a token: it is shown once; the tokens file gets its hash only."""
    checked_tenant(tenant)
    fresh = new_token()
    click.echo(f"Token for the sender, shown this once:\n\n    {fresh}\n")
    click.echo("Add to CELERYSCOPE_COLLECTOR_TOKENS_FILE (below `tokens:`):\n")
    click.echo(f"    {line_for(tenant, fresh)}")
