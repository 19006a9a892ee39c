"""Web applications that publish: a request and its workflow are one trace, and no end of a process loses anything."""

import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

import psutil
import pytest

from celeryscope.spool.counting import count
from servers import Redis
from servers.process import free_port
from support.sink import Sink
from support.waiting import until
from support.workers import Worker

pytestmark = pytest.mark.redis

SERVER, PRODUCER, CONSUMER = 2, 4, 5
# Gunicorn kills a worker that is silent for 30 s, as on a machine under heavy load.
PATIENT = ("--no-control-socket", "--timeout=150", "--graceful-timeout=100")
FLASK = ("gunicorn", "flask_app", *PATIENT, "--workers=2")
DJANGO = ("gunicorn", "django_app", *PATIENT, "--workers=2", "--preload")
FASTAPI = ("uvicorn", "fastapi_app")
NEVER = "3600"


class WebServer:
    """A real server process with one of the applications of ``support.web``."""

    def __init__(self, worker: Worker, kind: tuple[str, ...], folder: Path, *options: str, **environ: str) -> None:
        self.port = free_port()
        server, module, *its_options = kind
        # All that a process has at its end is to arrive, however busy the machine is.
        own = {"CELERYSCOPE_SPOOL_DIR": str(folder / "spool"), "CELERYSCOPE_FLUSH_TIMEOUT": "60"}
        self.environ = worker.environ | own | environ
        where = [f"--bind=127.0.0.1:{self.port}"] if server == "gunicorn" else [f"--port={self.port}"]
        application = f"support.web.{module}:application"
        self.command = [sys.executable, "-m", server, application, *its_options, *where, *options]
        self.folder = folder
        self.published_by: dict[str, int] = {}

    def __enter__(self) -> Self:
        with (self.folder / "web.log").open("ab") as log:
            self.process = subprocess.Popen(self.command, env=self.environ, cwd=self.folder, stdout=log, stderr=log)
        until(self._answers, what=f"the web server answers; {self.log()}")
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait(120)

    def order(self, order: str, path: str = "orders") -> str:
        """Place an order; the id of its workflow. ``published_by`` gets which process published it."""
        address = f"http://127.0.0.1:{self.port}/{path}/{quote(order)}"
        with urllib.request.urlopen(address, timeout=90) as answer:
            root, pid = answer.read().decode().strip('"').split()
        self.published_by[root] = int(pid)
        return str(root)

    def workers(self) -> list[int]:
        return [child.pid for child in psutil.Process(self.process.pid).children()]

    def pending(self) -> int:
        """Records in the spool that were not shipped."""
        return int(count(self.folder / "spool")["pending"])

    def log(self) -> str:
        return (self.folder / "web.log").read_text()[-2000:]

    def _answers(self) -> bool:
        assert self.process.poll() is None, self.log()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/no-such-page", timeout=5):
                return True
        except urllib.error.HTTPError as error:
            error.close()
            return True
        except OSError:
            return False


@pytest.fixture(scope="module")
def sink() -> Iterator[Sink]:
    with Sink() as running:
        yield running


@pytest.fixture(scope="module")
def worker(sink: Sink, redis: Redis, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    with Worker(sink, redis.url, tmp_path_factory.mktemp("web"), "solo", app="web.shop") as running:
        yield running


def _spans(sink: Sink, trace_id: str) -> dict[str, dict[str, Any]]:
    """Spans of a trace by their names."""
    return {span["name"]: span for span in sink.spans if span["trace_id"] == trace_id}


def _trace_of(sink: Sink, root: str) -> str:
    """The trace of the event that says that the workflow's first task was sent."""

    def sent() -> list[dict[str, Any]]:
        return [event for event in sink.events("celery.task.sent") if event["celery.task_id"] == root]

    until(sent, what=f"{root} was sent")
    return str(sent()[0]["trace_id"])


@pytest.mark.parametrize("kind", [FLASK, DJANGO, FASTAPI], ids=["flask", "django-preload", "fastapi"])
def test_a_request_and_the_workflow_it_starts_are_one_trace(
    kind: tuple[str, ...], sink: Sink, worker: Worker, tmp_path: Path
) -> None:
    with WebServer(worker, kind, tmp_path) as web:
        root = web.order("4711")
        trace_id = _trace_of(sink, root)
        until(lambda: len(_spans(sink, trace_id)) >= 5, what=f"five spans of {sink.spans}; {web.log()}")
    spans = _spans(sink, trace_id)
    (request,) = (span for span in spans.values() if span["kind"] == SERVER)
    assert request["parent_span_id"] in {None, ""}
    assert spans["apply_async/pay"]["parent_span_id"] == request["span_id"]
    assert spans["run/pay"]["parent_span_id"] == spans["apply_async/pay"]["span_id"]
    assert spans["apply_async/receipt"]["parent_span_id"] == spans["run/pay"]["span_id"]
    until(lambda: len(_ended(sink, root)) == 2, what="both tasks ended")
    assert {event["trace_id"] for event in sink.events() if event.get("celery.root_id") == root} == {trace_id}
    assert request["resource.service.name"] == "web-shop"


def _ended(sink: Sink, root: str) -> list[dict[str, Any]]:
    return [event for event in sink.events("celery.task.succeeded") if event["celery.root_id"] == root]


def _all_arrived(sink: Sink, web: WebServer) -> None:
    """What the web processes wrote of each order, each for itself: request's span, publish's span and event."""
    sent = {event["celery.task_id"]: event for event in sink.events("celery.task.sent")}
    assert web.published_by.keys() <= sent.keys()
    for root, pid in web.published_by.items():
        assert sent[root]["resource.process.pid"] == pid
        by = {
            (span["kind"], span["resource.process.pid"])
            for span in sink.spans
            if span["trace_id"] == sent[root]["trace_id"]
        }
        assert {(SERVER, pid), (PRODUCER, pid)} <= by, f"{root} of {pid}: only {by}"


@pytest.mark.parametrize("path", ["orders", "in-a-thread"])
def test_requests_that_overlap_in_one_process_keep_their_traces_apart(
    sink: Sink, worker: Worker, tmp_path: Path, path: str
) -> None:
    with WebServer(worker, FASTAPI, tmp_path) as web, ThreadPoolExecutor(10) as browsers:
        roots = list(browsers.map(lambda number: web.order(str(number), path), range(20)))
        traces = [_trace_of(sink, root) for root in roots]
    assert len(set(traces)) == 20
    _all_arrived(sink, web)


@pytest.mark.parametrize("kind", [FLASK, DJANGO, FASTAPI], ids=["flask", "django-preload", "fastapi"])
def test_a_server_that_is_told_to_end_has_shipped_all_before(
    kind: tuple[str, ...], sink: Sink, worker: Worker, tmp_path: Path
) -> None:
    with WebServer(worker, kind, tmp_path, CELERYSCOPE_SHIP_INTERVAL=NEVER, LOG_AT_IMPORT=tmp_path.name) as web:
        processes = 1 if kind is FASTAPI else 2
        with ThreadPoolExecutor(4) as browsers:
            while len(set(web.published_by.values())) < processes:
                list(browsers.map(web.order, map(str, range(10))))
    _all_arrived(sink, web)
    assert web.pending() == 0
    # Two workers that loaded the application themselves, or one process: each said it once, a fork not again.
    lines = [line for line in sink.lines() if line["body"] == f"loaded for {tmp_path.name}"]
    assert len(lines) == len({line["log.record.uid"] for line in lines}) == (2 if kind is FLASK else 1)


def test_a_master_that_ships_imports_nothing_meanwhile(worker: Worker, tmp_path: Path) -> None:
    """A process forked while a thread of ours imports would have that module unfinished, and could not import it."""
    imported = tmp_path / "imported"
    with Sink() as sink:
        told = {"LOG_AT_IMPORT": tmp_path.name, "CELERYSCOPE_ENDPOINT": sink.url.replace("127.0.0.1", "localhost")}
        with WebServer(worker, DJANGO, tmp_path, IMPORTS_IN_THREADS=str(imported), **told):
            until(lambda: any(line["body"] == f"loaded for {tmp_path.name}" for line in sink.lines()), what="the line")
    assert not imported.exists(), imported.read_text()


def test_workers_that_gunicorn_replaces_after_some_requests_lose_nothing(
    sink: Sink, worker: Worker, tmp_path: Path
) -> None:
    with WebServer(worker, FLASK, tmp_path, "--max-requests=3", CELERYSCOPE_SHIP_INTERVAL=NEVER) as web:
        first = set(web.workers())
        while first & set(web.workers()):
            web.order("one of many")
    _all_arrived(sink, web)
    assert web.pending() == 0


def test_what_a_killed_worker_left_is_shipped_by_the_one_in_its_place(worker: Worker, tmp_path: Path) -> None:
    with Sink() as sink:
        sink.status = 503
        with WebServer(worker, (*FLASK[:-1], "--workers=1"), tmp_path, CELERYSCOPE_ENDPOINT=sink.url) as web:
            web.order("of the first")
            (victim,) = web.workers()
            os.kill(victim, signal.SIGKILL)
            until(lambda: web.workers() not in ([], [victim]), what="another worker")
            sink.status = 200
            web.order("of the second")
            until(lambda: web.pending() == 0, what="the spool is empty")
        _all_arrived(sink, web)


def test_what_uvicorn_leaves_without_a_lifespan_is_shipped_by_its_next_start(
    sink: Sink, worker: Worker, tmp_path: Path
) -> None:
    # uvicorn ends by the signal that it got, so nothing that is registered for the process's end is run.
    with WebServer(worker, FASTAPI, tmp_path, CELERYSCOPE_SHIP_INTERVAL=NEVER, NO_LAST_WORD="1") as web:
        for number in range(3):
            web.order(str(number))
    assert web.pending() > 0
    with WebServer(worker, FASTAPI, tmp_path) as after:
        after.order("next")
        until(lambda: after.pending() == 0, what="the spool is empty")
    _all_arrived(sink, web)
    _all_arrived(sink, after)
