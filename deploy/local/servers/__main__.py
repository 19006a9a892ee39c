"""``python -m servers up|down|status``: the three servers on fixed ports, with their files in ``.local/run``."""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click

from celeryscope.errors import CeleryscopeError
from servers import Elasticsearch, Kafka, Redis, Server

_FOLDER = Path(".local/run")
_PORTS: dict[type[Server], int] = {Kafka: 29092, Elasticsearch: 29200, Redis: 26379}


def standing(folder: Path, *, free_ports: bool = False) -> list[Server]:
    """The servers of ``folder``, which outlive this process, on their fixed ports or on free ones."""
    return [kind(folder / kind.name, None if free_ports else port, detached=True) for kind, port in _PORTS.items()]


def address(server: Server) -> str:
    """What a client connects to."""
    if isinstance(server, Kafka):
        return server.bootstrap_servers
    assert isinstance(server, Elasticsearch | Redis)
    return server.url


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--folder", type=click.Path(path_type=Path), default=_FOLDER, show_default=True, help="Where they live.")
@click.option("--free-ports", is_flag=True, help="Take free ports, beside servers on the fixed ones.")
@click.pass_context
def main(context: click.Context, folder: Path, free_ports: bool) -> None:
    """Kafka, Elasticsearch and Redis on this machine's loopback."""
    context.obj = standing(folder, free_ports=free_ports)


@main.command()
@click.pass_obj
def up(servers: list[Server]) -> None:
    """Start what doesn't run yet; it stays up."""
    with ThreadPoolExecutor() as pool:
        list(pool.map(Server.start, servers))
    for server in servers:
        click.echo(f"{server.name}: {address(server)}")


@main.command()
@click.pass_obj
def down(servers: list[Server]) -> None:
    """Stop all three and delete their data."""
    with ThreadPoolExecutor() as pool:
        list(pool.map(Server.discard, servers))


@main.command()
@click.pass_obj
def status(servers: list[Server]) -> None:
    """Say which run; exit code 4 when one does not."""
    for server in servers:
        click.echo(f"{server.name}: {address(server)}, {'up' if server.alive else 'down'}")
    if not all(server.alive for server in servers):
        sys.exit(4)


if __name__ == "__main__":
    try:
        main(prog_name="servers")
    except CeleryscopeError as error:
        click.echo(f"servers: {error}", err=True)
        sys.exit(error.exit_code)
