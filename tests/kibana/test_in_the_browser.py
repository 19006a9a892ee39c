"""What moves in the views: scrolling, dragging, hovering, clicking, in headless Chromium."""

from typing import Any

from playwright.sync_api import Page

from celeryscope import semconv
from celeryscope_kibana.vega.timeline import timeline
from kibana import workflows
from support.kibana import VegaPanel, answered_with

NAME_X, BAR_X, MAP_X = 100, 500, 1186
FIRST_ROW = 6 + 104 + 8


def show(panel: VegaPanel, flow: workflows.Workflow) -> Page:
    return panel.show(answered_with(timeline(), flow.documents))


def rows_in_sight(page: Page) -> list[int]:
    found: list[int] = page.evaluate("view.data('in_view').map(row => row.row)")
    return found


def shown(page: Page) -> Any:
    """The panel's pixels."""
    return page.evaluate("document.querySelector('canvas').toDataURL()")


def test_the_wheel_scrolls_through_500_attempts_and_stops_at_their_end(panel: VegaPanel) -> None:
    page = show(panel, workflows.large(455))
    assert rows_in_sight(page)[0] == 1
    before = shown(page)
    page.mouse.move(BAR_X, 300)
    page.mouse.wheel(0, 100)
    page.wait_for_function("view.signal('first_row') === 3")
    assert rows_in_sight(page)[0] == 4
    assert shown(page) != before
    for _ in range(4):
        page.mouse.wheel(0, -100)
    page.wait_for_function("view.signal('first_row') === 0")


def test_a_click_on_the_map_goes_there_and_a_drag_follows(panel: VegaPanel) -> None:
    page = show(panel, workflows.large(455))
    page.mouse.move(MAP_X, 553)
    page.mouse.down()
    page.wait_for_function("view.signal('first_row') > 400")
    assert rows_in_sight(page)[-1] == 501
    page.mouse.move(MAP_X, 330)
    page.wait_for_function("view.signal('first_row') < 300")
    page.mouse.up()
    assert 200 < rows_in_sight(page)[0] < 300


def test_the_wheel_moves_the_page_while_all_rows_are_in_sight_and_only_then(panel: VegaPanel) -> None:
    for flow, moved in (
        (workflows.chain(), "window.scrollY === 100"),
        (workflows.large(455), "view.signal('first_row') === 3"),
    ):
        page = show(panel, flow)
        page.evaluate("document.body.style.height = '3000px'; window.scrollTo(0, 0)")
        page.mouse.move(BAR_X, FIRST_ROW)
        page.mouse.wheel(0, 100)
        page.wait_for_function(moved, timeout=10_000)
    assert page.evaluate("window.scrollY") == 0


def test_the_row_below_the_pointer_tells_what_it_is(panel: VegaPanel) -> None:
    page = show(panel, workflows.failed_chain())
    page.evaluate("window.told = null; view.tooltip((_, event, item, value) => { if (value) window.told = value }); 0")
    page.mouse.move(BAR_X, FIRST_ROW + 28)
    page.wait_for_function("window.told && view.signal('hovered') === 'pay'")
    told = page.evaluate("told")
    assert {
        key: told[key] for key in ("Task", "State", "Attempt", "Worker", "Queue", "Waited", "Ran", "Exception")
    } == {
        "Task": "shop.pay",
        "State": "failed",
        "Attempt": "1 of 1",
        "Worker": "celery@box",
        "Queue": "orders",
        "Waited": "200 ms",
        "Ran": "800 ms",
        "Exception": "shop.gateway.PaymentError: declined",
    }
    page.mouse.move(BAR_X, FIRST_ROW + 56)
    page.wait_for_function("view.signal('hovered') === 'ship'")
    assert page.evaluate("told")["Because of"] == "shop.pay"


def test_a_step_that_is_not_reached_filters_nothing(panel: VegaPanel) -> None:
    page = show(panel, workflows.failed_chain())
    page.mouse.click(NAME_X, FIRST_ROW + 56)
    page.mouse.click(NAME_X, FIRST_ROW)
    ((function, query, *_),) = page.evaluate("calls")
    assert function == "kibanaAddFilter"
    assert query["bool"]["should"][0] == {"term": {semconv.TASK_ID: "validate"}}
