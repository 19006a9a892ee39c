"""A stand-in for the collector at the end of the shipper's wire: a real HTTP server that keeps what it is sent.

The real collector needs Kafka; these tests are about what leaves the worker. The path through the real one is in e2e/.
"""

import gzip
import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


class Sink:
    """Answers 200 (or ``status``) and keeps log records and spans as dicts of plain attributes."""

    def __init__(self) -> None:
        self.status = 200
        self.refuse: Callable[[list[dict[str, Any]]], bool] = lambda _: False
        """Requests with such records are answered with 400."""
        self.answer: dict[str, Any] = {}
        self.logs: list[dict[str, Any]] = []
        self.spans: list[dict[str, Any]] = []
        self.bodies: list[bytes] = []
        """Requests as they came, unpacked."""
        self.requests = 0
        self.tokens: set[str | None] = set()
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def events(self, name: str | None = None) -> list[dict[str, Any]]:
        """Distinct events by uid, oldest first."""
        distinct = {record["log.record.uid"]: record for record in self.logs if record["event_name"]}
        found = [record for record in distinct.values() if name in {None, record["event_name"]}]
        return sorted(found, key=lambda record: record.get("celery.clock", 0))

    def lines(self) -> list[dict[str, Any]]:
        return [record for record in self.logs if not record["event_name"]]

    def states(self, task_name: str) -> list[str]:
        """States of the task's attempts in the clock's order, without repetition of a uid."""
        return [event["celery.state"] for event in self.events() if event.get("celery.task_name") == task_name]

    def keep(self, request: dict[str, Any], token: str | None) -> int:
        """The status to answer with."""
        with self._lock:
            status = self.status  # once: a test may change it at any moment
            self.requests += 1
            self.tokens.add(token)
            logs = _records(request, "resourceLogs", "scopeLogs", "logRecords")
            if self.refuse(logs):
                return 400
            if status == 200:
                self.logs += logs
                self.spans += _records(request, "resourceSpans", "scopeSpans", "spans")
            return status


def _records(request: dict[str, Any], outer: str, inner: str, leaf: str) -> list[dict[str, Any]]:
    return [
        {
            **{f"resource.{key}": value for key, value in _plain(by_resource["resource"]["attributes"]).items()},
            **_plain(record["attributes"]),
            "event_name": record.get("eventName"),
            "body": record.get("body", {}).get("stringValue"),
            "severity": record.get("severityText"),
            "name": record.get("name"),
            "scope": by_scope["scope"].get("name"),
            "trace_id": record.get("traceId"),
            "span_id": record.get("spanId"),
            "parent_span_id": record.get("parentSpanId"),
            "status": record.get("status"),
            "kind": record.get("kind"),
            "links": record.get("links", []),
        }
        for by_resource in request.get(outer, ())
        for by_scope in by_resource[inner]
        for record in by_scope[leaf]
    ]


def _plain(attributes: list[dict[str, Any]]) -> dict[str, Any]:
    return {item["key"]: _value(item["value"]) for item in attributes}


def _value(value: dict[str, Any]) -> Any:
    if "intValue" in value:
        return int(value["intValue"])
    if "arrayValue" in value:
        return [_value(item) for item in value["arrayValue"]["values"]]
    if "kvlistValue" in value:
        return _plain(value["kvlistValue"]["values"])
    return next(iter(value.values()))


def _handler(sink: Sink) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers["Content-Encoding"] == "gzip":
                body = gzip.decompress(body)
            sink.bodies.append(body)
            status = sink.keep(json.loads(body), self.headers["Authorization"])
            answer = json.dumps(sink.answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    return Handler
