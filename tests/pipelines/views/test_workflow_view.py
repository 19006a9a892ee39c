from datetime import UTC
from typing import Any

import orjson

from celeryscope_pipelines.views.attempts import Attempt
from celeryscope_pipelines.views.bars import axis, cells
from celeryscope_pipelines.views.waterfall import Phase, workflow_of
from celeryscope_pipelines.views.wording import Clock
from celeryscope_pipelines.views.workflow import as_dict, render
from pipelines.views.building import at, attempt, chain, printed


def shown(*attempts: Attempt, width: int = 97, ascii_only: bool = False, limit: int = 0, total: int = 0) -> str:
    workflow = workflow_of("root", attempts, at(60), total)
    return printed(*render(workflow, Clock(at(60), UTC), limit, width, ascii_only), width=width)


def order(**failure: Any) -> list[Attempt]:
    failure = {"exception_type": "ValueError", "exception_message": "no money"} | failure
    return [
        attempt("validate", root_id="validate", started=1, ended=2, chain=chain("pay", "ship"), service="shop-worker"),
        attempt("note", parent_id="validate", sent=1, started=2, ended=3),
        attempt("pay", parent_id="validate", state="RETRY", sent=2, started=3, ended=4, chain=chain("ship")),
        attempt(
            "pay",
            parent_id="validate",
            state="FAILURE",
            retries=1,
            sent=4,
            eta=at(6),
            started=7,
            ended=10,
            chain=chain("ship"),
            **failure,
        ),
    ]


def test_a_workflow_is_a_waterfall_of_its_attempts() -> None:
    assert (
        shown(*order())
        == """\
shop.validate → shop.pay → shop.ship
workflow root
shop-worker: 3 tasks in 4 attempts, 10.0 s, started 2026-11-21 14:00:00 UTC
2 ✔ success   1 ↻ retry   1 ✘ failed   1 ○ never reached

task           state            0 s                    5.0 s                10.0 s  waited    ran
shop.validate  ✔ success        ░░░░░█████                                           1.0 s  1.0 s
  shop.note    ✔ success             ░░░░░█████                                      1.0 s  1.0 s
→ shop.pay     ↻ retry                    ░░░░░█████                                 1.0 s  1.0 s
  attempt 2    ✘ failed                             ··········░░░░░███████████████   1.0 s  3.0 s
→ shop.ship    ○ never reached  because shop.pay failed
·· delayed (eta, countdown)   ░░ waiting   ██ running

Failures
✘ failed  shop.pay  ValueError: no money
    never reached because of it: shop.ship

Next: celeryscope task pay
      celeryscope logs --workflow root
"""
    )


def test_a_terminal_that_knows_ascii_only_gets_ascii_only() -> None:
    screen = shown(*order(), ascii_only=True)
    assert screen.isascii()
    assert "  attempt 2    x failed                             ..........-----###############" in screen


def test_a_narrow_terminal_gets_shorter_bars_and_the_ends_of_long_names() -> None:
    screen = shown(
        *order(), attempt("a" * 60, sent=3, started=4, ended=5, name="shop.orders.archive." + "a" * 30), width=60
    )
    assert all(len(line) <= 60 for line in screen.split("\n\n")[1].splitlines())
    assert "…aaaaaaaa" in screen


def test_names_and_messages_of_users_are_shown_literally_and_cannot_steer_the_terminal() -> None:
    screen = shown(*order(exception_message="[red]no[/red] \x1b[2J :smile:\nsecond"))
    assert "ValueError: [red]no[/red] \\x1b[2J :smile: second" in screen


def test_rows_over_the_limit_are_left_out_and_counted_and_failures_stay() -> None:
    screen = shown(*order(), *(attempt(f"t{index}", parent_id="validate", sent=1) for index in range(1_000)), limit=5)
    assert "1000 rows" not in screen
    assert "1,000 rows left out" in screen
    assert "✘ failed" in screen


def test_a_workflow_that_was_not_read_whole_says_so() -> None:
    assert "Only the first 4 of 25,000 attempts were read." in shown(*order(), total=25_000)


def test_differing_clocks_are_mentioned() -> None:
    assert "Clocks of hosts differ by at least 2.0 s" in shown(attempt("root", sent=5, started=3, ended=4))


def test_json_has_every_row_with_its_bar_and_why_a_step_was_not_reached() -> None:
    data = orjson.loads(orjson.dumps(as_dict(workflow_of("validate", order(), at(60)))))
    assert [(row["name"], row["attempt"], row["state"], row["reached"]) for row in data["rows"]] == [
        ("shop.validate", 1, "SUCCESS", True),
        ("shop.note", 1, "SUCCESS", True),
        ("shop.pay", 1, "RETRY", True),
        ("shop.pay", 2, "FAILURE", True),
        ("shop.ship", None, "NEVER_REACHED", False),
    ]
    assert data["rows"][4]["because_of"] == {"task_id": "pay", "name": "shop.pay", "state": "FAILURE"}
    assert data["rows"][0]["phases"] == [
        {"kind": "waiting", "start": 0.0, "end": 1.0},
        {"kind": "running", "start": 1.0, "end": 2.0},
    ]
    assert (data["started_at"], data["seconds"], data["active"]) == ("2026-11-21T14:00:00.000000Z", 10.0, False)


def test_every_phase_has_a_cell_however_short_it_is() -> None:
    assert cells([Phase("waiting", 0, 0), Phase("running", 9.999, 10)], 10, 5) == ["waiting", "", "", "", "running"]
    assert cells([Phase("running", 0, 0)], 0, 3) == ["running"] * 3


def test_the_axis_fits_into_any_width() -> None:
    assert [axis(10, width) for width in (3, 10)] == ["0 s", "0 s 10.0 s"]
    assert axis(10, 40) == "0 s               5.0 s           10.0 s"
