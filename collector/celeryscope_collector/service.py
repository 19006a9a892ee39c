"""The collector as a process: socket, signals, start and drain."""

import asyncio
import ipaddress
import math
import signal
import socket
import ssl
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import structlog
import uvicorn
import uvloop

from celeryscope.errors import ConfigError
from celeryscope.service.kafka import KafkaSettings
from celeryscope_collector.build import Collector, build
from celeryscope_collector.settings import CollectorSettings
from celeryscope_collector.tokens import Anonymous

_log = structlog.get_logger(__name__)


def serve(settings: CollectorSettings, kafka: KafkaSettings, announce: Callable[[str], None]) -> None:
    """Run until SIGTERM or SIGINT, then finish what is under way, flush, and return.

    ``announce`` is called once, with the line that tells where the collector listens. Raises ConfigError when it can't
    start. Kafka need not be there: until it is, senders are told to come back.
    """
    if settings.allow_anonymous and not _is_loopback(settings.host):
        _log.warning("everybody who can reach this address may send; use tokens", host=settings.host)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_run(settings, kafka, announce))


async def _run(settings: CollectorSettings, kafka: KafkaSettings, announce: Callable[[str], None]) -> None:
    collector = build(settings, kafka)
    server = _Server(_uvicorn_config(settings, collector))
    listener = _listener(settings.host, settings.port)
    await collector.exporter.start(on_bug=server.drain)
    announce(_where(settings, listener, kafka, collector))
    try:
        await server.serve(sockets=[listener])
    finally:
        await collector.exporter.stop()
        _log.info("stopped; everything that was answered with 200 is in Kafka")


class _Server(uvicorn.Server):
    """uvicorn's server, which on SIGTERM drains and returns instead of dying of the signal once more."""

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Ask for a drain at the first SIGTERM or SIGINT; a second SIGINT does not wait for it."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signalled, number)
        try:
            yield
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)

    def drain(self) -> None:
        """Accept no more connections, finish the requests under way, then end."""
        self.should_exit = True

    def _signalled(self, number: signal.Signals) -> None:
        _log.info("draining: no new connections, requests under way are finished", signal=number.name)
        self.force_exit = self.should_exit and number == signal.SIGINT
        self.drain()


def _uvicorn_config(settings: CollectorSettings, collector: Collector) -> uvicorn.Config:
    tls: dict[str, Any] = {}
    if settings.ssl_certificate is not None:
        tls = {"ssl_certfile": settings.ssl_certificate, "ssl_keyfile": settings.ssl_key}
        if settings.ssl_client_ca is not None:
            tls |= {"ssl_ca_certs": str(settings.ssl_client_ca), "ssl_cert_reqs": ssl.CERT_REQUIRED}
    config = uvicorn.Config(
        collector.receiver.app(),
        http="httptools",
        ws="none",
        loop="none",
        lifespan="off",
        log_config=None,
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        # Longer than a shipper's pause between two requests, so that it does not run into a closing connection.
        timeout_keep_alive=75,
        timeout_graceful_shutdown=math.ceil(settings.drain_timeout),
        **tls,
    )
    try:
        config.load()
    except OSError as error:
        raise ConfigError(f"the TLS certificate, key or client CA can't be used: {error}") from None
    return config


def _listener(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(1024)
    except OSError as error:
        raise ConfigError(f"can't listen on {host}:{port}: {error.strerror}; choose another --host or --port") from None
    return listener


def _where(settings: CollectorSettings, listener: socket.socket, kafka: KafkaSettings, collector: Collector) -> str:
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    scheme = "https" if settings.ssl_certificate else "http"
    who = "anybody" if isinstance(collector.tenants, Anonymous) else f"tenants {', '.join(collector.tenants.tenants)}"
    state = "" if collector.exporter.problem is None else f" (not yet: {collector.exporter.problem})"
    return f"collector listens on {scheme}://{shown}:{port} for {who}, Kafka {kafka.bootstrap_servers}{state}"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
