"""How workers and queues are, as real workers tell it: heartbeats, configuration, depths told by one elected worker."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from redis import Redis as Client

from servers import RabbitMQ, Redis
from support.sink import Sink
from support.waiting import until
from support.workers import Worker

pytestmark = pytest.mark.redis

SECOND = 1_000_000
INTERVAL = 0.4
LONGER = 2.0
"""An interval whose lease a machine may sleep through for seconds, where it matters which worker has it."""


@pytest.fixture(scope="module")
def worker(redis: Redis, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    with Sink() as sink, looking(sink, redis, tmp_path_factory.mktemp("vitals")) as running:
        yield running


def looking(
    sink: Sink, redis: Redis, folder: Path, pool: str = "prefork", interval: float = INTERVAL, **environ: Any
) -> Worker:
    return Worker(sink, redis.url, folder, pool, CELERYSCOPE_QUEUE_DEPTH_INTERVAL=str(interval), **environ)


def next_beat(worker: Worker) -> dict[str, Any]:
    """A heartbeat from after the call."""
    seen = len(worker.sink.events("celery.worker.heartbeat"))
    until(lambda: len(worker.sink.events("celery.worker.heartbeat")) > seen + 1, what="a heartbeat")
    return worker.sink.events("celery.worker.heartbeat")[-1]


def idle_beat(worker: Worker) -> dict[str, Any]:
    """A heartbeat from after the call at which nothing ran or was about to: all that had ended was counted."""
    beats = list[dict[str, Any]]()

    def is_idle() -> bool:
        beats.append(next_beat(worker))
        return not beats[-1]["celery.active"] and not beats[-1]["celery.prefetched"]

    until(is_idle, what="a worker with nothing to do")
    return beats[-1]


def depths(sink: Sink, queue: str) -> list[dict[str, Any]]:
    return [event for event in sink.events("celery.queue.depth") if event["messaging.destination.name"] == queue]


def channels_opened(rabbitmq: RabbitMQ) -> int:
    """How many channels clients have opened since the start: RabbitMQ's own count of churn."""
    return int(rabbitmq.control("eval", "element(4, hd(ets:tab2list(connection_churn_metrics)))."))


def test_a_heartbeat_tells_of_the_worker_and_of_each_child_what_the_operating_system_says(worker: Worker) -> None:
    worker.run("[r.get(timeout=90) for r in [succeed.delay() for _ in range(10)]]")
    beat = next_beat(worker)
    children = [child.pid for child in psutil.Process(worker.process.pid).children()]
    assert sorted(beat["celery.child.pid"]) == sorted(children)
    for pid, memory, age in zip(*(beat[f"celery.child.{what}"] for what in ("pid", "memory", "age")), strict=True):
        assert memory == pytest.approx(psutil.Process(pid).memory_info().rss, rel=0.2)
        assert 0 < age < 600
    assert all(0 <= cpu < 2 for cpu in beat["celery.child.cpu"])
    assert beat["process.memory.usage"] == pytest.approx(psutil.Process(worker.process.pid).memory_info().rss, rel=0.2)
    assert beat["process.unix.file_descriptor.count"] > 10
    assert beat["celery.broker.connected"] is True
    assert beat["system.cpu.load_average.1m"] >= 0


def test_the_tasks_done_are_counted_for_each_child(worker: Worker) -> None:
    before = idle_beat(worker)
    worker.run("[r.get(timeout=90) for r in [succeed.delay() for _ in range(20)]]")
    worker.run("fail.delay().get(timeout=90, propagate=False)")
    after = idle_beat(worker)
    assert sum(after["celery.child.tasks"]) - sum(before["celery.child.tasks"]) == 21
    assert after["celery.processed"] - before["celery.processed"] == 21


def test_what_is_busy_prefetched_waiting_for_its_eta_and_left_in_the_queue_is_told_apart(worker: Worker) -> None:
    release = worker.folder / "release"
    worker.run("[succeed.apply_async(countdown=300) for _ in range(3)]")
    until(lambda: next_beat(worker)["celery.scheduled"] == 3, what="three wait for their eta")
    worker.run(f"[waits_for.apply_async(({str(release)!r},), priority=p) for p in (0, 3, 9) for _ in range(5)]")
    until(lambda: (told := next_beat(worker))["celery.active"] == 2 and told["celery.prefetched"] > 0, what="busy")
    last = "celery.queue.depth_of_priority.9"
    until(lambda: (told := depths(worker.sink, worker.environ["QUEUE"])) and told[-1][last] > 0, what="a queue")
    beat = next_beat(worker)
    # Two run, eight more are unacknowledged at most (prefetch 4 for each child); those with an eta are among them.
    assert (beat["celery.active"], beat["celery.scheduled"]) == (2, 3)
    assert 0 < beat["celery.prefetched"] <= 8
    depth = depths(worker.sink, worker.environ["QUEUE"])[-1]
    assert depth["celery.queue.depth"] > 0
    by_priority = {key: value for key, value in depth.items() if "depth_of_priority" in key}
    assert sorted(by_priority) == [f"celery.queue.depth_of_priority.{step}" for step in (0, 3, 6, 9)]
    assert sum(by_priority.values()) == depth["celery.queue.depth"]
    assert by_priority["celery.queue.depth_of_priority.9"] > 0
    assert depth["celery.broker.unacknowledged"] > 0
    assert depth["messaging.system"] == "redis"
    worker.run("app.control.purge()")
    release.touch()


def test_the_pool_has_the_size_it_has_now(worker: Worker) -> None:
    worker.run("app.control.pool_grow(1)")
    until(lambda: next_beat(worker)["celery.concurrency"] == 3, what="three processes")
    until(lambda: len(next_beat(worker)["celery.child.pid"]) == 3, what="three children")


def test_heartbeats_name_the_queues_that_the_worker_consumes_from_now(worker: Worker) -> None:
    own, other = worker.environ["QUEUE"], f"{worker.environ['QUEUE']}-other"
    assert next_beat(worker)["celery.queues"] == [own]
    worker.run(f"app.control.add_consumer({other!r}, reply=True)")
    until(lambda: next_beat(worker)["celery.queues"] == sorted([own, other]), what="two queues")
    worker.run(f"app.control.cancel_consumer({other!r}, reply=True)")
    until(lambda: next_beat(worker)["celery.queues"] == [own], what="one queue")


def test_the_configuration_is_told_once(worker: Worker) -> None:
    (config,) = worker.sink.events("celery.worker.config")
    assert (config["celery.config.task_acks_late"], config["celery.config.worker_prefetch_multiplier"]) == (False, 4)
    assert (config["celery.config.result_backend"], config["celery.config.visibility_timeout"]) == ("redis", 3600)
    assert config["celery.config.result_expires"] == 86400
    assert config["celery.config.accept_content"] == ["json"]
    assert config["celery.config.queues"] == [worker.environ["QUEUE"]]
    assert "celery.config.task_time_limit" not in config
    assert config["celery.tasks.registered"] > config["celery.tasks.without_time_limit"] > 0
    assert config["celery.version.celery"].count(".") >= 1
    assert worker.environ["RESULT_URL"] not in str(config)


def test_a_pool_without_processes_tells_its_vitals_without_children(redis: Redis, tmp_path: Path) -> None:
    with Sink() as sink, looking(sink, redis, tmp_path, "gevent") as worker:
        worker.run("[r.get(timeout=90) for r in [succeed.delay() for _ in range(3)]]")
        beat = idle_beat(worker)
        assert (beat["celery.concurrency"], beat["celery.processed"]) == (2, 3)
        assert "celery.child.pid" not in beat
        until(lambda: depths(sink, worker.environ["QUEUE"]), what="the queue's depth")


def test_a_worker_that_may_not_look_says_so_once_and_works(redis: Redis, tmp_path: Path) -> None:
    keys = [f"~{pattern}" for pattern in (f"{tmp_path.name}*", "_kombu*", "unacked*", "*pidbox*", "celeryev*")]
    with Client(port=redis.port) as client:
        client.execute_command("ACL", "SETUSER", "limited", "on", ">pw", "&*", "+@all", *keys)
    url = redis.url.replace("://", "://limited:pw@")
    with Sink() as sink, looking(sink, redis, tmp_path, "solo", BROKER_URL=url) as worker:
        until(lambda: "can't be looked at" in worker.log(), what="the warning")
        assert worker.run("print(succeed.delay(5).get(timeout=90))") == "5"
        for _ in range(2):
            next_beat(worker)
        assert worker.log().count("can't be looked at") == 1
        with Client(port=redis.port, decode_responses=True) as client:
            refused = [entry for entry in client.acl_log() if entry["username"] == "limited"]
        assert sum(int(entry["count"]) for entry in refused) == 1, "it asks no more"
        assert not depths(sink, worker.environ["QUEUE"])
        assert not [event for event in sink.events() if event["event_name"] == "celery.broker.lost"]


@pytest.mark.parametrize("broker", ["redis", pytest.param("rabbitmq", marks=pytest.mark.rabbitmq)])
def test_one_of_the_workers_tells_the_depth_and_another_takes_over_when_it_is_killed(
    request: pytest.FixtureRequest, broker: str, redis: Redis, tmp_path_factory: pytest.TempPathFactory
) -> None:
    first, second = tmp_path_factory.mktemp(f"{broker}-one"), tmp_path_factory.mktemp(f"{broker}-two")
    queue, url = first.name, f"{request.getfixturevalue(broker).url}"
    with (
        Sink() as sink,
        looking(sink, redis, first, "solo", LONGER, BROKER_URL=url) as one,
        looking(sink, redis, second, "solo", LONGER, BROKER_URL=url, QUEUE=queue, options=("-n", "two@%h")) as two,
    ):
        told = len(depths(sink, queue))
        until(lambda: len(depths(sink, queue)) >= told + 3, what="depths")
        (leader,) = {event["resource.process.pid"] for event in depths(sink, queue)}
        elected, other = (one, two) if leader == one.process.pid else (two, one)
        elected.kill()
        until(lambda: depths(sink, queue)[-1]["resource.process.pid"] == other.process.pid, what="another takes over")
        last, next_one = (
            [event["celery.clock"] for event in depths(sink, queue) if event["resource.process.pid"] == pid]
            for pid in (elected.process.pid, other.process.pid)
        )
        # The lease and an interval, and half a minute for a slow machine: far from never.
        assert 0 < (next_one[0] - last[-1]) / SECOND < 2.5 * LONGER + LONGER + 30


@pytest.mark.rabbitmq
def test_the_depth_of_a_queue_on_rabbitmq_has_its_consumers_and_costs_the_broker_no_errors(
    rabbitmq: RabbitMQ, redis: Redis, tmp_path_factory: pytest.TempPathFactory
) -> None:
    first, second = tmp_path_factory.mktemp("deep"), tmp_path_factory.mktemp("other")
    queue, logged = first.name, len(rabbitmq.log.read_text())
    with (
        Sink() as sink,
        looking(sink, redis, first, "solo", LONGER, BROKER_URL=rabbitmq.url) as worker,
        looking(
            sink, redis, second, "solo", LONGER, BROKER_URL=rabbitmq.url, QUEUE=queue, options=("-n", "two@%h")
        ) as other,
    ):
        worker.run("[sleeps.delay(300) for _ in range(24)]")
        until(
            lambda: any(found["celery.queue.depth"] > 0 for found in depths(sink, queue)), what="messages in the queue"
        )
        until(lambda: depths(sink, queue)[-1]["celery.queue.consumers"] == 2, what="two consumers")
        assert depths(sink, queue)[-1]["messaging.system"] == "amqp"
        opened = channels_opened(rabbitmq)
        seen = len(depths(sink, queue))
        until(lambda: len(depths(sink, queue)) > seen + 2, what="more depths")
        assert channels_opened(rabbitmq) == opened, "a look opens no channel"
        worker.run("app.control.purge()")
        # Before the workers are killed, which RabbitMQ calls an error too.
        told = rabbitmq.log.read_text()[logged:]
        for busy in (worker, other):
            busy.kill()
    # Not any error: RabbitMQ writes one now and then when a client, here Celery's own, closes its connection.
    assert "channel exception" not in told
