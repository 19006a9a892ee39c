"""``celeryscope collector``: run it, make tokens, check the configuration."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from celeryscope.service.kafka import KafkaSettings
from celeryscope.service.logging import configure
from celeryscope_collector.settings import CollectorSettings
from celeryscope_collector.tokens import Anonymous, checked_tenant, line_for, new_token

if TYPE_CHECKING:
    from celeryscope_collector.processors_file.reading import Sections


@click.group(invoke_without_command=True)
@click.option("--check", "checks", is_flag=True, help="The same as the command `check`.")
@click.pass_context
def collector(context: click.Context, checks: bool) -> None:
    """The OTLP service between workers and Kafka.

    Settings come from CELERYSCOPE_COLLECTOR_* and CELERYSCOPE_KAFKA_* variables (docs/collector.md); options win.
    """
    if checks:
        if context.invoked_subcommand is not None:
            raise click.UsageError("--check stands alone; it is the same as the command `check`")
        context.invoke(check)
    elif context.invoked_subcommand is None:
        click.echo(context.get_help())
        context.exit(2)


@collector.command()
@click.option("--host", help="Address to listen on.  [default: 127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on; 0 takes a free one.  [default: 4318]")
@click.option("--grpc/--no-grpc", default=None, help="Take OTLP/gRPC too.  [default: --grpc]")
@click.option("--grpc-port", type=click.IntRange(0, 65535), help="Port of OTLP/gRPC.  [default: 4317]")
@click.option("--workers", type=click.IntRange(1, 64), help="Processes that take requests.  [default: 1]")
@click.option("--tokens-file", type=click.Path(path_type=Path), help="YAML file with the hashes of valid tokens.")
@click.option(
    "--allow-anonymous", is_flag=True, default=None, help="Accept requests without a token (one machine only)."
)
@click.option("--processors-file", type=click.Path(path_type=Path), help="YAML file with the processors.")
@click.option("--kafka", "bootstrap_servers", metavar="HOST:PORT", help="Kafka brokers.  [default: 127.0.0.1:9092]")
@click.option("--log-level", type=click.Choice(["DEBUG", "INFO", "WARNING", "ERROR"]), help="[default: INFO]")
def run(bootstrap_servers: str | None, **options: Any) -> None:
    """Take OTLP requests over HTTP and gRPC and put them into Kafka, until SIGTERM."""
    settings, kafka = CollectorSettings.load(**options), KafkaSettings.load(bootstrap_servers=bootstrap_servers)
    configure(settings.log_level, settings.log_format)
    from celeryscope_collector.supervisor import METRICS_FOLDER, supervise

    # An application's own, from an environment that is shared with it.
    os.environ.pop(METRICS_FOLDER, None)
    if settings.workers > 1:
        supervise(settings, kafka, click.echo)
    else:
        from celeryscope_collector.service import serve

        serve(settings, kafka, click.echo)


@collector.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--tokens-file", type=click.Path(path_type=Path), help="YAML file with the hashes of valid tokens.")
@click.option(
    "--allow-anonymous", is_flag=True, default=None, help="Accept requests without a token (one machine only)."
)
@click.option("--processors-file", type=click.Path(path_type=Path), help="YAML file with the processors.")
@click.option("--kafka", "bootstrap_servers", metavar="HOST:PORT", help="Kafka brokers.  [default: 127.0.0.1:9092]")
def check(file: Path | None, bootstrap_servers: str | None, **options: Any) -> None:
    """Tell whether settings, processors file, tokens file and Kafka are fine; exit code 0 when all are.

    With FILE, whether that processors file is, and nothing else: for an editor, or before a commit.
    """
    from celeryscope_collector.processors_file.reading import read_processors

    if file is not None:
        _show_processors(read_processors(file))
        return
    from celeryscope_collector.build import signals_of, who_may_send
    from celeryscope_collector.kafka_check import KafkaCheck
    from celeryscope_collector.prepare import sections_of

    settings, kafka = CollectorSettings.load(**options), KafkaSettings.load(bootstrap_servers=bootstrap_servers)
    click.echo("settings    fine")
    _show_processors(sections_of(settings))
    senders = who_may_send(settings)
    who = "anybody" if isinstance(senders, Anonymous) else f"tenants {', '.join(senders.tenants)}"
    click.echo(f"senders     {who}")
    configure("ERROR", "auto")
    connection = KafkaCheck(kafka.client_options(), signals_of(settings))
    try:
        for topic, partitions in connection.partitions().items():
            click.echo(f"Kafka       {topic}: {partitions} partition{'s' * (partitions != 1)}")
    finally:
        connection.close()


def _show_processors(sections: "Sections") -> None:
    shown = []
    for name, section in sections.items():
        rules = len(getattr(section, "rules", ()))
        shown.append(f"{name} ({rules} rule{'s' * (rules != 1)})" if rules else name)
    click.echo(f"processors  {', '.join(shown)}")


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
