"""Real workers that ship nothing themselves, beside a real agent; either is killed."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from celeryscope.spool.counting import count
from celeryscope.spool.folder import families
from servers import Redis
from support.agent import Agent
from support.sink import Sink
from support.waiting import until
from support.workers import Worker

pytestmark = pytest.mark.redis

NAME = "support.worker_app"
FINAL = {"SUCCESS", "FAILURE", "LOST"}


@pytest.fixture(scope="module")
def sink() -> Iterator[Sink]:
    with Sink() as running:
        yield running


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("agent")


@pytest.fixture(scope="module")
def agent(sink: Sink, folder: Path) -> Iterator[Agent]:
    with Agent(sink, folder / "spool", folder / "agent.log") as running:
        yield running


@pytest.fixture(scope="module")
def worker(sink: Sink, agent: Agent, redis: Redis, folder: Path) -> Iterator[Worker]:
    with Worker(sink, redis.url, folder, CELERYSCOPE_SHIP="false") as running:
        yield running


def _finals(sink: Sink, task_id: str) -> list[dict[str, Any]]:
    return [
        event for event in sink.events() if event.get("celery.task_id") == task_id and event["celery.state"] in FINAL
    ]


def test_all_that_a_worker_and_its_publisher_write_is_shipped_by_the_agent(sink: Sink, worker: Worker) -> None:
    task_id = worker.run("print(succeed.delay().id)")
    until(lambda: _finals(sink, task_id), what=worker.log()[-2000:])
    until(lambda: "SENT" in sink.states(f"{NAME}.succeed"), what="the publisher's event")
    until(lambda: any(span.get("celery.task_id") == task_id for span in sink.spans))
    assert sink.tokens == {"Bearer agents-token"}, "nobody else has sent anything"
    beats = "celery.worker.heartbeat"
    until(lambda: any(beat.get("celery.spool.shipped", 0) > 5 for beat in sink.events(beats)), what="counted")


def test_a_killed_child_is_told_by_its_main_process_once(sink: Sink, worker: Worker) -> None:
    task_id = worker.run("print(killed.delay().id)")
    until(lambda: _finals(sink, task_id))
    (final,) = _finals(sink, task_id)
    assert (final["celery.state"], final["exception.type"]) == ("LOST", "billiard.exceptions.WorkerLostError")


def test_an_agent_that_is_killed_under_load_loses_and_doubles_nothing(
    sink: Sink, agent: Agent, worker: Worker, folder: Path
) -> None:
    before = sink.states(f"{NAME}.succeed").count("SUCCESS")
    for _ in range(3):
        worker.run("[r.get(timeout=90) for r in [succeed.delay(i) for i in range(40)]]")
        agent.kill()
        agent.start()
    until(lambda: sink.states(f"{NAME}.succeed").count("SUCCESS") >= before + 120)
    assert sink.states(f"{NAME}.succeed").count("SUCCESS") == before + 120
    assert count(folder / "spool")["dropped"] == {}


def test_a_worker_that_is_killed_is_told_by_the_agent_without_another_worker(
    sink: Sink, agent: Agent, redis: Redis, folder: Path, tmp_path: Path
) -> None:
    with Agent(sink, tmp_path / "spool", tmp_path / "agent.log") as own_agent:
        worker = Worker(sink, redis.url, tmp_path, CELERYSCOPE_SHIP="false")
        worker.start()
        task_id = worker.run("print(sleeps.delay(300).id)")
        until(lambda: any(event.get("celery.task_id") == task_id for event in sink.events("celery.task.started")))
        worker.kill()
        until(lambda: _finals(sink, task_id))
        (final,) = _finals(sink, task_id)
        assert (final["celery.state"], final["exception.type"]) == ("LOST", "celeryscope.ProcessDied")
        until(lambda: not families(tmp_path / "spool"), what="its family is finished")
        assert own_agent.stop() == 0
    counts = count(tmp_path / "spool")
    assert (counts["pending"], counts["dropped"]) == (0, {})
