"""Generated exceptions, really raised and written by Python's traceback module, are read back as they were."""

import linecache
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from celeryscope_pipelines.fingerprint.model import Link
from celeryscope_pipelines.fingerprint.traceback import parse

NUMBERS = count()
TYPES: dict[str, type[Exception]] = {
    kind.__name__: kind for kind in (ValueError, KeyError, OSError, RuntimeError, ZeroDivisionError, LookupError)
}


@dataclass
class Plan:
    """An exception to be raised: below functions of these names, after or from others, with members and notes."""

    type: str
    message: str
    functions: list[str]
    notes: list[str] = field(default_factory=list)
    members: list["Plan"] = field(default_factory=list)
    before: "Plan | None" = None
    relation: str = ""

    @property
    def chain(self) -> list["Plan"]:
        """This one and those before it, the first one first; what ``from None`` hides is not in the text."""
        return [*(self.before.chain if self.before and self.relation != "suppressed" else []), self]


# A line that looks like the traceback's own can't be told from one.
WORDS = st.text("abc:\"'(){}<>. é|+-^~0\t", max_size=12)
MESSAGES = st.lists(WORDS, min_size=1, max_size=3).map("\n".join).filter(lambda text: not text.endswith("\n"))
FUNCTIONS = st.lists(st.sampled_from(["charge", "look_up", "ß_x", "<lambda>", "wrapper", "run"]), max_size=4)


def plans() -> st.SearchStrategy[Plan]:
    plain = st.builds(
        Plan,
        type=st.sampled_from([*TYPES, "Declined", "Outer.Inner"]),
        message=MESSAGES,
        functions=FUNCTIONS,
        notes=st.lists(MESSAGES, max_size=2),
    )

    def larger(smaller: st.SearchStrategy[Plan]) -> st.SearchStrategy[Plan]:
        relations = st.sampled_from(["cause", "context", "suppressed"])
        chained = st.builds(_behind, plain, smaller, relations)
        return st.one_of(chained, st.builds(_group, plain, st.lists(smaller, min_size=1, max_size=3)))

    return st.recursive(plain, larger, max_leaves=6)


def _behind(last: Plan, before: Plan, relation: str) -> Plan:
    return Plan(last.type, last.message, last.functions, last.notes, before=before, relation=relation)


def _group(top: Plan, members: list[Plan]) -> Plan:
    return Plan("ExceptionGroup", top.message, top.functions, top.notes, members)


def raised(plan: Plan) -> Exception:
    """The plan's exception, with its traceback."""
    try:
        if plan.before is None:
            _raise_below(plan, None)
        else:
            try:
                raise raised(plan.before)
            except Exception as before:
                _raise_below(plan, before)
    except Exception as error:
        # Drop the frames of this file.
        here = error.__traceback__
        while here is not None and here.tb_frame.f_code.co_filename == __file__:
            here = here.tb_next
        if plan.functions:
            error.__traceback__ = here
        return error
    raise AssertionError


def _raise_below(plan: Plan, before: Exception | None) -> None:
    error = _made(plan)
    if plan.relation == "cause":
        error.__cause__ = before
    elif plan.relation == "suppressed":
        error.__suppress_context__ = True

    def innermost() -> None:
        raise error

    function: Callable[[], Any] = innermost
    for name in reversed(plan.functions):
        function = _function(name, function)
    function()


def _function(name: str, inner: Callable[[], Any]) -> Callable[[], Any]:
    """A function that calls the inner one, in a file of its own whose source is known."""
    path = f"/srv/app/shop/module_{next(NUMBERS)}.py"
    source = "call = lambda: inner()\n" if name == "<lambda>" else f"def {name}():\n    inner()\n"
    linecache.cache[path] = (len(source), None, source.splitlines(keepends=True), path)
    names: dict[str, Any] = {"inner": inner}
    exec(compile(source, path, "exec"), names)
    found: Callable[[], Any] = names["call" if name == "<lambda>" else name]
    return found


def _made(plan: Plan) -> Exception:
    error: Exception
    if plan.members:
        error = ExceptionGroup(plan.message, [raised(member) for member in plan.members])
    else:
        kind = TYPES.get(plan.type)
        error = (kind or type("Declined", (Exception,), {"__qualname__": plan.type}))(plan.message)
    for note in plan.notes:
        error.add_note(note)
    return error


def check(links: list[Link], plan: Plan, error: BaseException) -> None:
    """The links are those of the plan and its exception."""
    assert len(links) == len(plan.chain)
    for link, expected in zip(reversed(links), reversed(plan.chain), strict=True):
        kind = type(error)
        assert link.type == (kind.__name__ if kind.__module__ == "builtins" else f"{__name__}.{kind.__qualname__}")
        assert link.message == "\n".join([str(error), *expected.notes]).rstrip("\n")
        written = traceback.extract_tb(error.__traceback__)
        assert [(f.path, f.name, f.line) for f in link.frames] == [(f.filename, f.name, f.lineno) for f in written]
        assert [f.source for f in link.frames] == [f.line for f in written]
        relation = "" if expected.relation == "suppressed" else expected.relation
        assert link.relation == relation
        assert len(link.members) == len(expected.members)
        if isinstance(error, ExceptionGroup):
            for member, member_plan, inner in zip(link.members, expected.members, error.exceptions, strict=True):
                check(member, member_plan, inner)
        before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        if relation:
            assert before is not None
            error = before


@settings(deadline=None, max_examples=150)
@given(plans())
def test_type_message_notes_frames_chain_and_members_are_read_back(plan: Plan) -> None:
    error = raised(plan)
    check(parse("".join(traceback.format_exception(error))), plan, error)


@settings(deadline=None, max_examples=40)
@given(plans(), st.integers(0, 10_000), st.integers(0, 10_000))
def test_any_part_of_it_is_read_without_an_error(plan: Plan, start: int, length: int) -> None:
    text = "".join(traceback.format_exception(raised(plan)))
    start %= len(text)
    parse(text[start : start + length])


@settings(deadline=None, max_examples=15)
@given(st.integers(1, 60))
def test_frames_that_repeat_are_counted(depth: int) -> None:
    def deeper(left: int) -> None:
        if left:
            deeper(left - 1)
        raise ValueError(left)

    try:
        deeper(depth)
    except ValueError as error:
        (link,) = parse("".join(traceback.format_exception(error)))
    shown = [1 + frame.repeated for frame in link.frames if frame.name == "deeper"]
    assert sum(shown) == depth + 1
