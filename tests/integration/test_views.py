"""The terminal views against a real Elasticsearch, by their commands."""

import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
import pytest
from click.testing import CliRunner, Result

from celeryscope import semconv
from celeryscope.cli import main
from integration.shop_day import LOST, PAY, ROOT, SHIP, TRACEBACK, VITALS, Day, shop_day
from servers import Elasticsearch

pytestmark = pytest.mark.elasticsearch


class Celeryscope:
    """The command, pointed at one server and one tenant."""

    def __init__(self, url: str, tenant: str) -> None:
        self.environment = {"CELERYSCOPE_ELASTICSEARCH_URL": url, "COLUMNS": "120", "TZ": "UTC"}
        self.tenant = tenant

    def __call__(self, command: str, *arguments: str, **environment: str) -> Result:
        return CliRunner().invoke(
            main, [command, *arguments, "--tenant", self.tenant], env={**self.environment, **environment}
        )

    def json(self, command: str, *arguments: str) -> Mapping[str, Any]:
        result = self(command, *arguments, "--json")
        assert result.exit_code == 0, result.output
        data = orjson.loads(result.stdout)
        assert isinstance(data, dict)
        return data


@pytest.fixture(scope="module")
def celeryscope(elasticsearch: Elasticsearch) -> Celeryscope:
    """The command for a tenant whose shop had one workflow that failed and one that did not."""
    tenant = f"views-{uuid4().hex[:8]}"
    shop_day(tenant).write(elasticsearch.url)
    return Celeryscope(elasticsearch.url, tenant)


@pytest.fixture(scope="module")
def empty(elasticsearch: Elasticsearch) -> Celeryscope:
    return Celeryscope(elasticsearch.url, f"nobody-{uuid4().hex[:8]}")


def test_failures_lists_the_clusters_the_most_frequent_first(celeryscope: Celeryscope) -> None:
    found = celeryscope.json("failures")
    assert (found["failures"], found["total"]) == (4, 2)
    assert [(cluster["title"], cluster["count"]) for cluster in found["clusters"]] == [
        ("PaymentDeclined in pay: card expired", 3),
        ("WorkerLostError in crunch: signal 9 (SIGKILL)", 1),
    ]
    declined = found["clusters"][0]
    assert declined["culprit"]
    assert declined["tasks"] == [{"name": "shop.pay", "count": 3}]
    assert declined["first_seen"] <= declined["first"] < declined["last"]
    assert declined["workers"] == ["celery@box"]


def test_failures_can_be_sorted_by_the_latest_and_limited_to_tasks_by_a_pattern(celeryscope: Celeryscope) -> None:
    latest = celeryscope.json("failures", "--sort", "latest")["clusters"]
    assert [cluster["count"] for cluster in latest] == [1, 3]
    assert celeryscope.json("failures", "--task", "shop.p*")["failures"] == 3
    assert celeryscope.json("failures", "--task", "shop.crunch")["failures"] == 1
    assert celeryscope("failures", "--task", "shop.pa").exit_code == 3


def test_failures_with_the_beginning_of_a_fingerprint_shows_that_cluster_with_a_traceback(
    celeryscope: Celeryscope,
) -> None:
    fingerprint = celeryscope.json("failures")["clusters"][0]["fingerprint"]
    screen = celeryscope("failures", fingerprint[:6]).stdout
    assert TRACEBACK in screen
    assert f"{PAY}  shop.pay  attempt 2" in screen


def test_a_prefix_of_several_fingerprints_names_them(elasticsearch: Elasticsearch) -> None:
    tenant = f"views-{uuid4().hex[:8]}"
    day = Day(tenant)
    for number in range(17):
        day.task(f"t{number}", f"shop.t{number}", semconv.EVENT_TASK_LOST, (3, 2, 1), **LOST)
    day.write(elasticsearch.url)
    celeryscope = Celeryscope(elasticsearch.url, tenant)
    clusters = celeryscope.json("failures")["clusters"]
    # Of 17 fingerprints at least two begin with the same of the 16 hexadecimal digits.
    digit, count = Counter(cluster["fingerprint"][0] for cluster in clusters).most_common(1)[0]
    assert count > 1
    result = celeryscope("failures", digit)
    assert result.exit_code == 3
    assert f"Several failure clusters begin with '{digit}'" in result.stderr


def test_task_shows_attempts_the_whole_traceback_and_the_log_lines_of_that_attempt(celeryscope: Celeryscope) -> None:
    screen = celeryscope("task", PAY).stdout
    assert TRACEBACK in screen
    assert "✘ failed, attempt 2 of 2" in screen
    assert "charging card" in screen
    assert "the first attempt's line" not in screen
    assert f"celeryscope workflow {ROOT}" in screen


def test_task_shows_another_attempt_when_asked_and_no_log_when_asked(celeryscope: Celeryscope) -> None:
    assert "the first attempt's line" in celeryscope("task", PAY, "--attempt", "1").stdout
    assert "charging card" not in celeryscope("task", PAY, "--no-logs").stdout
    result = celeryscope("task", PAY, "--attempt", "9")
    assert (result.exit_code, result.stderr) == (3, "celeryscope: The task has no attempt 9; it has 1, 2.\n")


def test_task_json_has_every_attempt_and_the_traceback(celeryscope: Celeryscope) -> None:
    data = celeryscope.json("task", PAY)
    assert [attempt["state"] for attempt in data["attempts"]] == ["RETRY", "FAILURE"]
    assert data["traceback"] == TRACEBACK


@pytest.mark.parametrize("any_id", [ROOT, PAY, SHIP])
def test_workflow_is_found_by_its_root_by_a_task_and_by_a_step_that_was_never_sent(
    celeryscope: Celeryscope, any_id: str
) -> None:
    data = celeryscope.json("workflow", any_id)
    assert data["root_id"] == ROOT
    assert [(row["name"], row["attempt"], row["state"]) for row in data["rows"]] == [
        ("shop.validate", 1, "SUCCESS"),
        ("shop.pay", 1, "RETRY"),
        ("shop.pay", 2, "FAILURE"),
        ("shop.ship", None, "NEVER_REACHED"),
    ]
    assert data["rows"][3]["because_of"]["name"] == "shop.pay"


def test_workflow_draws_the_waterfall_in_the_encoding_of_the_output(celeryscope: Celeryscope) -> None:
    screen = celeryscope("workflow", ROOT).stdout
    assert "█" in screen
    assert "because shop.pay failed" in screen


def test_the_task_view_of_a_step_that_was_never_sent_points_to_its_workflow(celeryscope: Celeryscope) -> None:
    result = celeryscope("task", SHIP)
    assert result.exit_code == 3
    assert f"celeryscope workflow {ROOT}" in result.stderr


def test_logs_are_in_the_order_of_time_and_can_be_narrowed(celeryscope: Celeryscope) -> None:
    lines = celeryscope.json("logs", "--task", PAY)["lines"]
    assert [line["message"] for line in lines] == [
        "the first attempt's line",
        "Task shop.pay retried: gateway away",
        "charging card",
        "Task shop.pay failed: card expired",
    ]
    assert lines[2]["fields"] == {"order": 17}
    assert len(celeryscope.json("logs", "--task", PAY, "--attempt", "1")["lines"]) == 2
    assert len(celeryscope.json("logs", "--workflow", SHIP, "--level", "error")["lines"]) == 1
    assert celeryscope.json("logs", "--task", PAY, "--limit", "1")["total"] == 4
    assert TRACEBACK in celeryscope("logs", "--task", PAY).stdout


def test_status_tells_states_workers_and_freshness(celeryscope: Celeryscope, elasticsearch: Elasticsearch) -> None:
    # The tests before may have taken longer than a worker may be silent.
    now = Day(celeryscope.tenant)
    now.worker(0, **VITALS)
    now.write(elasticsearch.url)
    data = celeryscope.json("status")
    assert data["states"] == {"SUCCESS": 1, "FAILURE": 3, "RETRY": 1, "STARTED": 1, "LOST": 1}
    assert [attempt["name"] for attempt in data["unfinished"]["oldest"]] == ["shop.stuck"]
    assert [(worker["name"], worker["state"]) for worker in data["workers"]] == [("celery@box", "online")]
    assert data["dropped"] == {"quota": 3}
    assert data["elasticsearch"]["status"] in {"green", "yellow"}
    assert {kind for kind, time in data["newest"].items() if time} == {"attempts", "logs", "workers"}
    # No Kafka, collector and indexer are where they usually are.
    assert data["pipeline"]["not_asked"][0].startswith("Kafka does not answer")
    screen = celeryscope("status").stdout
    assert "Not asked: Kafka does not answer" in screen
    assert "✘ failed" in screen
    assert "Dropped by spools: quota 3" in screen


def test_status_counts_only_what_was_sent_in_the_range(celeryscope: Celeryscope) -> None:
    assert celeryscope.json("status", "--since", "1s")["attempts"] == 0


@pytest.mark.parametrize(
    "command", [["failures"], ["task", "x"], ["workflow", "x"], ["logs", "--task", "x"], ["status"]]
)
def test_nothing_found_is_said_in_words_and_by_the_exit_code(empty: Celeryscope, command: list[str]) -> None:
    result = empty(*command)
    assert (result.exit_code, result.stdout) == (3, "")
    assert result.stderr.startswith("celeryscope: ")
    assert "Traceback" not in result.output


@pytest.mark.parametrize("command", [["failures"], ["task", "x"], ["workflow", "x"], ["logs"], ["status"]])
def test_an_unreachable_server_is_said_in_words_and_by_the_exit_code(command: list[str]) -> None:
    result = Celeryscope("http://127.0.0.1:1", "default")(*command)
    assert (result.exit_code, result.stdout) == (4, "")
    assert "unreachable" in result.stderr


@pytest.mark.parametrize("arguments", [["--since", "soon"], ["--limit", "0"], ["--elasticsearch-url", "box:9200"]])
def test_wrong_usage_is_said_in_words_and_by_the_exit_code(empty: Celeryscope, arguments: list[str]) -> None:
    result = empty("failures", *arguments)
    assert result.exit_code == 2
    assert "Traceback" not in result.output


@pytest.mark.parametrize("command", ["failures", "task", "workflow", "logs", "status"])
def test_help_has_an_example_that_can_be_typed(command: str) -> None:
    screen = CliRunner().invoke(main, [command, "--help"]).stdout
    assert f"\n    celeryscope {command}" in screen


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Elasticsearch]:
    with Elasticsearch(tmp_path_factory.mktemp("secured"), security=True) as server:
        yield server


def test_wrong_credentials_are_said_in_words_and_by_the_exit_code(secured: Elasticsearch) -> None:
    celeryscope = Celeryscope(secured.url, "default")
    assert celeryscope("status").exit_code == 5
    user = {"CELERYSCOPE_ELASTICSEARCH_USERNAME": secured.user}
    wrong = celeryscope("status", **user, CELERYSCOPE_ELASTICSEARCH_PASSWORD="guess")
    assert wrong.exit_code == 5
    assert "guess" not in wrong.output
    assert celeryscope("status", **user, CELERYSCOPE_ELASTICSEARCH_PASSWORD=secured.password).exit_code == 3


def run(
    celeryscope: Celeryscope, *arguments: str, stdout: int = subprocess.PIPE, **environment: str
) -> subprocess.CompletedProcess[bytes]:
    """The installed command in a process of its own."""
    command = Path(sys.executable).with_name("celeryscope")
    return subprocess.run(
        [command, *arguments, "--tenant", celeryscope.tenant],
        env={**os.environ, **celeryscope.environment, **environment},
        stdout=stdout,
        stderr=subprocess.PIPE,
        timeout=150,
        check=False,
    )


def test_an_output_that_knows_ascii_only_gets_every_character_all_the_same(celeryscope: Celeryscope) -> None:
    result = run(celeryscope, "workflow", ROOT, PYTHONIOENCODING="ascii")
    assert (result.returncode, result.stderr) == (0, b"")
    assert b"x failed" in result.stdout
    assert result.stdout.isascii()


def test_colours_come_only_where_they_are_wanted(celeryscope: Celeryscope) -> None:
    assert b"\x1b[" in run(celeryscope, "task", PAY, FORCE_COLOR="1", TERM="xterm-256color").stdout
    assert b"\x1b[3" not in run(celeryscope, "task", PAY, FORCE_COLOR="1", TERM="xterm-256color", NO_COLOR="1").stdout
    assert b"\x1b[" not in run(celeryscope, "task", PAY).stdout


def test_in_colour_a_traceback_is_still_complete(celeryscope: Celeryscope) -> None:
    colored = run(celeryscope, "task", PAY, FORCE_COLOR="1", TERM="xterm-256color").stdout.decode()
    assert TRACEBACK in re.sub(r"\x1b\[[0-9;]*m", "", colored)


@pytest.mark.parametrize("arguments", [[], ["--json"]])
def test_a_reader_that_has_seen_enough_ends_the_command_quietly(celeryscope: Celeryscope, arguments: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        result = run(celeryscope, "logs", *arguments, stdout=writer)
    finally:
        os.close(writer)
    assert (result.returncode, result.stderr) == (0, b"")
