"""What the writer makes of an Elasticsearch that finds requests too large, or too much."""

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

import orjson
import pytest

from celeryscope.service.elasticsearch import ElasticsearchSettings, connect
from celeryscope_pipelines.indexer.batch import Item, Message
from celeryscope_pipelines.indexer.bulk import BulkWriter
from celeryscope_pipelines.indexer.patience import Patience


class Picky(ThreadingHTTPServer):
    """Stands for an Elasticsearch, or a proxy before it, that answers ``status`` to requests above ``most`` bytes."""

    most = 300_000
    status = 413

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.requests: list[tuple[int, int]] = []
        """Bytes and documents of each request."""
        self.taken: list[str] = []


class _Handler(BaseHTTPRequestHandler):
    server: Picky

    def do_POST(self) -> None:
        lines = self.rfile.read(int(self.headers["Content-Length"])).splitlines()
        actions = [orjson.loads(line)["create"]["_id"] for line in lines[::2]]
        size = sum(map(len, lines))
        self.server.requests.append((size, len(actions)))
        if size > self.server.most:
            self._answer(self.server.status, b'{"error":{"reason":"circuit_breaking_exception"}}')
            return
        self.server.taken += actions
        self._answer(200, b'{"errors":false}')

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        headers = {"Content-Type": "application/json", "X-Elastic-Product": "Elasticsearch"}
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def picky() -> Iterator[Picky]:
    with Picky() as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def writer(picky: Picky) -> BulkWriter:
    client = connect(ElasticsearchSettings(url=f"http://127.0.0.1:{picky.server_port}"))
    return BulkWriter(client, Patience(0.01, Event()))


def item(number: int, size: int) -> Item:
    action = orjson.dumps({"create": {"_index": "i", "_id": str(number)}})
    lines = action + b"\n" + orjson.dumps({"text": "x" * size}) + b"\n"
    return Item(lines, Message("logs", 0, number, b""), 0)


def test_a_request_that_is_too_large_is_split_and_none_of_that_size_is_sent_again(picky: Picky) -> None:
    items = [item(number, 10_000) for number in range(100)]
    ours = writer(picky)
    assert ours.write(items) == []
    assert sorted(picky.taken, key=int) == [str(number) for number in range(100)]
    picky.requests.clear()
    assert ours.write(items) == []
    assert max(size for size, _ in picky.requests) <= picky.most


def test_a_document_that_is_too_large_alone_is_refused_and_those_beside_it_are_not(picky: Picky) -> None:
    items = [item(0, 1000), item(1, 400_000), item(2, 1000)]
    (refused,) = writer(picky).write(items)
    assert (refused.item, refused.reason) == (items[1], "too_large")
    assert sorted(picky.taken) == ["0", "2"]


def test_an_overloaded_server_gets_the_same_again_and_then_less_until_it_takes_it(picky: Picky) -> None:
    picky.status = 429
    items = [item(number, 10_000) for number in range(100)]
    assert writer(picky).write(items) == []
    assert [documents for _, documents in picky.requests[:4]] == [100, 100, 100, 50]
    assert sorted(picky.taken, key=int) == [str(number) for number in range(100)]
