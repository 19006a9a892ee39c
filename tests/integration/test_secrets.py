"""No secret leaves a real worker or its publisher: not to the collector, and not into a file of the spool."""

import contextlib
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from celeryscope.spool.counting import count
from servers import Redis
from support.sink import Sink
from support.waiting import until
from support.workers import Worker

pytestmark = pytest.mark.redis

SECRET = "q7Z-hunter2"
MARK = b"q7Z"
RUN = f"""
settings = {{"db": {{"password": {SECRET!r}}}, "region": "eu"}}
result = leaks.delay(7, password={SECRET!r}, settings=settings, iban={SECRET!r})
result.get(propagate=False, timeout=120)
"""


@pytest.fixture(scope="module")
def worker(redis: Redis, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    settings = {"REDACT_NAMES": "Iban", "CAPTURE_LOCALS": "yes", "LOG_RATE_LIMIT": "20", "FLUSH_TIMEOUT": "60"}
    environ = {f"CELERYSCOPE_{name}": value for name, value in settings.items()}
    folder = tmp_path_factory.mktemp("secrets")
    with Sink() as sink, Worker(sink, redis.url, folder, app="secrets_app", **environ) as running:
        # The worker ships all it has at its end, on a busy machine, too; a publisher need not wait while nothing goes.
        running.environ["CELERYSCOPE_FLUSH_TIMEOUT"] = "1"
        yield running


@pytest.fixture(scope="module")
def spooled(worker: Worker) -> bytes:
    """All that was in the spool before anything was sent; it is sent now."""
    worker.sink.status = 503
    worker.run(RUN)
    # The publisher knows the result before the worker's process has written how the attempt ended.
    until(lambda: b"order 7: secret=" in _contents(worker), what="the failure in the spool")
    # The main process, which tidies the spool up, does nothing while all of it is read.
    worker.process.send_signal(signal.SIGSTOP)
    found = _contents(worker)
    worker.process.send_signal(signal.SIGCONT)
    worker.sink.status = 200
    until(lambda: _failure(worker) is not None, what="the failure")
    until(lambda: not count(worker.folder / "spool")["pending"], what="all the rest")
    return found


def _contents(worker: Worker) -> bytes:
    found = b""
    for path in (worker.folder / "spool").rglob("*"):
        with contextlib.suppress(FileNotFoundError, IsADirectoryError):
            found += path.read_bytes()
    return found


def _failure(worker: Worker) -> dict[str, Any] | None:
    return next(iter(worker.sink.events("celery.task.failed")), None)


def test_no_byte_of_a_secret_is_written_or_sent(worker: Worker, spooled: bytes) -> None:
    assert spooled.count(b"[redacted]") > 10
    assert MARK not in spooled
    assert b"[redacted]" in b"".join(worker.sink.bodies)
    assert MARK not in b"".join(worker.sink.bodies)


def test_what_surrounds_the_secrets_is_there(worker: Worker, spooled: bytes) -> None:
    failure = _failure(worker)
    assert failure is not None
    assert failure["celery.args"] == "(7,)"
    assert "'region': 'eu'" in failure["celery.kwargs"]
    assert "'iban': '[redacted]'" in failure["celery.kwargs"]
    assert failure["exception.message"] == "order 7: secret='[redacted]'"
    for part in ('connect(password="[redacted]")', "{'password': '[redacted]', 'host': 'cache'}", "token: [redacted]"):
        assert part in failure["exception.stacktrace"]
    retry = worker.sink.events("celery.task.retried")[0]
    assert retry["celery.retry.reason"] == "redis://:[redacted]@cache is gone, token=[redacted]"


def test_the_variables_of_the_applications_frames_are_there(worker: Worker, spooled: bytes) -> None:
    failure = _failure(worker)
    assert failure is not None
    lines = failure["celery.locals"].splitlines()
    assert "secrets_app.py:" in lines[0]
    assert "    order = 7" in lines
    assert "    token = [redacted]" in lines
    assert "    settings = {'db': {'password': '[redacted]'}, 'region': 'eu'}" in lines


def test_log_lines_keep_their_harmless_fields(worker: Worker, spooled: bytes) -> None:
    lines = {line["body"]: line for line in worker.sink.lines()}
    assert lines["paying with password=[redacted]"]["at"] == {"secret": "[redacted]"}
    assert lines["paid"]["user"] == {"password": "[redacted]", "name": "ann"}
    assert lines["refused"]["exception.message"] == "amqp://ann:[redacted]@broker"
    assert "token=[redacted]" in lines


def test_spans_keep_their_harmless_attributes(worker: Worker, spooled: bytes) -> None:
    spans = {span["name"]: span for span in worker.sink.spans}
    assert spans["query"]["db.url"] == "postgresql://ann:[redacted]@db/shop"
    assert spans["query"]["status"] == {"code": 2, "message": "token: [redacted]"}
    assert spans["run/support.secrets_app.leaks"]["order"] == 7


def test_lines_over_the_limit_are_counted_at_the_latest_when_the_worker_ends(worker: Worker, spooled: bytes) -> None:
    worker.run("chatters.delay(2000).get(timeout=120)")
    worker.stop()
    lines = [line for line in worker.sink.lines() if line.get("logger.name") == "shop.noisy"]
    counts = [line["celery.log.left_out"] for line in lines if "celery.log.left_out" in line]
    assert len(lines) - len(counts) + sum(counts) == 2000
    assert 2 <= len(counts) <= 8
