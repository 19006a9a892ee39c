"""The behaviour matrix (``support.scenarios``) on real workers: each delivery ends in exactly one final state.

One worker for each pool and broker runs all of its scenarios at once and is stopped; so what a test looks at is all
there will ever be.
"""

import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, NamedTuple

import pytest

from celeryscope.semconv import FINAL_STATES
from servers import RabbitMQ, Redis
from support.scenarios import POOLS, SCENARIOS, TASKS, End, Scenario
from support.sink import Sink
from support.waiting import until
from support.workers import Worker

pytestmark = pytest.mark.redis

CAN_TERMINATE = {"prefork", "gevent", "eventlet"}
RUNS = [*((pool, "redis") for pool in POOLS), ("prefork", "rabbitmq")]
CASES = [
    pytest.param(
        (pool, broker),
        scenario,
        id=f"{pool}-{broker}-{scenario.name}",
        marks=[pytest.mark.rabbitmq] if broker == "rabbitmq" else [],
    )
    for pool, broker in RUNS
    for scenario in SCENARIOS
    if scenario.ends(pool, broker)
]
ERROR, UNSET = 2, 0
PRODUCER = 4


class Run(NamedTuple):
    """What a worker that has ended has sent, by scenario and the id that its call gave."""

    pool: str
    broker: str
    sink: Sink
    ids: dict[str, str]
    queue: str
    log: str

    def finals(self, scenario: Scenario) -> list[dict[str, Any]]:
        """Final events of the scenario, by task name, attempt and time."""
        key = "celery.root_id" if scenario.whole_workflow else "celery.task_id"
        found = [
            event
            for event in self.sink.events()
            if event.get(key) == self.ids[scenario.name] and event["celery.state"] in FINAL_STATES
        ]
        return sorted(found, key=lambda event: (event.get("celery.task_name", ""), event["celery.retries"]))

    def has_ended(self, scenario: Scenario) -> bool:
        """Whether all has been told of it that is told before the worker ends."""
        return len(self.finals(scenario)) >= sum(
            not end.after_grace for end in scenario.ends(self.pool, self.broker) or ()
        )

    def spans(self, delivery: str) -> list[dict[str, Any]]:
        """Spans of a delivery's run."""
        return [span for span in self.sink.spans if span.get("celery.delivery") == delivery]

    def publishes(self, task_id: str) -> set[str]:
        """Ids of the spans in which the task was published; each retry is another."""
        found = [span for span in self.sink.spans if span["kind"] == PRODUCER and span["celery.task_id"] == task_id]
        assert all(span["trace_id"] == found[0]["trace_id"] for span in found)
        return {span["span_id"] for span in found}


@pytest.fixture(scope="module")
def run(request: pytest.FixtureRequest, redis: Redis, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    pool, broker = request.param
    environ = {}
    if broker == "rabbitmq":
        server: RabbitMQ = request.getfixturevalue("rabbitmq")
        environ["BROKER_URL"] = server.url
    mine = [scenario for scenario in SCENARIOS if scenario.ends(pool, broker)]
    calls = ", ".join(f"{scenario.name!r}: ({scenario.call}).id" for scenario in mine)
    folder = tmp_path_factory.mktemp(f"{pool}-{broker}")
    with Sink() as sink, Worker(sink, redis.url, folder, pool, app="matrix_app", **environ) as worker:
        patience, over = 60 if pool in CAN_TERMINATE else 0.5, 60 if pool == "prefork" else 1.5
        constants = f"PATIENCE, OVER = {patience}, {over}"
        ids = json.loads(worker.run(f"import json\n{constants}\nprint(json.dumps({{{calls}}}))"))
        run = Run(pool, broker, sink, ids, folder.name, "")
        # What is missing then is said by the scenario's own test.
        with suppress(AssertionError):
            until(lambda: all(run.has_ended(scenario) for scenario in mine), timeout=120)
        worker.stop()
        yield run._replace(log=worker.log())


@pytest.mark.parametrize(("run", "scenario"), CASES, indirect=["run"], scope="module")
def test_every_delivery_ends_as_the_matrix_says(run: Run, scenario: Scenario) -> None:
    expected = scenario.ends(run.pool, run.broker) or ()
    finals = run.finals(scenario)
    assert [final["celery.state"] for final in finals] == [end.state for end in expected]
    assert len({final["celery.delivery"] for final in finals}) == len(finals)
    for final, end in zip(finals, expected, strict=True):
        task = end.task or scenario.task
        assert_the_event_says(final, end, task if "." in task or not task else f"{TASKS}.{task}")
        assert_it_knows_its_workflow_and_worker(run, scenario, final)
        assert_times_are_in_order(final, end)
        assert_one_span_ran(run, final, end)


def assert_the_event_says(final: dict[str, Any], end: End, task: str) -> None:
    wanted = {
        "celery.task_name": final.get("celery.task_name") if task.startswith(TASKS) else task or None,
        "celery.failure_kind": end.kind,
        **end.values,
    }
    assert {name: final.get(name) for name in wanted} == wanted
    assert str(final.get("celery.task_name")).endswith(task.rsplit(".", 1)[-1])
    if end.type:
        assert final["exception.type"] == end.type
    if end.message:
        assert final["exception.message"].startswith(end.message)
    text = final.get("exception.stacktrace", "")
    assert len(text) < 300_000
    at = 0
    for part in end.text:
        assert part in text[at:], f"{part!r} is not behind character {at} of {text[:2000]}"
        at = text.index(part, at) + len(part)
    if end.text:
        assert not text[at:].strip(" -+\n"), "nothing stands behind the error"


def assert_it_knows_its_workflow_and_worker(run: Run, scenario: Scenario, final: dict[str, Any]) -> None:
    root = final["celery.root_id"]
    assert root == run.ids[scenario.name]
    # To Celery a retry and a replacement are children of their own task; of a chunk the root is the group.
    assert final.get("celery.parent_id") in {None, root}
    assert final["celery.attempt"] == f"{final['celery.task_id']}:{final['celery.retries']}"
    assert final["celery.worker"].startswith("celery@")
    assert final["messaging.system"] == run.broker
    assert final["messaging.destination.name"] == run.queue
    assert final["resource.service.name"] == "scenarios"
    assert final["trace_id"] == root.replace("-", "")


def assert_times_are_in_order(final: dict[str, Any], end: End) -> None:
    steps = ["received", "ended"]
    if end.sent:
        steps.insert(0, "sent")
    if end.started:
        steps.insert(-1, "started")
        assert final["celery.queue_time"] >= 0
        assert final["celery.runtime"] >= 0
    times = [final[f"celery.{step}_at"] for step in steps]
    assert times == sorted(times)
    assert ("celery.started_at" in final) == end.started
    assert ("celery.sent_at" in final) == end.sent


def assert_one_span_ran(run: Run, final: dict[str, Any], end: End) -> None:
    """Below the span of a publish of the task; a final event that the main process tells has no span."""
    spans = run.spans(final["celery.delivery"])
    assert [span["name"] for span in spans] == ([f"run/{final['celery.task_name']}"] if end.started else [])
    for span in spans:
        good = end.state in {"SUCCESS", "RETRY", "IGNORED"}
        assert span["status"]["code"] == (UNSET if good else ERROR)
        assert span["trace_id"] == final["trace_id"]
        assert final.get("span_id") in {span["span_id"], "", None}
        assert span["parent_span_id"] in run.publishes(final["celery.task_id"])


@pytest.mark.parametrize("run", RUNS, indirect=True, ids="-".join)
def test_log_lines_carry_the_attempt_and_its_trace(run: Run) -> None:
    task_id = run.ids["log lines"]
    lines = {line["body"]: line for line in run.sink.lines() if line.get("celery.task_id") == task_id}
    (span,) = [span for span in run.sink.spans if span["kind"] != PRODUCER and span.get("celery.task_id") == task_id]
    assert {"careful with order 7", "charged", "oh"} <= lines.keys()
    for line in (lines[body] for body in ("careful with order 7", "charged", "oh")):
        assert line["celery.attempt"] == f"{task_id}:0"
        assert (line["trace_id"], line["span_id"]) == (span["trace_id"], span["span_id"])
    assert lines["careful with order 7"]["order"] == 7
    assert lines["careful with order 7"]["severity"] == "WARN"
    assert lines["charged"]["amount"] == 12.5
    assert lines["oh"]["exception.type"] == "ValueError"


@pytest.mark.parametrize("run", RUNS, indirect=True, ids="-".join)
def test_a_replacement_is_later_than_what_it_replaces(run: Run) -> None:
    events = [event for event in run.sink.events() if event.get("celery.task_id") == run.ids["Task.replace"]]
    order = [event["celery.state"] for event in events if event["celery.state"] not in {"RECEIVED", "STARTED"}]
    assert order == ["SENT", "IGNORED", "SENT", "SUCCESS"]


@pytest.mark.parametrize("run", RUNS, indirect=True, ids="-".join)
def test_a_traceback_is_told_once(run: Run) -> None:
    task_id = run.ids["chained exception"]
    told = [record for record in run.sink.logs if "KeyError: 'sku'" in str(record.get("exception.stacktrace"))]
    assert len({record["log.record.uid"] for record in told if record.get("celery.task_id") == task_id}) == 1
    assert not [record for record in told if not record.get("celery.task_id")], "nor by a line of Celery's own"


@pytest.mark.parametrize("run", RUNS, indirect=True, ids="-".join)
def test_nothing_of_ours_went_wrong_in_the_worker(run: Run) -> None:
    assert "celeryscope: " not in run.log
