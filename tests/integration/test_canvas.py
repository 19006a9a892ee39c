"""What a real worker says of chains, groups, chords, callbacks, retries and waiting; Celery publishes the steps."""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from celeryscope import semconv
from celeryscope.clock import now_us
from celeryscope_pipelines.views.attempts import attempt_from
from celeryscope_pipelines.views.waterfall import NEVER_REACHED, workflow_of
from servers import Redis
from support.sink import Sink
from support.waiting import until
from support.workers import Worker

pytestmark = pytest.mark.redis

CANVASES = """
def s(task, case, **options): return task.si(case=case).set(**options)
def both(case): return group(s(pack, case), s(weigh, case))

s(pack, "countdown").apply_async(countdown=10)  # the first, so that the worker has it long before it may run
chain(s(prepare, "chain"), s(pack, "chain"), s(ship, "chain")).apply_async()
both("group").apply_async()
chord(both("chord"), s(ship, "chord")).apply_async()
chain(s(prepare, "mixed"), both("mixed"), s(ship, "mixed"), s(bill, "mixed")).apply_async()
(group(chain(s(prepare, "chains"), s(pack, "chains")), s(weigh, "chains")) | s(ship, "chains")).apply_async()
(group(chord(both("nested"), s(ship, "nested")), s(prepare, "nested")) | s(bill, "nested")).apply_async()
shipped = s(ship, "stopped", link=[s(bill, "stopped")])
chain(s(prepare, "stopped"), s(broken, "stopped"), both("stopped"), shipped).apply_async()
header = group(s(pack, "header"), s(broken, "header"))
chain(s(prepare, "header"), header, s(ship, "header"), s(bill, "header")).apply_async()
s(pack, "linked", link=[s(ship, "linked"), s(bill, "linked")]).apply_async()
s(broken, "errback", link_error=[told.s(case="errback")]).apply_async()
s(calls, "calls").apply_async()
chain(s(prepare, "replaced"), s(replaced, "replaced"), s(ship, "replaced")).apply_async()
chain(s(calls, "own id", task_id="order-4711"), s(ship, "own id")).apply_async()
chain(s(flaky, "flaky"), s(ship, "flaky")).apply_async()
s(hopeless, "hopeless").apply_async()
with trace.get_tracer("shop.web").start_as_current_span("request"):
    chord(both("request"), s(killed, "request")).apply_async()
group(s(killed, "killed", link_error=[told.s(case="killed")]), s(pack, "killed")).apply_async()
"""


class Canvases:
    """The events of the canvases above, by their case."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self.sink = worker.sink

    def attempts(self, case: str) -> list[dict[str, Any]]:
        """The last snapshot of each attempt of the case, in the order of their starts."""
        last: dict[str, dict[str, Any]] = {}
        for event in self.events(case):
            last[event[semconv.ATTEMPT]] = event
        return sorted(last.values(), key=lambda event: event.get(semconv.STARTED_AT, 0))

    def events(self, case: str) -> list[dict[str, Any]]:
        return [event for event in self.sink.events() if f"'{case}'" in event.get(semconv.KWARGS, "")]

    def ended(self, case: str, **names: int) -> list[dict[str, Any]]:
        """The same, once exactly these tasks have ended: names and how many attempts each."""

        def finals() -> Counter[str]:
            found = self.attempts(case)
            return Counter(event[semconv.TASK_NAME] for event in found if event[semconv.STATE] in semconv.FINAL_STATES)

        until(lambda: finals() == names, 120, f"{case}: {names}, not {finals()}; {self.worker.log()[-2000:]}")
        return self.attempts(case)

    def one(self, case: str, name: str, retries: int = 0) -> dict[str, Any]:
        found = [event for event in self.attempts(case) if event[semconv.TASK_NAME] == name]
        return next(event for event in found if event[semconv.RETRIES] == retries)

    def spans(self, case: str) -> list[dict[str, Any]]:
        """All spans of the case's tasks, once each task has both of its own."""
        tasks = {event[semconv.TASK_ID] for event in self.attempts(case)}

        def found() -> list[dict[str, Any]]:
            return [span for span in self.sink.spans if span.get(semconv.TASK_ID) in tasks]

        wanted = {(task, kind) for task in tasks for kind in (4, 5)}
        until(lambda: {(span[semconv.TASK_ID], span["kind"]) for span in found()} >= wanted, what=f"spans of {case}")
        return found()


@pytest.fixture(scope="module")
def worker(redis: Redis, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    folder = tmp_path_factory.mktemp("canvas")
    patient = {"CELERYSCOPE_FLUSH_TIMEOUT": "60"}  # what a publisher has told is there when it has ended
    with Sink() as sink, Worker(sink, redis.url, folder, app="canvas_app", concurrency=1, **patient) as running:
        yield running


@pytest.fixture(scope="module")
def canvases(worker: Worker) -> Canvases:
    worker.run(CANVASES)
    return Canvases(worker)


def _places(attempts: list[dict[str, Any]]) -> dict[str, tuple[int | None, int | None]]:
    return {
        event[semconv.TASK_NAME]: (event.get(semconv.CHAIN_INDEX), event.get(semconv.CHAIN_LENGTH))
        for event in attempts
    }


def test_the_steps_of_a_chain_tell_their_place_and_those_to_come(canvases: Canvases) -> None:
    attempts = canvases.ended("chain", prepare=1, pack=1, ship=1)
    assert _places(attempts) == {"prepare": (0, 3), "pack": (1, 3), "ship": (2, 3)}
    assert [event.get(semconv.CHAIN_NAMES) for event in attempts] == [["pack", "ship"], ["ship"], None]
    assert attempts[0][semconv.CHAIN_IDS] == [event[semconv.TASK_ID] for event in attempts[1:]]


def test_the_members_of_a_group_are_one_workflow_and_know_its_size(canvases: Canvases) -> None:
    attempts = canvases.ended("group", pack=1, weigh=1)
    assert [(event[semconv.GROUP_INDEX], event[semconv.GROUP_SIZE]) for event in attempts] == [(0, 2), (1, 2)]
    assert {event[semconv.ROOT_ID] for event in attempts} == {attempts[0][semconv.GROUP_ID]}


def test_the_header_of_a_chord_knows_the_body_that_waits(canvases: Canvases) -> None:
    canvases.ended("chord", pack=1, weigh=1, ship=1)
    body = canvases.one("chord", "ship")
    for name in ("pack", "weigh"):
        member = canvases.one("chord", name)
        assert (member[semconv.CHORD_ID], member[semconv.CHORD_NAME]) == (body[semconv.TASK_ID], "ship")
        assert (member[semconv.GROUP_SIZE], member[semconv.CHAIN_INDEX]) == (2, 0)
    assert (body[semconv.CHAIN_INDEX], body[semconv.CHAIN_LENGTH], body.get(semconv.GROUP_ID)) == (1, 2, None)


def test_a_group_in_a_chain_has_a_place_and_its_members_were_planned_by_id(canvases: Canvases) -> None:
    attempts = canvases.ended("mixed", prepare=1, pack=1, weigh=1, ship=1, bill=1)
    assert _places(attempts) == {"prepare": (0, 4), "pack": (1, 4), "weigh": (1, 4), "ship": (2, 4), "bill": (3, 4)}
    first = canvases.one("mixed", "prepare")
    planned = [canvases.one("mixed", name)[semconv.TASK_ID] for name in first[semconv.CHAIN_NAMES]]
    assert first[semconv.CHAIN_NAMES] == ["pack", "weigh", "ship", "bill"]
    assert first[semconv.CHAIN_IDS] == planned
    assert first[semconv.CHAIN_AFTER] == ["0", "0", "1,2", "3"]


def test_a_chain_in_a_group_has_places_of_its_own(canvases: Canvases) -> None:
    attempts = canvases.ended("chains", prepare=1, pack=1, weigh=1, ship=1)
    assert _places(attempts) == {"prepare": (0, 2), "pack": (1, 2), "weigh": (0, 2), "ship": (1, 2)}
    assert canvases.one("chains", "prepare")[semconv.CHAIN_NAMES] == ["pack", "ship"]
    assert canvases.one("chains", "pack")[semconv.GROUP_SIZE] == 2


def test_a_chord_in_the_header_of_a_chord_ends_in_both_bodies(canvases: Canvases) -> None:
    attempts = canvases.ended("nested", pack=1, weigh=1, ship=1, prepare=1, bill=1)
    assert _places(attempts)["bill"] == (1, 2)
    assert canvases.one("nested", "pack")[semconv.CHAIN_NAMES] == ["ship", "bill"]


@pytest.mark.parametrize(
    ("case", "ran", "failed", "never"),
    [
        ("stopped", {"prepare": 1, "broken": 1}, "broken", {"pack", "weigh", "ship", "bill"}),
        ("header", {"prepare": 1, "pack": 1, "broken": 1}, "broken", {"ship", "bill"}),
    ],
)
def test_planned_steps_that_never_ran_are_named_from_the_data_alone(
    canvases: Canvases, case: str, ran: dict[str, int], failed: str, never: set[str]
) -> None:
    attempts = canvases.ended(case, **ran)
    documents = [{key: value for key, value in event.items() if not key.endswith("_at")} for event in attempts]
    workflow = workflow_of("root", [attempt_from(document) for document in documents], datetime.now(UTC))
    missing = [row for row in workflow.rows if row.state == NEVER_REACHED]
    assert {row.name for row in missing} == never
    assert {row.cause.name for row in missing if row.cause} == {failed}
    assert len(missing) == len(never)


@pytest.mark.parametrize(
    ("case", "names"),
    [
        ("chain", {"prepare": 1, "pack": 1, "ship": 1}),
        ("group", {"pack": 1, "weigh": 1}),
        ("chord", {"pack": 1, "weigh": 1, "ship": 1}),
        ("mixed", {"prepare": 1, "pack": 1, "weigh": 1, "ship": 1, "bill": 1}),
        ("chains", {"prepare": 1, "pack": 1, "weigh": 1, "ship": 1}),
        ("nested", {"pack": 1, "weigh": 1, "ship": 1, "prepare": 1, "bill": 1}),
        ("linked", {"pack": 1, "ship": 1, "bill": 1}),
        ("errback", {"broken": 1, "told": 1}),
        ("calls", {"calls": 1, "pack": 1, "weigh": 2}),
        # The last step of the replacement has the task id of what it replaces.
        ("replaced", {"prepare": 1, "pack": 1, "weigh": 1, "ship": 1}),
        ("own id", {"calls": 1, "pack": 1, "weigh": 2, "ship": 1}),
        ("flaky", {"flaky": 3, "ship": 1}),
        ("killed", {"killed": 1, "pack": 1, "told": 1}),
        ("request", {"pack": 1, "weigh": 1, "killed": 1}),
    ],
)
def test_one_workflow_is_one_root_and_one_trace(canvases: Canvases, case: str, names: dict[str, int]) -> None:
    attempts = canvases.ended(case, **names)
    (root,) = {event[semconv.ROOT_ID] for event in attempts}
    (trace,) = {record["trace_id"] for record in (*canvases.events(case), *canvases.spans(case))}
    if case == "own id":
        assert root == "order-4711"
    elif case == "request":
        (request,) = [span for span in canvases.sink.spans if span["name"] == "request"]
        assert trace == request["trace_id"], "the caller's own"
    else:
        assert trace == root.replace("-", "")


def test_each_attempt_has_a_span_that_links_to_the_one_before(canvases: Canvases) -> None:
    attempts = canvases.ended("flaky", flaky=3, ship=1)[:3]
    assert [event[semconv.RETRIES] for event in attempts] == [0, 1, 2]
    runs = {
        span[semconv.RETRIES]: span
        for span in canvases.spans("flaky")
        if span["kind"] == 5 and span[semconv.TASK_NAME] == "flaky"
    }
    assert runs[0]["links"] == []
    for retries in (1, 2):
        (link,) = runs[retries]["links"]
        assert (link["traceId"], link["spanId"]) == (runs[retries - 1]["trace_id"], runs[retries - 1]["span_id"])
    assert {span["status"]["code"] for span in runs.values()} == {0}, "a retry is no error"


def test_a_retry_tells_its_reason_and_when_it_goes_on_and_keeps_its_place(canvases: Canvases) -> None:
    first, second, third, _ = canvases.ended("flaky", flaky=3, ship=1)
    assert (first[semconv.STATE], first[semconv.RETRY_REASON], first["severity"]) == ("RETRY", "not yet", "WARN")
    assert first[semconv.RETRY_COUNTDOWN] == pytest.approx(0.3)
    # Celery publishes the next attempt before it says that there is one; both add the countdown to their own now.
    began, told, ended = (first[key] for key in (semconv.STARTED_AT, semconv.RETRY_ETA, semconv.ENDED_AT))
    assert began + 300_000 <= second[semconv.ETA] <= told <= ended + 300_000 + 1
    assert [(event[semconv.CHAIN_INDEX], event[semconv.CHAIN_NAMES]) for event in (first, third)] == [(0, ["ship"])] * 2
    assert (third[semconv.STATE], semconv.RETRY_REASON in third) == ("SUCCESS", False)


def test_exhausted_retries_are_one_error(canvases: Canvases) -> None:
    first, last = canvases.ended("hopeless", hopeless=2)
    assert [(event[semconv.STATE], event["severity"]) for event in (first, last)] == [
        ("RETRY", "WARN"),
        ("FAILURE", "ERROR"),
    ]
    assert first[semconv.RETRY_COUNTDOWN] == 0
    errors = [event for event in canvases.sink.events() if event["severity"] == "ERROR" and "hopeless" in event["body"]]
    assert len(errors) == 1


def _waited(event: dict[str, Any]) -> float:
    could_run = max(event[semconv.SENT_AT], event.get(semconv.ETA, 0))
    waited: float = event[semconv.QUEUE_TIME] + event[semconv.PREFETCH_TIME]
    assert waited == pytest.approx(max(event[semconv.STARTED_AT] - could_run, 0) / 1e6)
    return waited


def test_a_countdown_is_no_waiting(canvases: Canvases) -> None:
    (event,) = canvases.ended("countdown", pack=1)
    assert event[semconv.SENT_AT] + 5_000_000 < event[semconv.ETA] <= event[semconv.STARTED_AT]
    assert event[semconv.RECEIVED_AT] < event[semconv.ETA], "the worker holds it until its eta"
    assert event[semconv.QUEUE_TIME] == 0
    _waited(event)
    for event in canvases.ended("flaky", flaky=3, ship=1):
        _waited(event)


def test_waiting_in_the_worker_is_told_apart_from_waiting_in_the_broker(worker: Worker, canvases: Canvases) -> None:
    # What waits for its eta is prefetched beyond the limit.
    canvases.ended("countdown", pack=1)
    # One child, so one runs, four are prefetched, and the rest stays in the broker.
    worker.run("busy.delay(case='first'); [pack.delay(case='others') for _ in range(8)]")
    until(lambda: [event[semconv.STATE] for event in canvases.attempts("others")].count("RECEIVED") == 4)
    released = now_us()
    (worker.folder / "release").touch()
    canvases.ended("first", busy=1)
    attempts = canvases.ended("others", pack=8)
    ended = canvases.one("first", "busy")[semconv.ENDED_AT]
    assert all(_waited(event) > 0 for event in attempts)
    prefetched = [event for event in attempts if event[semconv.RECEIVED_AT] < released]
    queued = [event for event in attempts if event[semconv.RECEIVED_AT] >= ended]
    assert (len(prefetched), len(queued)) == (4, 4)
    for event in prefetched:
        assert event[semconv.PREFETCH_TIME] >= (ended - event[semconv.RECEIVED_AT]) / 1e6, "until the child was free"
        assert event[semconv.QUEUE_TIME] <= (released - event[semconv.SENT_AT]) / 1e6
    for event in queued:
        assert event[semconv.QUEUE_TIME] >= (ended - event[semconv.SENT_AT]) / 1e6, "until the worker had room"
        assert event[semconv.PREFETCH_TIME] <= (event[semconv.STARTED_AT] - ended) / 1e6


def test_no_exception_of_ours_showed_in_the_workers_log(worker: Worker) -> None:
    assert "celeryscope" not in worker.log().replace("'celeryscope': {", "")
