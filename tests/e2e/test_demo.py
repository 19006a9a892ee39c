"""The whole path: the shop's load, and what Elasticsearch has of it in the end."""

from collections import Counter, defaultdict
from itertools import pairwise
from typing import Any

import pytest

from celeryscope import semconv
from demo.outcome import Attempt, differences
from shop.expected import Expected

from .conftest import Finished

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

FAILING = [
    "a chain that stops",
    "an exception from another",
    "a first step that fails",
    "an ExceptionGroup",
    "retries used up",
    "killed in mid-run",
    "over the hard time limit",
    "over the soft time limit",
]
STOPPING = ["a chain that stops", "an exception from another", "a first step that fails"]


def failed_attempt(finished: Finished, item: Expected) -> Attempt:
    failed = [attempt for attempt in finished.attempts_of(item.root_id) if attempt.state in semconv.FAILED_STATES]
    assert len(failed) == 1
    return failed[0]


def failure_documents(finished: Finished, attempt: Attempt) -> list[dict[str, Any]]:
    lines = finished.documents.logs(semconv.ATTEMPT, [f"{attempt.task_id}:{attempt.retries}"])
    return [line for line in lines if line.get("event_name") == semconv.EVENT_EXCEPTION]


def test_every_workflow_has_exactly_the_attempts_and_final_states_that_it_must_have(finished: Finished) -> None:
    assert differences(finished.expected, finished.attempts) == {}


def test_about_five_hundred_tasks_ran_and_every_scenario_was_among_them(finished: Finished) -> None:
    assert sum(part.count for item in finished.expected for part in item.attempts) >= 500
    assert {*FAILING, "a flaky task", "revoked before it starts", "an unregistered task", "a group with a chord"} <= {
        item.scenario for item in finished.expected
    }


def test_each_attempt_has_one_document_and_one_final_state(finished: Finished) -> None:
    identities = Counter((attempt.task_id, attempt.retries) for attempt in finished.attempts)
    assert [identity for identity, count in identities.items() if count > 1] == []
    assert [attempt for attempt in finished.attempts if attempt.state not in semconv.FINAL_STATES] == []


@pytest.mark.parametrize("scenario", FAILING)
def test_a_failure_has_its_type_its_message_and_its_whole_stack_trace(finished: Finished, scenario: str) -> None:
    for item in finished.of(scenario):
        assert item.failure
        attempt = failed_attempt(finished, item)
        (document,) = failure_documents(finished, attempt)
        assert attempt.task == item.failure.task
        assert document[semconv.EXCEPTION_TYPE] == attempt.failure_type == item.failure.type
        assert item.failure.message in document[semconv.EXCEPTION_MESSAGE]
        assert item.failure.message in (attempt.failure_message or "")
        positions = [document[semconv.EXCEPTION_STACKTRACE].find(part) for part in item.failure.stacktrace]
        assert -1 not in positions
        assert positions == sorted(positions)


def test_a_failure_has_a_fingerprint_and_the_same_one_whenever_it_happens(finished: Finished) -> None:
    fingerprints = defaultdict(set)
    for scenario in FAILING:
        for item in finished.of(scenario):
            (document,) = failure_documents(finished, failed_attempt(finished, item))
            fingerprints[scenario].add(document[semconv.FINGERPRINT])
    assert {scenario: len(found) for scenario, found in fingerprints.items()} == dict.fromkeys(FAILING, 1)
    assert len(set.union(*fingerprints.values())) == len(FAILING)


@pytest.mark.parametrize("scenario", STOPPING)
def test_the_steps_after_a_failed_one_are_named_and_have_no_attempt(finished: Finished, scenario: str) -> None:
    known = {attempt.task_id for attempt in finished.attempts}
    for item in finished.of(scenario):
        attempt = failed_attempt(finished, item)
        assert [name for _, name in attempt.chain] == item.never_reached
        assert known.isdisjoint(task_id for task_id, _ in attempt.chain)


def test_the_members_of_a_chord_know_the_callback_that_waits_for_them(finished: Finished) -> None:
    for item in finished.of("a group with a chord"):
        attempts = finished.attempts_of(item.root_id)
        (callback,) = [attempt.task_id for attempt in attempts if attempt.task == "shop.shipping.sum_up"]
        members = [attempt for attempt in attempts if attempt.task == "shop.shipping.ship_parcel"]
        assert {member.chord_id for member in members} == {callback}


@pytest.mark.parametrize(
    ("scenario", "states"),
    [("a flaky task", ["RETRY", "RETRY", "SUCCESS"]), ("retries used up", ["RETRY", "RETRY", "FAILURE"])],
)
def test_each_retry_is_an_attempt_of_the_same_task(finished: Finished, scenario: str, states: list[str]) -> None:
    for item in finished.of(scenario):
        attempts = sorted(finished.attempts_of(item.root_id), key=lambda attempt: attempt.retries)
        assert [attempt.state for attempt in attempts] == states
        assert {attempt.task_id for attempt in attempts} == {item.root_id}


@pytest.mark.parametrize(
    ("scenario", "state", "kind"),
    [
        ("killed in mid-run", "LOST", semconv.KIND_WORKER_LOST),
        ("over the hard time limit", "FAILURE", semconv.KIND_TIME_LIMIT),
        ("over the soft time limit", "FAILURE", semconv.KIND_SOFT_TIME_LIMIT),
        ("revoked before it starts", "REVOKED", None),
        ("an unregistered task", "UNKNOWN", semconv.KIND_UNREGISTERED),
    ],
)
def test_an_end_outside_of_the_task_has_its_own_state_and_kind(
    finished: Finished, scenario: str, state: str, kind: str | None
) -> None:
    for item in finished.of(scenario):
        (attempt,) = finished.attempts_of(item.root_id)
        assert (attempt.state, attempt.failure_kind) == (state, kind)


def test_a_workflow_is_one_trace(finished: Finished) -> None:
    traces = defaultdict(set)
    for attempt in finished.attempts:
        traces[attempt.root_id].add(attempt.trace_id)
    assert {root_id: found for root_id, found in traces.items() if len(found) != 1 or None in found} == {}


def test_the_spans_of_a_workflow_form_one_tree(finished: Finished) -> None:
    for item in finished.of("a chain nested in a task")[:5] + finished.of("a group with a chord")[:5]:
        spans = finished.documents.spans(semconv.ROOT_ID, [item.root_id])
        runs = sum(part.count for part in item.attempts)
        assert len(spans) == 2 * runs, "a span for each publish and one for each run"
        ids = {span["span_id"] for span in spans}
        assert [span["name"] for span in spans if span.get("parent_span_id") not in ids] == [
            f"apply_async/{item.attempts[0].task}"
        ]


def test_the_span_of_a_killed_process_is_closed_as_lost(finished: Finished) -> None:
    (item,) = finished.of("killed in mid-run")
    spans = finished.documents.spans(semconv.ROOT_ID, [item.root_id])
    (run,) = [span for span in spans if span["name"].startswith("run/")]
    assert run[semconv.STATE] == semconv.STATE_LOST


def test_log_lines_of_structlog_and_stdlib_carry_the_ids_of_their_task_and_come_once(finished: Finished) -> None:
    for item in finished.of("structlog and stdlib logging")[:5]:
        (attempt,) = finished.attempts_of(item.root_id)
        lines = [
            line
            for line in finished.documents.logs(semconv.TASK_ID, [item.root_id])
            if line.get(semconv.LOGGER_NAME) in {"structlog", "shop.reports"}
        ]
        lines.sort(key=lambda line: line["@timestamp"])
        assert [line["body.text"].split(" ")[0:2] for line in lines] == [
            ["stock", "asked"],
            ["looking", "up"],
            ["no", "revenue"],
            ["stock", "is"],
        ]
        for line in lines:
            assert line[semconv.ATTEMPT] == f"{item.root_id}:0"
            assert line[semconv.TASK_NAME] == attempt.task
            assert line[semconv.ROOT_ID] == item.root_id
            assert line["trace_id"] == attempt.trace_id
        assert [line for line in lines if "ZeroDivisionError" in line.get(semconv.EXCEPTION_STACKTRACE, "")] == [
            lines[2]
        ]


def test_the_fields_of_a_structlog_call_can_be_searched(finished: Finished) -> None:
    lines = finished.documents.logs("left", ["3"])
    assert {line["body.text"] for line in lines} == {"stock is low"}
    assert len(lines) == len(finished.of("structlog and stdlib logging"))


def test_the_order_of_an_attempts_times_is_the_order_of_its_life(finished: Finished) -> None:
    for item in finished.of("an order is shipped"):
        for attempt in finished.attempts_of(item.root_id):
            times = [attempt.sent_at, attempt.received_at, attempt.started_at, attempt.ended_at]
            assert all(
                earlier is not None and later is not None and earlier <= later for earlier, later in pairwise(times)
            )


def test_all_records_that_were_written_are_found_again(finished: Finished) -> None:
    assert finished.spool["dropped"] == {}
    assert finished.spool["pending"] == 0
    assert finished.spool["written"] > 4_000
    assert finished.audit["kafka"]["distinct"] == finished.spool["shipped"]
    assert finished.spool["written"] == finished.spool["shipped"] + finished.spool["superseded"]
    assert finished.audit["missing"]["count"] == finished.audit["dead_letters"] == 0
