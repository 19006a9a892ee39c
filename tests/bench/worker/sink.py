"""A cheap HTTP server that answers success to every peer and keeps what it was sent; ``python -m worker.sink``.

It runs in a process of its own, whose CPU is nobody's. While a worker is measured it only stores bodies; they are
decompressed and counted when ``GET /-/report`` asks, which empties it. The first line it prints is its port.
"""

import asyncio
import gzip
import json
import os
import subprocess
import sys
import urllib.request
import zlib
from collections import Counter
from pathlib import Path
from typing import Any, Self

_REPORT = "/-/report"
_ANSWERS = {
    "/": (200, b'{"version": "8.15.0", "build_sha": "bench", "build_date": "2026-01-01T00:00:00Z"}'),
    "/intake/v2/events": (202, b""),
    "/config/v1/agents": (200, b"{}"),
    "/v1/traces": (200, b""),
    "/v1/logs": (200, b""),
}
_CONSUMER = 5


class Sink:
    """The server's process."""

    def __init__(self, port: int = 0) -> None:
        """``port``: 0 takes any free one."""
        command = [sys.executable, "-m", "worker.sink", str(port)]
        environ = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
        self._process = subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())
        self.url = f"http://127.0.0.1:{self.port}"

    def report(self) -> dict[str, Any]:
        """What came since the last report: ``requests`` and ``bytes`` by path, and ``counts`` of what was in them."""
        with urllib.request.urlopen(self.url + _REPORT, timeout=120) as answer:
            report: dict[str, Any] = json.load(answer)
        return report

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()


class _Connection(asyncio.Protocol):
    """HTTP/1.1 with keep-alive, bodies by Content-Length or in chunks; no more than the peers' clients need."""

    def __init__(self, kept: list[tuple[str, bool, bytes]]) -> None:
        self._kept = kept
        self._received = bytearray()
        self._head: tuple[str, dict[str, str]] | None = None
        self._chunks: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        while self._request():
            pass

    def _request(self) -> bool:
        """Take one request out of what was received; False while it isn't complete."""
        if self._head is None and not self._take_head():
            return False
        assert self._head is not None
        target, headers = self._head
        body = self._chunked() if "chunked" in headers.get("transfer-encoding", "") else self._sized(headers)
        if body is None:
            return False
        self._head, self._chunks = None, []
        self._answer(target.split("?")[0], headers, body)
        return True

    def _take_head(self) -> bool:
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            return False
        first, *lines = self._received[:end].decode("latin-1").split("\r\n")
        del self._received[: end + 4]
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        self._head = (first.split(" ")[1], headers)
        return True

    def _sized(self, headers: dict[str, str]) -> bytes | None:
        size = int(headers.get("content-length", 0))
        if len(self._received) < size:
            return None
        body = bytes(self._received[:size])
        del self._received[:size]
        return body

    def _chunked(self) -> bytes | None:
        while (end := self._received.find(b"\r\n")) >= 0:
            size = int(self._received[:end].split(b";")[0], 16)
            if len(self._received) < end + size + 4:
                return None
            self._chunks.append(bytes(self._received[end + 2 : end + 2 + size]))
            del self._received[: end + size + 4]
            if size == 0:
                return b"".join(self._chunks)
        return None

    def _answer(self, path: str, headers: dict[str, str], body: bytes) -> None:
        if path == _REPORT:
            status, answer = 200, json.dumps(_report(self._kept)).encode()
            self._kept.clear()
        else:
            status, answer = _ANSWERS.get(path, (200, b"{}"))
            packed = headers.get("content-encoding", "") in {"gzip", "deflate"}
            self._kept.append((f"{path} {headers.get('content-type', '')}", packed, body))
        head = f"HTTP/1.1 {status} OK\r\nContent-Length: {len(answer)}\r\nContent-Type: application/json\r\n\r\n"
        self._transport.write(head.encode() + answer)


def _report(kept: list[tuple[str, bool, bytes]]) -> dict[str, Any]:
    requests: Counter[str] = Counter()
    size: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    seen: set[str] = set()
    for path, packed, body in kept:
        requests[path.split(" ")[0]] += 1
        size[path.split(" ")[0]] += len(body)
        plain = _unpacked(body) if packed else body
        if path.startswith("/v1/"):
            _count_otlp(path, plain, counts, seen)
        elif plain:
            _count_lines(plain, counts)
    return {"requests": requests, "bytes": size, "counts": counts}


def _unpacked(body: bytes) -> bytes:
    return gzip.decompress(body) if body[:2] == b"\x1f\x8b" else zlib.decompress(body)


def _count_otlp(path: str, body: bytes, counts: Counter[str], seen: set[str]) -> None:
    """Spans that a task's run made as "task spans"; "logs"; and events by their names, each uid once."""
    if "json" in path:
        _count_json(json.loads(body), counts, seen)
    else:
        _count_protobuf(path, body, counts)


def _count_json(request: dict[str, Any], counts: Counter[str], seen: set[str]) -> None:
    for by_resource in request.get("resourceSpans", ()):
        for by_scope in by_resource["scopeSpans"]:
            ids = {span["spanId"] for span in by_scope["spans"] if span["kind"] == _CONSUMER}
            counts["task spans"] += len(ids - seen)
            seen |= ids
    for by_resource in request.get("resourceLogs", ()):
        for by_scope in by_resource["scopeLogs"]:
            for record in by_scope["logRecords"]:
                if (uid := _uid(record)) not in seen:
                    seen.add(uid)
                    counts[record.get("eventName") or "logs"] += 1


def _count_protobuf(path: str, body: bytes, counts: Counter[str]) -> None:
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    if path.startswith("/v1/traces"):
        for spans in ExportTraceServiceRequest.FromString(body).resource_spans:
            for by_scope in spans.scope_spans:
                counts["task spans"] += sum(span.kind == _CONSUMER for span in by_scope.spans)
    else:
        for logs in ExportLogsServiceRequest.FromString(body).resource_logs:
            counts["logs"] += sum(len(by_scope.log_records) for by_scope in logs.scope_logs)


def _uid(record: dict[str, Any]) -> str:
    (uid,) = (item["value"]["stringValue"] for item in record["attributes"] if item["key"] == "log.record.uid")
    return str(uid)


def _count_lines(body: bytes, counts: Counter[str]) -> None:
    """Sentry's envelopes and Elastic's intake are lines of JSON; both call a task's run a transaction.

    An envelope's items are pairs of lines: a header with type and length, then the payload.
    """
    for line in body.split(b"\n"):
        if line.startswith((b'{"transaction":', b'{"type":"transaction","content_type"')):
            counts["task spans"] += 1
        elif line.startswith((b'{"error":', b'{"type":"event","content_type"')):
            counts["errors"] += 1


async def _serve(port: int) -> None:
    kept: list[tuple[str, bool, bytes]] = []
    server = await asyncio.get_running_loop().create_server(lambda: _Connection(kept), "127.0.0.1", port)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))
