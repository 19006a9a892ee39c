"""What a process tells on /metrics, whatever it is."""

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from celeryscope.errors import Unavailable
from celeryscope_pipelines.exposition import read_exposition


@contextmanager
def telling(body: bytes) -> Iterator[str]:
    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_values_that_are_no_numbers_do_not_count() -> None:
    with telling(b'a_total{why="x"} 3\na_total{why="y"} NaN\na_total{why="z"} +Inf\n') as url:
        told = read_exposition(url)
    assert (told.total("a_total"), told.by("a_total", "why")) == (3, {"x": 3})


@pytest.mark.parametrize("body", [b"<html><body>hi there</body></html>", b'a{b="', b"\xff\xfe"])
def test_what_is_no_exposition_is_named(body: bytes) -> None:
    with telling(body) as url, pytest.raises(Unavailable, match="tells nothing"):
        read_exposition(url)
