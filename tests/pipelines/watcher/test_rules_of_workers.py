"""The rules about workers, on what the pipeline writes: each fires when it should, and is silent when it should."""

import pytest

from celeryscope import semconv
from pipelines.watcher.world import World

pytestmark = pytest.mark.elasticsearch


def _row(world: World, rule: str) -> list[str]:
    return sorted(finding.row[semconv.WORKER] for finding in world.findings(rule))


def test_a_worker_that_fell_silent_without_a_goodbye_is_down(world: World) -> None:
    world.worker("dead@a", 110)
    world.worker("fine@a", 20)
    assert _row(world, "worker-down") == ["dead@a"]


def test_a_worker_that_said_goodbye_is_not_down(world: World) -> None:
    world.worker("gone@a", 130)
    world.worker("gone@a", 110, semconv.EVENT_WORKER_OFFLINE)
    assert _row(world, "worker-down") == []


def test_a_worker_whose_clock_is_wrong_is_not_down_and_a_dead_one_is(world: World) -> None:
    world.worker("slow-clock@a", 20, skew=-600)
    world.worker("fast-clock@a", 20, skew=55)
    world.worker("dead@a", 110, skew=-30)
    assert _row(world, "worker-down") == ["dead@a"]


def _life(world: World, process: str, begin: int, end: int, worker: str = "crashing@a", goodbye: bool = False) -> None:
    """A process of a worker, from ``begin`` to ``end`` seconds before now, with a beat each quarter of a minute."""
    world.worker(worker, begin, semconv.EVENT_WORKER_ONLINE, process=process)
    for ago in range(begin - 15, end, -15):
        world.worker(worker, ago, process=process)
    if goodbye:
        world.worker(worker, end, semconv.EVENT_WORKER_OFFLINE, process=process)


def test_a_worker_that_was_killed_and_started_again_at_once_has_crashed(world: World) -> None:
    _life(world, "first", 500, 400)
    _life(world, "second", 380, 100)
    _life(world, "third", 90, 0)
    (finding,) = world.findings("worker-crashed")
    assert (finding.row[semconv.WORKER], finding.row["crashes"], finding.row["away"]) == ("crashing@a", 2, 20)
    assert finding.message.endswith("was there again 20 s later; 2 times within a quarter of an hour.")


def test_a_worker_that_crashes_again_and_again_within_seconds_is_told_of(world: World) -> None:
    for begin in range(200, 0, -18):
        _life(world, f"born-{begin}", begin, begin - 10)
    assert _row(world, "worker-crashed") == ["crashing@a"]


def test_a_worker_that_died_after_its_first_word_and_stays_away_is_down_and_was_not_started_again(world: World) -> None:
    world.worker("short-lived@a", 100, semconv.EVENT_WORKER_ONLINE)
    assert _row(world, "worker-down") == ["short-lived@a"]
    assert world.findings("worker-crashed") == []


def test_a_worker_that_said_goodbye_before_its_restart_has_not_crashed(world: World) -> None:
    _life(world, "old", 500, 100, goodbye=True)
    _life(world, "new", 90, 0)
    assert world.findings("worker-crashed") == []


def test_a_worker_that_is_replaced_while_the_old_one_finishes_has_not_crashed(world: World) -> None:
    _life(world, "old", 500, 0)
    _life(world, "new", 200, 0)
    assert world.findings("worker-crashed") == []


def test_a_goodbye_that_the_next_process_has_yet_to_send_is_waited_for(world: World) -> None:
    _life(world, "old", 500, 60)
    _life(world, "new", 15, 0)
    assert world.findings("worker-crashed") == []
    world.worker("crashing@a", 58, semconv.EVENT_WORKER_OFFLINE, process="old")
    assert world.findings("worker-crashed", after=10) == []


def test_a_worker_that_is_away_for_long_is_down_and_not_told_of_twice(world: World) -> None:
    _life(world, "old", 700, 400)
    assert _row(world, "worker-down") == ["crashing@a"]
    assert world.findings("worker-crashed") == []
    _life(world, "new", 200, 0)
    assert world.findings("worker-crashed") == world.findings("worker-down") == []


def test_a_process_that_died_in_a_task_is_told_of_even_after_the_task_has_run_again(world: World) -> None:
    world.task(semconv.EVENT_TASK_LOST, 60, task_id="t1", FAILURE_KIND="out_of_memory")
    world.task(semconv.EVENT_TASK_SUCCEEDED, 20, task_id="t1")
    (finding,) = world.findings("worker-lost")
    assert finding.message.startswith("1 processes of celery@a died while they ran shop.pay (out_of_memory)")


def test_a_task_that_failed_took_no_process_along(world: World) -> None:
    world.task(semconv.EVENT_TASK_FAILED, 60)
    world.task(semconv.EVENT_TASK_LOST, 4000)
    assert world.findings("worker-lost") == []


def test_two_silent_workers_of_a_service_are_a_silent_service(world: World) -> None:
    world.worker("one@a", 110)
    world.worker("two@a", 80)
    (finding,) = world.findings("telemetry-silent")
    assert (finding.row["workers"], finding.row["silence"]) == (2, 80)


def test_a_service_with_a_worker_left_or_with_one_worker_only_is_not_silent(world: World) -> None:
    world.worker("one@a", 110)
    world.worker("gone@a", 110, semconv.EVENT_WORKER_OFFLINE)
    assert world.findings("telemetry-silent") == []
    world.worker("two@a", 110)
    world.worker("three@a", 20)
    assert world.findings("telemetry-silent") == []


def _memory(world: World, sizes: list[int]) -> None:
    """Heartbeats, 30 s apart, until now; megabytes of the largest of two processes."""
    for index, size in enumerate(reversed(sizes)):
        world.worker("celery@a", 5 + index * 30, CHILD_MEMORY=[size << 20, 60 << 20])


def test_a_process_that_grows_without_a_pause_leaks(world: World) -> None:
    _memory(world, [100] * 20 + [100 + 15 * step for step in range(17)])
    (finding,) = world.findings("memory-growth")
    assert "of celery@a has 318 MiB" in finding.message


def test_a_process_that_has_filled_its_caches_or_is_replaced_does_not_leak(world: World) -> None:
    _memory(world, [100] * 20 + [100 + 40 * step for step in range(7)] + [350] * 10)
    assert world.findings("memory-growth") == []


def _broker(world: World, event: str, ago: float) -> None:
    known = {semconv.WORKER: "celery@a", semconv.BROKER: "amqp://broker//", semconv.CAUSE: "network"}
    world.event(event, ago, {**known, semconv.BROKER_LOST_AT: world.microseconds(ago)})


def test_a_broker_that_is_not_regained_is_lost(world: World) -> None:
    _broker(world, semconv.EVENT_BROKER_LOST, 40)
    (finding,) = world.findings("broker-lost")
    assert finding.message.startswith("1 workers have lost the broker amqp://broker//")


def test_an_outage_of_the_broker_that_lasts_is_told_of_by_heartbeats(world: World) -> None:
    _broker(world, semconv.EVENT_BROKER_LOST, 4000)
    world.worker("celery@a", 20, BROKER="amqp://broker//", BROKER_CONNECTED=False)
    assert len(world.findings("broker-lost")) == 1


def test_a_failover_of_the_broker_and_a_worker_that_ended_are_no_loss(world: World) -> None:
    _broker(world, semconv.EVENT_BROKER_LOST, 40)
    _broker(world, semconv.EVENT_BROKER_REGAINED, 30)
    assert world.findings("broker-lost") == []
    _broker(world, semconv.EVENT_BROKER_LOST, 25)
    world.worker("celery@a", 10, semconv.EVENT_WORKER_OFFLINE, BROKER="amqp://broker//")
    assert world.findings("broker-lost") == []
