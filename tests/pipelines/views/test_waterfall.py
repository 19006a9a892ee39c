import pytest

from celeryscope_pipelines.views.attempts import Attempt
from celeryscope_pipelines.views.waterfall import Cause, Phase, Workflow, visible, workflow_of
from pipelines.views.building import at, attempt, chain


def workflow(*attempts: Attempt, now: float = 100.0) -> Workflow:
    return workflow_of("root", attempts, at(now))


def test_a_bar_has_a_waiting_and_a_running_part_in_seconds_since_the_workflow_began() -> None:
    found = workflow(attempt("root", sent=0, started=1, ended=3), attempt("a", sent=2, started=2.5, ended=4))
    assert found.rows[0].phases == (Phase("waiting", 0, 1), Phase("running", 1, 3))
    assert found.rows[1].phases == (Phase("waiting", 2, 2.5), Phase("running", 2.5, 4))
    assert found.seconds == 4


def test_the_time_until_the_eta_is_delay_and_not_waiting() -> None:
    (row,) = workflow(attempt("root", sent=0, eta=at(10), started=12, ended=13)).rows
    assert row.phases == (Phase("delayed", 0, 10), Phase("waiting", 10, 12), Phase("running", 12, 13))


def test_an_attempt_under_way_runs_until_now() -> None:
    found = workflow(attempt("root", state="STARTED", sent=0, started=1), now=7)
    assert found.rows[0].phases[-1] == Phase("running", 1, 7)
    assert found.active


def test_an_attempt_that_nobody_took_waits_until_now() -> None:
    found = workflow(attempt("root", state="SENT", sent=0), now=7)
    assert found.rows[0].phases == (Phase("waiting", 0, 7),)


def test_an_attempt_that_was_revoked_before_it_started_only_waited() -> None:
    found = workflow(attempt("root", state="REVOKED", sent=0, ended=5), now=70)
    assert found.rows[0].phases == (Phase("waiting", 0, 5),)
    assert not found.active


def test_a_final_attempt_without_an_end_does_not_grow_with_time() -> None:
    found = workflow(attempt("root", state="LOST", sent=0, started=2), now=70)
    assert found.seconds == 2


def test_a_run_that_seems_to_begin_before_it_was_sent_is_moved_behind_it_and_keeps_its_length() -> None:
    found = workflow(attempt("root", sent=0, started=0, ended=2), attempt("a", sent=5, started=3, ended=4))
    assert found.rows[1].phases == (Phase("running", 5, 6),)
    assert found.clock_skew == 2


@pytest.mark.parametrize("ended", [4, -1])
def test_no_bar_is_ever_negative_when_an_attempt_ends_before_it_starts(ended: float) -> None:
    (row,) = workflow(attempt("root", sent=0, started=5, ended=ended)).rows
    assert all(0 <= phase.start <= phase.end for phase in row.phases)


def test_an_attempt_without_any_time_has_no_bar() -> None:
    found = workflow(attempt("root", sent=None, state="UNKNOWN"))
    assert found.rows[0].phases == ()
    assert found.started_at is None


def test_retries_are_attempts_of_one_task_and_a_retry_at_the_end_means_that_more_will_come() -> None:
    found = workflow(
        attempt("root", state="RETRY", sent=0, started=0, ended=1),
        attempt("root", state="RETRY", sent=1, started=2, ended=3, retries=1),
    )
    assert [(row.attempt and row.attempt.retries, row.attempts) for row in found.rows] == [(0, 2), (1, 2)]
    assert (found.tasks, found.active) == (1, True)


@pytest.mark.parametrize("state", ["FAILURE", "REVOKED", "IGNORED", "REJECTED", "UNKNOWN", "LOST"])
def test_the_steps_behind_a_task_that_did_not_succeed_are_never_reached_because_of_it(state: str) -> None:
    found = workflow(attempt("root", state=state, started=0, ended=1, chain=chain("pay", "ship")))
    cause = Cause("root", "shop.root", state)
    assert [(row.name, row.state, row.cause) for row in found.rows[1:]] == [
        ("shop.pay", "NEVER_REACHED", cause),
        ("shop.ship", "NEVER_REACHED", cause),
    ]


def test_the_steps_behind_a_task_that_runs_or_will_be_retried_are_planned() -> None:
    for state in ("STARTED", "RETRY"):
        found = workflow(attempt("root", state=state, started=0, chain=chain("pay")))
        assert found.rows[1].state == "PLANNED"


def test_a_step_that_is_missing_though_all_else_succeeded_was_never_reached_for_no_clear_reason() -> None:
    found = workflow(attempt("root", started=0, ended=1, chain=chain("pay")))
    assert (found.rows[1].state, found.rows[1].cause) == ("NEVER_REACHED", None)


def test_the_body_of_a_chord_is_never_reached_when_one_of_its_header_fails_while_others_still_run() -> None:
    header = {"chord_id": "sum", "chord_name": "shop.sum"}
    found = workflow(attempt("a", state="STARTED", started=1, **header), attempt("b", state="FAILURE", **header))
    assert found.rows[-1].state == "NEVER_REACHED"
    assert found.rows[-1].cause == Cause("b", "shop.b", "FAILURE")


def test_a_step_that_succeeded_at_a_later_attempt_does_not_stop_what_follows() -> None:
    found = workflow(
        attempt("root", state="RETRY", chain=chain("pay")),
        attempt("root", state="SUCCESS", retries=1, sent=1, started=1, ended=2, chain=chain("pay")),
        attempt("pay", parent_id="root", sent=2, started=2, ended=3),
    )
    assert [row.state for row in found.rows] == ["RETRY", "SUCCESS", "SUCCESS"]


def test_a_workflow_is_named_after_its_top_tasks_and_counts_its_rows_by_state() -> None:
    found = workflow(
        attempt("root", chain=chain("pay", "ship"), service="shop-worker"),
        attempt("pay", parent_id="root", state="FAILURE", sent=1, chain=chain("ship")),
        attempt("inner", parent_id="root", sent=2),
    )
    assert found.names == ("shop.root", "shop.pay", "shop.ship")
    assert found.states == {"SUCCESS": 2, "FAILURE": 1, "NEVER_REACHED": 1}
    assert found.services == ("shop-worker",)


def test_a_thousand_tasks_are_limited_to_the_rows_that_matter_most_in_their_order() -> None:
    many = [
        attempt(f"t{index}", parent_id="root", sent=index, started=index, ended=index + 1) for index in range(1, 999)
    ]
    found = workflow(attempt("root"), *many, attempt("bad", parent_id="root", state="FAILURE", sent=2_000))
    shown = visible(found.rows, 10)
    assert [row.task_id for row in shown] == ["root", *(f"t{index}" for index in range(1, 9)), "bad"]
    assert visible(found.rows, 0) == found.rows
