"""/metrics, /healthz and /readyz over HTTP."""

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from celeryscope.errors import ConfigError


class HealthServer:
    """Answers in threads of its own; ``why_not_ready`` says what is missing, empty when nothing is."""

    def __init__(
        self, host: str, port: int, why_not_ready: Callable[[], str], registry: CollectorRegistry, setting: str
    ) -> None:
        """Raises ConfigError, which names the ``setting`` of the port, when the address is taken."""
        try:
            self._server = ThreadingHTTPServer((host, port), _handler(why_not_ready, registry))
        except OSError as error:
            raise ConfigError(f"{host}:{port} can't be listened on ({error.strerror}); set {setting}.") from error
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, name="health", daemon=True).start()

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()


def _handler(why_not_ready: Callable[[], str], registry: CollectorRegistry) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/metrics":
                self._answer(200, generate_latest(registry), CONTENT_TYPE_LATEST)
            elif self.path == "/healthz":
                self._answer(200, b"ok\n")
            elif self.path == "/readyz":
                missing = why_not_ready()
                self._answer(503 if missing else 200, f"{missing or 'ready'}\n".encode())
            else:
                self._answer(404, b"not found\n")

        def _answer(self, status: int, body: bytes, content_type: str = "text/plain; charset=utf-8") -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    return Handler
