"""Workers that end, whole or in part: each delivery they had is told once, and none as lost that isn't."""

import re
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from celeryscope.semconv import FINAL_STATES
from celeryscope.spool.counting import count
from servers import RabbitMQ, Redis
from support.sink import Sink
from support.waiting import until
from support.workers import Worker

pytestmark = pytest.mark.redis


def finals(sink: Sink) -> list[dict[str, Any]]:
    """All final events, in the clock's order."""
    return [event for event in sink.events() if event.get("celery.task_id") and event["celery.state"] in FINAL_STATES]


def states(sink: Sink) -> Counter[str]:
    return Counter(event["celery.state"] for event in finals(sink))


def assert_each_delivery_ended_once(sink: Sink) -> None:
    deliveries = Counter(event["celery.delivery"] for event in finals(sink))
    assert not [delivery for delivery, times in deliveries.items() if times > 1]


@pytest.mark.parametrize(
    ("pool", "tasks"),
    [
        ("prefork", {"fail_for_memory": "MemoryError"}),
        (
            "solo",
            {
                "fail_for_memory": "MemoryError",
                "exits": "SystemExit",
                "cancelled": "asyncio.exceptions.CancelledError",
            },
        ),
    ],
)
def test_a_task_that_ends_the_whole_worker_is_told_as_a_failure(
    pool: str, tasks: dict[str, str], redis: Redis, tmp_path: Path
) -> None:
    with Sink() as sink:
        worker = Worker(sink, redis.url, tmp_path, pool, app="matrix_app")
        worker.run(f"for task in ({', '.join(tasks)},): task.delay()")
        for _ in tasks:
            worker.start()
            worker.process.wait(120)
        ended = finals(sink)
    assert [event["celery.state"] for event in ended] == ["FAILURE"] * len(tasks)
    assert {event["celery.task_name"].rsplit(".")[-1]: event["exception.type"] for event in ended} == tasks
    assert all(f"in {event['celery.task_name'].rsplit('.')[-1]}" in event["exception.stacktrace"] for event in ended)


def test_after_a_warm_shutdown_nothing_is_lost(redis: Redis, tmp_path: Path) -> None:
    with Sink() as sink, Worker(sink, redis.url, tmp_path, app="matrix_app") as worker:
        # The worker is to be told to end before they are due, even when the publisher is slow to end.
        worker.run("started(waits.delay(1))\nfor _ in range(5): succeed.apply_async(countdown=12)")
        until(lambda: len(re.findall(r"succeed\[\S+\] received", worker.log())) == 5, what="held by the worker")
        worker.process.terminate()
        worker.process.wait(120)
        assert [event["celery.task_name"] for event in finals(sink)] == ["support.matrix_app.waits"]
        worker.start()
        until(lambda: states(sink).total() == 6, what="all done")
        worker.stop()
    assert states(sink) == {"SUCCESS": 6}
    assert_each_delivery_ended_once(sink)


def test_a_cold_shutdown_cancels_what_runs_and_what_is_acknowledged_late_runs_again(
    redis: Redis, tmp_path: Path
) -> None:
    with Sink() as sink, Worker(sink, redis.url, tmp_path, app="matrix_app") as worker:
        worker.run("for task in (waits, waits_once): started(task.delay(120))")
        worker.process.send_signal(signal.SIGQUIT)
        worker.process.wait(120)
        worker.start()
        until(lambda: states(sink).total() == 3, what="the one that runs again")
        worker.stop()
        ended = sorted(finals(sink), key=lambda event: event["celery.task_name"])
    assert [event["celery.state"] for event in ended] == ["RETRY", "LOST", "SUCCESS"]
    cancelled, lost, done = ended
    assert cancelled["celery.retry.reason"] == "cancelled by Celery", "that is how Celery names it"
    assert cancelled["celery.started_at"] >= cancelled["celery.received_at"]
    assert (lost["celery.attempt"], True) == (done["celery.attempt"], done["celery.redelivered"])
    assert_each_delivery_ended_once(sink)


@pytest.mark.parametrize(
    ("pool", "broker"),
    [
        ("prefork", "redis"),
        pytest.param("prefork", "rabbitmq", marks=pytest.mark.rabbitmq),
        ("threads", "redis"),
    ],
)
def test_a_delivery_whose_worker_was_killed_is_lost_and_the_next_one_of_the_same_attempt_succeeds(
    pool: str, broker: str, request: pytest.FixtureRequest, redis: Redis, tmp_path: Path
) -> None:
    # Kombu looks for such messages when a worker starts, and again after 100 s: by then it must be over.
    environ = {"VISIBILITY_TIMEOUT": "0.1"}
    if broker == "rabbitmq":
        server: RabbitMQ = request.getfixturevalue("rabbitmq")
        environ["BROKER_URL"] = server.url
    with Sink() as sink, Worker(sink, redis.url, tmp_path, pool, app="matrix_app", **environ) as worker:
        worker.run("started(waits_once.delay(120))")
        worker.kill()
        worker.start()
        until(lambda: states(sink).total() == 2, what="both deliveries ended")
        worker.stop()
        lost, done = finals(sink)
        spans = {span["celery.delivery"]: span for span in sink.spans if span["kind"] == 5}
    assert (lost["celery.state"], lost["exception.type"]) == ("LOST", "celeryscope.ProcessDied")
    assert (done["celery.state"], done["celery.redelivered"]) == ("SUCCESS", True)
    assert lost["celery.attempt"] == done["celery.attempt"]
    assert lost["celery.delivery"] != done["celery.delivery"]
    assert lost["celery.ended_at"] <= done["celery.started_at"]
    assert spans[lost["celery.delivery"]]["celery.state"] == "LOST"
    assert spans[done["celery.delivery"]]["celery.state"] == "SUCCESS"
    counts = count(tmp_path / "spool")
    assert (counts["pending"], counts["dropped"]) == (0, {})


@pytest.mark.parametrize(
    ("option", "tasks", "processes"),
    [("--max-tasks-per-child=1", 12, 12), ("--max-memory-per-child=1000", 4, 4)],
)
def test_processes_that_are_replaced_after_their_tasks_take_nothing_along(
    option: str, tasks: int, processes: int, redis: Redis, tmp_path: Path
) -> None:
    with Sink() as sink, Worker(sink, redis.url, tmp_path, app="matrix_app", options=[option]) as worker:
        worker.run(f"for number in range({tasks}): succeed.delay(number)")
        until(lambda: states(sink)["SUCCESS"] == tasks, what="all done")
        worker.stop()
    assert states(sink) == {"SUCCESS": tasks}
    assert sum(span["kind"] == 5 for span in sink.spans) == tasks
    assert len({event["resource.process.pid"] for event in finals(sink)}) == processes
    assert_each_delivery_ended_once(sink)


def test_a_pool_that_grows_and_shrinks_loses_nothing(redis: Redis, tmp_path: Path) -> None:
    scaling = {"app": "matrix_app", "options": ["--autoscale=3,1"], "AUTOSCALE_KEEPALIVE": "0.5"}
    with Sink() as sink, Worker(sink, redis.url, tmp_path, **scaling) as worker:
        worker.run("for _ in range(8): waits_for_release.delay()")
        until(lambda: max(sizes(sink), default=0) > 1, what="a large pool")
        (tmp_path / "release").touch()
        until(lambda: states(sink).total() == 8, what="all done")
        until(lambda: sizes(sink)[-1] == 1, what="a small pool")
        worker.run("for _ in range(2): waits.delay(0.1)")
        until(lambda: states(sink).total() == 10, what="all done again")
        worker.stop()
    assert states(sink) == {"SUCCESS": 10}
    assert_each_delivery_ended_once(sink)


def sizes(sink: Sink) -> list[int]:
    """Processes of the pool, heartbeat by heartbeat."""
    return [event["celery.concurrency"] for event in sink.events("celery.worker.heartbeat")]


def test_without_the_result_backend_tasks_end_as_they_did(redis: Redis, tmp_path: Path) -> None:
    tasks = ("succeed", "fail", "flaky", "over_soft_limit", "killed")
    nowhere = "redis://127.0.0.1:1/0"
    with Sink() as sink, Worker(sink, redis.url, tmp_path, app="matrix_app", RESULT_URL=nowhere) as worker:
        # A publisher with a backend that is away can't even publish.
        worker.run(f"for task in ({', '.join(tasks)}): stranger.send_task(task.name)")
        # The shipper tells of the killed one, and may do so first.
        until(lambda: states(sink).total() - states(sink)["LOST"] == 6, what="all but the killed one")
        until(lambda: {"STARTED", "LOST"} & {*sink.states("support.worker_app.killed")}, what="started")
        worker.stop()
    ended = {(event["celery.task_name"].rsplit(".")[-1], event["celery.retries"]): event for event in finals(sink)}
    assert {key: event["celery.state"] for key, event in ended.items()} == {
        ("succeed", 0): "SUCCESS",
        ("fail", 0): "FAILURE",
        ("flaky", 0): "RETRY",
        ("flaky", 1): "RETRY",
        ("flaky", 2): "SUCCESS",
        ("over_soft_limit", 0): "FAILURE",
        ("killed", 0): "LOST",
    }
    assert ended["fail", 0]["exception.type"] == "ValueError"
    assert ended["fail", 0]["exception.stacktrace"].rstrip().endswith("ValueError: bad order")
    assert ended["flaky", 0]["celery.retry.reason"] == "attempt 0"
    assert ended["over_soft_limit", 0]["celery.failure_kind"] == "soft_time_limit"
    assert_each_delivery_ended_once(sink)
