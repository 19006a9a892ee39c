"""Reports of a shop's day in a real Elasticsearch, opened in a real browser from the disk."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from playwright.sync_api import Browser, Page

from celeryscope.cli import Commands
from celeryscope_kibana.report.command import report
from integration.shop_day import shop_day
from kibana.report.days import add_busy_day
from servers import Elasticsearch


@dataclass
class Opened:
    """A page, and what it said and asked for while it was open."""

    page: Page
    problems: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def texts(self, selector: str) -> list[str]:
        return self.page.locator(selector).all_text_contents()


@pytest.fixture(scope="package")
def tenant(elasticsearch: Elasticsearch) -> str:
    """The tenant whose day holds all that the tests look at."""
    day = shop_day("reported")
    add_busy_day(day)
    day.write(elasticsearch.url)
    shop_day("another").write(elasticsearch.url)
    return "reported"


class Report:
    """Runs the command as ``celeryscope report`` does."""

    def __init__(self, url: str, folder: Path) -> None:
        self._url = url
        self._folder = folder

    def run(self, *arguments: str) -> Result:
        """To its end, with whatever exit code."""
        command = Commands("celeryscope", commands={"report": report})
        return CliRunner().invoke(command, ["report", "--elasticsearch-url", self._url, *arguments])

    def write(self, name: str, *arguments: str) -> Path:
        """The page that it writes."""
        path = self._folder / f"{name}.html"
        done = self.run("--output", str(path), *arguments)
        assert done.exit_code == 0, done.output
        return path


@pytest.fixture(scope="package")
def reports(elasticsearch: Elasticsearch, tmp_path_factory: pytest.TempPathFactory) -> Report:
    return Report(elasticsearch.url, tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="package")
def written(reports: Report, tenant: str) -> Path:
    """The page of the day."""
    return reports.write("day", "--tenant", tenant)


Opening = Callable[..., Opened]


@pytest.fixture
def opened(chromium: Browser) -> Iterator[Opening]:
    """Opens a page from the disk; at the end it must have had no error and asked for nothing but itself."""
    all_opened: list[Opened] = []

    def open_it(path: Path, part: str = "", **options: object) -> Opened:
        page = chromium.new_page(viewport={"width": 1280, "height": 900}, **options)
        found = Opened(page)
        all_opened.append(found)
        page.on("console", lambda message: found.problems.append(message.text))
        page.on("pageerror", lambda error: found.problems.append(str(error)))
        page.on("request", lambda request: found.requests.append(request.url))
        page.goto(path.as_uri() + part)
        page.wait_for_selector("body[data-shown]")
        return found

    yield open_it
    for found in all_opened:
        assert found.problems == []
        assert all(url.startswith("file://") for url in found.requests)
        found.page.close()
