"""Rules that Elasticsearch answers late, never or in part: the others go on, the lease stays, nothing wrong is told."""

import itertools
import logging
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from elasticsearch import Elasticsearch as Client

from celeryscope import semconv
from celeryscope.errors import Unavailable
from celeryscope.service.elasticsearch import ElasticsearchSettings, connect
from celeryscope.service.rules.adjusting import ActiveRule
from celeryscope.service.rules.reading import read_rules
from celeryscope_pipelines.settings import WatchSettings
from celeryscope_pipelines.watcher import Change, Finding, Watcher, evaluate, metrics
from celeryscope_pipelines.watcher import watcher as watching
from celeryscope_pipelines.watcher.build import build
from celeryscope_pipelines.watcher.lease import Lease
from celeryscope_pipelines.watcher.messages import Message
from celeryscope_pipelines.watcher.notifying import Notifier
from celeryscope_pipelines.watcher.service import _Turns
from celeryscope_pipelines.watcher.store import Outdated
from pipelines.watcher.world import RULES, World
from servers import Elasticsearch
from support.proxy import Proxy
from support.waiting import until

pytestmark = pytest.mark.elasticsearch

MARK = b"// too much work"
AT_ONCE = 0.2
"""Seconds: where no rule is answered, there is no need to wait for long."""
LEASE = 30.0


def _slow(rule: str) -> ActiveRule:
    """The rule, of which the wire lets nothing through."""
    return replace(RULES[rule], query=f"{RULES[rule].query}\n{MARK.decode()}")


class Person(Notifier):
    """Two targets that take everything."""

    def __init__(self) -> None:
        super().__init__({})
        self.told: list[str] = []

    @property
    def names(self) -> tuple[str, ...]:
        return ("ops", "shop")

    def knows(self, message: Message) -> bool:
        return True

    def send(self, message: Message) -> bool:
        self.told.append(f"{message.target}: {message.title}")
        return True


class Town:
    """A world with a dead worker, and watchers of it whose wire to Elasticsearch swallows slow rules."""

    def __init__(self, world: World, wire: Proxy, client: Client) -> None:
        self.world = world
        self.wire = wire
        self.person = Person()
        self._client = client
        world.worker("dead@a", 110)
        world.flush()

    def watcher(self, *rules: ActiveRule, **more: Any) -> Watcher:
        """A watcher that has just been started."""
        return Watcher(self._client, rules or None, self.world.tenant, notifier=self.person, **more)

    def lease(self, holder: str, timeout: float | None = None) -> Lease:
        client = self._client.options(request_timeout=timeout) if timeout else self.world.client
        return Lease(client, self.world.tenant, holder, LEASE)

    def at(self, seconds: float) -> datetime:
        return self.world.now + timedelta(seconds=seconds)

    def recover(self, after: float) -> None:
        """The dead worker was started again, and ended in good order."""
        self.world.worker("dead@a", -after, semconv.EVENT_WORKER_OFFLINE)
        self.world.flush()


@pytest.fixture
def town(world: World, elasticsearch: Elasticsearch, client: Client) -> Iterator[Town]:
    with Proxy(elasticsearch.port) as wire, connect(_settings(wire)) as through:
        wire.swallow(MARK)
        yield Town(world, wire, through)


def _settings(wire: Proxy) -> ElasticsearchSettings:
    return ElasticsearchSettings(url=f"http://127.0.0.1:{wire.port}", timeout=120)


def _passed_over(rule: str) -> float:
    return metrics.slow_evaluations.labels(rule)._value.get()


def _told(caplog: pytest.LogCaptureFixture, text: str) -> list[str]:
    return [record.getMessage() for record in caplog.records if text in record.getMessage()]


def test_a_rule_that_is_too_slow_keeps_no_other_from_firing(town: Town, caplog: pytest.LogCaptureFixture) -> None:
    before = _passed_over("broker-lost")
    watcher = town.watcher(_slow("broker-lost"), RULES["worker-down"], rule_timeout=3, clock=lambda: 0.0)
    moments = itertools.count(0, 15)
    fired: list[Change] = []

    def fires() -> bool:
        fired.extend(watcher.tick(town.at(next(moments))))
        return bool(fired)

    # On a machine under load, the other rule may be too slow once or twice as well.
    until(fires, what="the other rule fires")
    assert [change.alert.rule for change in fired] == ["worker-down"]
    assert town.person.told == ["ops: [high] Worker down (shop)", "shop: [high] Worker down (shop)"]
    assert _passed_over("broker-lost") > before
    (told,) = _told(caplog, "The rule broker-lost is passed over")
    assert "`celeryscope rules explain broker-lost`" in told


def test_a_rule_that_elasticsearch_is_too_busy_for_keeps_no_other_from_firing(
    town: Town, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it answers (429) is a stand-in: a real server can't be made too busy for one query only."""

    def busy(client: Client, rule: ActiveRule, now: datetime) -> list[Finding]:
        if rule.rule.id == "broker-lost":
            raise Unavailable("Elasticsearch is overloaded.")
        return evaluate(client, rule, now)

    monkeypatch.setattr(watching, "evaluate", busy)
    watcher = town.watcher(RULES["broker-lost"], RULES["worker-down"], clock=lambda: 0.0)
    assert [change.alert.rule for change in watcher.tick(town.at(0))] == ["worker-down"]
    (told,) = _told(caplog, "The rule broker-lost is passed over")
    assert "Elasticsearch is overloaded." in told


@pytest.fixture
def nowhere(world: World) -> Iterator[str]:
    """An index of which no shard has a place."""
    name = f"nowhere-{world.tenant}"
    settings = {"index.routing.allocation.require._name": "nobody", "index.number_of_replicas": 0}
    world.client.indices.create(index=name, settings=settings, wait_for_active_shards=0)
    yield name
    world.client.indices.delete(index=name)


def test_what_elasticsearch_says_without_some_of_the_documents_is_not_believed(
    town: Town, nowhere: str, caplog: pytest.LogCaptureFixture
) -> None:
    town.world.task(semconv.EVENT_TASK_SENT, 200, MESSAGING_DESTINATION="new")
    town.world.flush()
    known = RULES["queue-unconsumed"]
    assert "celery-workers METADATA" in known.query
    # Whether a worker consumes from the queue stands in documents that can't be read.
    partly = replace(known, query=known.query.replace("celery-workers METADATA", f"celery-workers, {nowhere} METADATA"))
    assert town.watcher(partly).tick(town.at(0)) == []
    (told,) = _told(caplog, "The rule queue-unconsumed is passed over")
    assert "no active shard" in told
    assert [change.alert.rule for change in town.watcher(known).tick(town.at(0))] == ["queue-unconsumed"]


def test_a_rule_that_is_too_slow_is_told_once_until_it_is_evaluated_again(
    town: Town, caplog: pytest.LogCaptureFixture
) -> None:
    before = _passed_over("worker-down")
    watcher = town.watcher(_slow("worker-down"), rule_timeout=AT_ONCE, clock=lambda: 0.0)
    for moment in (0, 15, 30):
        watcher.tick(town.at(moment))
    assert _passed_over("worker-down") == before + 3
    assert len(_told(caplog, "is passed over")) == 1


def test_alerts_of_a_rule_that_is_passed_over_are_neither_resolved_nor_repeated(town: Town) -> None:
    town.watcher(RULES["worker-down"]).tick(town.at(0))
    town.recover(10)
    slow = town.watcher(_slow("worker-down"), rule_timeout=AT_ONCE, clock=lambda: 0.0)
    assert [slow.tick(town.at(moment)) for moment in (20, 200, 400)] == [[], [], []]
    quick = town.watcher(RULES["worker-down"])
    # That it was not looked for is no reason to say that it is not there.
    assert quick.tick(town.at(420)) == []
    assert [change.status for change in quick.tick(town.at(560))] == ["resolved"]
    assert [told for told in town.person.told if told.startswith("ops")] == [
        "ops: [high] Worker down (shop)",
        "ops: [resolved] Worker down (shop)",
    ]


@pytest.mark.parametrize(
    ("took", "due", "said"),
    [
        pytest.param(1, 15, [], id="quick: at its interval"),
        pytest.param(13, 130, ["13.0 s, so its next evaluation is in 130 s, not in 15 s"], id="slow: after ten times"),
    ],
)
def test_a_rule_is_evaluated_at_its_interval_and_no_more_than_a_tenth_of_the_time(
    town: Town, caplog: pytest.LogCaptureFixture, took: int, due: int, said: list[str]
) -> None:
    caplog.set_level(logging.INFO)
    watcher = town.watcher(RULES["worker-down"], clock=itertools.count(0, took).__next__)
    watcher.tick(town.at(0))
    town.world.worker("other@a", 110)
    town.world.flush()
    assert watcher.tick(town.at(due - 1)) == []
    assert [change.alert.key for change in watcher.tick(town.at(due))] == [f"{town.world.tenant}/other@a"]
    told = _told(caplog, "The rule worker-down takes")
    assert len(told) == len(said)
    assert all(expected in text for expected, text in zip(said, told, strict=True))


def test_one_look_without_a_finding_resolves_nothing_however_far_apart_looks_are(town: Town) -> None:
    watcher = town.watcher(RULES["worker-down"], clock=itertools.count(0, 20).__next__)
    assert [change.status for change in watcher.tick(town.at(0))] == ["firing"]
    town.recover(10)
    assert watcher.tick(town.at(200)) == []
    assert [change.status for change in watcher.tick(town.at(400))] == ["resolved"]


def test_a_rule_that_is_too_slow_rests_as_well(town: Town) -> None:
    before = _passed_over("worker-down")
    watcher = town.watcher(_slow("worker-down"), rule_timeout=AT_ONCE, clock=itertools.count(0, 15).__next__)
    watcher.tick(town.at(0))
    watcher.tick(town.at(149))
    assert _passed_over("worker-down") == before + 1
    watcher.tick(town.at(150))
    assert _passed_over("worker-down") == before + 2


def test_an_elasticsearch_that_hangs_ends_the_turn_with_the_first_rule_and_no_rule_is_blamed(
    town: Town, caplog: pytest.LogCaptureFixture
) -> None:
    watcher = town.watcher(rule_timeout=AT_ONCE)
    lease = town.lease("one")
    assert lease.hold("2031-01-01", clock=0)
    hung = town.lease("one", timeout=AT_ONCE)
    hung._document.read()
    calls = itertools.count(1)

    def keep() -> None:
        if next(calls) == 1:
            town.wire.stall()
        else:
            hung.keep("2031-01-01", clock=15)

    with pytest.raises(Unavailable, match="does not answer in time"):
        watcher.tick(town.at(0), keep)
    # Asked before the first rule and after it: there was no second one.
    assert next(calls) == 3
    assert _told(caplog, "is passed over") == []


def test_what_was_found_in_a_turn_that_failed_is_found_again_in_the_next_one(town: Town) -> None:
    watcher = town.watcher(RULES["worker-down"], clock=itertools.count(0, 13).__next__)
    calls = itertools.count(1)

    def away() -> None:
        if next(calls) == 2:
            raise Unavailable("Elasticsearch is away.")

    with pytest.raises(Unavailable):
        watcher.tick(town.at(0), away)
    assert [change.status for change in watcher.tick(town.at(5), away)] == ["firing"]


def test_a_turn_that_is_longer_than_the_lease_does_not_change_hands(town: Town) -> None:
    one, other = town.lease("one"), town.lease("other")
    assert one.hold("2031-01-01", clock=0)
    clock = itertools.count(12, 12)
    lost: list[float] = []

    def keep() -> None:
        now = next(clock)
        one.keep("2031-01-01", now)
        if other.hold("2031-01-01", now):
            lost.append(now)

    watcher = town.watcher(*(RULES[rule] for rule in ("broker-lost", "worker-lost", "worker-crashed", "worker-down")))
    assert [change.status for change in watcher.tick(town.at(0), keep)] == ["firing"]
    assert next(clock) > 2 * LEASE
    assert lost == []


def test_a_lease_is_written_at_most_three_times_while_it_lasts(town: Town) -> None:
    lease = town.lease("one")
    lease.hold("2031-01-01", clock=0)
    versions = [lease._document.version]
    for clock in (1, 9, 10, 19, 20):
        lease.keep("2031-01-01", clock)
        versions.append(lease._document.version)
    assert versions[0] == versions[2] != versions[3] == versions[4] != versions[5]


@pytest.mark.parametrize(
    ("call", "told"),
    [
        pytest.param(2, 0, id="after the rule was evaluated"),
        pytest.param(3, 0, id="before the first message"),
        pytest.param(4, 1, id="between two messages"),
    ],
)
def test_whoever_loses_the_lease_in_a_turn_does_nothing_more(town: Town, call: int, told: int) -> None:
    one, other = town.lease("one"), town.lease("other")
    assert one.hold("2031-01-01", clock=0)
    calls = itertools.count(1)

    def keep() -> None:
        if next(calls) == call:
            # This one was asleep for a minute.
            assert not other.hold("2031-01-01", clock=0)
            assert other.hold("2031-01-01", clock=60)
            one.keep("2031-01-01", clock=60)

    loser = town.watcher(RULES["worker-down"])
    with pytest.raises(Outdated):
        loser.tick(town.at(0), keep)
    assert len(town.person.told) == told
    town.watcher(RULES["worker-down"]).tick(town.at(5))
    assert loser.tick(town.at(6)) == []
    assert sorted(town.person.told) == ["ops: [high] Worker down (shop)", "shop: [high] Worker down (shop)"]


def test_the_service_waits_for_half_of_the_lease_and_keeps_it(
    town: Town, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    asked = ("broker-lost", "worker-down")
    path = tmp_path / "alerts.yaml"
    others = (rule.id for rule in read_rules() if rule.id not in asked)
    path.write_text("rules: {" + ", ".join(f"{rule}: {{enabled: false}}" for rule in others) + "}\n")
    name = uuid4().hex
    town.wire.swallow(b"POST /_query")
    watching = build(WatchSettings.load(rules=str(path), name=name, lease=30), _settings(town.wire))
    turns = _Turns(watching)
    begun = time.monotonic()
    turns.take()
    assert turns.trouble == ""
    assert len(_told(caplog, "is passed over")) == len(asked)
    lease = town.world.client.get(index=semconv.INDEX_WATCHER, id=f"lease/{name}")
    # Taken, and written anew after each of the two.
    assert lease["_version"] >= 1 + len(asked)
    town.wire.stall()
    turns.take()
    assert "does not answer in time" in turns.trouble
    # Three requests had 15 s each; with the client's own timeout, one alone would have had two minutes.
    assert time.monotonic() - begun < 100
    watching.client.close()
