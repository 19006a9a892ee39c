"""What a real worker sends beside how its tasks end (``matrix/``), and what it does when the collector is not there."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from celeryscope.spool.counting import count
from servers import Redis
from support.sink import Sink
from support.waiting import until
from support.workers import Worker

pytestmark = pytest.mark.redis

NAME = "support.worker_app"


@pytest.fixture(scope="module")
def sink() -> Iterator[Sink]:
    with Sink() as running:
        yield running


@pytest.fixture(scope="module")
def worker(sink: Sink, redis: Redis, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    with Worker(sink, redis.url, tmp_path_factory.mktemp("prefork")) as running:
        yield running


def test_the_worker_tells_its_life(sink: Sink, worker: Worker) -> None:
    def told() -> dict[str, Any] | None:
        beats = sink.events("celery.worker.heartbeat")
        return next((beat for beat in beats if beat["celery.spool.shipped"] > 0), None)

    until(told, what="a heartbeat from after something was shipped")
    beat = told()
    assert beat is not None
    assert (beat["celery.state"], beat["celery.pool"], beat["celery.concurrency"]) == ("ONLINE", "prefork", 2)


def test_the_token_is_sent_and_nobody_opens_a_connection_but_the_main_process(sink: Sink, worker: Worker) -> None:
    assert sink.tokens == {"Bearer test-token"}


def test_while_the_collector_is_away_nothing_is_lost_and_tasks_do_not_wait(redis: Redis, tmp_path: Path) -> None:
    with Sink() as sink, Worker(sink, redis.url, tmp_path, CELERYSCOPE_FLUSH_TIMEOUT="60") as worker:
        sink.status = 503
        # The publisher need not wait for what can't be sent.
        worker.environ["CELERYSCOPE_FLUSH_TIMEOUT"] = "1"
        result = worker.run(
            "print([r.get(timeout=90) for r in [succeed.delay(i) for i in range(50)]] == list(range(50)))"
        )
        assert result == "True"
        assert worker.sink.states(f"{NAME}.succeed") == []
        sink.status = 200
        until(lambda: sink.states(f"{NAME}.succeed").count("SUCCESS") == 50, timeout=60, what="all 50")
        # The publisher has ended long since; its spool is adopted by the worker's shipper.
        until(lambda: not count(tmp_path / "spool")["pending"], timeout=60, what="the publisher's records")
    counts = count(tmp_path / "spool")
    distinct = {record["log.record.uid"] for record in sink.logs} | {(span["span_id"]) for span in sink.spans}
    assert len(distinct) == counts["shipped"]
    assert (counts["written"], counts["dropped"]) == (counts["shipped"] + counts["superseded"], {})


def test_while_tasks_run_and_wait_they_are_told_as_started_and_received(redis: Redis, tmp_path: Path) -> None:
    with Sink() as sink, Worker(sink, redis.url, tmp_path) as worker:
        release = tmp_path / "release"
        sent = set(worker.run(f"print(*[waits_for.delay({str(release)!r}).id for _ in range(4)])").split())

        def told_as(state: str) -> set[str]:
            return {event["celery.task_id"] for event in sink.events() if event.get("celery.state") == state}

        until(lambda: len(told_as("STARTED")) == 2, what="two run")
        # Of those that run it may be told, too, that they were received.
        until(lambda: sent - told_as("STARTED") <= told_as("RECEIVED"), what="two wait")
        assert len(told_as("STARTED")) == 2
        assert not told_as("SUCCESS")
        release.touch()


def test_records_the_collector_refuses_are_counted(redis: Redis, tmp_path: Path) -> None:
    with Sink() as sink, Worker(sink, redis.url, tmp_path) as worker:
        sink.answer = {"partialSuccess": {"rejectedLogRecords": "1", "errorMessage": "too big"}}
        worker.run("succeed.delay()")
        until(lambda: "SUCCESS" in sink.states(f"{NAME}.succeed"), what="success")
        # The sink has the records a moment before it answers.
        until(lambda: "too big" in worker.log(), what="the worker's warning")
        sink.answer = {}
    assert count(tmp_path / "spool")["dropped"]["refused"] >= 1
    assert "too big" in worker.log()


def test_with_the_other_instrumentor_loaded_too_there_is_one_span_a_run(redis: Redis, tmp_path: Path) -> None:
    with Sink() as sink, Worker(sink, redis.url, tmp_path) as worker:
        worker.run(
            "from opentelemetry.instrumentation.celery import CeleryInstrumentor\n"
            "CeleryInstrumentor().instrument()\n"
            "celeryscope.uninstrument(); celeryscope.instrument(app); CeleryInstrumentor().instrument()\n"
            "print(succeed.delay().id)"
        )
        until(lambda: "SUCCESS" in sink.states(f"{NAME}.succeed"), what="success")
        until(lambda: {span["kind"] for span in sink.spans} == {4, 5}, what="the spans of both")
    assert [span["kind"] for span in sorted(sink.spans, key=lambda span: span["kind"])] == [4, 5]
