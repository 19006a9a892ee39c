"""What a worker tells when its broker is lost and when it has it again: why, and for how long."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis as Client

from celeryscope.clock import now_us
from servers import RabbitMQ, Redis
from support.proxy import Proxy
from support.sink import Sink
from support.waiting import until
from support.workers import Worker

pytestmark = pytest.mark.redis

SECOND = 1_000_000


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    """A Redis of our own, for it is killed and closed."""
    with Redis(tmp_path_factory.mktemp("broker")) as server:
        yield server


@pytest.fixture(scope="module")
def worker(broker: Redis, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    with Sink() as sink, Worker(sink, broker.url, tmp_path_factory.mktemp("worker"), "solo") as running:
        yield running


def told(sink: Sink) -> list[dict[str, Any]]:
    return [event for event in sink.events() if event["event_name"].startswith("celery.broker.")]


def outage(
    worker: Worker, lose: Callable[[], object], regain: Callable[[], object], cause: str | None = None
) -> list[dict[str, Any]]:
    """What is told of one outage, which goes on until its cause (any, when none is named) has been told."""
    before = len(told(worker.sink))
    lose()
    until(
        lambda: [event for event in told(worker.sink)[before:] if cause in {None, event["celery.cause"]}],
        what=f"lost; {worker.log()[-1500:]}",
    )
    regain()
    until(
        lambda: told(worker.sink)[-1]["event_name"] == "celery.broker.regained", what=f"regained {worker.log()[-1500:]}"
    )
    return told(worker.sink)[before:]


def test_a_broker_that_dies_is_lost_to_the_network_until_it_is_back(worker: Worker, broker: Redis) -> None:
    returns: list[int] = []

    def start() -> None:
        returns.append(now_us())
        broker.start()

    lost, regained = outage(worker, broker.kill, start)
    assert (lost["event_name"], lost["celery.cause"], lost["severity"]) == ("celery.broker.lost", "network", "ERROR")
    assert lost["celery.broker"] == f"redis://:[redacted]@127.0.0.1:{broker.port}/0"
    assert lost["celery.worker"].startswith("celery@")
    assert "onnect" in lost["exception.message"]
    assert regained["celery.cause"] == "network"
    assert regained["celery.broker.lost_at"] == lost["celery.broker.lost_at"]
    # It lasted at least from when it was told until the broker came back, at most until that was told.
    at_least, at_most = returns[0] - lost["celery.clock"], regained["celery.clock"] - lost["celery.broker.lost_at"]
    assert at_least <= regained["celery.broker.outage"] * SECOND <= at_most + SECOND / 10, "two clocks tell the time"
    assert worker.run("print(succeed.delay(5).get(timeout=60))") == "5"


def is_connected(worker: Worker) -> bool | None:
    """As the last heartbeat says, if there is one."""
    beats = worker.sink.events("celery.worker.heartbeat")
    return beats[-1]["celery.broker.connected"] if beats else None


def test_the_heartbeat_goes_on_and_says_that_the_broker_is_away(worker: Worker, broker: Redis) -> None:
    def away() -> None:
        broker.kill()
        until(lambda: is_connected(worker) is False)

    outage(worker, away, broker.start)
    until(lambda: is_connected(worker))


def test_a_password_that_the_worker_does_not_have_is_lost_to_authentication(worker: Worker, broker: Redis) -> None:
    with Client(port=broker.port) as client:

        def close() -> None:
            client.config_set("requirepass", "hunter2")
            client.auth("hunter2")
            client.client_kill_filter(_type="normal", skipme=True)

        outage(worker, close, lambda: client.config_set("requirepass", ""), "authentication")


def test_a_broker_that_has_enough_clients_is_lost_to_a_resource_limit(worker: Worker, broker: Redis) -> None:
    with Client(port=broker.port) as client:

        def fill() -> None:
            client.config_set("maxclients", 1)
            client.client_kill_filter(_type="normal", skipme=True)

        outage(worker, fill, lambda: client.config_set("maxclients", 1000), "resource_limit")


def test_each_cause_of_an_outage_is_told_once(worker: Worker) -> None:
    causes: list[str] = []
    for event in told(worker.sink):
        if event["event_name"] == "celery.broker.regained":
            causes.clear()
        else:
            assert event["celery.cause"] not in causes
            causes.append(event["celery.cause"])


def test_a_broker_that_was_never_there_is_told_before_the_worker_is_ready(tmp_path: Path) -> None:
    server = Redis(tmp_path / "redis")
    with Sink() as sink:
        worker = Worker(sink, server.url, tmp_path, "solo")
        sink.status = 503  # a worker is started without waiting for it
        worker.start()
        sink.status = 200
        try:
            until(lambda: told(sink), what="lost")
            assert not sink.events("celery.worker.online")
            with server:
                until(lambda: sink.events("celery.worker.online"), what="online")
                worker.stop()
            (lost, regained) = told(sink)
        finally:
            worker.stop()
    assert (lost["celery.cause"], regained["event_name"]) == ("network", "celery.broker.regained")
    assert regained["celery.broker.outage"] > 0


@pytest.mark.rabbitmq
def test_a_cut_wire_to_rabbitmq_and_an_alarm_of_it_are_losses_of_their_own_causes(
    rabbitmq: RabbitMQ, redis: Redis, tmp_path: Path
) -> None:
    with Proxy(rabbitmq.port) as proxy, Sink() as sink:
        url = rabbitmq.url.replace(f":{rabbitmq.port}", f":{proxy.port}")
        with Worker(sink, redis.url, tmp_path, BROKER_URL=url) as worker:
            lost, regained = outage(worker, proxy.cut, proxy.mend)
            assert worker.run("print(succeed.delay(5).get(timeout=60))") == "5"
            alarm, all_clear = outage(
                worker,
                lambda: rabbitmq.control("set_vm_memory_high_watermark", "absolute", "1MB"),
                lambda: rabbitmq.control("set_vm_memory_high_watermark", "0.4"),
            )
    assert (alarm["celery.cause"], all_clear["celery.cause"]) == ("resource_limit", "resource_limit")
    assert (lost["celery.cause"], lost["messaging.system"]) == ("network", "amqp")
    assert lost["celery.broker"] == f"amqp://guest:[redacted]@127.0.0.1:{proxy.port}//"
    assert regained["celery.broker.outage"] > 0


@pytest.mark.rabbitmq
def test_a_worker_that_rabbitmq_does_not_let_in_tells_why(rabbitmq: RabbitMQ, redis: Redis, tmp_path: Path) -> None:
    with Sink() as sink:
        worker = Worker(sink, redis.url, tmp_path, BROKER_URL=rabbitmq.url.replace("guest@", "hunter2@"))
        sink.status = 503  # a worker is started without waiting for it
        worker.start()
        sink.status = 200
        try:
            until(lambda: told(sink), what=f"lost {worker.log()}")
        finally:
            worker.stop()
        assert told(sink)[0]["celery.cause"] == "authentication"
        assert "hunter2" not in str(sink.logs)
