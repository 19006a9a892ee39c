from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from celeryscope import semconv
from celeryscope_pipelines.clusters import Entity
from celeryscope_pipelines.clusters.facts import Sightings
from celeryscope_pipelines.clusters.states import after_failures, decided, noted, state_of


def at(second: int) -> str:
    return f"2026-11-21T14:00:{second:02}.000000Z"


def seen(*failures: tuple[str | None, str], service: str | None = None) -> Sightings:
    """Failures in a release (or none) at a time, of an attempt each."""
    sightings = Sightings()
    for release, time in failures:
        times = {"@timestamp": time, semconv.FIRST_SEEN: time, semconv.LAST_SEEN: time}
        where = {semconv.SERVICE_VERSION: release, semconv.SERVICE_NAME: service}
        sightings.add({**times, **where, semconv.ATTEMPT: f"{release}-{time}:0"})
    return sightings


def put(state: str, **more: Any) -> Entity:
    return decided({semconv.FAILURE_STATE: semconv.CLUSTER_OPEN}, state, at=at(10), by="ann", reason="done", **more)


def resolved(*old: str, remedy: str | None = None) -> Entity:
    more = {"FAILURE_RESOLVED_RELEASE": remedy, "FAILURE_OLD_RELEASES": list(old)}
    return put(semconv.CLUSTER_RESOLVED, FAILURE_RESOLVED_AT=at(10), **more)


def test_a_resolved_cluster_that_fails_in_a_later_release_is_regressed() -> None:
    found = after_failures(resolved("1.0"), seen(("1.0", at(11)), ("1.1", at(15)), ("1.2", at(14)), ("1.2", at(16))))
    assert state_of(found) == semconv.CLUSTER_REGRESSED
    assert (found[semconv.FAILURE_REGRESSED_AT], found[semconv.FAILURE_REGRESSED_RELEASE]) == (at(14), "1.2")
    assert found[semconv.FAILURE_HISTORY][-1] == f"{at(14)} regressed by celeryscope: seen in 1.2"
    # Who resolved it, and when, is still told.
    assert (found[semconv.FAILURE_DECIDED_BY], found[semconv.FAILURE_RESOLVED_AT]) == ("ann", at(10))


def test_an_old_worker_that_still_fails_is_no_regression() -> None:
    before = resolved("1.0")
    assert after_failures(before, seen(("1.0", at(11)), ("1.0", at(20)))) == before


def test_failures_before_the_resolution_are_none_however_late_they_come() -> None:
    before = resolved()
    assert after_failures(before, seen(("1.1", at(1)), ("1.1", at(10)), (None, at(9)))) == before


def test_versions_of_several_services_are_not_compared_with_each_other() -> None:
    shared = {semconv.FAILURE_SERVICES: ["billing", "shop"]}
    before = resolved("1.4", "7.2") | shared
    assert after_failures(before, seen(("1.4", at(11)), ("7.2", at(12)))) == before
    assert state_of(after_failures(before, seen(("1.5", at(11))))) == semconv.CLUSTER_REGRESSED
    named = resolved("1.3", "7.2", remedy="1.4") | shared
    assert after_failures(named, seen(("7.2", at(12)), ("1.3", at(13)))) == named
    assert state_of(after_failures(named, seen(("1.4", at(11))))) == semconv.CLUSTER_REGRESSED
    # The other one's failure is the first news of it.
    alone = resolved("7.2") | {semconv.FAILURE_SERVICES: ["billing"]}
    assert state_of(after_failures(alone, seen(("1.5", at(11)), service="shop"))) == semconv.CLUSTER_REGRESSED


def test_without_releases_time_decides() -> None:
    found = after_failures(resolved("1.0"), seen((None, at(5)), (None, at(11))))
    assert (state_of(found), found[semconv.FAILURE_REGRESSED_AT]) == (semconv.CLUSTER_REGRESSED, at(11))
    assert semconv.FAILURE_REGRESSED_RELEASE not in found


def test_what_needed_no_release_is_regressed_in_any() -> None:
    assert state_of(after_failures(resolved(), seen(("1.0", at(11))))) == semconv.CLUSTER_REGRESSED


def test_a_cluster_is_ignored_until_its_time_is_over() -> None:
    before = put(semconv.CLUSTER_IGNORED, FAILURE_IGNORED_AT=at(10), FAILURE_IGNORED_UNTIL=at(30))
    assert after_failures(before, seen((None, at(5)), (None, at(30)))) == before
    found = after_failures(before, seen((None, at(29)), (None, at(31))))
    assert state_of(found) == semconv.CLUSTER_OPEN
    assert semconv.FAILURE_IGNORED_UNTIL not in found
    assert found[semconv.FAILURE_HISTORY][-1].startswith(f"{at(31)} open by celeryscope")


def test_a_cluster_is_ignored_until_it_has_failed_so_often_and_a_failure_counts_once() -> None:
    before = put(semconv.CLUSTER_IGNORED, FAILURE_IGNORED_AT=at(10), FAILURE_IGNORED_COUNT=3)
    assert after_failures(before, seen((None, at(9)), (None, at(10)))) == before
    twice = after_failures(before, seen((None, at(11)), (None, at(12))))
    again = after_failures(twice, seen((None, at(12)), (None, at(11))))
    assert state_of(again) == semconv.CLUSTER_IGNORED
    assert again == twice
    found = after_failures(again, seen((None, at(13))))
    assert state_of(found) == semconv.CLUSTER_OPEN
    assert not {semconv.FAILURE_IGNORED_COUNT, semconv.FAILURE_IGNORED_ATTEMPTS} & set(found)


def test_a_cluster_is_ignored_for_ever() -> None:
    before = put(semconv.CLUSTER_IGNORED, FAILURE_IGNORED_AT=at(10))
    assert after_failures(before, seen(("9.9", at(11)), (None, at(59)))) == before


def test_a_decision_leaves_nothing_of_the_one_before_but_its_history() -> None:
    regressed = after_failures(resolved("1.0"), seen(("1.1", at(15))))
    ignored = decided(regressed, semconv.CLUSTER_IGNORED, at=at(20), by="bob", FAILURE_IGNORED_AT=at(20))
    assert not {name for name in ignored if "resolved" in name or "regressed" in name or name == semconv.FAILURE_REASON}
    assert [line.split()[1] for line in ignored[semconv.FAILURE_HISTORY]] == ["resolved", "regressed", "ignored"]


def test_what_belongs_together_is_nothing_that_a_state_changes() -> None:
    merged = {semconv.FAILURE_MERGED_INTO: "x", semconv.FAILURE_JOINED: True}
    found = decided(merged, semconv.CLUSTER_OPEN, at=at(20), by="bob")
    assert merged.items() <= found.items()


def test_the_history_is_bounded() -> None:
    entity: Entity = {}
    for number in range(50):
        entity = noted(entity, at(1), "open", f"ann{number}", "x" * 5000)
    assert len(entity[semconv.FAILURE_HISTORY]) == 20
    assert max(map(len, entity[semconv.FAILURE_HISTORY])) <= 1000
    assert "ann49" in entity[semconv.FAILURE_HISTORY][-1]


failures = st.tuples(st.sampled_from(["1.0", "1.1", "2.0", None]), st.integers(0, 59).map(at))


@given(st.lists(failures, min_size=1, max_size=6))
def test_failures_that_come_again_change_nothing(some: list[tuple[str | None, str]]) -> None:
    until, count = {"FAILURE_IGNORED_UNTIL": at(30)}, {"FAILURE_IGNORED_AT": at(10), "FAILURE_IGNORED_COUNT": 4}
    ignored = [put(semconv.CLUSTER_IGNORED, **more) for more in (until, count)]
    for before in (resolved("1.0"), resolved(remedy="1.1"), *ignored):
        once = after_failures(before, seen(*some))
        assert after_failures(once, seen(*some)) == once
