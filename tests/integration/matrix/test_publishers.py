"""Publishers without a worker: tasks that run at once in the caller's process, and publishes that fail."""

import json
from pathlib import Path
from typing import Any

import pytest

from celeryscope.semconv import FINAL_STATES
from servers import Redis
from support.sink import Sink
from support.workers import Worker

pytestmark = pytest.mark.redis

EAGER = """
from opentelemetry import trace
app.conf.task_always_eager = {always}
with trace.get_tracer("shop").start_as_current_span("request"):
    ids = [task.{how}().id for task in (succeed, fail, flaky)]
try:
    exits.{how}()
except SystemExit:
    print(json.dumps(ids))
"""
REFUSED = """
from kombu.exceptions import OperationalError
from opentelemetry import trace
tracer = trace.get_tracer("shop")
with tracer.start_as_current_span("request") as request:
    try:
        succeed.apply_async(retry=False)
    except OperationalError as error:
        print(json.dumps(str(error)))
    assert trace.get_current_span() is request
    with tracer.start_as_current_span("afterwards"):
        pass
"""


def published(sink: Sink, redis: Redis, folder: Path, code: str, **environ: str) -> Any:
    """Run code in a publisher, which ships all it has when it ends; returns what it printed, read as JSON."""
    return json.loads(Worker(sink, redis.url, folder, app="matrix_app", **environ).run(f"import json\n{code}"))


def spans(sink: Sink) -> dict[str, dict[str, Any]]:
    """Spans by name."""
    return {span["name"]: span for span in sink.spans}


@pytest.mark.parametrize(("how", "always"), [("apply", False), ("apply_async", True)])
def test_a_task_that_its_caller_runs_itself_is_told_like_any_other(
    how: str, always: bool, redis: Redis, tmp_path: Path
) -> None:
    with Sink() as sink:
        succeeded, failed, retried = published(sink, redis, tmp_path, EAGER.format(how=how, always=always))
    finals = [event for event in sink.events() if event["celery.state"] in FINAL_STATES]
    assert [(event["celery.task_id"], event["celery.state"]) for event in finals[:-1]] == [
        (succeeded, "SUCCESS"),
        (failed, "FAILURE"),
        (retried, "RETRY"),
        (retried, "RETRY"),
        (retried, "SUCCESS"),
    ]
    assert [event["celery.retries"] for event in finals] == [0, 0, 0, 1, 2, 0]
    assert len({event["celery.delivery"] for event in finals}) == 6
    assert finals[1]["exception.stacktrace"].rstrip().endswith("ValueError: bad order")
    assert (finals[-1]["celery.state"], finals[-1]["exception.type"]) == ("FAILURE", "SystemExit")
    for event in finals:
        assert event["celery.started_at"] <= event["celery.ended_at"]
        assert {"celery.sent_at", "celery.received_at"}.isdisjoint(event), "there was no message"
    request, run = spans(sink)["request"], spans(sink)["run/support.worker_app.succeed"]
    assert (run["trace_id"], run["parent_span_id"]) == (request["trace_id"], request["span_id"])
    assert finals[0]["trace_id"] == request["trace_id"]


def test_a_publish_that_fails_is_an_error_of_its_own_span_and_changes_no_other(redis: Redis, tmp_path: Path) -> None:
    with Sink() as sink:
        error = published(sink, redis, tmp_path, REFUSED, BROKER_URL="redis://127.0.0.1:1/0")
    found = spans(sink)
    refused = found["apply_async/support.worker_app.succeed"]
    assert refused["status"] == {"code": 2, "message": f"kombu.exceptions.OperationalError: {error}"}
    assert refused["parent_span_id"] == found["afterwards"]["parent_span_id"] == found["request"]["span_id"]
    assert len(sink.spans) == 3
    assert sink.events("celery.task.sent") == []
