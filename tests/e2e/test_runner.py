"""The runner as a user starts it."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from support.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"


def demo(*arguments: str, folder: Path) -> subprocess.Popen[str]:
    environment = {
        **os.environ,
        "PYTHONPATH": f"{DEPLOY / 'local'}{os.pathsep}{DEPLOY / 'demo'}",
        "TMPDIR": str(folder),
        "NO_COLOR": "1",
    }
    command = [sys.executable, "-m", "demo", *arguments]
    return subprocess.Popen(
        command, env=environment, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def left_over(folder: Path) -> list[str]:
    return [
        f"{process.pid} {process.info['cmdline']}"
        for process in psutil.process_iter(["environ", "cmdline"])
        if process.pid != os.getpid() and str(folder) in str(process.info)
    ]


def test_run_shows_failures_traceback_workflow_states_and_a_balanced_account_and_leaves_nothing_behind(
    tmp_path: Path,
) -> None:
    with demo("run", folder=tmp_path) as process:
        screen, errors = process.communicate(timeout=800)
    assert process.returncode == 0, errors
    for part in (
        "ConnectionError: connection to pay.example:443 refused",
        "The above exception was the direct cause of the following exception:",
        "shop.gateway.PaymentError",
        "shop.shipping.ship_order",
        "never reached",
        "balanced: yes",
        "make up",
        "make down",
    ):
        assert part in screen
    assert re.search(r"\d{3}\s+\S+ success", screen)
    until(lambda: not left_over(tmp_path), what="nothing is left running")


def test_an_interrupted_run_stops_everything_that_it_has_started(tmp_path: Path) -> None:
    with demo("run", folder=tmp_path) as process:
        while not list(tmp_path.glob("celeryscope-demo-*/*/*.pid")):
            assert process.poll() is None
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=400)
    assert process.returncode == 130, errors
    assert "interrupted" in errors
    until(lambda: not left_over(tmp_path), what="nothing is left running")


def test_status_says_how_to_start_a_stack_when_there_is_none(tmp_path: Path) -> None:
    with demo("status", folder=tmp_path) as process:
        screen, _ = process.communicate(timeout=150)
    assert process.returncode == 4
    assert "make up" in screen
