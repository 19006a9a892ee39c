"""Whatever order failures come in, in whatever parts, however often: the entity is the same."""

from functools import reduce
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from celeryscope import semconv
from celeryscope_pipelines.attributes import moment
from celeryscope_pipelines.clusters import Entity
from celeryscope_pipelines.clusters.facts import MOST, SAMPLES, Sightings, complete, merge


def failure(second: int, attempt: str = "a:0", **more: Any) -> Entity:
    seen = moment(1_700_000_000_000_000 + second * 1_000_000)
    body = {"@timestamp": seen, semconv.FIRST_SEEN: seen, semconv.LAST_SEEN: seen, semconv.ATTEMPT: attempt}
    return body | {getattr(semconv, name): value for name, value in more.items()}


def facts(*failures: Entity) -> Entity:
    sightings = Sightings()
    for one in failures:
        sightings.add(one)
    return sightings.facts()


RELEASES = ["1.0", "1.1", "2.0", None]
ANY = [
    failure(
        number % 20,
        f"task-{number}:0",
        SERVICE_VERSION=RELEASES[number % 4],
        WORKER=f"celery@{number % 70}",
        TASK_NAME=("shop.pay", "shop.ship")[number % 2],
    )
    for number in range(300)
]


@given(st.lists(st.sampled_from(ANY), min_size=1, max_size=100), st.data())
def test_order_parts_and_repetition_make_no_difference(seen: list[Entity], data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations([*seen, *data.draw(st.lists(st.sampled_from(seen), max_size=20))]))
    cuts = sorted(data.draw(st.lists(st.integers(1, len(shuffled)), max_size=5)))
    parts = [shuffled[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(shuffled)], strict=True) if begin < end]
    assert reduce(merge, [facts(*part) for part in parts]) == facts(*seen)


def test_the_latest_failure_is_the_sample_and_the_first_says_since_when_and_in_which_release() -> None:
    late = failure(9, "late:0", SERVICE_VERSION="1.1", EXCEPTION_MESSAGE="new words")
    early = failure(1, "early:0", SERVICE_VERSION="1.0", EXCEPTION_MESSAGE="old words")
    for entity in (facts(late, early), merge(facts(late), facts(early)), merge(facts(early), facts(late))):
        assert entity[semconv.EXCEPTION_MESSAGE] == "new words"
        assert (entity[semconv.FIRST_SEEN], entity[semconv.LAST_SEEN]) == (early["@timestamp"], late["@timestamp"])
        assert (entity[semconv.FAILURE_FIRST_RELEASE], entity[semconv.FAILURE_LAST_RELEASE]) == ("1.0", "1.1")
        assert (entity[semconv.FAILURE_FIRST_ATTEMPT], entity[semconv.ATTEMPT]) == ("early:0", "late:0")
        assert entity[semconv.FAILURE_RELEASES] == ["1.0", "1.1"]


def test_sets_are_bounded_and_tell_about_how_many_values_found_no_room() -> None:
    one = facts(*(failure(n, f"a{n}:0", WORKER=f"celery@pod-{n}") for n in range(600)))
    other = facts(*(failure(n, f"b{n}:0", WORKER=f"celery@pod-{n}") for n in range(400, 1000)))
    merged = merge(one, other)
    assert len(merged[semconv.FAILURE_WORKERS]) == MOST
    assert 600 < merged["celery.failure.workers_left_out"] < 1500
    assert merge(merged, one) == merge(merged, other) == merged
    assert len(merged[semconv.FAILURE_SAMPLES]) == SAMPLES
    assert "celery.failure.tasks_left_out" not in merged


def test_a_full_set_without_more_leaves_nothing_out() -> None:
    full = facts(*(failure(n, WORKER=f"celery@{n}") for n in range(MOST)))
    assert len(full[semconv.FAILURE_WORKERS]) == MOST
    assert "celery.failure.workers_left_out" not in full


def test_decisions_stay_whatever_fails_afterwards() -> None:
    stored = facts(failure(1)) | {
        semconv.FAILURE_STATE: semconv.CLUSTER_IGNORED,
        semconv.FAILURE_REASON: "known",
        semconv.FAILURE_MERGED_INTO: "f" * 32,
    }
    merged = merge(stored, facts(failure(5, EXCEPTION_MESSAGE="again")))
    assert merged[semconv.EXCEPTION_MESSAGE] == "again"
    assert merged[semconv.FAILURE_STATE] == semconv.CLUSTER_IGNORED
    assert (merged[semconv.FAILURE_REASON], merged[semconv.FAILURE_MERGED_INTO]) == ("known", "f" * 32)


def test_an_entity_of_an_earlier_version_tells_by_its_sample_where_it_was_seen() -> None:
    old = failure(1, TASK_NAME="shop.pay", SERVICE_VERSION="0.9", SERVICE_NAME="shop")
    completed = complete(old)
    assert completed[semconv.FAILURE_TASKS] == ["shop.pay"]
    assert (completed[semconv.FAILURE_RELEASES], completed[semconv.FAILURE_LAST_RELEASE]) == (["0.9"], "0.9")
    assert completed[semconv.FAILURE_STATE] == semconv.CLUSTER_OPEN
    merged = merge(completed, facts(failure(5, TASK_NAME="shop.refund", SERVICE_VERSION="1.0")))
    assert merged[semconv.FAILURE_TASKS] == ["shop.pay", "shop.refund"]
    assert merged[semconv.FIRST_SEEN] == old[semconv.FIRST_SEEN]
    assert semconv.FAILURE_FIRST_RELEASE not in merged


def test_what_is_no_name_is_taken_as_text() -> None:
    entity = facts(failure(1, WORKER=["celery@a", "celery@b"], TASK_NAME=7))
    assert entity[semconv.FAILURE_WORKERS] == ["['celery@a', 'celery@b']"]
    assert entity[semconv.FAILURE_TASKS] == ["7"]
