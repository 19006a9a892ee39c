"""What leaves a real worker on a real Redis, in each pool, for each way in which a task can end."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from celeryscope.spool.commands import count
from servers import Redis
from support.sink import Sink
from support.waiting import until
from support.workers import Worker

pytestmark = pytest.mark.redis

FINAL = {"SUCCESS", "FAILURE", "RETRY", "REVOKED", "IGNORED", "REJECTED", "UNKNOWN", "LOST"}
NAME = "support.worker_app"


@pytest.fixture(scope="module")
def sink() -> Iterator[Sink]:
    with Sink() as running:
        yield running


@pytest.fixture(scope="module")
def worker(sink: Sink, redis: Redis, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    with Worker(sink, redis.url, tmp_path_factory.mktemp("prefork")) as running:
        yield running


@pytest.fixture(scope="module", params=["prefork", "solo", "threads"])
def any_worker(
    request: pytest.FixtureRequest, worker: Worker, redis: Redis, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Worker]:
    if request.param == "prefork":
        yield worker
        return
    with Sink() as sink, Worker(sink, redis.url, tmp_path_factory.mktemp(request.param), request.param) as running:
        yield running


def _ended(worker: Worker, task_id: str, attempts: int = 1) -> list[dict[str, Any]]:
    """The final events of a task, once its last attempt has one; and not one more than one an attempt."""

    def finals() -> list[dict[str, Any]]:
        return [
            event
            for event in worker.sink.events()
            if event.get("celery.task_id") == task_id and event["celery.state"] in FINAL
        ]

    until(lambda: len(finals()) >= attempts, what=f"{task_id} ended {attempts} times; {worker.log()[-2000:]}")
    assert len({event["celery.attempt"] for event in finals()}) == len(finals()) == attempts
    return finals()


def _run(worker: Worker, call: str, attempts: int = 1) -> list[dict[str, Any]]:
    return _ended(worker, worker.run(f"print(({call}).id)"), attempts)


def _spans(worker: Worker, task_id: str, kind: int) -> list[dict[str, Any]]:
    return [span for span in worker.sink.spans if span.get("celery.task_id") == task_id and span["kind"] == kind]


def test_a_success_is_told_from_sent_to_succeeded(any_worker: Worker) -> None:
    (final,) = _run(any_worker, "succeed.delay(7, password='hunter2')")
    assert final["event_name"] == "celery.task.succeeded"
    events = [event for event in any_worker.sink.events() if event.get("celery.task_id") == final["celery.task_id"]]
    states = [event["celery.state"] for event in events]
    # What lies between is told only when the shipper looks before the end has come.
    assert (states[0], states[-1], set(states) - {"RECEIVED", "STARTED"}) == ("SENT", "SUCCESS", {"SENT", "SUCCESS"})
    times = [final[f"celery.{step}_at"] for step in ("sent", "received", "started", "ended")]
    assert times == sorted(times)
    assert final["celery.queue_time"] >= 0
    assert final["celery.runtime"] >= 0
    assert final["messaging.system"] == "redis"
    assert final["messaging.destination.name"] == any_worker.environ["QUEUE"]
    assert final["celery.worker"].startswith("celery@")
    assert final["celery.args"] == "(7,)"
    assert "hunter2" not in str(any_worker.sink.logs)
    assert final["resource.service.name"] == "scenarios"


def test_publisher_and_worker_share_one_trace_named_after_the_workflow(any_worker: Worker) -> None:
    (final,) = _run(any_worker, "succeed.delay()")
    task_id = final["celery.task_id"]
    until(lambda: _spans(any_worker, task_id, 5) and _spans(any_worker, task_id, 4), what="both spans")
    (producer,), (consumer,) = _spans(any_worker, task_id, 4), _spans(any_worker, task_id, 5)
    assert consumer["parent_span_id"] == producer["span_id"]
    assert consumer["trace_id"] == producer["trace_id"] == task_id.replace("-", "")
    assert (final["trace_id"], final["span_id"]) == (consumer["trace_id"], consumer["span_id"])
    assert consumer["name"] == f"run/{NAME}.succeed"
    assert consumer["celery.state"] == "SUCCESS"


def test_a_failure_carries_its_complete_chained_traceback_once(any_worker: Worker) -> None:
    (final,) = _run(any_worker, "fail.delay()")
    assert (final["celery.state"], final["celery.failure_kind"]) == ("FAILURE", "exception")
    assert (final["exception.type"], final["exception.message"]) == ("ValueError", "bad order")
    text = final["exception.stacktrace"]
    assert "KeyError: 'sku'" in text
    assert "The above exception was the direct cause of the following exception" in text
    assert text.rstrip().endswith("ValueError: bad order")
    told = [record for record in any_worker.sink.logs if text in str(record.get("exception.stacktrace"))]
    assert len({record["log.record.uid"] for record in told}) == 1
    until(lambda: _spans(any_worker, final["celery.task_id"], 5), what="the span")
    assert _spans(any_worker, final["celery.task_id"], 5)[0]["status"] == {
        "code": 2,
        "message": "ValueError: bad order",
    }


def test_an_exception_that_can_not_be_pickled_keeps_its_type_and_frames(any_worker: Worker) -> None:
    (final,) = _run(any_worker, "fail_unpicklable.delay()")
    assert final["exception.type"] == f"{NAME}.Unpicklable"
    assert "in fail_unpicklable" in final["exception.stacktrace"]


def test_all_members_of_an_exception_group_are_told(any_worker: Worker) -> None:
    (final,) = _run(any_worker, "fail_in_group.delay()")
    assert final["exception.type"] == "ExceptionGroup"
    assert "ValueError: one" in final["exception.stacktrace"]
    assert "TypeError: two" in final["exception.stacktrace"]


def test_each_retry_is_an_attempt_of_its_own_and_no_error(any_worker: Worker) -> None:
    finals = _run(any_worker, "flaky.delay()", attempts=3)
    assert [final["celery.state"] for final in finals] == ["RETRY", "RETRY", "SUCCESS"]
    assert [final["celery.retries"] for final in finals] == [0, 1, 2]
    assert finals[0]["celery.retry.reason"] == "attempt 0"
    assert finals[0]["exception.type"] == "RuntimeError"
    assert finals[0]["severity"] == "WARN"
    assert finals[1]["celery.queue_time"] < 2, "the countdown is no waiting in the queue"
    assert finals[0]["celery.retry.eta"] > finals[0]["celery.ended_at"] - 1_000_000
    until(lambda: len(_spans(any_worker, finals[0]["celery.task_id"], 5)) == 3, what="three spans")
    assert {span["status"]["code"] for span in _spans(any_worker, finals[0]["celery.task_id"], 5)} == {0}


def test_exhausted_retries_are_an_error_once(any_worker: Worker) -> None:
    finals = _run(any_worker, "never.delay()", attempts=2)
    assert [final["celery.state"] for final in finals] == ["RETRY", "FAILURE"]
    assert finals[1]["exception.message"] == "still broken"


def test_ignored_and_rejected_are_final(any_worker: Worker) -> None:
    assert _run(any_worker, "ignored.delay()")[0]["celery.state"] == "IGNORED"
    (final,) = _run(any_worker, "rejected.delay()")
    assert (final["celery.state"], final["celery.failure_kind"]) == ("REJECTED", "rejected")


def test_a_task_revoked_before_its_start_never_started(any_worker: Worker) -> None:
    (final,) = _run(any_worker, "(r := succeed.apply_async(countdown=3), r.revoke())[0]")
    assert final["celery.state"] == "REVOKED"
    assert (final["celery.terminated"], final["celery.expired"]) == (False, False)
    assert "celery.started_at" not in final


def test_an_expired_task_is_told_as_expired(any_worker: Worker) -> None:
    (final,) = _run(any_worker, "succeed.apply_async(countdown=1, expires=0.5)")
    assert (final["celery.state"], final["celery.expired"]) == ("REVOKED", True)


def test_a_message_for_an_unregistered_task_is_told(any_worker: Worker) -> None:
    (final,) = _run(any_worker, "app.send_task('nobody.has_this')")
    assert (final["celery.state"], final["celery.task_name"]) == ("UNKNOWN", "nobody.has_this")
    assert final["celery.failure_kind"] == "unregistered"


def test_log_lines_carry_the_attempt_and_its_trace(any_worker: Worker) -> None:
    (final,) = _run(any_worker, "logs.delay()")

    def lines() -> dict[str, dict[str, Any]]:
        return {
            line["body"]: line
            for line in any_worker.sink.lines()
            if line.get("celery.task_id") == final["celery.task_id"]
        }

    until(lambda: {"careful with order 7", "charged", "oh"} <= lines().keys(), what="three lines")
    for line in (lines()[body] for body in ("careful with order 7", "charged", "oh")):
        assert line["celery.attempt"] == final["celery.attempt"]
        assert (line["trace_id"], line["span_id"]) == (final["trace_id"], final["span_id"])
    assert lines()["careful with order 7"]["order"] == 7
    assert lines()["careful with order 7"]["severity"] == "WARN"
    assert lines()["charged"]["amount"] == 12.5
    assert lines()["oh"]["exception.type"] == "ValueError"


def test_a_soft_limit_is_a_failure_of_its_own_kind(worker: Worker) -> None:
    (final,) = _run(worker, "over_soft_limit.delay()")
    assert (final["celery.state"], final["celery.failure_kind"]) == ("FAILURE", "soft_time_limit")


def test_a_hard_limit_is_told_by_the_main_process_once(worker: Worker) -> None:
    (final,) = _run(worker, "over_hard_limit.delay()")
    assert (final["celery.state"], final["celery.failure_kind"]) == ("FAILURE", "time_limit")
    assert final["celery.runtime"] >= 0.5


def test_a_child_that_dies_leaves_its_attempt_as_lost(worker: Worker) -> None:
    (final,) = _run(worker, "killed.delay()")
    assert (final["celery.state"], final["celery.failure_kind"]) == ("LOST", "worker_lost")
    assert "SIGKILL" in final["exception.message"]
    until(lambda: _spans(worker, final["celery.task_id"], 5), what="the span")
    assert _spans(worker, final["celery.task_id"], 5)[0]["status"]["code"] == 2


def test_a_terminated_task_is_told_as_revoked_once(worker: Worker) -> None:
    (final,) = _run(worker, "(r := sleeps.delay(30), time.sleep(1), r.revoke(terminate=True))[0]")
    assert (final["celery.state"], final["celery.terminated"]) == ("REVOKED", True)


def test_the_worker_tells_its_life(sink: Sink, worker: Worker) -> None:
    until(lambda: len(sink.events("celery.worker.heartbeat")) > 1, what="heartbeats")
    beat = sink.events("celery.worker.heartbeat")[-1]
    assert (beat["celery.state"], beat["celery.pool"], beat["celery.concurrency"]) == ("ONLINE", "prefork", 2)
    assert beat["celery.spool.shipped"] > 0


def test_the_token_is_sent_and_nobody_opens_a_connection_but_the_main_process(sink: Sink, worker: Worker) -> None:
    assert sink.tokens == {"Bearer test-token"}


def test_no_exception_of_ours_showed_in_the_workers_log(any_worker: Worker) -> None:
    assert "celeryscope" not in any_worker.log().replace("celeryscope-", "").replace("'celeryscope': {", "")


def test_a_worker_killed_with_its_pool_is_told_by_the_next_one(redis: Redis, tmp_path: Path) -> None:
    with Sink() as sink:
        first = Worker(sink, redis.url, tmp_path)
        first.start()
        task_id = first.run("print(sleeps.delay(60).id)")
        until(lambda: "STARTED" in sink.states(f"{NAME}.sleeps"), what="started")
        first.kill()
        with Worker(sink, redis.url, tmp_path) as second:
            (final,) = _ended(second, task_id)
        assert (final["celery.state"], final["exception.type"]) == ("LOST", "celeryscope.ProcessDied")
        assert final["celery.worker"].startswith("celery@")
        spans = [span for span in sink.spans if span.get("celery.task_id") == task_id and span["kind"] == 5]
        assert spans[-1]["celery.state"] == "LOST"
    counts = count(tmp_path / "spool")
    assert counts["pending"] == 0
    assert counts["dropped"] == {}


def test_while_the_collector_is_away_nothing_is_lost_and_tasks_do_not_wait(redis: Redis, tmp_path: Path) -> None:
    with Sink() as sink, Worker(sink, redis.url, tmp_path) as worker:
        sink.status = 503
        result = worker.run(
            "print([r.get(timeout=20) for r in [succeed.delay(i) for i in range(50)]] == list(range(50)))"
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
        worker.run("[sleeps.delay(6) for _ in range(4)]")
        until(lambda: sink.states(f"{NAME}.sleeps").count("STARTED") == 2, what="two run")
        until(lambda: sink.states(f"{NAME}.sleeps").count("RECEIVED") == 2, what="two wait")
        assert "SUCCESS" not in sink.states(f"{NAME}.sleeps")


def test_records_the_collector_refuses_are_counted(redis: Redis, tmp_path: Path) -> None:
    with Sink() as sink, Worker(sink, redis.url, tmp_path) as worker:
        sink.answer = {"partialSuccess": {"rejectedLogRecords": "1", "errorMessage": "too big"}}
        worker.run("succeed.delay()")
        until(lambda: "SUCCESS" in sink.states(f"{NAME}.succeed"), what="success")
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
    assert [span["kind"] for span in sorted(sink.spans, key=lambda span: span["kind"])] == [4, 5]
