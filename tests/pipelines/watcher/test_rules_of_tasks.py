"""The rules about tasks, on what the pipeline writes: each fires when it should, and is silent when it should."""

import pytest

from celeryscope import semconv
from celeryscope.semconv import (
    EVENT_TASK_FAILED,
    EVENT_TASK_RETRIED,
    EVENT_TASK_STACK,
    EVENT_TASK_STARTED,
    EVENT_TASK_SUCCEEDED,
)
from pipelines.watcher.world import World, adjusted

pytestmark = pytest.mark.elasticsearch

HOUR = 3600


def _tasks(world: World, rule: str) -> list[str]:
    return [finding.row[semconv.TASK_NAME] for finding in world.findings(rule)]


def _usual_day(world: World, failing: int) -> None:
    """500 runs in the hours before, of which some failed."""
    world.tasks(EVENT_TASK_SUCCEEDED, range(900, 900 + 30 * (500 - failing), 30))
    world.tasks(EVENT_TASK_FAILED, range(910, 910 + 30 * failing, 30))


def test_a_task_that_begins_to_fail_is_an_error_spike_by_its_own_baseline(world: World) -> None:
    _usual_day(world, failing=5)
    world.tasks(EVENT_TASK_SUCCEEDED, range(10, 210, 10))
    world.tasks(EVENT_TASK_FAILED, range(5, 85, 10), OWNER_TEAM="payments")
    (finding,) = world.findings("error-spike")
    assert finding.row["failed"] == 8
    assert finding.row[semconv.OWNER_TEAM] == "payments"
    assert "shop.pay fails more than usual: 8 of 28 runs (28.6 %, usually 1.1 %)" in finding.message


def test_a_share_of_failures_that_is_usual_is_no_spike_whatever_the_volume(world: World) -> None:
    _usual_day(world, failing=25)
    world.tasks(EVENT_TASK_SUCCEEDED, [index / 2 for index in range(4, 560)])
    world.tasks(EVENT_TASK_FAILED, range(5, 285, 10))
    assert _tasks(world, "error-spike") == []


def test_a_task_that_mostly_fails_has_a_failure_rate_without_any_baseline(world: World) -> None:
    world.tasks(EVENT_TASK_FAILED, range(10, 110, 10))
    world.tasks(EVENT_TASK_SUCCEEDED, (12,))
    (finding,) = world.findings("failure-rate")
    assert (finding.row["failed"], finding.row["ended"]) == (10, 11)
    assert finding.key == f"{world.tenant}/-/shop.pay"


def test_one_failure_of_a_task_that_hardly_runs_is_no_failure_rate_unless_the_operator_wants_it(world: World) -> None:
    world.tasks(EVENT_TASK_FAILED, (20,), "shop.nightly")
    assert _tasks(world, "failure-rate") == []
    special = {"match": {semconv.TASK_NAME: ("shop.night*",)}, "parameters": {"min_failures": 1, "max_rate": 0.1}}
    assert len(world.findings(adjusted("failure-rate", special=(special,)))) == 1


def test_failures_of_an_ignored_cluster_are_no_failure_rate(world: World) -> None:
    world.tasks(EVENT_TASK_FAILED, range(10, 110, 10))
    assert _tasks(world, "failure-rate") == ["shop.pay"]
    world.cluster(FAILURE_STATE=semconv.CLUSTER_IGNORED)
    assert _tasks(world, "failure-rate") == []


def test_a_failure_never_seen_before_is_new(world: World) -> None:
    world.tasks(EVENT_TASK_SUCCEEDED, (3000,), "shop.other")
    world.tasks(EVENT_TASK_FAILED, (100, 60, 20))
    (finding,) = world.findings("new-failure")
    assert finding.row["failures"] == 3
    assert finding.row[semconv.TASK_NAME] == "shop.pay"
    assert "TimeoutError" in finding.row[semconv.FAILURE_TITLE]


def test_a_cluster_of_yesterday_is_not_new(world: World) -> None:
    world.tasks(EVENT_TASK_SUCCEEDED, (3000,), "shop.other")
    world.tasks(EVENT_TASK_FAILED, (20 * HOUR, 100, 60, 20))
    assert _tasks(world, "new-failure") == []


def test_one_failure_is_enough_or_as_many_as_an_operator_wants_but_for_critical_tasks(world: World) -> None:
    world.tasks(EVENT_TASK_SUCCEEDED, (3000,), "shop.other")
    world.task(EVENT_TASK_FAILED, 30, "shop.once", EXCEPTION_TYPE="KeyError", EXCEPTION_STACKTRACE="KeyError: 'x'")
    world.task(EVENT_TASK_FAILED, 30, OWNER_SEVERITY="critical")
    assert _tasks(world, "new-failure") == ["shop.once", "shop.pay"]
    raised = adjusted("new-failure", parameters={"min_failures": 3})
    assert [finding.row[semconv.TASK_NAME] for finding in world.findings(raised)] == ["shop.pay"]


def test_in_the_first_half_hour_of_a_tenant_nothing_is_new(world: World) -> None:
    world.tasks(EVENT_TASK_FAILED, (300, 60, 20))
    assert _tasks(world, "new-failure") == []


def test_a_resolved_cluster_that_came_back_has_regressed(world: World) -> None:
    world.tasks(EVENT_TASK_FAILED, (100, 20))
    assert _tasks(world, "regressed-failure") == []
    regressed_at = world.now.isoformat()
    world.cluster(FAILURE_STATE=semconv.CLUSTER_REGRESSED, FAILURE_REGRESSED_AT=regressed_at)
    assert _tasks(world, "regressed-failure") == ["shop.pay"]


def test_a_task_that_runs_far_longer_than_ever_is_stuck(world: World) -> None:
    world.tasks(EVENT_TASK_SUCCEEDED, range(600, 600 + 25 * 60, 60), RUNTIME=2.5)
    world.task(EVENT_TASK_STARTED, 90)
    (finding,) = world.findings("stuck-task")
    assert finding.row["running"] == 90
    assert finding.row[semconv.WORKER] == "celery@a"


def test_a_task_that_always_takes_long_is_not_stuck_and_neither_is_one_nobody_knows(world: World) -> None:
    world.tasks(EVENT_TASK_SUCCEEDED, range(600, 600 + 25 * 60, 60), "shop.long", RUNTIME=300.0)
    world.task(EVENT_TASK_STARTED, 400, "shop.long")
    world.task(EVENT_TASK_STARTED, 3000, "shop.unknown")
    assert _tasks(world, "stuck-task") == []


def test_a_task_on_a_host_whose_clock_is_wrong_is_not_stuck(world: World) -> None:
    world.tasks(EVENT_TASK_SUCCEEDED, range(600, 600 + 25 * 60, 60), RUNTIME=2.5)
    world.task(EVENT_TASK_STARTED, 5, skew=-900, started=905)
    assert _tasks(world, "stuck-task") == []


def test_retries_that_go_on_are_a_storm(world: World) -> None:
    world.tasks(EVENT_TASK_SUCCEEDED, range(700, 4000, 10))
    world.tasks(EVENT_TASK_RETRIED, range(2, 86, 2))
    (finding,) = world.findings("retry-storm")
    assert finding.row["retries"] == 42
    assert "TimeoutError" in finding.message


def test_retries_that_are_over_after_half_a_minute_are_no_storm(world: World) -> None:
    world.tasks(EVENT_TASK_SUCCEEDED, range(700, 4000, 10))
    world.tasks(EVENT_TASK_RETRIED, [index / 2 for index in range(110, 170)])
    assert _tasks(world, "retry-storm") == []


def test_an_attempt_with_two_deliveries_that_both_ended_ran_twice(world: World) -> None:
    world.run(300, "t1:0", "d1")
    world.run(200, "t1:0", "d2")
    world.run(200, "t2:0", "d3")
    (finding,) = world.findings("duplicate-execution")
    assert (finding.row["tasks"], finding.row[semconv.TASK_ID]) == (1, "t1")


def test_retries_of_a_task_are_attempts_of_their_own_and_none_ran_twice(world: World) -> None:
    world.run(300, "t1:0", "d1")
    world.run(200, "t1:1", "d2")
    assert _tasks(world, "duplicate-execution") == []


def _stack(world: World, ago: float, task_id: str, runtime: float, repeats: int, verdict: str) -> None:
    known = {semconv.TASK_ID: task_id, semconv.TASK_NAME: "shop.pay", semconv.WORKER: "celery@a"}
    known |= {semconv.STACK_VERDICT: verdict, semconv.STACK_RUNTIME: runtime, semconv.STACK_REPEATS: repeats}
    world.event(EVENT_TASK_STACK, ago, known)


def test_a_task_that_waits_for_a_lock_at_two_looks_may_be_a_deadlock(world: World) -> None:
    _stack(world, 70, "t1", 60.0, 0, semconv.VERDICT_LOCK)
    _stack(world, 10, "t1", 120.0, 1, semconv.VERDICT_LOCK)
    (finding,) = world.findings("deadlock")
    assert finding.row[semconv.TASK_ID] == "t1"


def test_a_task_that_always_waits_so_long_for_its_threads_or_one_that_computes_is_no_deadlock(world: World) -> None:
    _stack(world, 8000, "t0", 130.0, 1, semconv.VERDICT_LOCK)
    _stack(world, 10, "t1", 120.0, 1, semconv.VERDICT_LOCK)
    _stack(world, 10, "t2", 500.0, 4, semconv.VERDICT_CPU)
    assert _tasks(world, "deadlock") == []


def test_a_task_of_which_half_the_runs_take_longer_than_any_used_to_has_become_slow(world: World) -> None:
    world.tasks(EVENT_TASK_SUCCEEDED, range(700, 1900, 10), RUNTIME=0.5)
    world.tasks(EVENT_TASK_SUCCEEDED, range(5, 85, 8), RUNTIME=6.0)
    (finding,) = world.findings("slow-task")
    assert "half of 10 runs took 6 s or longer" in finding.message


def test_a_few_long_runs_do_not_make_a_task_slow(world: World) -> None:
    world.tasks(EVENT_TASK_SUCCEEDED, range(700, 1900, 10), RUNTIME=0.5)
    world.tasks(EVENT_TASK_SUCCEEDED, range(5, 85, 8), RUNTIME=0.6)
    world.tasks(EVENT_TASK_SUCCEEDED, range(7, 87, 20), RUNTIME=60.0)
    assert _tasks(world, "slow-task") == []
