"""The one table from Elasticsearch's answers to our errors.

A stand-in answers here: servers of another product, of a version too new, or overloaded at will can't be had for real.
"""

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from click.testing import CliRunner

from celeryscope.cli import main
from celeryscope.errors import NotFound, Rejected, TooSlow, Unauthorized, Unavailable, WrongVersion
from celeryscope.service.elasticsearch import ElasticsearchSettings, connect, our_errors

OURS = {"X-Elastic-Product": "Elasticsearch", "Content-Type": "application/vnd.elasticsearch+json;compatible-with=8"}


class StandIn:
    """Answers every request with one status, body and headers."""

    def __init__(self) -> None:
        self.answer: tuple[int, dict[str, Any], dict[str, str]] = (200, {}, OURS)
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                status, body, headers = stand_in.answer
                content = json.dumps(body).encode()
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_PUT = do_HEAD = do_POST

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def stand_in() -> Iterator[StandIn]:
    running = StandIn()
    threading.Thread(target=running.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    yield running
    running.server.shutdown()
    running.server.server_close()


def _refusal(kind: str) -> dict[str, Any]:
    return {"error": {"type": kind, "reason": f"because of {kind}"}, "status": 0}


ANSWERS = [
    (401, _refusal("security_exception"), OURS, Unauthorized),
    (403, _refusal("security_exception"), OURS, Unauthorized),
    (404, _refusal("index_not_found_exception"), OURS, NotFound),
    (429, _refusal("es_rejected_execution_exception"), OURS, Unavailable),
    (503, _refusal("no_shard_available_action_exception"), OURS, Unavailable),
    (400, _refusal("media_type_header_exception"), OURS, WrongVersion),
    (400, _refusal("parsing_exception"), OURS, Rejected),
    (200, {"hits": {}}, {"Content-Type": "application/json"}, WrongVersion),
]


@pytest.mark.parametrize(("status", "body", "headers", "error"), ANSWERS)
def test_each_answer_says_what_to_do(
    stand_in: StandIn, status: int, body: dict[str, Any], headers: dict[str, str], error: type[Exception]
) -> None:
    stand_in.answer = (status, body, headers)
    with (
        connect(ElasticsearchSettings.load(url=stand_in.url)) as client,
        pytest.raises(error) as raised,
        our_errors(),
    ):
        client.search(index="x", query={"match_all": {}})
    assert len(str(raised.value)) > 20
    assert "\n" not in str(raised.value)


def test_no_answer_in_time_is_an_error_of_its_own_with_the_exit_code_of_a_server_that_is_away() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with (
            connect(ElasticsearchSettings.load(url=url, timeout=0.1)) as client,
            pytest.raises(TooSlow, match="raise CELERYSCOPE_ELASTICSEARCH_TIMEOUT") as raised,
            our_errors(),
        ):
            client.search(index="x", query={"match_all": {}})
    assert raised.value.exit_code == Unavailable.exit_code


@pytest.mark.parametrize(
    "command", [["failures"], ["task", "x"], ["workflow", "x"], ["logs", "--task", "x"], ["status"]]
)
@pytest.mark.parametrize(
    ("status", "body", "headers", "exit_code"),
    [
        (401, _refusal("security_exception"), OURS, 5),
        (503, _refusal("unavailable"), OURS, 4),
        (400, _refusal("media_type_header_exception"), OURS, 6),
        (200, {}, {"Content-Type": "application/json"}, 6),
    ],
)
def test_every_view_ends_with_one_line_and_the_fitting_exit_code(
    stand_in: StandIn, command: list[str], status: int, body: dict[str, Any], headers: dict[str, str], exit_code: int
) -> None:
    stand_in.answer = (status, body, headers)
    result = CliRunner().invoke(main, [*command, "--elasticsearch-url", stand_in.url])
    assert result.exit_code == exit_code, result.output
    assert result.stdout == ""
    assert result.stderr.startswith("celeryscope: ")
    assert "Traceback" not in result.stderr


def test_a_secret_does_not_show_in_the_settings() -> None:
    settings = ElasticsearchSettings(url="http://x", api_key="hunter2", username="ann", password="hunter3")
    assert "hunter" not in repr(settings)
