"""``celeryscope rules`` and ``celeryscope alerts`` on a real Elasticsearch."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import click
import pytest
from click.testing import CliRunner, Result
from elasticsearch import Elasticsearch as Client

from celeryscope import semconv
from celeryscope.errors import ConfigError, NotFound
from celeryscope_pipelines.commands.alerts import alerts
from celeryscope_pipelines.commands.rules import rules
from celeryscope_pipelines.commands.watch import watch
from celeryscope_pipelines.watcher import Watcher
from pipelines.watcher.world import RULES
from servers import Elasticsearch
from servers.process import free_port

pytestmark = pytest.mark.elasticsearch

Command = Callable[..., Result]


@pytest.fixture
def run(elasticsearch: Elasticsearch) -> Command:
    def run(command: click.Command, *arguments: str, **environ: str) -> Result:
        known = {"CELERYSCOPE_ELASTICSEARCH_URL": elasticsearch.url, "COLUMNS": "200", **environ}
        return CliRunner().invoke(command, arguments, env=known)

    return run


@pytest.fixture
def dead_worker(client: Client) -> str:
    """The name of a worker that fell silent ten minutes ago."""
    name = f"dead-{uuid4().hex[:8]}@a"
    seen = datetime.now(UTC) - timedelta(minutes=10)
    body = {"@timestamp": seen.isoformat(), semconv.WORKER: name, semconv.STATE: "ONLINE", semconv.TENANT: "rules"}
    client.index(index=semconv.INDEX_WORKERS, id=name, document=body, refresh=True)
    return name


def test_rules_are_listed_with_the_settings_in_force(run: Command, tmp_path: Path) -> None:
    path = tmp_path / "alerts.yaml"
    path.write_text("rules: {worker-down: {severity: low}, memory-growth: {enabled: false}}\n")
    listed = json.loads(run(rules, "list", "--json", "--settings", str(path)).stdout)["rules"]
    severities = {rule["id"]: rule["severity"] for rule in listed}
    assert severities["worker-down"] == "low"
    assert "memory-growth" not in severities
    assert "Worker down" in run(rules, "list", CELERYSCOPE_WATCH_RULES=str(path)).stdout


def test_a_rule_is_explained_with_its_thresholds_filled_in(run: Command) -> None:
    screen = run(rules, "explain", "worker-down").stdout
    assert "longer than 40s" in screen
    assert 'DATE_DIFF("seconds", seen, NOW()) > 40' in screen
    assert "celery.worker" in screen


def test_a_rule_that_is_not_there_is_told_with_the_nearest_one(run: Command) -> None:
    error = run(rules, "explain", "worker-dow").exception
    assert isinstance(error, NotFound)
    assert "did you mean `worker-down`?" in str(error)


def test_a_rule_is_tested_now_and_as_of_another_time(run: Command, dead_worker: str) -> None:
    now = json.loads(run(rules, "test", "worker-down", "--json").stdout)
    assert dead_worker in [finding["row"][semconv.WORKER] for finding in now["findings"]]
    assert f"high: Worker {dead_worker}" in run(rules, "test", "worker-down").stdout
    before = json.loads(run(rules, "test", "worker-down", "--at", "30m", "--json").stdout)
    assert dead_worker not in [finding["row"][semconv.WORKER] for finding in before["findings"]]


def test_a_dry_run_says_what_is_found_and_writes_nothing(run: Command, client: Client, dead_worker: str) -> None:
    name = uuid4().hex
    done = run(watch, "--dry-run", CELERYSCOPE_WATCH_NAME=name)
    assert f"high: worker-down: Worker {dead_worker}" in done.output
    assert not client.exists(index=semconv.INDEX_WATCHER, id=f"state/{name}")


def test_a_kafka_that_is_away_is_told_and_all_rules_are_evaluated_all_the_same(
    run: Command, dead_worker: str, tmp_path: Path
) -> None:
    # What other tests have left may make these fire, which holds back the one that is looked for.
    others = ("telemetry-late", "telemetry-silent", "pipeline-lag")
    path = tmp_path / "alerts.yaml"
    path.write_text("rules: {" + ", ".join(f"{rule}: {{enabled: false}}" for rule in others) + "}\n")
    away = {
        "CELERYSCOPE_WATCH_PIPELINE": "true",
        "CELERYSCOPE_KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{free_port()}",
        "CELERYSCOPE_PIPELINE_COLLECTORS": f"http://127.0.0.1:{free_port()}",
    }
    done = run(watch, "--once", CELERYSCOPE_WATCH_NAME=uuid4().hex, CELERYSCOPE_WATCH_RULES=str(path), **away)
    assert done.exit_code == 0, done.exception
    assert f"firing: worker-down: Worker {dead_worker}" in done.stdout
    kafka, collector = (line for line in done.stderr.splitlines() if "could not be asked" in line)
    assert "Kafka does not answer" in kafka
    assert f"the collector {away['CELERYSCOPE_PIPELINE_COLLECTORS']}/metrics tells nothing" in collector


def test_alerts_that_fire_and_their_history_are_listed(run: Command, client: Client, dead_worker: str) -> None:
    name = uuid4().hex
    Watcher(client, (RULES["worker-down"],), name).tick(datetime.now(UTC))
    listed = json.loads(run(alerts, "list", "--name", name, "--json").stdout)["alerts"]
    assert [alert["key"] for alert in listed if dead_worker in alert["key"]] == [f"rules/{dead_worker}"]
    assert dead_worker in run(alerts, "list", "--name", name).stdout
    client.indices.refresh(index=semconv.INDEX_ALERTS)
    assert dead_worker in run(alerts, "history", "--rule", "worker-down").stdout
    assert dead_worker not in run(alerts, "history", "--rule", "task-lost").stdout


def test_a_silence_is_set_shown_and_ended(run: Command) -> None:
    set_up = run(
        alerts, "silence", "--rule", "worker-*", "--match", "celery.worker=x@*", "--for", "1h", "--reason", "why"
    )
    identity = set_up.stdout.split()[1]
    shown = json.loads(run(alerts, "silences", "--json").stdout)["silences"]
    assert [(one["rules"], one["match"], one["reason"]) for one in shown if one["id"] == identity] == [
        (["worker-*"], {"celery.worker": ["x@*"]}, "why")
    ]
    assert identity in run(alerts, "silences").stdout
    assert run(alerts, "unsilence", identity[:6]).exit_code == 0
    assert identity not in run(alerts, "silences").stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "Say what to silence"),
        (("--rule", "worker-dow"), "did you mean `worker-down`?"),
        (("--rule", "worker-down", "--for", "soon"), "a duration is needed"),
        (("--match", "celery.worker"), "is not COLUMN=PATTERN"),
    ],
)
def test_a_silence_that_would_silence_nothing_is_refused(run: Command, arguments: tuple[str, ...], said: str) -> None:
    result = run(alerts, "silence", *arguments)
    assert result.exit_code != 0
    assert said in result.output + str(result.exception)


@pytest.mark.parametrize(
    ("targets", "said"),
    [
        ("ops", "must be name=address"),
        ("ops=nonsense://x", "Apprise does not understand the address of `ops`"),
    ],
)
def test_a_target_that_is_wrong_is_told_without_its_address(run: Command, targets: str, said: str) -> None:
    error = run(watch, "--once", CELERYSCOPE_WATCH_TARGETS=targets).exception
    assert isinstance(error, ConfigError)
    assert said in str(error)
    assert "nonsense" not in str(error)
