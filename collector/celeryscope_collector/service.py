"""The collector as a process: sockets, signals, start and drain."""

import asyncio
import ipaddress
import signal
import socket
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
import uvloop

from celeryscope.errors import ConfigError
from celeryscope.service.garbage import look_for_garbage_rarely
from celeryscope.service.kafka import KafkaSettings
from celeryscope_collector.build import Collector, build
from celeryscope_collector.http_server import Server, configuration
from celeryscope_collector.settings import CollectorSettings
from celeryscope_collector.tokens import Anonymous

if TYPE_CHECKING:
    from celeryscope_collector.grpc_server import GrpcServer

_log = structlog.get_logger(__name__)

_GARBAGE = 100_000
"""Containers: a large request that is decoded has as many, and none of them is garbage before its end."""


def serve(
    settings: CollectorSettings, kafka: KafkaSettings, announce: Callable[[str], object], shared: Path | None = None
) -> None:
    """Run until SIGTERM or SIGINT, then finish what is under way, flush, and return; SIGHUP reads the files again.

    ``announce`` is called once, with the line that tells where the collector listens. ``shared`` is given to one of
    several processes of a collector: the folder of what they share; the ports are then shared, too. Raises ConfigError
    when it can't start. Kafka need not be there: until it is, senders are told to come back.
    """
    if settings.allow_anonymous and not _is_loopback(settings.host):
        _log.warning("everybody who can reach this address may send; use tokens", host=settings.host)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_run(settings, kafka, announce, shared))


async def _run(
    settings: CollectorSettings, kafka: KafkaSettings, announce: Callable[[str], object], shared: Path | None
) -> None:
    collector = build(settings, kafka, shared)
    draining = asyncio.Event()
    server = Server(configuration(settings, collector.receiver.app()), draining.set)
    listener = listening_socket(settings.host, settings.port, shared=shared is not None)
    grpc = _grpc_server(settings, collector, shared=shared is not None)
    await collector.exporter.start(on_bug=server.drain)
    drained = asyncio.create_task(_serve_grpc(grpc, draining))
    look_for_garbage_rarely(_GARBAGE)
    try:
        with _signals(server, collector.reload):
            collector.metrics.processes.set(1)
            announce(_where(settings, _ports(listener, grpc), kafka, collector))
            await server.serve(sockets=[listener])
    finally:
        draining.set()
        await drained
        await collector.exporter.stop()
        _log.info("stopped; everything that was answered with 200 is in Kafka")


@contextmanager
def _signals(server: Server, reload: Callable[[], None]) -> Generator[None, None, None]:
    """Drain at the first SIGTERM or SIGINT (a second SIGINT does not wait for it), reload at each SIGHUP."""

    def drain(number: signal.Signals) -> None:
        _log.info("draining: no new connections, requests under way are finished", signal=number.name)
        server.force_exit = server.should_exit and number == signal.SIGINT
        server.drain()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, drain, number)
    loop.add_signal_handler(signal.SIGHUP, reload)
    try:
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.remove_signal_handler(number)


def _grpc_server(settings: CollectorSettings, collector: Collector, *, shared: bool) -> "GrpcServer | None":
    if collector.grpc is None:
        return None
    from celeryscope_collector.grpc_server import GrpcServer

    return GrpcServer(settings, collector.grpc, shared=shared)


async def _serve_grpc(grpc: "GrpcServer | None", draining: asyncio.Event) -> None:
    if grpc is None:
        return
    await grpc.start()
    await draining.wait()
    await grpc.drain()


def listening_socket(host: str, port: int, *, shared: bool) -> socket.socket:
    """A socket that listens; with ``shared`` other processes may listen on the same port, each for its share.

    Raises ConfigError when that isn't possible.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, int(shared))
        listener.bind(address)
        listener.listen(1024)
    except OSError as error:
        raise ConfigError(f"can't listen on {host}:{port}: {error.strerror}; choose another --host or --port") from None
    return listener


def _ports(listener: socket.socket, grpc: "GrpcServer | None") -> dict[str, int]:
    ports = {"http": listener.getsockname()[1]}
    return ports if grpc is None else ports | {"grpc": grpc.port}


def _where(settings: CollectorSettings, ports: dict[str, int], kafka: KafkaSettings, collector: Collector) -> str:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    secure = "s" if settings.ssl_certificate else ""
    addresses = " and ".join(f"{scheme}{secure}://{host}:{port}" for scheme, port in ports.items())
    who = "anybody" if isinstance(collector.tenants, Anonymous) else f"tenants {', '.join(collector.tenants.tenants)}"
    state = "" if collector.exporter.problem is None else f" (not yet: {collector.exporter.problem})"
    return f"collector listens on {addresses} for {who}, Kafka {kafka.bootstrap_servers}{state}"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
