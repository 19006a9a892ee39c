"""The gRPC server around the receiver: its port, TLS, and the bounds that gRPC keeps by itself."""

import logging
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from celeryscope.errors import ConfigError
from celeryscope_collector.grpc_receiver import GrpcReceiver
from celeryscope_collector.settings import CollectorSettings


class GrpcServer:
    """OTLP/gRPC on a port; made and used within the running event loop."""

    def __init__(self, settings: CollectorSettings, receiver: GrpcReceiver, *, shared: bool) -> None:
        """``shared``: other processes of this collector listen on the same port.

        Raises ConfigError when the port is taken or the TLS files can't be used.
        """
        # It tells calls that the other side gave up, with tracebacks; what is a bug, the receiver logs by itself.
        logging.getLogger("grpc._cython.cygrpc").setLevel(logging.CRITICAL)
        self._drain_timeout = settings.drain_timeout
        self._server = grpc.aio.server(options=_options(settings, shared=shared))
        self._server.add_generic_rpc_handlers((receiver,))
        self.port = self._listen(settings)

    async def start(self) -> None:
        """Take calls."""
        await self._server.start()

    async def drain(self) -> None:
        """Take no more calls, and return when those under way are answered, or the time to drain is over."""
        await self._server.stop(self._drain_timeout)

    def _listen(self, settings: CollectorSettings) -> int:
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        address = f"{host}:{_port(settings)}"
        try:
            if settings.ssl_certificate is None:
                return int(self._server.add_insecure_port(address))
            return int(self._server.add_secure_port(address, _credentials(settings)))
        except RuntimeError:
            # gRPC says no more than that it failed.
            raise ConfigError(
                f"can't listen on {address} for gRPC; choose another --grpc-port, or switch it off with --no-grpc"
            ) from None


def _port(settings: CollectorSettings) -> int:
    if settings.grpc_port is not None:
        return settings.grpc_port
    return 4317 if settings.port else 0


def _credentials(settings: CollectorSettings) -> grpc.ServerCredentials:
    assert settings.ssl_certificate is not None
    assert settings.ssl_key is not None
    client_ca = None if settings.ssl_client_ca is None else _read(settings.ssl_client_ca)
    pair = (_read(settings.ssl_key), _read(settings.ssl_certificate))
    return grpc.ssl_server_credentials([pair], client_ca, client_ca is not None)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"the TLS certificate, key or client CA can't be used: {error}") from None


def _options(settings: CollectorSettings, *, shared: bool) -> list[tuple[str, Any]]:
    return [
        ("grpc.so_reuseport", int(shared)),
        ("grpc.max_receive_message_length", settings.max_request_bytes),
        # Its own decompression has no limit.
        ("grpc.per_message_decompression", 0),
        ("grpc.max_metadata_size", 16 * 1024),
        ("grpc.absolute_max_metadata_size", 64 * 1024),
        ("grpc.max_concurrent_streams", 64),
        ("grpc.max_allowed_incoming_connections", settings.max_connections),
        ("grpc.server_handshake_timeout_ms", int(settings.header_timeout * 1000)),
        # A connection whose other end is gone without a word is found by these.
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ]
