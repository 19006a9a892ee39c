"""uvicorn, bounded where it waits for ever: heads that don't end, connections without requests, too many of them."""

import asyncio
import math
import ssl
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, Final

import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from celeryscope.errors import ConfigError
from celeryscope_collector.settings import CollectorSettings

_MAX_HEAD_BYTES: Final = 64 * 1024
_PLAIN: Final = b"\r\ncontent-type: text/plain; charset=utf-8\r\nconnection: close\r\ncontent-length: "


class Server(uvicorn.Server):
    """uvicorn's server without its handling of signals, which would let it die of a SIGTERM once it has drained."""

    def __init__(self, config: uvicorn.Config, on_drain: Callable[[], None]) -> None:
        """``on_drain`` is called, once, when it begins to drain."""
        super().__init__(config)
        self._on_drain = on_drain

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Leaves them to the service."""
        yield

    def drain(self) -> None:
        """Accept no more connections, finish the requests under way, then end."""
        if not self.should_exit:
            self.should_exit = True
            self._on_drain()


def configuration(settings: CollectorSettings, app: Starlette) -> uvicorn.Config:
    """uvicorn's configuration; ConfigError when the TLS files can't be used."""
    tls: dict[str, Any] = {}
    if settings.ssl_certificate is not None:
        tls = {"ssl_certfile": settings.ssl_certificate, "ssl_keyfile": settings.ssl_key}
        if settings.ssl_client_ca is not None:
            tls |= {"ssl_ca_certs": str(settings.ssl_client_ca), "ssl_cert_reqs": ssl.CERT_REQUIRED}
    config = uvicorn.Config(
        app,
        http=_protocol(settings.header_timeout, settings.max_connections),
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


def _protocol(header_timeout: float, max_connections: int) -> type[asyncio.Protocol]:
    class Bounded(_Protocol):
        head_seconds = header_timeout
        most_connections = max_connections

    return Bounded


class _Protocol(HttpToolsProtocol):
    """One connection. uvicorn's own timeout begins with the first answer, and its heads may have any size."""

    head_seconds: float
    most_connections: int

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._head_bytes = 0
        self._in_head = True
        self._head_timer: asyncio.TimerHandle | None = None
        if len(self.connections) > self.most_connections:
            self._end(b"503 Service Unavailable\r\nretry-after: 5", b"too many connections; come back later")
            return
        self._await_head()

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        if self._in_head:
            self._await_head()
            self._head_bytes += len(data)
        super().data_received(data)
        # What is over the limit may be the beginning of a body that came along; then the head has ended.
        if self._in_head and self._head_bytes > _MAX_HEAD_BYTES and not self.transport.is_closing():
            self._end(b"431 Request Header Fields Too Large", b"the head of the request is too large")

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._stop_timer()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._in_head, self._head_bytes = True, 0

    def on_response_complete(self) -> None:
        super().on_response_complete()
        # Refused before all of its body was there: what still comes is read and forgotten, but not for ever.
        if self.cycle.more_body:
            self.loop.call_later(self.head_seconds, self._body_is_late, self.cycle)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def _await_head(self) -> None:
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(self.head_seconds, self._head_is_late)

    def _head_is_late(self) -> None:
        # Not HTTP's 408: senders of OTLP drop their data for that.
        self._end(b"503 Service Unavailable\r\nretry-after: 1", b"the head of the request did not arrive in time")

    def _body_is_late(self, cycle: RequestResponseCycle) -> None:
        if self.cycle is cycle and cycle.more_body:
            self.transport.close()

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _end(self, status: bytes, text: bytes) -> None:
        self._stop_timer()
        if self.transport.is_closing():
            return
        self.transport.write(b"HTTP/1.1 %b%b%d\r\n\r\n%b" % (status, _PLAIN, len(text), text))
        self.transport.close()
