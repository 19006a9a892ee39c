"""The page as people use it: opened from the disk in Chromium, read, clicked, sorted, filtered and printed."""

import re
from itertools import pairwise
from pathlib import Path

from playwright.sync_api import expect

from integration.shop_day import ROOT, TRACEBACK
from kibana.report.conftest import Opened, Opening
from kibana.report.days import HOSTILE, HOSTILE_TEXT, LOST_PARCEL, SCRIPT, WAVE

DECLINED = "PaymentDeclined in pay: card expired"
TITLES = "#clusters tbody .title"


def details(view: Opened) -> dict[str, str]:
    """What the details say, by their names."""
    return dict(zip(view.texts("#details dt"), view.texts("#details dd"), strict=True))


def click_bar(view: Opened, number: int) -> None:
    """A click where the bar of that row is; what lies above it takes the click, as for a person."""
    view.page.locator("#timeline .runs path").nth(number).click(force=True)
    view.page.wait_for_selector("#attempt:visible")


def test_a_click_in_the_list_shows_the_workflow_as_kibana_draws_it(written: Path, opened: Opening) -> None:
    view = opened(written)
    assert view.texts("#list .list_title text") == ["Choose a workflow"]
    view.page.locator("#list .line_workflow text", has_text="shop.validate").click(force=True)
    view.page.wait_for_selector("#timeline .names text")
    assert view.page.url.endswith(f"#workflow={ROOT}")
    names = view.texts("#timeline .names text")
    assert [" ".join(name.split()) for name in names] == [
        "shop.validate",
        "shop.pay",
        "shop.pay (attempt 2)",
        "shop.ship",
    ]
    states = view.texts("#timeline .legend_texts text")
    assert states == ["succeeded 1", "failed 1", "retried 1", "never reached 1"]
    widths = [box["width"] for bar in view.page.locator("#timeline .runs path").all() if (box := bar.bounding_box())]
    assert len(widths) == 3
    assert abs(widths[2] / widths[0] - 2) < 0.1  # a second, and half of one
    assert not view.page.is_visible("#lists")
    view.page.go_back()
    view.page.wait_for_selector("#lists:visible")


def test_a_click_on_a_bar_shows_its_attempt_with_the_whole_traceback(written: Path, opened: Opening) -> None:
    view = opened(written, f"#workflow={ROOT}")
    click_bar(view, 2)
    said = details(view)
    assert view.texts("#details h2") == ["shop.pay"]
    assert (said["State"], said["Attempt"], said["Worker"]) == ("failed", "2 of 2", "celery@box")
    assert said["Exception"] == "shop.PaymentDeclined: card expired"
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}", said["Started"])
    assert view.page.locator("#details .traceback").text_content() == TRACEBACK
    click_bar(view, 0)
    assert details(view)["State"] == "succeeded"
    assert view.texts("#details .traceback") == []
    view.page.keyboard.press("Escape")
    assert not view.page.is_visible("#attempt")


def test_the_row_that_was_clicked_is_marked_until_it_is_clicked_again(written: Path, opened: Opening) -> None:
    view = opened(written, f"#workflow={ROOT}")
    marked = view.page.locator("#timeline .backgrounds path[fill='#FFF3CC']")
    click_bar(view, 0)
    expect(marked).to_have_count(1)
    click_bar(view, 0)
    expect(marked).to_have_count(0)


def test_an_attempt_leads_to_its_cluster_and_the_cluster_to_its_workflows(written: Path, opened: Opening) -> None:
    view = opened(written, f"#workflow={ROOT}")
    click_bar(view, 2)
    view.page.locator("#details a", has_text=DECLINED).click()
    assert view.texts("#cluster h2") == [DECLINED]
    assert view.page.locator("#cluster .traceback").text_content() == TRACEBACK
    assert len(view.texts("#samples tbody tr")) == 3
    view.page.locator("#samples tr", has_text="0000a9ee").get_by_text("timeline").click()
    view.page.wait_for_selector("#timeline .names text")
    assert view.page.url.endswith(f"#workflow={ROOT}")


def test_clusters_are_sorted_by_a_click_on_a_heading(written: Path, opened: Opening) -> None:
    view = opened(written)
    counts = [int(text) for text in view.texts("#clusters td.number")]
    assert counts == [50, 3, 1, 1]
    view.page.get_by_role("button", name="Count").click()
    assert [int(text) for text in view.texts("#clusters td.number")] == [1, 1, 3, 50]
    view.page.get_by_role("button", name="Failure").click()
    titles = view.texts(TITLES)
    assert titles == sorted(titles)
    assert view.page.locator("th[aria-sort='ascending']").inner_text().startswith("Failure")


def test_clusters_are_filtered_by_the_words_of_their_lines(written: Path, opened: Opening) -> None:
    view = opened(written)
    view.page.fill("#filter", "OPEN payments")
    assert view.texts(TITLES) == [DECLINED]
    assert view.texts("#filtered") == ["1 of 4"]
    view.page.fill("#filter", "")
    assert len(view.texts(TITLES)) == 4


def test_a_line_of_the_clusters_shows_its_trend_and_opens_with_a_click(written: Path, opened: Opening) -> None:
    view = opened(written)
    line = view.page.locator("#clusters tbody tr", has_text=DECLINED)
    failures = [int(text.split(": ")[1].split()[0]) for text in line.locator(".trend title").all_text_contents()]
    assert sum(failures) == 3
    line.click()
    assert view.texts("#cluster h2") == [DECLINED]


def test_nothing_that_an_application_wrote_becomes_a_part_of_the_page(written: Path, opened: Opening) -> None:
    view = opened(written)
    assert SCRIPT in " ".join(view.texts("#clusters tbody"))
    view.page.goto(f"{written.as_uri()}#workflow={HOSTILE}")
    click_bar(view, 0)
    said = details(view)
    assert said["Arguments"] == f"('{SCRIPT}',)"
    assert view.page.locator("#details .traceback").text_content() == HOSTILE_TEXT
    assert said["Runbook"].startswith("javascript:")
    assert view.page.locator("#details a[href^='javascript']").count() == 0
    assert view.page.locator("img").count() == 0
    assert view.page.title() == "Celery report"


def test_the_page_would_run_no_script_but_its_own(written: Path, opened: Opening, tmp_path: Path) -> None:
    broken = tmp_path / "broken.html"
    more = "<script>document.title = 'taken over'</script></body>"
    broken.write_text(written.read_text().removesuffix("</body>\n</html>\n") + more)
    view = opened(broken)
    assert view.page.title() == "Celery report"
    assert len(view.problems) == 1
    assert "Content Security Policy" in view.problems.pop()


def test_five_hundred_attempts_all_stand_in_the_page_and_their_tracebacks_once(written: Path, opened: Opening) -> None:
    view = opened(written, f"#workflow={WAVE}")
    assert len(view.texts("#timeline .names text")) == 500
    places = [
        box["y"] for bar in view.page.locator("#timeline .names text").all()[::100] if (box := bar.bounding_box())
    ]
    assert all(later - earlier >= 100 * 16 for earlier, later in pairwise(places))
    click_bar(view, 4)
    assert view.page.locator("#details .traceback").text_content() == LOST_PARCEL
    content = written.read_text()
    assert content.count("no such parcel\\n") == 1
    assert len(content) < 2_000_000


def test_on_paper_the_timeline_is_whole_and_nothing_is_left_of_buttons(written: Path, opened: Opening) -> None:
    view = opened(written, f"#workflow={ROOT}")
    click_bar(view, 2)
    view.page.emulate_media(media="print")
    assert not view.page.is_visible("nav >> nth=0")
    assert not view.page.is_visible("#close")
    text, timeline = (view.page.locator(name).bounding_box() for name in ("#details .traceback", "#timeline svg"))
    assert text
    assert timeline
    assert text["y"] > timeline["y"] + timeline["height"]


def test_the_page_is_dark_where_people_want_it_dark(written: Path, opened: Opening) -> None:
    background = "getComputedStyle(document.body).backgroundColor"
    assert opened(written).page.evaluate(background) == "rgb(255, 255, 255)"
    assert opened(written, color_scheme="dark").page.evaluate(background) == "rgb(22, 24, 29)"
