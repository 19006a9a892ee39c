"""What the command takes, and what it says when it can't."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from celeryscope_kibana.report import gathering
from celeryscope_kibana.report.context import Context
from celeryscope_kibana.report.store import Store
from integration.shop_day import PAY, ROOT
from kibana.report.conftest import Opening, Report
from kibana.report.days import RUNNING
from servers.process import free_port


def test_a_named_workflow_is_shown_first_whatever_the_time_range(reports: Report, tenant: str, opened: Opening) -> None:
    written = reports.write("workflow", "--tenant", tenant, "--workflow", PAY, "--since", "1s")
    view = opened(written)
    assert view.page.url.endswith(f"#workflow={ROOT}")
    assert len(view.texts("#timeline .names text")) == 4


def test_a_named_failure_is_shown_first_by_the_beginning_of_its_fingerprint(
    reports: Report, tenant: str, written: Path, opened: Opening
) -> None:
    lists = opened(written)
    address = lists.page.locator("#clusters .title", has_text="WorkerLostError").get_attribute("href")
    assert address
    fingerprint = address.removeprefix("#failure=")
    view = opened(reports.write("failure", "--tenant", tenant, "--failure", fingerprint[:12]))
    assert view.page.url.endswith(address)
    assert "WorkerLostError" in view.texts("#cluster h2")[0]
    assert "No failure of it came with a traceback" in view.texts("#cluster h3")


def test_what_was_running_when_the_page_was_written_does_not_run_on(
    reports: Report, tenant: str, opened: Opening
) -> None:
    view = opened(reports.write("running", "--tenant", tenant, "--workflow", RUNNING))
    view.page.clock.set_fixed_time("2036-01-01T00:00:00Z")
    view.page.reload()
    view.page.wait_for_selector("body[data-shown]")
    (fact,) = [text for text in view.texts("#timeline text") if "running for" in text]
    assert re.search(r"running for \d+(\.\d+)? (s|min)\b", fact)


def test_without_data_the_page_says_so(reports: Report, tenant: str, opened: Opening) -> None:
    view = opened(reports.write("nobody", "--tenant", "nobody"))
    assert view.texts("#list .list_title text") == ["No workflow in this time range"]
    assert view.texts("#failures-count") == ["No failures in this time range."]
    assert not view.page.is_visible("#clusters")


def test_before_there_is_any_index_the_page_says_the_same(
    reports: Report, opened: Opening, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = Store._search

    def search_elsewhere(store: Store, index: str, **body: Any) -> Any:
        return search(store, f"nowhere-{index}", **body)

    monkeypatch.setattr(Store, "_search", search_elsewhere)
    view = opened(reports.write("nothing", "--tenant", "nobody"))
    assert view.texts("#list .list_title text") == ["No workflow in this time range"]
    assert view.texts("#failures-count") == ["No failures in this time range."]


def test_what_finds_no_room_is_named(
    reports: Report, tenant: str, opened: Opening, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gathering, "MOST_BYTES", 1)
    view = opened(reports.write("full", "--tenant", tenant))
    assert "The timelines of 5 of them found no room" in view.texts("#workflows-note")[0]
    view.page.locator("#list .line_workflow text", has_text="shop.validate").click(force=True)
    assert f"celeryscope report --workflow {ROOT}" in view.texts("#workflow-note")[0]


def test_the_page_may_go_to_the_standard_output(reports: Report) -> None:
    done = reports.run("--tenant", "nobody", "--output", "-")
    assert done.exit_code == 0
    assert done.stdout.startswith("<!DOCTYPE html>")
    assert done.stdout.endswith("</html>\n")


def test_without_a_name_the_file_is_named_after_the_time(
    reports: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = reports.run("--tenant", "nobody")
    (path,) = tmp_path.iterdir()
    assert path.match("celeryscope-report-*-*.html")
    assert done.output == f"{path.name}: 0 workflows of 0, 0 failure clusters, {path.stat().st_size / 1e6:.1f} MB.\n"


@pytest.mark.parametrize(
    ("arguments", "exit_code", "said"),
    [
        (("--workflow", "none"), 3, "No workflow and no task has the id 'none'"),
        (("--failure", "zzz"), 3, "No failure cluster begins with 'zzz'"),
        (("--output", "/nowhere/report.html"), 2, "can't be written"),
        (("--since", "yesterday"), 2, "is no time"),
        (("--elasticsearch-url", f"http://127.0.0.1:{free_port()}"), 4, "Elasticsearch is unreachable"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    reports: Report, arguments: tuple[str, ...], exit_code: int, said: str
) -> None:
    done = reports.run(*arguments)
    assert done.exit_code == exit_code
    assert said in done.output
    assert "Traceback" not in done.output


def test_a_request_is_filled_in_as_kibana_does() -> None:
    end = datetime(2026, 11, 21, tzinfo=UTC)
    context = Context(end - timedelta(hours=24), end, ({"term": {"a": 1}},))
    filled = context.fill(
        {
            "filter": ["%dashboard_context-filter_clause%", {"range": {"at": {"%timefilter%": True}}}],
            "must": ["%dashboard_context-must_clause%"],
            "from": {"%timefilter%": "min", "shift": -1, "unit": "day"},
            "each": {"%autointerval%": 30},
        }
    )
    start, stop = "2026-11-20T00:00:00+00:00", "2026-11-21T00:00:00+00:00"
    in_range = {"range": {"at": {"gte": start, "lte": stop, "format": "strict_date_optional_time"}}}
    assert filled == {
        "filter": [{"term": {"a": 1}}, in_range],
        "must": [],
        "from": int((end - timedelta(days=2)).timestamp() * 1000),
        "each": "1h",
    }
