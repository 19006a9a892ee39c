"""What leaves of log lines, from the call to the collector."""

import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import structlog

from celeryscope.logs.bridge import LogBridge
from celeryscope.logs.lines import Lines
from celeryscope.logs.structured import StructlogProcessor
from celeryscope.recorder import Recorder
from celeryscope.settings import Settings
from support.forks import exit_status
from support.sink import Sink

SECRET = "q7Z-hunter2"


class Logs:
    """A logger of its own with our bridge, and structlog with our processor."""

    def __init__(self, recorder: Recorder, sink: Sink) -> None:
        self.recorder = recorder
        self._sink = sink
        lines = Lines(recorder)
        recorder.before_close(lines.tell_left_out)
        self.logger = logging.getLogger("shop.tests")
        self.logger.setLevel(logging.DEBUG)
        # In the place of pytest's handlers, which raise what they can't format.
        self.logger.handlers = [logging.NullHandler()]
        self.logger.propagate = False
        self.bridge = LogBridge(lines)
        self.bridge.install()
        processor = StructlogProcessor()
        processor.bind(lines)
        self.structlog = structlog.wrap_logger(None, processors=[processor, _drop], wrapper_class=structlog.BoundLogger)

    def sent(self) -> list[dict[str, Any]]:
        """All lines, once the process has ended."""
        self.recorder.close()
        return self._sink.lines()

    def line(self) -> dict[str, Any]:
        (line,) = self.sent()
        return line


def _drop(*_: Any) -> Any:
    raise structlog.DropEvent


@pytest.fixture
def logs(tmp_path: Path) -> Iterator[Callable[..., Logs]]:
    with ExitStack() as stack:
        sink = stack.enter_context(Sink())

        def make(**settings: Any) -> Logs:
            settings = {"spool_dir": tmp_path / "spool", "endpoint": sink.url, "ship_interval": 0.05} | settings
            settings.setdefault("flush_timeout", 60)  # so that all is sent, however slow the machine is
            made = Logs(Recorder(Settings.load({}, **settings)), sink)
            stack.callback(made.recorder.close)
            stack.callback(made.logger.handlers.clear)
            stack.callback(made.bridge.remove)
            return made

        yield make


def test_secrets_leave_in_no_part_of_a_line(logs: Callable[..., Logs], tmp_path: Path) -> None:
    made = logs(redact_names=("iban",))
    try:
        raise ValueError(f"token={SECRET}")
    except ValueError:
        made.logger.exception(
            "login of %s with password=%s",
            "ann",
            SECRET,
            extra={"order": {"iban": SECRET, "lines": [{"api_key": SECRET}]}},
        )
    made.structlog.warning(
        f"redis://:{SECRET}@cache", secret=SECRET, user={"token": SECRET, "name": "ann"}, headers=[("Cookie", SECRET)]
    )
    spooled = b"".join(path.read_bytes() for path in (tmp_path / "spool").rglob("*") if path.is_file())
    first, second = made.sent()
    assert SECRET.encode() not in spooled
    assert SECRET not in str((first, second))
    assert first["body"] == "login of ann with password=[redacted]"
    assert first["order"] == {"iban": "[redacted]", "lines": [{"api_key": "[redacted]"}]}
    assert first["exception.message"] == "token=[redacted]"
    assert second["user"] == {"token": "[redacted]", "name": "ann"}


def test_levels_and_exclusions_hold_for_both_libraries(logs: Callable[..., Logs]) -> None:
    made = logs(log_levels=("shop=DEBUG", "other=ERROR"), log_exclude="noisy")
    made.logger.debug("small")
    made.structlog.warning("too small", logger="other")
    made.structlog.error("large", logger="other")
    made.structlog.critical("never", logger="noisy.part")
    made.structlog.debug("below the default")
    assert {line["body"] for line in made.sent()} == {"small", "large"}


def test_what_the_rate_limit_leaves_out_is_counted(logs: Callable[..., Logs]) -> None:
    made = logs(log_rate_limit=1)
    for number in range(500):
        made.logger.info("line %s", number)
    lines = made.sent()
    counts = [line for line in lines if "celery.log.left_out" in line]
    assert len(lines) - len(counts) + sum(line["celery.log.left_out"] for line in counts) == 500
    assert {line["logger.name"] for line in counts} == {"shop.tests"}
    assert counts[0]["body"].startswith("celeryscope left out 1 line of logger shop.tests in 0.0 s: it had more than 1")
    assert 2 <= len(counts) <= 5


def test_a_line_whose_arguments_do_not_fit_is_sent_all_the_same(logs: Callable[..., Logs]) -> None:
    made = logs()
    made.logger.info("%d orders", "many")
    assert made.line()["body"].startswith("%d orders <TypeError with its arguments")


def test_an_object_that_logs_while_it_is_logged_makes_no_loop(logs: Callable[..., Logs]) -> None:
    made = logs()

    class Talkative:
        def __str__(self) -> str:
            made.logger.info("about %s", self)
            return "talkative"

    made.logger.info("told of %s", Talkative())
    assert made.line()["body"] == "told of talkative"


def test_what_our_own_threads_say_is_not_sent(logs: Callable[..., Logs]) -> None:
    made = logs()
    thread = threading.Thread(target=made.logger.error, args=("connection lost",), name="celeryscope-shipper")
    thread.start()
    thread.join()
    made.logger.error("mine")
    assert made.line()["body"] == "mine"


def test_children_forked_while_another_thread_logs_heavily_can_log(logs: Callable[..., Logs]) -> None:
    made = logs(log_rate_limit=200)
    made.recorder.become_worker_main()
    stop = threading.Event()

    def log_heavily() -> None:
        while not stop.is_set():
            made.logger.info("from the parent")

    thread = threading.Thread(target=log_heavily, daemon=True)
    thread.start()
    try:
        for number in range(20):
            if not (child := os.fork()):
                made.logger.error("from child %s", number)
                os._exit(0)
            assert exit_status(child) == 0
    finally:
        stop.set()
        thread.join()
    made.recorder.start_shipping()
    bodies = {line["body"] for line in made.sent()}
    assert {f"from child {number}" for number in range(20)} <= bodies
