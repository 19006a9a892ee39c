"""Plans and places of tasks, from messages as the installed Celery publishes them."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery, chain, chord, group
from celery.app.task import Context
from celery.backends.base import BaseBackend
from celery.canvas import Signature
from celery.signals import before_task_publish

from celeryscope import canvas, semconv
from celeryscope.groups import GroupTracker, group_being_published

app = Celery("plans", broker="memory://", backend="cache+memory://")


def nothing() -> None: ...


tasks = {name: app.task(name=name)(nothing) for name in "abcdefg"}


class Message(dict[str, Any]):
    """A published message's headers, with its body and our header's part about the canvas."""

    body: Any
    header: dict[str, Any]

    @property
    def request(self) -> Context:
        """What the task's process knows while it runs, after the way through JSON."""
        args, _, embed = json.loads(json.dumps(self.body))
        return Context({**self, **embed, "args": args, "celeryscope": {"sent_at": 1, **self.header}})

    def attributes(self) -> dict[str, Any]:
        return canvas.attributes(self.request, self.header)

    def planned(self) -> list[str]:
        return [entry[1] for entry in self.header.get("plan", ())]


@pytest.fixture(autouse=True)
def tracker() -> Iterator[GroupTracker]:
    tracker = GroupTracker()
    tracker.install()
    yield tracker
    tracker.remove()


def sig(name: str, **options: Any) -> Signature:
    signature: Signature = tasks[name].si()
    return signature.set(**options)


def published(publish: Any, running: Message | None = None) -> list[Message]:
    """The messages that ``publish()`` sends, from outside of a worker or from within a running task."""
    seen: list[Message] = []

    def note(headers: dict[str, Any], body: Any, **_: Any) -> None:
        message = Message(headers)
        message.body = body
        request = running.request if running else None
        message.header = canvas.additions(headers, body, request, group_being_published())
        seen.append(message)

    before_task_publish.connect(note)
    try:
        publish()
    finally:
        before_task_publish.disconnect(note)
    return seen


def sent(signature: Any) -> list[Message]:
    return published(signature.apply_async)


def next_step(message: Message) -> list[Message]:
    """What Celery publishes when the task has succeeded (``_dispatch_callbacks_and_chain`` of its app/trace.py)."""
    request = message.request
    step = app.signature(request.chain[-1])
    publish = lambda: step.apply_async((), chain=request.chain[:-1], parent_id=request.id, root_id=request.root_id)  # noqa: E731 - one line
    return published(publish, message)


def body_of(message: Message) -> list[Message]:
    """What Celery publishes when the last task of a chord's header has succeeded."""
    return published(lambda: app.signature(message.request.chord).delay(), message)


def test_a_task_alone_has_no_plan_no_place_and_no_byte_in_the_header() -> None:
    (message,) = sent(sig("a"))
    assert message.header == {}
    assert message.attributes() == {}
    (child,) = published(sig("b").apply_async, running=message)
    assert child.header == {}


def test_a_chain_plans_its_steps_with_the_ids_they_will_have() -> None:
    (first,) = sent(chain(sig("a"), sig("b"), sig("c")))
    (second,) = next_step(first)
    (third,) = next_step(second)
    values = first.attributes()
    assert values[semconv.CHAIN_NAMES] == ["b", "c"]
    assert values[semconv.CHAIN_IDS] == [second["id"], third["id"]]
    assert semconv.CHAIN_AFTER not in values, "each waits for the one before it"
    places = [(step.attributes()[semconv.CHAIN_INDEX], step.attributes()[semconv.CHAIN_LENGTH]) for step in (second,)]
    assert [values[semconv.CHAIN_INDEX], values[semconv.CHAIN_LENGTH], *places] == [0, 3, (1, 3)]
    assert third.header == {"position": [2, 3], "path": [2]}


def test_a_group_in_a_chain_is_planned_with_its_members_and_with_what_waits_for_them() -> None:
    (first,) = sent(chain(sig("a"), group(sig("b"), sig("c")), sig("d"), sig("e")))
    b, c = next_step(first)
    (d,) = body_of(c)
    (e,) = next_step(d)
    values = first.attributes()
    assert values[semconv.CHAIN_NAMES] == ["b", "c", "d", "e"]
    assert values[semconv.CHAIN_IDS] == [message["id"] for message in (b, c, d, e)]
    assert values[semconv.CHAIN_AFTER] == ["0", "0", "1,2", "3"]
    assert [message.header["position"] for message in (first, b, c, d, e)] == [[0, 4], [1, 4], [1, 4], [2, 4], [3, 4]]
    assert b.planned() == ["d", "e"]
    assert b.attributes()[semconv.CHORD_ID] == d["id"]
    assert b.attributes()[semconv.CHORD_NAME] == "d"


def test_two_groups_in_a_row_and_a_group_at_the_end_keep_their_places() -> None:
    (first,) = sent(
        chain(sig("a"), group(sig("b"), sig("c")), group(sig("d"), sig("e")), sig("f"), group([sig("g")] * 2))
    )
    b, c = next_step(first)
    d, e = body_of(c)
    (f,) = body_of(d)
    g, _ = next_step(f)
    assert first.planned() == ["b", "c", "d", "e", "f", "g", "g"]
    assert first.attributes()[semconv.CHAIN_AFTER] == ["0", "0", "1,2", "1,2", "3,4", "5", "5"]
    assert [step.header["position"][0] for step in (first, b, d, e, f, g)] == [0, 1, 2, 2, 3, 4]
    assert {step.header["position"][1] for step in (first, b, d, e, f, g)} == {5}


def test_chains_in_a_group_have_places_of_their_own_and_the_body_that_of_the_outer_chain() -> None:
    first, other = sent(group(chain(sig("a"), sig("b")), sig("c")) | sig("d"))
    (b,) = next_step(first)
    assert first.planned() == ["b", "d"]
    assert [message.header["position"] for message in (first, b, other)] == [[0, 2], [1, 2], [0, 2]]
    for last in (b, other):
        (body,) = body_of(last)
        assert body.header["position"] == [1, 2], "whichever of them ends last"


def test_a_chord_in_the_header_of_a_chord_plans_both_bodies() -> None:
    a, b, c = sent(group(chord(group(sig("a"), sig("b")), sig("c")), sig("d")) | sig("e"))
    (inner,) = body_of(b)
    (outer,) = body_of(inner)
    assert a.planned() == ["c", "e"]
    assert (a.attributes()[semconv.CHORD_NAME], c.attributes()[semconv.CHORD_NAME]) == ("c", "e")
    assert [message.header["position"] for message in (a, inner, outer)] == [[0, 2], [1, 2], [1, 2]]


def test_the_body_of_a_chord_may_be_a_chain_or_a_group() -> None:
    a, _ = sent(chord(group(sig("a"), sig("b")), chain(sig("c"), sig("d"))))
    (c,) = body_of(a)
    (d,) = next_step(c)
    assert (a.planned(), a.attributes()[semconv.CHORD_ID]) == (["c", "d"], c["id"])
    assert [message.header["position"] for message in (a, c, d)] == [[0, 3], [1, 3], [2, 3]]
    a, _ = sent(chord(group(sig("a"), sig("b")), group(sig("c"), sig("d"))))
    assert a.planned() == ["c", "d"]
    assert [message.header["position"] for message in body_of(a)] == [[1, 2], [1, 2]]


def test_callbacks_are_planned_and_nothing_waits_for_them() -> None:
    (message,) = sent(sig("a", link=[sig("b")]))
    assert message.header == {"plan": [["", "b"]]}
    (message,) = sent(chain(sig("a"), sig("b", link=[sig("c")]), sig("d")))
    assert message.planned() == ["b", "c", "d"]
    assert message.attributes()[semconv.CHAIN_AFTER] == ["0", "1", "1"]
    assert message.header["position"] == [0, 3]


def test_members_know_their_group_its_size_and_their_index() -> None:
    found = [message.attributes() for message in sent(group(sig("a"), sig("b"), sig("c")))]
    assert [values[semconv.GROUP_INDEX] for values in found] == [0, 1, 2]
    assert {values[semconv.GROUP_SIZE] for values in found} == {3}
    assert len({values[semconv.GROUP_ID] for values in found}) == 1


def test_a_nested_group_counts_as_its_members() -> None:
    nested = group(sig("a"), group(sig("b"), sig("c")))
    assert {message.attributes()[semconv.GROUP_SIZE] for message in sent(nested)} == {3}
    header = [message.attributes() for message in sent(nested | sig("d"))]
    assert [(values[semconv.GROUP_INDEX], values[semconv.GROUP_SIZE]) for values in header] == [(0, 3), (1, 3), (2, 3)]


def test_the_last_step_of_a_members_chain_knows_the_size_of_the_group() -> None:
    first, _ = sent(group(chain(sig("a"), sig("b"), sig("c")), sig("d")))
    (second,) = next_step(first)
    (third,) = next_step(second)
    assert semconv.GROUP_ID not in first.attributes(), "Celery makes the last step the member"
    assert (third.attributes()[semconv.GROUP_INDEX], third.attributes()[semconv.GROUP_SIZE]) == (0, 2)


def test_the_body_of_a_chord_is_no_member_of_its_header() -> None:
    _, last = sent(chord(group(sig("a"), sig("b")), sig("c")))
    (body,) = body_of(last)
    assert body["group"], "Celery's own header calls it one"
    assert body.attributes().keys() & {semconv.GROUP_ID, semconv.GROUP_INDEX, semconv.GROUP_SIZE} == set()


@pytest.mark.parametrize("with_body", [False, True])
def test_a_group_made_by_a_generator_stays_as_lazy_as_it_is(tracker: GroupTracker, with_body: bool) -> None:
    made: list[int] = []

    def several() -> Iterator[Signature]:
        for number in range(6):
            made.append(number)
            yield sig("a")

    def made_at_each_publish() -> list[int]:
        made.clear()
        counts: list[int] = []
        note = lambda **_: counts.append(len(made))  # noqa: E731 - one line
        before_task_publish.connect(note)
        (chord(several(), sig("b")) if with_body else group(several())).apply_async()
        before_task_publish.disconnect(note)
        return counts

    tracked = made_at_each_publish()
    tracker.remove()
    assert tracked == made_at_each_publish()
    assert with_body or tracked[0] < 6


def test_the_last_member_of_a_group_made_by_a_generator_knows_the_size() -> None:
    sizes = [message.header.get("group_size") for message in sent(group(sig("a") for _ in range(6)))]
    assert sizes == [None] * 5 + [6]


def test_a_group_published_outside_of_a_worker_is_one_workflow_down_to_its_last_step() -> None:
    first, other = sent(group(chain(sig("a"), sig("b")), chord(group(sig("c"), sig("d")), sig("e"))) | sig("f"))[:2]
    assert first["root_id"] != other["root_id"], "Celery makes each a workflow of its own"
    root = first.header["root"]
    assert other.header["root"] == root
    (b,) = next_step(first)
    (f,) = body_of(b)
    (child,) = published(sig("g").apply_async, running=f)
    assert {message.header["root"] for message in (b, f, child)} == {root}


def test_a_root_that_the_caller_chose_is_kept() -> None:
    (first, _) = published(lambda: group(sig("a"), sig("b")).apply_async(root_id="chosen"))
    assert (first["root_id"], "root" in first.header) == ("chosen", False)


def test_a_retry_and_a_replacement_keep_the_place() -> None:
    (first,) = sent(chain(sig("a"), sig("b"), sig("c")))
    (second,) = next_step(first)
    request = second.request
    (retry,) = published(
        lambda: sig("b").apply_async(task_id=request.id, retries=1, chain=request.chain, root_id=request.root_id),
        second,
    )
    assert (retry.header["position"], retry.planned()) == ([1, 3], ["c"])
    (replacement,) = published(
        lambda: sig("d").apply_async(replaced_task_nesting=1, chain=request.chain, root_id=request.root_id), second
    )
    assert replacement.header["position"] == [1, 3]


def test_what_a_member_calls_itself_is_no_member() -> None:
    first, _ = sent(chord(group(sig("a"), sig("b")), sig("c")))
    (child,) = published(sig("d").apply_async, running=first)
    assert child.header == {"root": first.header["root"]}


def test_a_chord_that_celery_unlocks_by_polling_keeps_place_and_workflow(monkeypatch: pytest.MonkeyPatch) -> None:
    # As backends without a counter do it.
    monkeypatch.setattr(app.backend, "apply_chord", BaseBackend.apply_chord.__get__(app.backend))
    seen = sent(chord(group(sig("a"), sig("b")), sig("c")))
    (unlock,) = [message for message in seen if message["task"] == canvas.UNLOCK]
    members = [message for message in seen if message["task"] in {"a", "b"}]
    assert unlock.header["root"] == members[0].header["root"]
    callback = unlock.request.args[1]
    (body,) = published(lambda: app.signature(callback).delay(), unlock)
    assert body.header == {"root": unlock.header["root"], "position": [1, 2], "path": [1]}


def test_large_groups_and_long_chains_are_told_within_bounds() -> None:
    (message,) = sent(chain(sig("a"), group([sig("b")] * 100), sig("c")))
    assert message.planned() == ["b"] * 16 + ["(84 more)", "c"]
    assert message.header["plan"][-1][2] == list(range(1, 18))
    (message,) = sent(chain(sig("a") for _ in range(200)))
    assert message.planned() == ["a"] * 64 + ["(135 more)"]
    assert message.header["position"] == [0, 200]
    wide = group([group([sig("b")] * 16) | sig("c")] * 16)
    (message,) = sent(chain(sig("a"), wide, sig("d"), wide, sig("e")))
    assert len(json.dumps(message.header)) < 8_192


@pytest.mark.parametrize("name", ["n" * 500, "ä" * 200, "\U0001f4e6" * 60])
def test_long_names_do_not_make_a_header_large(name: str) -> None:
    steps = [app.signature(name, immutable=True) for _ in range(60)]
    (message,) = sent(chain(*steps[:30], group(steps[30:]), sig("a")))
    assert 4_000 < len(json.dumps(message.header)) < 8_192
    assert message.planned()[-1].endswith(" more)")


def test_without_our_header_the_plan_comes_from_celerys_own_message() -> None:
    (message,) = sent(chain(sig("a"), group(sig("b"), sig("c")), sig("d")))
    bare = message.request
    del bare.celeryscope
    assert canvas.attributes(bare, {})[semconv.CHAIN_NAMES] == ["b", "c", "d"]


def test_groups_are_celerys_own_again_when_the_tracker_is_gone(tracker: GroupTracker) -> None:
    tracked = group.__dict__["_apply_tasks"]
    tracker.remove()
    assert group.__dict__["_apply_tasks"] is tracked.__wrapped__
    assert "group_size" not in sent(group(sig("a"), sig("b")))[0].header
    assert group_being_published() is None


@pytest.mark.parametrize(
    "embed", [{"chain": ["x", None, 7]}, {"chord": "x"}, {"callbacks": {"task": "b"}}, {"chain": {}}]
)
def test_what_is_no_signature_is_no_step(embed: dict[str, Any]) -> None:
    assert [entry[1] for entry in canvas.plan(embed).get("plan", ())] in ([], ["b"])
