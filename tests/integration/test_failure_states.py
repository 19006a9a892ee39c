"""The life of failure clusters on a real Elasticsearch: what failures, indexers and people make of them."""

import multiprocessing
from collections.abc import Iterator
from typing import Any

import pytest

from celeryscope import semconv
from celeryscope.service.elasticsearch import ElasticsearchSettings
from celeryscope_pipelines.attributes import moment
from celeryscope_pipelines.provisioning.indices import provision_indices
from celeryscope_pipelines.provisioning.plan import Plan
from integration.failure_clusters import Shop, keep_deciding, keep_failing
from servers import Elasticsearch
from support import messages
from support.waiting import until

pytestmark = pytest.mark.elasticsearch


@pytest.fixture(scope="module")
def url(elasticsearch: Elasticsearch) -> str:
    list(provision_indices(ElasticsearchSettings(url=elasticsearch.url), Plan()))
    return elasticsearch.url


@pytest.fixture
def shop(url: str) -> Iterator[Shop]:
    shop = Shop(url)
    with shop.client:
        yield shop


def state(shop: Shop, function: str = "charge") -> str:
    return str(shop.entities()[function][semconv.FAILURE_STATE])


def test_an_entity_tells_where_and_since_when_a_cluster_was_seen(shop: Shop) -> None:
    first = shop.failure(release="1.0", WORKER="celery@a")
    shop.fails(release="1.1", WORKER="celery@b", TASK_NAME="shop.refund")
    shop.pipeline.process(first)
    entity = shop.entities()["charge"]
    assert entity[semconv.FAILURE_TASKS] == ["shop.pay", "shop.refund"]
    assert entity[semconv.FAILURE_WORKERS] == ["celery@a", "celery@b"]
    assert entity[semconv.FAILURE_RELEASES] == ["1.0", "1.1"]
    assert (entity[semconv.FAILURE_QUEUES], entity[semconv.FAILURE_SERVICES]) == (["high"], ["shop"])
    assert (entity[semconv.FAILURE_FIRST_RELEASE], entity[semconv.FAILURE_LAST_RELEASE]) == ("1.0", "1.1")
    assert entity[semconv.FIRST_SEEN] < entity[semconv.LAST_SEEN]
    assert entity[semconv.FAILURE_STATE] == semconv.CLUSTER_OPEN
    assert len(entity[semconv.FAILURE_SAMPLES]) == 2


def test_a_resolved_cluster_is_regressed_by_a_later_release_and_not_by_an_old_worker(shop: Shop) -> None:
    shop.fails(release="1.0")
    shop.fails(release="1.1")
    said = shop.failures("resolve", shop.fingerprint()[:8], "--reason", "timeout raised", "--by", "ann")
    assert said.exit_code == 0
    assert "a failure in a later release than 1.0, 1.1 is a regression" in said.stdout
    shop.fails(release="1.0")
    assert state(shop) == semconv.CLUSTER_RESOLVED
    assert shop.failures("list", "--state", "resolved").exit_code == 0
    again = shop.fails(release="1.2")
    entity = shop.entities()["charge"]
    assert entity[semconv.FAILURE_STATE] == semconv.CLUSTER_REGRESSED
    assert entity[semconv.FAILURE_REGRESSED_RELEASE] == "1.2"
    assert entity[semconv.FAILURE_REGRESSED_AT] == entity[semconv.LAST_SEEN]
    screen = shop.failures("show", shop.fingerprint()).stdout
    assert "regressed  since" in screen
    assert "by ann: timeout raised" in screen
    # The same failure once more, after it was resolved once more, is no news.
    shop.failures("resolve", shop.fingerprint(), "--now")
    shop.pipeline.process(again)
    assert state(shop) == semconv.CLUSTER_RESOLVED
    shop.fails(release="1.0")
    assert state(shop) == semconv.CLUSTER_REGRESSED


def test_a_release_that_runs_already_and_has_the_remedy_is_named(shop: Shop) -> None:
    shop.fails(release="c0ffee1")
    shop.fails("other", release="beef002")
    assert "in beef002 or later" in shop.failures("resolve", shop.fingerprint(), "--release", "beef002").stdout
    shop.fails(release="c0ffee1")
    assert state(shop) == semconv.CLUSTER_RESOLVED
    shop.fails(release="beef002")
    assert state(shop) == semconv.CLUSTER_REGRESSED


def test_a_release_that_runs_elsewhere_in_the_service_is_an_old_one(shop: Shop) -> None:
    shop.fails(release="c0ffee1")
    shop.fails("other", release="beef002")
    shop.failures("resolve", shop.fingerprint())
    shop.fails(release="beef002")
    assert state(shop) == semconv.CLUSTER_RESOLVED
    shop.fails(release="0ddba11")
    assert state(shop) == semconv.CLUSTER_REGRESSED


def test_a_batch_that_comes_again_changes_nothing_and_is_not_even_written(shop: Shop) -> None:
    batches = [shop.fails(release=f"1.{number}", WORKER=f"celery@{number}") for number in range(5)]
    shop.failures("resolve", shop.fingerprint(), "--release", "1.3")
    batches.append(shop.fails(release="1.4"))
    before = shop.client.get(index=semconv.INDEX_FAILURES, id=f"{shop.tenant}/{shop.fingerprint()}")
    shop.start_an_indexer()
    for batch in [*batches, *reversed(batches)]:
        shop.pipeline.process(batch)
    after = shop.client.get(index=semconv.INDEX_FAILURES, id=f"{shop.tenant}/{shop.fingerprint()}")
    assert (after["_source"], after["_version"]) == (before["_source"], before["_version"])
    assert shop.json()["clusters"][0]["count"] == 6


def test_a_cluster_is_ignored_until_it_has_failed_so_often_however_often_that_is_told(shop: Shop) -> None:
    shop.fails()
    assert "until 3 attempts more have failed" in shop.failures("ignore", shop.fingerprint(), "--count", "3").stdout
    both = shop.failures("ignore", shop.fingerprint(), "--count", "3", "--until", "2030-01-01").stdout
    assert "until 2030-01-01 00:00:00 or until 3 attempts more have failed" in both
    for batch in (shop.fails(), shop.fails()):
        shop.pipeline.process(batch)
    assert state(shop) == semconv.CLUSTER_IGNORED
    assert "(2 so far)" in shop.failures("show", shop.fingerprint()).stdout
    shop.fails()
    assert state(shop) == semconv.CLUSTER_OPEN


def test_a_cluster_is_ignored_for_ever_until_somebody_reopens_it(shop: Shop) -> None:
    shop.fails()
    shop.failures("ignore", shop.fingerprint(), "--reason", "known")
    shop.fails(release="9.9")
    found = shop.json("show", shop.fingerprint())
    assert (found["state"], found["reason"], found["count"]) == ("ignored", "known", 2)
    assert "is open" in shop.failures("reopen", shop.fingerprint()).stdout
    assert shop.json("show", shop.fingerprint())["ignored_at"] is None


def test_clusters_that_are_merged_are_listed_counted_and_resolved_as_one(shop: Shop) -> None:
    for function in ("charge", "refund", "refund", "other"):
        shop.fails(function, release="1.0")
    head, member = shop.fingerprint("charge"), shop.fingerprint("refund")
    assert shop.failures("merge", head[:10], member[:10]).exit_code == 0
    listed = {cluster["fingerprint"]: cluster for cluster in shop.json()["clusters"]}
    assert (listed[head]["count"], listed[head]["members"]) == (3, [member])
    assert member not in listed
    assert shop.json()["total"] == 2
    shown = shop.json("show", member[:10])
    assert (shown["fingerprint"], shown["count"], len(shown["latest"])) == (head, 3, 3)
    shop.failures("resolve", member, "--now")
    shop.fails("refund", release="1.1")
    assert state(shop, "charge") == semconv.CLUSTER_REGRESSED
    assert state(shop, "refund") == semconv.CLUSTER_OPEN
    assert shop.json("list", "--state", "regressed")["failures"] == 4
    assert shop.json("list", "--state", "open")["failures"] == 1


def test_a_split_undoes_a_merge(shop: Shop) -> None:
    for function in ("charge", "refund", "other"):
        shop.fails(function)
    facts = {name: entity[semconv.FAILURE_TASKS] for name, entity in shop.entities().items()}
    head, *others = (shop.fingerprint(function) for function in ("charge", "refund", "other"))
    shop.failures("merge", head, *others)
    assert shop.json()["total"] == 1
    assert "a cluster of its own again" in shop.failures("split", others[0]).stdout
    assert shop.json()["total"] == 2
    assert "has 1 cluster less" in shop.failures("split", head).stdout
    assert [cluster["count"] for cluster in shop.json()["clusters"]] == [1, 1, 1]
    assert {name: entity[semconv.FAILURE_TASKS] for name, entity in shop.entities().items()} == facts
    assert shop.failures("split", head).exit_code == 3


def test_clusters_of_one_type_and_place_are_joined_also_those_to_come(shop: Shop) -> None:
    def saying(words: str) -> dict[str, str]:
        traceback = messages.TRACEBACK.replace("no answer after 30 s", words)
        return {"EXCEPTION_MESSAGE": words, "EXCEPTION_STACKTRACE": traceback}

    shop.fails(**saying("gateway is away"))
    head = shop.fingerprint()
    # Of this one no search knows yet.
    shop.pipeline.process(shop.failure(**saying("come back later")))
    assert "those to come" in shop.failures("merge", head, "--joined").stdout
    shop.fails(**saying("try again tomorrow"))
    (cluster,) = shop.json()["clusters"]
    assert (cluster["fingerprint"], cluster["count"], len(cluster["members"])) == (head, 3, 2)
    assert "has 0 clusters merged" in shop.failures("merge", head, "--joined").stdout
    shop.failures("split", head)
    shop.fails(**saying("who are you?"))
    assert shop.json()["total"] == 4


def test_what_may_change_a_state_is_written_at_once_and_a_later_last_seen_now_and_then(shop: Shop) -> None:
    shop.start_an_indexer(interval=3600)

    def is_written(**attributes: str) -> bool:
        before = shop.entities().get("charge", {}).get(semconv.LAST_SEEN)
        shop.fails(**attributes)
        return bool(shop.entities()["charge"][semconv.LAST_SEEN] != before)

    assert is_written()
    assert not is_written()
    assert is_written(WORKER="celery@other")
    shop.failures("resolve", shop.fingerprint())
    assert is_written(release="0.9")
    assert is_written(release="0.9")
    assert state(shop) == semconv.CLUSTER_RESOLVED


def test_decisions_and_facts_survive_others_who_write_at_the_same_time(shop: Shop) -> None:
    shop.fails()
    spawn = multiprocessing.get_context("spawn")
    work = [(keep_failing, "a", 8), (keep_failing, "b", 8), (keep_deciding, "ann", 5), (keep_deciding, "bob", 5)]
    processes = [spawn.Process(target=what, args=(shop.url, shop.tenant, name, times)) for what, name, times in work]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0, 0, 0, 0]
    entity = shop.entities()["charge"]
    assert {f"celery@{name}-{number}" for name in "ab" for number in range(8)} < {*entity[semconv.FAILURE_WORKERS]}
    assert entity[semconv.FAILURE_RELEASES] == ["1.0", "1.1", "1.2"]
    history = entity[semconv.FAILURE_HISTORY]
    thoughts = {f"by {name}: thought {number}" for name in ("ann", "bob") for number in range(5)}
    assert {line.split(" ", 2)[2] for line in history} == thoughts
    assert len(history) == 10
    assert history[-1].split(" ", 1)[1] == (
        f"{entity[semconv.FAILURE_STATE]} by {entity[semconv.FAILURE_DECIDED_BY]}: {entity[semconv.FAILURE_REASON]}"
    )
    until(lambda: shop.json()["clusters"][0]["count"] == 17, what="the last failures can be found")


def test_a_cluster_of_an_earlier_version_is_shown_and_goes_on(shop: Shop) -> None:
    shop.fails(release="1.0")
    identity = f"{shop.tenant}/{shop.fingerprint()}"
    known = shop.client.get(index=semconv.INDEX_FAILURES, id=identity)["_source"]
    old: dict[str, Any] = {name: value for name, value in known.items() if not name.startswith("celery.failure.")}
    old |= {semconv.FIRST_SEEN: moment(1_700_000_000_000_000), semconv.WORKER: None, "celery.culprit_file": None}
    shop.client.index(index=semconv.INDEX_FAILURES, id=identity, document=old, refresh=True)
    shop.start_an_indexer()
    shown = shop.json("show", shop.fingerprint())
    assert (shown["state"], shown["first_seen"]) == ("open", "2023-11-14T22:13:20.000000Z")
    assert shown["seen"]["releases"]["values"] == ["1.0"]
    assert "open" in shop.failures("show", shop.fingerprint()).stdout
    shop.failures("resolve", shop.fingerprint())
    shop.fails(release="1.1")
    entity = shop.entities()["charge"]
    assert (entity[semconv.FAILURE_STATE], entity[semconv.FIRST_SEEN]) == ("regressed", moment(1_700_000_000_000_000))
    assert entity[semconv.FAILURE_RELEASES] == ["1.0", "1.1"]


def test_what_nobody_can_do_is_said_in_words_and_by_the_exit_code(shop: Shop) -> None:
    shop.fails()
    fingerprint = shop.fingerprint()
    for arguments, code, words in (
        (["show", "ffff0000"], 3, "No failure cluster begins with 'ffff0000'"),
        (["resolve", "ffff0000"], 3, "No failure cluster begins with"),
        (["split", fingerprint], 3, "Nothing was merged"),
        (["resolve", fingerprint, "--now", "--release", "1"], 2, "contradict"),
        (["ignore", fingerprint, "--until", "yesterday"], 2, "is no time"),
        (["ignore", fingerprint, "--until", "2020-01-01"], 2, "is over already"),
        (["merge", fingerprint], 2, "--joined"),
        (["merge", fingerprint, fingerprint], 2, "one cluster already"),
    ):
        done = shop.failures(*arguments)
        assert (done.exit_code, done.stdout) == (code, ""), done.output
        assert words in done.stderr
    shop.url = "http://127.0.0.1:1"
    assert shop.failures("resolve", fingerprint).exit_code == 4


def test_show_has_all_that_one_wants_to_know_first(shop: Shop) -> None:
    owner = {"OWNER_TEAM": "payments", "OWNER_SEVERITY": "critical", "OWNER_RUNBOOK": "https://wiki/pay"}
    shop.fails(release="2.1", **owner)
    screen = shop.failures("show", shop.fingerprint()[:8]).stdout
    trend = shop.json("show", shop.fingerprint())["trend"]["counts"]
    assert (len(trend), sum(trend)) == (48, 1)
    for words in (
        "TimeoutError in",
        "shop.gateway in charge (/srv/shop/gateway.py:12)",
        "release 2.1",
        "shop.pay (1)",
        "celery@test",
        "payments, critical",
        "https://wiki/pay",
        "1 in the last 24 h",
        "█",
        messages.TRACEBACK.strip(),
        "Next: celeryscope task ",
        "celeryscope workflow ",
        "celeryscope logs --task ",
        f"celeryscope failures resolve {shop.fingerprint()[:8]}",
    ):
        assert words in screen, words
