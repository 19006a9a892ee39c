"""The benchmark of alerts: its world tells what real workers tell, its labels fit its scenarios, its score is right."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from redis import Redis as Client

from alerts import __main__ as command_line
from alerts import scenario
from alerts.scenario import Incident, Scenario, TaskKind, WrongScenario
from alerts.scoring import GRACE, Alert, judge, score
from alerts.watching import alert_of
from alerts.world import faults
from alerts.world.simulation import Simulation
from celeryscope import otlp, semconv
from servers import Redis
from support.sink import Sink
from support.waiting import until
from support.workers import Worker

EVERYTHING = """
about: One of everything that can be told.
service: everything
broker: redis
visibility: 1m
tasks:
  every.succeed: {queue: q, rate: 2, runtime: 0.2}
  every.fail: {queue: q, rate: 0.5}
  every.retry: {queue: q, rate: 0.5, retries: {most: 1, countdown: 1}}
  every.late: {queue: q, rate: 0.05, runtime: 3, countdown: 5}
  every.hang: {queue: q, rate: 0.2}
  every.unknown: {queue: q, rate: 0.2}
  every.scheduled: {queue: q}
workers:
  celery@every-1: {queues: [q], concurrency: 2}
  celery@every-2: {queues: [q], concurrency: 2}
  celery@every-idle: {queues: [idle], concurrency: 2}
  celery@every-gone: {queues: [idle], concurrency: 2}
schedules:
  scheduled: {task: every.scheduled, every: 1s}
happens:
  - {from: -1h, until: end, fails: [every.fail, every.retry], error: key_error}
  - {from: 60s, until: 90s, hangs: every.hang, in: lock, most: 1}
  - {from: -1h, until: end, unregistered: every.unknown}
  - {at: 40s, kill_child: celery@every-1}
  - {at: 110s, kill: celery@every-gone}
  - {from: 120s, until: 123s, broker_down: true}
  - {at: 150s, stop: celery@every-idle}
"""


# --- the world tells what real workers tell ---------------------------------------------------------------------------
@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sink]:
    """Events of a real worker with beat inside, that ran tasks of all kinds and lost its broker."""
    folder = tmp_path_factory.mktemp("real")
    settings = {
        "CELERYSCOPE_QUEUE_DEPTH_INTERVAL": "0.4",
        "CELERYSCOPE_STACK_AFTER": "0.5",
        "CELERYSCOPE_ENVIRONMENT": "production",
        "OTEL_RESOURCE_ATTRIBUTES": "service.version=1.0.0",
    }
    # A Redis of its own: its clients are killed.
    with Redis(tmp_path_factory.mktemp("redis")) as redis, Sink() as sink:
        with Worker(sink, redis.url, folder, app="beat_app", options=("-B", "-s", "schedule"), **settings) as worker:
            worker.run(
                "from support.worker_app import *\n"
                "[task.delay() for task in (succeed, fail, flaky, killed)]\n"
                "app.send_task('no.such.task')\n"
                "[sleeps.apply_async((1.5,), countdown=1) for _ in range(4)]"
            )
            until(lambda: len(sink.events("celery.task.stack")) >= 2, what=worker.log()[-2000:])
            until(lambda: not _untold(sink) - OF_THE_END, what="all that is to be compared")
            with Client(port=redis.port) as client:
                client.client_kill_filter(_type="normal", skipme=True)
            until(lambda: sink.events("celery.broker.regained"), what=worker.log()[-2000:])
        until(lambda: not _untold(sink), what=worker.log()[-2000:])
        yield sink


def _untold(sink: Sink) -> set[str]:
    """The events, and the states of runs' spans, of which none has come yet."""
    states = {span.get("celery.state") for span in sink.spans if span["kind"] == CONSUMER}
    return {*NAMES, *STATES} - {event["event_name"] for event in sink.events()} - states


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Sink:
    path = tmp_path_factory.mktemp("scenario") / "everything.yaml"
    path.write_text(EVERYTHING)
    sink = Sink()
    with sink:
        for request in _requests([scenario.read(path)], -60.0, 180.0):
            sink.keep(orjson.loads(request), None)
    return sink


def _requests(scenarios: list[Scenario], begin: float, end: float) -> Iterator[bytes]:
    simulation = Simulation(scenarios, 1_772_524_800.0, begin, 1)
    moment = begin
    while moment < end:
        moment += 15
        told = simulation.step(moment)
        for kind, records in told.items():
            yield otlp.request(kind, {(resource, otlp.EVENTS_SCOPE): records[resource] for resource in records})


def _types(events: Iterable[dict[str, Any]]) -> dict[str, set[str]]:
    """By attribute: the types of its values."""
    found: dict[str, set[str]] = {}
    for event in events:
        for key, value in event.items():
            if value is not None:
                kind = (
                    f"list of {type(value[0]).__name__}" if isinstance(value, list) and value else type(value).__name__
                )
                found.setdefault(key, set()).add(kind)
    return found


def _always(events: list[dict[str, Any]]) -> set[str]:
    """Attributes that each of these has."""
    return set.intersection(*({key for key, value in event.items() if value is not None} for event in events))


NAMES = [
    *(f"celery.task.{how}" for how in ("sent", "received", "started", "succeeded", "failed", "retried", "lost")),
    *("celery.task.unknown", "celery.task.stack", "celery.queue.depth", "celery.broker.lost", "celery.broker.regained"),
    *("celery.worker.online", "celery.worker.config", "celery.worker.heartbeat", "celery.worker.offline"),
    *("celery.beat.due", "celery.beat.sent", "celery.beat.failed"),
]
STATES = ["SUCCESS", "FAILURE", "RETRY", "LOST"]
OF_THE_END = {"celery.broker.lost", "celery.broker.regained", "celery.worker.offline", "LOST"}
"""Told when the broker is lost or the worker ends; the span of a dead process at the latest then."""
CONSUMER = 5
OF_THE_SITUATION = ("celery.config.", "celery.version.", "celery.eta", "celery.redelivered", "span_id")
"""Settings and versions; some messages have an eta or come again, and some who tell of the dead know the span."""


@pytest.mark.redis
@pytest.mark.parametrize("name", NAMES)
def test_an_event_of_the_simulation_has_the_attributes_and_types_of_a_real_one(
    name: str, real: Sink, simulated: Sink
) -> None:
    _are_alike(real.events(name), simulated.events(name))


@pytest.mark.redis
@pytest.mark.parametrize("state", STATES)
def test_the_span_of_a_run_has_the_attributes_and_types_of_a_real_one(state: str, real: Sink, simulated: Sink) -> None:
    theirs, ours = (
        [span for span in sink.spans if span["kind"] == CONSUMER and span.get("celery.state") == state]
        for sink in (real, simulated)
    )
    _are_alike(theirs, ours)
    assert {span["status"]["code"] for span in theirs} == {span["status"]["code"] for span in ours}


def _are_alike(theirs: list[dict[str, Any]], ours: list[dict[str, Any]]) -> None:
    assert theirs
    assert ours
    known = _types(theirs)
    for key, kinds in _types(ours).items():
        if not key.startswith(OF_THE_SITUATION):
            assert kinds <= known.get(key, set()), f"{key}: {kinds}, a real one has {known.get(key)}"
    assert not {key for key in _always(theirs) - _always(ours) if not key.startswith(OF_THE_SITUATION)}


# --- scenarios and their labels ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("one", scenario.load(), ids=lambda one: one.name)
def test_a_scenario_names_what_it_has_and_its_incidents_lie_within_the_run(one: Scenario) -> None:
    has = {kind.name for kind in (*one.tasks, *one.workers, *one.schedules)} | {kind.queue for kind in one.tasks}
    for incident in one.incidents:
        assert incident.entities <= has
        assert 0 <= incident.begin < incident.until
        assert incident.begin < 2.5 * 3600
    assert {happening.what for happening in one.happens} <= faults.known()
    assert one.about.strip()


def test_there_are_enough_scenarios_of_both_kinds_each_with_a_service_of_its_own() -> None:
    known = scenario.load()
    assert len(known) >= 40
    assert sum(not one.incidents for one in known) >= 12
    assert set(Counter(one.service for one in known).values()) == {1}
    tasks = [kind.name for one in known for kind in one.tasks]
    assert len(tasks) == len(set(tasks))


def test_each_scenario_tells_something_of_its_service_from_its_begin_on() -> None:
    sink = Sink()
    with sink:
        for request in _requests(scenario.load(), -120.0, 60.0):
            sink.keep(orjson.loads(request), None)
    told = {event["resource.service.name"] for event in sink.events()}
    assert told == {one.service for one in scenario.load() if one.begins < 0}


def test_depths_of_queues_are_told_before_the_watcher_begins_as_well() -> None:
    sink = Sink()
    with sink:
        for request in _requests(scenario.load()[:1], -180.0, -60.0):
            sink.keep(orjson.loads(request), None)
    assert sink.events("celery.queue.depth")


def test_a_scenario_runs_alone_as_it_does_beside_another() -> None:
    known = scenario.load()
    one = known[0]

    def told(scenarios: list[Scenario]) -> list[str]:
        sink = Sink()
        with sink:
            for request in _requests(scenarios, -300.0, 300.0):
                sink.keep(orjson.loads(request), None)
        mine = [event for event in sink.events() if event["resource.service.name"] == one.service]
        return sorted(event["log.record.uid"] for event in mine)

    assert told([one]) == told([one, known[1]])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("about: x\nservice: s\ntasks: {t: {quue: q}}", "TaskKind has no quue"),
        ("about: x\nservice: s\ntasks: {t: {}}\nhappens: [{at: soon, restart: true}]", "'soon' is no time"),
        (
            "about: x\nservice: s\ntasks: {t: {}}\nincidents: [{of: bug, until: 1h}]",
            "nothing that happens is named 'bug'",
        ),
        ("service: s\ntasks: {t: {}}", "Scenario lacks about"),
    ],
)
def test_a_wrong_scenario_is_refused_with_its_name_and_why(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(text)
    with pytest.raises(WrongScenario, match=f"wrong.yaml: .*{message}"):
        scenario.read(path)


# --- the score --------------------------------------------------------------------------------------------------------
def _scenario(*incidents: Incident, name: str = "shop") -> Scenario:
    task = TaskKind(name=f"{name}.pay", queue=f"{name}-q")
    return Scenario(name=name, about="", service=name, tasks=(task,), incidents=incidents)


def _alert(at: float, *names: str, service: str = "shop") -> Alert:
    return Alert(at, "some-rule", service, frozenset(names))


BUG = Incident(begin=100, until=500, of="bug", tasks=("shop.pay",))


@pytest.mark.parametrize(
    ("at", "names", "is_right"),
    [
        (160, ["shop.pay"], True),
        (160, ["shop.pay", "celery@1"], True),
        (160, ["shop.other"], False),
        (160, [], False),
        (110, ["shop.pay"], False),
        (500 + GRACE, ["shop.pay"], True),
        (501 + GRACE, ["shop.pay"], False),
    ],
)
def test_an_alert_is_right_when_it_names_what_is_affected_while_it_is(
    at: float, names: list[str], is_right: bool
) -> None:
    (verdict,), strangers = judge([_scenario(BUG)], [_alert(at, *names)], {"shop": {"bug": 120.0}})
    assert (len(verdict.right), len(verdict.wrong), strangers) == (is_right, not is_right, [])
    assert verdict.delays == {BUG: at - 120 if is_right else None}


def test_an_incident_of_the_whole_service_is_told_by_an_alert_that_names_the_service() -> None:
    silence = Incident(begin=100, until=500)
    (verdict,), _ = judge([_scenario(silence)], [_alert(190)], {})
    assert verdict.delays == {silence: 90}


def test_who_tells_between_the_cause_and_the_label_is_early_and_not_wrong() -> None:
    backlog = Incident(begin=100, cause=40, until=500, queues=("shop-q",))
    (verdict,), _ = judge([_scenario(backlog)], [_alert(60, "shop-q")], {})
    assert (len(verdict.wrong), verdict.delays) == (0, {backlog: 0})


def test_an_alert_about_several_workers_names_each_of_them() -> None:
    source = {
        semconv.ALERT_FIRED_AT: "2026-11-22T00:00:30+00:00",
        semconv.ALERT_RULE: "broker-lost",
        semconv.SERVICE_NAME: "gifts",
        semconv.WORKER: ["celery@gifts-1", "celery@gifts-2"],
        semconv.MESSAGING_DESTINATION: "gifts",
    }
    alert = alert_of(source, epoch=datetime(2026, 11, 22, tzinfo=UTC).timestamp())
    assert (alert.at, alert.names) == (30, {"celery@gifts-1", "celery@gifts-2", "gifts"})


def test_precision_recall_and_times_count_all_alerts_and_all_incidents() -> None:
    second = Incident(begin=1000, until=1100, tasks=("shop.pay",))
    other = _scenario(name="quiet")
    alerts = [_alert(150, "shop.pay"), _alert(170, "shop.pay"), _alert(50, service="quiet"), _alert(5, service="")]
    verdicts, strangers = judge([_scenario(BUG, second), other], alerts, {})
    found = score(verdicts, strangers)
    assert (found.alerts, found.incidents) == (4, 2)
    assert (found.precision, found.recall) == (0.5, 0.5)
    assert (found.median, found.p95) == (50, 50)


# --- the whole way ----------------------------------------------------------------------------------------------------
@pytest.mark.kafka
@pytest.mark.elasticsearch
def test_a_short_run_goes_the_whole_way_with_what_people_do_and_tells_the_figures(tmp_path: Path) -> None:
    output = tmp_path / "alerts.json"
    short = ["--only", "fixed-bug-comes-back", "--hours", "0.02", "--step", "36"]
    assert command_line.main([*short, "--output", str(output)]) == 0
    figures = {figure["name"]: figure["value"] for figure in json.loads(output.read_text())}
    assert figures["records through the pipeline"] > 1000
    assert figures["alerts"] == 0
