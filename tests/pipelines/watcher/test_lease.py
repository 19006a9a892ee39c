"""Which of two watchers is active: real processes, of which one is killed."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from elasticsearch import Elasticsearch as Client

from celeryscope_pipelines.watcher.lease import Lease
from pipelines.watcher.world import RULES
from servers import Elasticsearch
from support.waiting import until

pytestmark = pytest.mark.elasticsearch

COMMAND = [sys.executable, "-c", "from celeryscope_pipelines.commands.watch import watch; watch()"]


def _one_rule(folder: Path) -> Path:
    """A file that leaves one rule: a turn of all of them may take longer than the lease on a busy machine."""
    path = folder / "rules.yaml"
    others = (rule for rule in RULES if rule != "worker-down")
    path.write_text("rules: {" + ", ".join(f"{rule}: {{enabled: false}}" for rule in others) + "}\n")
    return path


@contextmanager
def _watcher(elasticsearch: Elasticsearch, log: Path, name: str) -> Iterator[subprocess.Popen[bytes]]:
    environ = {
        **os.environ,
        "CELERYSCOPE_ELASTICSEARCH_URL": elasticsearch.url,
        "CELERYSCOPE_WATCH_NAME": name,
        "CELERYSCOPE_WATCH_HTTP_PORT": "0",
        "CELERYSCOPE_WATCH_INTERVAL": "0.3",
        "CELERYSCOPE_WATCH_LEASE": "10",
        "CELERYSCOPE_WATCH_RULES": str(_one_rule(log.parent)),
        "CELERYSCOPE_WATCH_LOG_FORMAT": "json",
    }
    with log.open("wb") as output, subprocess.Popen(COMMAND, env=environ, stderr=output) as process:
        try:
            yield process
        finally:
            process.kill()


def test_when_the_active_watcher_is_killed_the_other_one_takes_over(
    client: Client, elasticsearch: Elasticsearch, tmp_path: Path
) -> None:
    name = uuid4().hex
    logs = (tmp_path / "first.log", tmp_path / "second.log")
    with _watcher(elasticsearch, logs[0], name) as first:
        until(lambda: "This watcher is active" in logs[0].read_text(), what="the first one is active")
        with _watcher(elasticsearch, logs[1], name) as second:
            until(lambda: "The watcher runs" in logs[1].read_text(), what="the second one runs")
            first.send_signal(signal.SIGKILL)
            assert "This watcher is active" not in logs[1].read_text()
            until(lambda: "This watcher is active" in logs[1].read_text(), what="the second one takes over")
            second.send_signal(signal.SIGTERM)
            assert second.wait(30) == 0
    assert "The watcher has stopped" in logs[1].read_text()
    assert "Traceback" not in logs[0].read_text() + logs[1].read_text()


def test_a_lease_is_one_watchers_and_is_taken_over_when_it_was_given_back_or_left_alone(client: Client) -> None:
    name = uuid4().hex
    one, other = (Lease(client, name, holder, 30) for holder in ("one", "other"))
    assert one.hold("2031-01-01", clock=0)
    assert not other.hold("2031-01-01", clock=1000)
    assert other.held_by == "one"
    assert one.hold("2031-01-01", clock=10)
    assert not other.hold("2031-01-01", clock=1029)
    assert not other.hold("2031-01-01", clock=1058)
    assert other.hold("2031-01-01", clock=1060)
    assert not one.hold("2031-01-01", clock=40)
    other.release("2031-01-01")
    assert one.hold("2031-01-01", clock=50)
