"""The watcher over time: alerts fire, are told of, last, are silenced, resolved, and survive everything."""

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from elasticsearch import Elasticsearch

from celeryscope import semconv
from celeryscope.service.kibana_views import Kibana
from celeryscope.service.rules.adjusting import ActiveRule, Adjustments
from celeryscope_pipelines.watcher import Change, Watcher
from celeryscope_pipelines.watcher.incidents import Pace
from celeryscope_pipelines.watcher.notifying import Notifier
from celeryscope_pipelines.watcher.silences import Silence
from celeryscope_pipelines.watcher.store import Outdated, Silences
from pipelines.watcher.world import RULES, World

pytestmark = pytest.mark.elasticsearch

PACE = Pace(again=timedelta(hours=4), joined=timedelta(minutes=5))


class Webhook:
    """A real HTTP server that Apprise posts to; it refuses while ``down``."""

    def __init__(self) -> None:
        self.down = False
        self.told: list[dict[str, Any]] = []
        webhook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if not webhook.down:
                    webhook.told.append(json.loads(body))
                self.send_response(503 if webhook.down else 200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.address = f"json://127.0.0.1:{self._server.server_port}/hook"

    @property
    def titles(self) -> list[str]:
        return [told["title"] for told in self.told]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    server = Webhook()
    yield server
    server.close()


class Town:
    """A world with a dead worker, and watchers of it."""

    def __init__(self, world: World, webhook: Webhook) -> None:
        self.world = world
        self.webhook = webhook
        self.adjustments = Adjustments()
        self.rules: tuple[ActiveRule, ...] = (RULES["worker-down"],)
        self.targets = {"ops": webhook.address}
        self.kibana: Kibana | None = None
        world.worker("dead@a", 110)
        world.flush()

    def watcher(self) -> Watcher:
        """A watcher that has just been started."""
        return Watcher(
            self.world.client,
            self.rules,
            self.world.tenant,
            adjustments=self.adjustments,
            notifier=Notifier(self.targets),
            pace=PACE,
            kibana=self.kibana,
        )

    def at(self, seconds: float) -> datetime:
        return self.world.now + timedelta(seconds=seconds)

    def recover(self, after: float) -> None:
        """The dead worker was started again, and ended in good order."""
        self.world.worker("dead@a", -after, semconv.EVENT_WORKER_OFFLINE)
        self.world.flush()

    def silence(self, until: float, rule: str = "worker-down") -> Silences:
        silences = Silences(self.world.client)
        match = {semconv.WORKER: ("dead@*",), semconv.TENANT: (self.world.tenant,)}
        silences.add(Silence(self.world.tenant, (rule,), match, self.at(until), "me", "new kernel"))
        return silences


@pytest.fixture
def town(world: World, webhook: Webhook) -> Town:
    return Town(world, webhook)


def _statuses(changes: list[Change]) -> list[str]:
    return [change.status for change in changes]


def _history(client: Elasticsearch, tenant: str) -> list[dict[str, Any]]:
    client.indices.refresh(index=semconv.INDEX_ALERTS)
    query = {"term": {semconv.TENANT: tenant}}
    found = client.search(index=semconv.INDEX_ALERTS, query=query, sort=[{"@timestamp": "asc"}])
    return [hit["_source"] for hit in found["hits"]["hits"]]


def test_an_alert_fires_once_is_recorded_told_and_resolved(town: Town) -> None:
    watcher = town.watcher()
    assert _statuses(watcher.tick(town.at(0))) == ["firing"]
    assert watcher.tick(town.at(15)) == []
    town.recover(20)
    assert watcher.tick(town.at(30)) == []
    assert _statuses(watcher.tick(town.at(160))) == ["resolved"]
    assert [change[semconv.ALERT_STATUS] for change in _history(town.world.client, town.world.tenant)] == [
        "firing",
        "resolved",
    ]
    assert town.webhook.titles == ["[high] Worker down (shop)", "[resolved] Worker down (shop)"]
    assert "dead@a" in town.webhook.told[0]["message"]
    assert "celeryscope status" in town.webhook.told[0]["message"]


def test_a_finding_that_is_gone_for_a_moment_is_one_alert(town: Town) -> None:
    watcher = town.watcher()
    watcher.tick(town.at(0))
    town.recover(5)
    assert watcher.tick(town.at(20)) == []
    assert watcher.tick(town.at(120)) == []
    assert len(town.webhook.told) == 1


def test_a_restart_neither_repeats_nor_forgets_an_alert(town: Town) -> None:
    town.watcher().tick(town.at(0))
    assert town.watcher().tick(town.at(15)) == []
    town.recover(20)
    town.watcher().tick(town.at(30))
    assert _statuses(town.watcher().tick(town.at(160))) == ["resolved"]
    assert len(town.webhook.told) == 2


def test_a_target_that_is_down_is_told_when_it_is_back_also_by_another_process(town: Town) -> None:
    town.webhook.down = True
    town.watcher().tick(town.at(0))
    assert town.webhook.told == []
    town.webhook.down = False
    after_restart = town.watcher()
    after_restart.tick(town.at(5))
    assert town.webhook.told == []
    after_restart.tick(town.at(15))
    assert town.webhook.titles == ["[high] Worker down (shop)"]
    after_restart.tick(town.at(60))
    assert len(town.webhook.told) == 1


def test_one_target_that_is_down_keeps_no_other_waiting(town: Town) -> None:
    town.targets = {"broken": "json://127.0.0.1:9/nobody", "ops": town.webhook.address}
    town.watcher().tick(town.at(0))
    assert len(town.webhook.told) == 1


def test_people_are_told_again_of_what_lasts(town: Town) -> None:
    watcher = town.watcher()
    watcher.tick(town.at(0))
    watcher.tick(town.at(1800))
    assert len(town.webhook.told) == 1
    town.world.now += timedelta(hours=4)
    town.world.worker("dead@a", 3600)
    town.world.flush()
    watcher.tick(town.at(0))
    assert town.webhook.titles[-1] == "[high] still: Worker down (shop)"


def test_a_silenced_alert_is_recorded_and_told_of_when_the_silence_is_over(town: Town) -> None:
    town.silence(until=60)
    watcher = town.watcher()
    watcher.tick(town.at(0))
    (recorded,) = _history(town.world.client, town.world.tenant)
    assert recorded[semconv.ALERT_SILENCED_BY] == f"silence {town.world.tenant}"
    assert town.webhook.told == []
    watcher.tick(town.at(75))
    assert len(town.webhook.told) == 1


def test_a_silence_of_another_rule_or_one_that_was_ended_silences_nothing(town: Town) -> None:
    town.silence(until=600, rule="task-lost")
    town.watcher().tick(town.at(0))
    assert len(town.webhook.told) == 1


def test_a_message_links_to_the_view_if_it_is_known_where_kibana_is(town: Town) -> None:
    town.kibana = Kibana("https://kibana.example.com", "celery")
    town.watcher().tick(town.at(0))
    (message,) = town.webhook.told
    (link,) = [line for line in message["message"].splitlines() if line.startswith("In Kibana: ")]
    assert link.startswith(
        "In Kibana: https://kibana.example.com/s/celery/app/dashboards#/view/celeryscope-celery-workers?_g=(time:(from:'"
    )
    assert link.endswith("celery.worker:%22dead%40a%22'))")
    town.world.client.indices.refresh(index=semconv.INDEX_ALERTS)
    query = {"term": {semconv.TENANT: town.world.tenant}}
    (recorded,) = town.world.client.search(index=semconv.INDEX_ALERTS, query=query)["hits"]["hits"]
    assert recorded["_source"][semconv.ALERT_LINK] == link.removeprefix("In Kibana: ")


def test_without_kibana_a_message_names_the_command_only(town: Town) -> None:
    town.watcher().tick(town.at(0))
    (message,) = town.webhook.told
    assert f"See: celeryscope status --tenant {town.world.tenant}" in message["message"]
    assert "Kibana" not in message["message"]


def test_a_silence_ends_when_somebody_ends_it(town: Town) -> None:
    silences = town.silence(until=600)
    silences.end(town.world.tenant[:-2], town.at(0))
    town.watcher().tick(town.at(0))
    assert len(town.webhook.told) == 1


def test_nobody_is_told_during_a_maintenance_window(town: Town) -> None:
    begin = town.at(-600).astimezone(UTC)
    window = {"name": "deploy", "rules": ("worker-*",), "begin": f"{begin:%H:%M}", "length": "15m"}
    town.adjustments = Adjustments.model_validate({"maintenance": (window,)})
    watcher = town.watcher()
    watcher.tick(town.at(0))
    assert town.webhook.told == []
    watcher.tick(town.at(400))
    assert len(town.webhook.told) == 1


def test_a_route_tells_a_team_and_nobody_else(town: Town) -> None:
    town.targets = {"payments": town.webhook.address, "ops": "json://127.0.0.1:9/nobody"}
    town.rules = (RULES["failure-rate"], RULES["worker-down"])
    routes = ({"teams": ("pay*",), "notify": ("payments",)}, {"severities": ("low",), "notify": ("ops",)})
    town.adjustments = Adjustments.model_validate({"routes": routes})
    town.world.tasks(semconv.EVENT_TASK_FAILED, range(5, 125, 10), OWNER_TEAM="payments")
    town.world.flush()
    town.watcher().tick(town.at(0))
    assert town.webhook.titles == ["[high] Most runs fail (payments)"]


def test_alerts_about_one_task_are_one_message(town: Town) -> None:
    town.rules = tuple(RULES[rule] for rule in ("error-spike", "failure-rate"))
    world = town.world
    world.tasks(semconv.EVENT_TASK_SUCCEEDED, range(900, 3900, 30), OWNER_TEAM="payments")
    world.tasks(semconv.EVENT_TASK_FAILED, range(5, 125, 10), OWNER_TEAM="payments", OWNER_RUNBOOK="https://wiki/pay")
    world.flush()
    watcher = town.watcher()
    assert sorted(change.alert.rule for change in watcher.tick(town.at(0))) == ["error-spike", "failure-rate"]
    (told,) = town.webhook.told
    assert told["title"].endswith("(payments)")
    assert told["message"].count("shop.pay") >= 2
    assert "Runbook: https://wiki/pay" in told["message"]


def test_a_cause_keeps_its_symptoms_quiet_and_they_are_told_of_when_it_is_gone(town: Town) -> None:
    town.rules = tuple(RULES[rule] for rule in ("telemetry-late", "worker-down"))
    watcher = town.watcher()
    assert watcher.tick(town.at(0)) == []
    assert [change.alert.rule for change in watcher.tick(town.at(45))] == ["telemetry-late"]
    town.world.worker("alive@a", -50)
    town.world.flush()
    assert watcher.tick(town.at(60)) == []
    town.world.worker("alive@a", -180)
    town.world.flush()
    changes = watcher.tick(town.at(190))
    assert [(change.status, change.alert.rule) for change in changes] == [
        ("resolved", "telemetry-late"),
        ("firing", "worker-down"),
    ]


def test_of_two_watchers_the_one_that_is_behind_writes_nothing(town: Town) -> None:
    first, second = town.watcher(), town.watcher()
    first.tick(town.at(0))
    # The second one read the state when there was none yet.
    second._state = type(first._state)()  # type: ignore[misc]
    with pytest.raises(Outdated):
        second.tick(town.at(5))
    assert len(town.webhook.told) == 1
    assert second.tick(town.at(20)) == []
