"""The bridge from standard library logging takes everything along and changes nothing of what a program prints."""

import logging
import logging.config
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from celeryscope.logs.bridge import LogBridge
from celeryscope.logs.lines import Lines
from celeryscope.recorder import Recorder
from celeryscope.settings import Settings
from support.sink import Sink

_PROGRAM = """
import logging, os, sys
from celery import Celery
import celeryscope
celeryscope.instrument(Celery("shop", broker="memory://"))
"""


@pytest.fixture
def sink() -> Iterator[Sink]:
    with Sink() as running:
        yield running


@pytest.fixture
def recorder(tmp_path: Path, sink: Sink) -> Iterator[Recorder]:
    recorder = Recorder(Settings.load({}, spool_dir=tmp_path / "spool", endpoint=sink.url))
    yield recorder
    recorder.close()


def _printed_by(code: str, folder: Path, sink: Sink) -> tuple[str, list[str]]:
    """What a program with celeryscope prints, and the bodies of the lines it sends."""
    environ = {"CELERYSCOPE_SPOOL_DIR": str(folder), "CELERYSCOPE_ENDPOINT": sink.url, "PYTHONPATH": ":".join(sys.path)}
    command = [sys.executable, "-c", _PROGRAM + code]
    ran = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=True)
    return ran.stderr, [line["body"] for line in sink.lines()]


@pytest.mark.parametrize(
    ("code", "printed"),
    [
        ("logging.getLogger('shop').warning('nothing is set up')", "nothing is set up\n"),
        ("logging.basicConfig(format='> %(message)s'); logging.warning('set up later')", "> set up later\n"),
        ("import flask; flask.Flask('shop').logger.warning('as Flask does')", "WARNING in <string>: as Flask does\n"),
    ],
    ids=["no configuration", "basicConfig afterwards", "Flask's own handler"],
)
def test_a_program_prints_what_it_prints_without_us(code: str, printed: str, tmp_path: Path, sink: Sink) -> None:
    stderr, sent = _printed_by(code, tmp_path, sink)
    assert stderr.endswith(printed)
    assert stderr.count("\n") == 1
    assert sent == [printed.strip().removeprefix("> ").removeprefix("WARNING in <string>: ")]


def test_what_is_said_while_the_interpreter_ends_is_printed_and_no_more(tmp_path: Path, sink: Sink) -> None:
    code = """
class Talkative:
    def __del__(self):
        logging.getLogger("shop").warning("closed late")
sys.modules["shop.kept"] = kept = type(sys)("shop.kept")
kept.talkative = Talkative()
"""
    stderr, _ = _printed_by(code, tmp_path, sink)
    assert stderr == "closed late\n"


def test_loggers_are_heard_that_do_not_propagate_or_are_set_up_anew(recorder: Recorder, sink: Sink) -> None:
    bridge = LogBridge(Lines(recorder))
    bridge.install()
    try:
        loggers: dict[str, Any] = {"shop.apart": {"level": "INFO", "propagate": False}}
        logging.config.dictConfig({"version": 1, "disable_existing_loggers": False, "loggers": loggers})
        logging.getLogger("shop.apart").info("apart")
        logging.getLogger("shop.apart").debug("below the logger's own level")
        logging.getLogger("uvicorn.access").warning("excluded by default")
    finally:
        bridge.remove()
    recorder.close()
    assert [line["body"] for line in sink.lines()] == ["apart"]


def test_a_bridge_that_is_removed_leaves_logging_as_it_was(recorder: Recorder, sink: Sink) -> None:
    before = logging.Logger.callHandlers
    bridge = LogBridge(Lines(recorder))
    bridge.install()
    assert logging.Logger.callHandlers is not before
    bridge.remove()
    assert logging.Logger.callHandlers is before


def test_a_bridge_below_another_librarys_is_silent_once_removed(recorder: Recorder, sink: Sink) -> None:
    before = logging.Logger.callHandlers
    bridge = LogBridge(Lines(recorder))
    bridge.install()
    ours, heard = logging.Logger.callHandlers, []

    def theirs(logger: logging.Logger, record: logging.LogRecord) -> None:
        heard.append(record.getMessage())
        ours(logger, record)

    logging.Logger.callHandlers = theirs  # type: ignore[method-assign]
    try:
        bridge.remove()
        logging.getLogger("shop").error("said afterwards")
    finally:
        logging.Logger.callHandlers = before  # type: ignore[method-assign]
    recorder.close()
    assert heard == ["said afterwards"]
    assert sink.lines() == []
