"""The timeline of a workflow, drawn by the Vega that Kibana carries: order, bars, states, steps never reached."""

import time
from itertools import pairwise
from typing import Any

import pytest

from celeryscope import semconv
from celeryscope_kibana.states import LOOKS, NEVER_REACHED, PLANNED
from celeryscope_kibana.vega.timeline import timeline
from celeryscope_pipelines.views.attempts import attempt_from
from celeryscope_pipelines.views.tree import arrange
from kibana import workflows
from kibana.workflows import Workflow
from support.kibana import Canvas, Drawn, answered_with

SETS = ("rows", "critical", "span", "legend")


class Timelines:
    """Draws workflows."""

    def __init__(self, drawing: Canvas) -> None:
        self._drawing = drawing

    def __call__(self, flow: Workflow, **size: int) -> Drawn:
        drawn = self._drawing.draw(answered_with(timeline(), flow.documents), sets=SETS, **size)
        assert drawn.problems == []
        return drawn


@pytest.fixture(scope="module")
def drawn(drawing: Canvas) -> Timelines:
    return Timelines(drawing)


def order(view: Drawn) -> list[tuple[str, int]]:
    """Tasks from top to bottom, with how far they are indented."""
    return [(row["task"], row["depth"]) for row in view.data["rows"]]


def bar(view: Drawn, name: str, task: str, number: int = 0) -> dict[str, Any]:
    return [mark for mark in view.marks[name] if mark["task"] == task][number]


def test_the_steps_of_a_chain_stand_below_each_other_at_one_depth(drawn: Timelines) -> None:
    view = drawn(workflows.chain())
    assert order(view) == [("validate", 0), ("pay", 0), ("ship", 0)]
    assert [mark["text"] for mark in view.marks["names"]] == ["shop.validate", "shop.pay", "shop.ship"]
    heights = [mark["y"] for mark in view.marks["names"]]
    assert heights == sorted(heights)


def test_a_bar_waits_and_then_runs_as_long_as_the_task_did(drawn: Timelines) -> None:
    view = drawn(workflows.chain())
    waits, runs = bar(view, "waits", "ship"), bar(view, "runs", "ship")
    a_second = bar(view, "runs", "validate")["width"] / 0.5
    assert runs["width"] == pytest.approx(1.6 * a_second, abs=0.5)
    assert waits["right"] - waits["left"] == pytest.approx(0.4 * a_second, abs=2)
    assert waits["right"] == pytest.approx(runs["x"], abs=1)


def test_a_failed_chain_shows_the_steps_that_are_never_reached_and_why(drawn: Timelines) -> None:
    view = drawn(workflows.failed_chain())
    assert order(view) == [("validate", 0), ("pay", 0), ("ship", 0), ("mail", 0)]
    assert [row["state"] for row in view.data["rows"]] == ["SUCCESS", "FAILURE", NEVER_REACHED, NEVER_REACHED]
    assert {mark["task"] for mark in view.marks["boxes"]} == {"ship", "mail"}
    assert all(mark["strokeDash"] == [4, 3] for mark in view.marks["boxes"])
    assert {mark["task"] for mark in view.marks["runs"]} == {"validate", "pay"}
    notes = {mark["task"]: mark["text"] for mark in view.marks["notes"]}
    assert notes["ship"] == notes["mail"] == "never reached: pay stopped"
    assert notes["pay"] == "800 ms  PaymentError"


def test_members_of_a_group_stand_in_the_groups_order_below_the_task_that_called_them(drawn: Timelines) -> None:
    view = drawn(workflows.group())
    assert order(view)[0] == ("wave", 0)
    assert {depth for _, depth in order(view)[1:]} == {1}
    calls = [task for task, _ in order(view)[1:]]
    # They were sent at different moments, which say more than the index.
    assert calls == ["parcel3", "parcel2", "parcel1", "parcel0"]


def test_a_chord_stands_between_the_steps_of_its_chain_with_its_header_in_order(drawn: Timelines) -> None:
    view = drawn(workflows.chord_in_a_chain())
    assert [task for task, _ in order(view)] == ["open", "pack0", "weigh", "pack1", "total", "mail"]
    assert {depth for _, depth in order(view)} == {0}


def test_a_chord_whose_body_replaces_the_task_that_made_it_is_no_circle(drawn: Timelines) -> None:
    flow = Workflow()
    flow.attempt("split", "SUCCESS", 0, 0.1, 9)
    for index in range(3):
        header = {"group_id": "g", "group_index": index, "chord_id": "split", "chord_name": "shop.split"}
        flow.attempt(f"part{index}", "SUCCESS", 1, 2, 3 + index, parent_id="split", **header)
    assert order(drawn(flow)) == [("split", 0), ("part0", 1), ("part1", 1), ("part2", 1)]


def test_each_retry_has_a_row_and_waits_for_its_countdown(drawn: Timelines) -> None:
    view = drawn(workflows.retried())
    assert [row["state"] for row in view.data["rows"]] == ["RETRY", "RETRY", "SUCCESS"]
    assert [mark["text"] for mark in view.marks["names"]][1:] == [
        "shop.notify  (attempt 2)",
        "shop.notify  (attempt 3)",
    ]
    delays = [mark["x2"] - mark["x"] for mark in view.marks["delays"]]
    assert delays[0] == 0
    assert delays[2] == pytest.approx(2 * delays[1], rel=0.01)


def test_what_runs_is_an_open_bar_up_to_now_and_what_may_follow_is_planned(drawn: Timelines) -> None:
    before = time.time()
    view = drawn(workflows.under_way())
    took = time.time() - before
    assert [(row["task"], row["state"]) for row in view.data["rows"]] == [
        ("import", "STARTED"),
        ("audit", "SENT"),
        ("clean", PLANNED),
    ]
    running = bar(view, "runs", "import")
    assert running["fillOpacity"] < 1
    assert running["strokeDash"] == [4, 3]
    assert bar(view, "runs", "audit")["width"] == 0
    assert 10 - 0.01 <= view.data["rows"][0]["finish"] <= 10 + took + 0.01


def test_states_differ_in_shape_and_not_only_in_colour(drawn: Timelines) -> None:
    flow = Workflow()
    for number, state in enumerate(sorted(semconv.FINAL_STATES | {"STARTED", "SENT", "RECEIVED"})):
        flow.attempt(f"task{number}", state, number, number + 0.2, number + 0.5)
    view = drawn(flow, height=700)
    looks = {mark["state"]: (mark["fill"], mark["shape"]) for mark in view.marks["symbols"]}
    assert looks == {state: (look.colour, look.shape) for state, look in LOOKS.items() if state in looks}
    assert len(looks) == 11
    shapes = [shape for state, (_, shape) in looks.items() if state != "REVOKED"]
    assert len(set(shapes)) == len(shapes)
    assert len(view.marks["legend_symbols"]) == 11


def test_the_critical_path_leads_from_the_start_to_the_last_end(drawn: Timelines) -> None:
    view = drawn(workflows.chord_in_a_chain())
    assert [step["id"] for step in view.data["critical"]] == ["mail", "total", "pack0", "open"]
    corners = view.marks["critical_line"]
    assert len(corners) == 8
    assert all(before["x"] <= after["x"] + 0.01 for before, after in pairwise(corners))


def test_a_worker_whose_clock_is_behind_makes_no_bar_negative(drawn: Timelines) -> None:
    flow = Workflow()
    flow.attempt("first", "SUCCESS", 100, 40, 45)
    view = drawn(flow)
    (row,) = view.data["rows"]
    assert (row["start"], row["began"], row["finish"]) == (0, 0, 5)


def test_five_attempts_have_high_rows_and_no_map(drawn: Timelines) -> None:
    view = drawn(workflows.large(4))
    assert len(view.marks["names"]) == 17  # 4 members, 12 that a plan named and nobody sent, and the task itself
    view = drawn(workflows.group())
    assert len(view.marks["names"]) == 5
    gaps = [after["y"] - before["y"] for before, after in pairwise(view.marks["names"])]
    assert set(gaps) == {28}
    assert view.marks["map_sight"][0]["opacity"] == 0


def test_five_hundred_attempts_are_drawn_as_far_as_there_is_room_and_mapped_all(drawn: Timelines) -> None:
    view = drawn(workflows.large(455), width=1180, height=560)
    assert len(view.data["rows"]) == 501
    assert [task for task, _ in order(view)][:4] == ["wave", "parcel0", "parcel1", "parcel2"]
    assert len(view.marks["map_rows"]) == 501
    assert view.marks["map_sight"][0]["opacity"] == 1
    shown = view.marks["names"]
    assert [mark["row"] for mark in shown] == list(range(1, 28))
    assert all(before["bottom"] <= after["top"] for before, after in pairwise(shown))


@pytest.mark.parametrize(
    "make", [workflows.chain, workflows.failed_chain, workflows.retried, workflows.chord_in_a_chain]
)
def test_no_note_covers_a_name_or_a_bar_or_leaves_the_panel(drawn: Timelines, make: Any) -> None:
    for width in (700, 1180):
        view = drawn(make(), width=width)
        names = {(mark["task"], mark["row"]): mark["right"] for mark in view.marks["names"]}
        for note in view.marks["notes"]:
            if note["text"]:
                assert note["left"] >= names[note["task"], note["row"]]
                assert note["right"] <= width
        for row in view.data["rows"]:
            if row["state"] != NEVER_REACHED:
                number = row["retries"]
                note, run = bar(view, "notes", row["task"], number), bar(view, "runs", row["task"], number)
                assert not note["text"] or note["left"] > run["right"] or note["right"] < run["left"]


def test_one_workflow_among_several_is_not_chosen_by_itself(drawn: Timelines) -> None:
    both = workflows.chain()
    both.documents += Workflow(root="other").documents
    other = Workflow(root="other")
    other.attempt("else", "SUCCESS", 0, 1, 2)
    both.documents += other.documents
    view = drawn(both)
    assert view.data["rows"] == []
    assert view.marks["list_title"][0]["text"] == "No workflow in this time range"


def test_a_plan_without_ids_for_callbacks_is_drawn_once(drawn: Timelines) -> None:
    flow = Workflow()
    callback = {"chain_ids": ["pay", ""], "chain_names": ["shop.pay", "shop.callback"]}
    flow.attempt("validate", "SUCCESS", 0, 0.5, 1, **callback)
    flow.attempt("pay", "FAILURE", 1, 2, 3, parent_id="validate", chain_ids=[""], chain_names=["shop.callback"])
    view = drawn(flow)
    assert [row["name"] for row in view.data["rows"]] == ["shop.validate", "shop.pay", "shop.callback"]


@pytest.mark.parametrize(
    "make",
    [
        workflows.chain,
        workflows.failed_chain,
        workflows.group,
        workflows.chord_in_a_chain,
        workflows.retried,
        workflows.under_way,
        lambda: workflows.large(40),
    ],
)
def test_the_order_is_that_of_the_terminals_view(drawn: Timelines, make: Any) -> None:
    flow = make()
    nodes = arrange(attempt_from(document) for document in flow.documents)
    rows = [(node.task_id, node.depth) for node in nodes for _ in node.attempts or (None,)]
    assert order(drawn(flow)) == rows
