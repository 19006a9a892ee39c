"""Stacks of tasks that run too long, from real workers: what a task waits for while it waits."""

import re
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from servers import Redis
from support.sink import Sink
from support.waiting import until
from support.workers import Worker

pytestmark = pytest.mark.redis

APP = "support/stuck_app.py"
CALLER = f"00-{'7' * 32}-{'3' * 16}-01"


class Stuck:
    """A worker with tasks that run too long, all at once; each has a name here, and is a call of one of the app's."""

    def __init__(self, worker: Worker, **calls: tuple[Any, ...]) -> None:
        self.worker = worker
        with Celery(broker=worker.environ["BROKER_URL"]) as app:
            self.ids = {name: self._send(app, *call) for name, call in calls.items()}

    def _send(self, app: Celery, task: str, *args: Any) -> str:
        queue, headers = self.worker.environ["QUEUE"], {"traceparent": CALLER}
        return str(
            app.send_task(f"support.stuck_app.{task}", args, queue=queue, headers=headers, ignore_result=True).id
        )

    def stacks(self, name: str) -> list[dict[str, Any]]:
        found = self.worker.sink.events("celery.task.stack")
        return [event for event in found if event["celery.task_id"] == self.ids[name]]

    def first(self, name: str) -> dict[str, Any]:
        until(lambda: self.stacks(name), what=f"a stack of {name}; {self.worker.log()[-2000:]}")
        return self.stacks(name)[0]

    def final(self, name: str) -> dict[str, Any]:
        def ended() -> list[dict[str, Any]]:
            events = self.worker.sink.events()
            return [e for e in events if e.get("celery.task_id") == self.ids[name] and "celery.ended_at" in e]

        until(ended, what=f"the end of {name}; {self.worker.log()[-2000:]}")
        return ended()[0]

    def release(self) -> None:
        (self.worker.folder / "release").touch()


@contextmanager
def silent_server() -> Iterator[int]:
    """The port of a server that never says anything."""
    with socket.create_server(("127.0.0.1", 0), backlog=16) as listening:
        yield listening.getsockname()[1]


@pytest.fixture(scope="module")
def start(redis: Redis, tmp_path_factory: pytest.TempPathFactory) -> Any:
    def started(sink: Sink, pool: str, concurrency: int, **environ: str) -> Worker:
        folder: Path = tmp_path_factory.mktemp(f"stuck-{pool}")
        environ = {"CELERYSCOPE_STACK_AFTER": "1", **environ}
        return Worker(sink, redis.url, folder, pool, app="stuck_app", concurrency=concurrency, **environ)

    return started


@pytest.fixture(scope="module")
def prefork(start: Any) -> Iterator[Stuck]:
    with Sink() as sink, start(sink, "prefork", 7) as worker, silent_server() as port:
        stuck = Stuck(
            worker,
            lock=("waits_for_a_lock",),
            server=("waits_for_a_server", port),
            loop=("computes",),
            c_code=("holds_the_interpreter",),
            sleep=("sleeps", 12),
            allowed=("may_take_long", 3),
            quick=("quick",),
        )
        yield stuck
        stuck.release()


def test_a_wait_for_a_lock_names_the_line_that_waits(prefork: Stuck) -> None:
    told = prefork.first("lock")
    assert told["celery.stack.verdict"] == "lock"
    assert APP in told["celery.stack.where"]
    assert told["celery.stack.where"].endswith("in waits_for_a_lock: with stock:")


def test_a_wait_for_a_server_is_io(prefork: Stuck) -> None:
    told = prefork.first("server")
    assert told["celery.stack.verdict"] == "io"
    assert told["celery.stack.where"].startswith("socket, ")
    assert told["celery.stack.where"].endswith("in waits_for_a_server: return connection.recv(1)")


def test_a_loop_in_python_is_cpu(prefork: Stuck) -> None:
    told = prefork.first("loop")
    assert told["celery.stack.verdict"] == "cpu"
    assert "in computes:" in told["celery.stack.where"]
    assert told["celery.stack.cpu"] > 0


def test_c_code_that_holds_the_interpreter_is_told_of_before_its_time_limit_kills_it(prefork: Stuck) -> None:
    told = prefork.first("c_code")
    assert told["celery.stack.verdict"] == "cpu"
    assert "in holds_the_interpreter: re.match(" in told["celery.stack.where"]
    final = prefork.final("c_code")
    assert final["celery.failure_kind"] == "time_limit"
    assert told["celery.clock"] < final["celery.clock"]


def test_all_threads_are_shown_as_python_shows_them_and_the_tasks_own_first(prefork: Stuck) -> None:
    text = prefork.first("lock")["celery.stack.trace"]
    own, *others = [part for part in text.split("\n\n") if part.strip()]
    assert own.rstrip().endswith("in waits_for_a_lock\n    with stock:")
    assert own.startswith("Thread 0x")
    assert "(most recent call last):" in own.splitlines()[0]
    assert any("in until_released" in other for other in others)


def test_a_stack_that_stays_the_same_is_counted_and_not_sent_again(prefork: Stuck) -> None:
    until(lambda: len(prefork.stacks("sleep")) >= 2, what="a second look")
    first, second = prefork.stacks("sleep")[:2]
    assert [first["celery.stack.repeats"], second["celery.stack.repeats"]] == [0, 1]
    assert first["celery.stack.where"] == second["celery.stack.where"]
    assert "celery.stack.trace" in first
    assert "celery.stack.trace" not in second
    assert 1 <= first["celery.stack.runtime"] < second["celery.stack.runtime"]


def test_the_event_says_whose_attempt_it_is(prefork: Stuck) -> None:
    told, final = prefork.first("sleep"), prefork.final("sleep")
    same = ("celery.task_id", "celery.task_name", "celery.attempt", "celery.delivery", "celery.worker", "trace_id")
    assert [told[key] for key in same] == [final[key] for key in same]
    assert told["trace_id"] == "7" * 32
    assert told["severity"] == "WARN"
    assert re.match(r"Task support\.stuck_app\.sleeps runs for \d+ s: sleep at /", told["body"])
    assert final["celery.state"] == "SUCCESS"


def test_a_task_may_say_that_it_takes_long(prefork: Stuck) -> None:
    assert prefork.final("allowed")["celery.runtime"] > 2
    assert prefork.stacks("allowed") == []
    assert prefork.final("quick")["celery.state"] == "SUCCESS"
    assert prefork.stacks("quick") == []


@pytest.fixture(scope="module")
def awkward(start: Any) -> Iterator[Stuck]:
    """Each process runs one task, and the application has its own use for our first signal."""
    taken = str(signal.SIGRTMIN + 7)
    with Sink() as sink, start(sink, "prefork", 1, TAKES_SIGNAL=taken, MAX_TASKS="1") as worker:
        yield Stuck(worker, quick=("quick",), sleep=("sleeps", 10))


def test_a_process_that_takes_the_place_of_another_is_watched_too(awkward: Stuck) -> None:
    assert awkward.first("sleep")["celery.stack.verdict"] == "sleep"
    assert awkward.final("sleep")["celery.state"] == "SUCCESS"


def test_a_signal_that_the_application_uses_is_left_to_it(awkward: Stuck) -> None:
    assert awkward.first("sleep")
    signalled = awkward.worker.folder / "signalled"
    assert not signalled.exists()
    assert Stuck(awkward.worker, own=("signals_itself",)).final("own")["celery.state"] == "SUCCESS"
    assert signalled.exists()


def test_processes_that_ended_leave_no_files(awkward: Stuck) -> None:
    awkward.final("sleep")
    until(lambda: len(list(awkward.worker.folder.glob("spool/*/*.stacks"))) <= 1, what="files of ended processes gone")


def test_without_a_free_signal_no_process_is_signalled_and_it_is_told_once(start: Any) -> None:
    taken = str(signal.SIGRTMIN + 7)
    with Sink() as sink, start(sink, "prefork", 1, TAKES_SIGNAL=taken, CELERYSCOPE_STACK_SIGNAL=taken) as worker:
        stuck = Stuck(worker, sleep=("sleeps", 8))
        assert stuck.final("sleep")["celery.state"] == "SUCCESS"
        assert stuck.stacks("sleep") == []
        assert worker.log().count("no stacks of support.stuck_app.sleeps") == 1
        assert not (worker.folder / "signalled").exists()


@pytest.fixture(scope="module")
def threads(start: Any) -> Iterator[Stuck]:
    with Sink() as sink, start(sink, "threads", 3) as worker:
        stuck = Stuck(worker, lock=("waits_for_a_lock",), loop=("computes",), sleep=("sleeps", 10))
        yield stuck
        stuck.release()


def test_each_thread_of_a_pool_is_told_apart(threads: Stuck) -> None:
    told = {name: threads.first(name) for name in threads.ids}
    assert told["lock"]["celery.stack.where"].endswith("in waits_for_a_lock: with stock:")
    assert "in computes:" in told["loop"]["celery.stack.where"]
    assert told["sleep"]["celery.stack.where"].endswith("in sleeps: time.sleep(seconds)")
    verdicts = {name: event["celery.stack.verdict"] for name, event in told.items()}
    assert verdicts == {"lock": "lock", "loop": "cpu", "sleep": "sleep"}


def test_the_only_thread_of_solo_is_seen_from_beside(start: Any) -> None:
    with Sink() as sink, start(sink, "solo", 1) as worker:
        stuck = Stuck(worker, sleep=("sleeps", 8))
        told = stuck.first("sleep")
        assert told["celery.stack.verdict"] == "sleep"
        assert told["celery.stack.trace"].startswith("Thread MainThread ")


@pytest.fixture(scope="module", params=["gevent", "eventlet"])
def greenlets(request: pytest.FixtureRequest, start: Any) -> Iterator[Stuck]:
    quiet = {"PYTHONWARNINGS": "ignore"}
    with Sink() as sink, start(sink, request.param, 10, **quiet) as worker, silent_server() as port:
        stuck = Stuck(
            worker,
            lock=("waits_for_a_lock",),
            server=("waits_for_a_server", port),
            sleep=("sleeps", 8),
        )
        yield stuck
        stuck.release()


def test_greenlets_that_wait_are_told_apart(greenlets: Stuck) -> None:
    told = {name: greenlets.first(name) for name in greenlets.ids}
    verdicts = {name: event["celery.stack.verdict"] for name, event in told.items()}
    assert verdicts == {"lock": "lock", "server": "io", "sleep": "sleep"}
    assert told["lock"]["celery.stack.where"].endswith("in waits_for_a_lock: with stock:")
    assert told["server"]["celery.stack.where"].endswith("in waits_for_a_server: return connection.recv(1)")
    assert told["sleep"]["celery.stack.trace"].startswith("Greenlet 0x")


def test_a_greenlet_that_stops_all_others_is_seen_by_a_real_thread(greenlets: Stuck) -> None:
    blocking = Stuck(greenlets.worker, loop=("computes",))
    spool = greenlets.worker.folder / "spool"
    written = b'"celery.stack.verdict","value":{"stringValue":"cpu"}'
    # Nothing is shipped while the hub is blocked; the spool has it already.
    until(lambda: any(written in _content(path) for path in spool.glob("*/*.segment")), what="a stack in the spool")
    greenlets.release()
    assert "in computes:" in blocking.first("loop")["celery.stack.where"]


def _content(segment: Path) -> bytes:
    """Of a file that may be shipped and deleted at any moment."""
    try:
        return segment.read_bytes()
    except FileNotFoundError:
        return b""
