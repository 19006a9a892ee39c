import string
import sys
import types
from collections import OrderedDict, defaultdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeryscope import frame_locals
from celeryscope.redaction import Redactor

redactor = Redactor()
SECRET = "q7Z-hunter2"


def _failing(**variables: Any) -> str:
    source = "def task(" + ", ".join(variables) + "):\n    raise ValueError('no')\n"
    namespace: dict[str, Any] = {}
    exec(compile(source, "/srv/shop/tasks.py", "exec"), namespace)
    try:
        namespace["task"](**variables)
    except ValueError as error:
        return frame_locals.told(error, redactor) or ""
    raise AssertionError


def _shown(value: Any) -> str:
    return frame_locals.shown(value, redactor)


def test_each_frame_is_told_with_its_variables() -> None:
    assert _failing(order=7, customer="ann").splitlines()[-3:] == [
        "/srv/shop/tasks.py:2 in task",
        "    order = 7",
        "    customer = 'ann'",
    ]


def test_variables_and_what_is_in_them_are_redacted_by_name() -> None:
    text = _failing(
        password=SECRET,
        settings={"broker": f"redis://:{SECRET}@h", "nested": [{"api_key": SECRET, "region": "eu"}]},
        line=f"login with token={SECRET} failed",
        token=None,
        client=types.SimpleNamespace(secret=SECRET, host="h"),
    )
    assert SECRET not in text
    for kept in ("password = [redacted]", "'region': 'eu'", "token = None", "host='h'", "redis://:[redacted]@h"):
        assert kept in text


@given(st.text(string.printable, max_size=20), st.sampled_from(["api_key", "password", "db_token"]))
def test_no_secret_leaves_whatever_it_looks_like(middle: str, name: str) -> None:
    secret = f"q7Z{middle}q7Z"
    assert "q7Z" not in _failing(
        **{name: secret}, inside={name: secret}, pairs=[{"x": {name: [secret]}}], text=repr({name: secret})
    )


class Said:
    def __repr__(self) -> str:
        return f"{SECRET}, {SECRET} and {SECRET}"


def test_a_secret_is_known_by_its_key_whatever_its_repr_looks_like() -> None:
    assert SECRET not in _failing(inside=[{"password": Said()}])


def test_frames_of_libraries_of_python_and_of_celery_are_left_out() -> None:
    try:
        import json

        json.loads("{bad")
    except ValueError as error:
        text = frame_locals.told(error, redactor) or ""
    assert text.count(".py:") == 1
    assert "test_frames_of_libraries" in text
    for path in (
        "/venv/lib/python3.12/site-packages/x.py",
        "/usr/lib/python3.11/json/decoder.py",
        "/src/celery/app/trace.py",
        "<string>",
    ):
        assert not frame_locals.is_application(path)


def test_without_a_frame_of_the_application_there_is_nothing() -> None:
    assert frame_locals.told(ValueError("never raised"), redactor) is None


def test_only_the_innermost_frames_and_so_many_variables_are_told() -> None:
    def deeper(depth: int) -> None:
        if depth == 0:
            raise ValueError
        deeper(depth - 1)

    try:
        deeper(50)
    except ValueError as error:
        text = frame_locals.told(error, redactor) or ""
    assert text.count(" in deeper") == frame_locals.FRAMES_MOST
    assert "depth = 0" in text
    many = _failing(**{f"v{number}": number for number in range(60)})
    assert f"v{frame_locals.VARIABLES_MOST - 1} = " in many
    assert many.endswith("... = 10 more")


class Hostile:
    def __repr__(self) -> str:
        raise RuntimeError("no")


class Endless:
    def __repr__(self) -> str:
        return "x" * 10_000_000


class Busy(dict[str, int]):
    """Its own methods must not be used."""

    def __iter__(self) -> Any:
        raise AssertionError

    items = keys = values = __len__ = __repr__ = __iter__  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ((1,), "(1,)"),
        ({"a": [1, 2.5, None, True]}, "{'a': [1, 2.5, None, True]}"),
        (OrderedDict(a=1), "OrderedDict({'a': 1})"),
        (defaultdict(list, a=[1]), "defaultdict({'a': [1]})"),
        (b"\x00a", r"b'\x00a'"),
        (10**5000, "<int of 16610 bits>"),
        ([[[[[1]]]]], "[[[[<list of 1>]]]]"),
        (Busy(a=1), "Busy({'a': 1})"),
        (sys, "<module sys>"),
        (Hostile, "<type Hostile>"),
        ("two\nlines", r"'two\nlines'"),
    ],
    ids=lambda _: "",
)
def test_values_are_told_as_one_would_write_them(value: Any, text: str) -> None:
    assert _shown(value) == text


def test_what_is_long_hostile_or_endless_costs_no_more_than_its_bound() -> None:
    endless: list[Any] = []
    endless.append(endless)
    assert "RuntimeError in __repr__" in _shown(Hostile())
    assert _shown(list(range(1000))).endswith("... 980 more]")
    for value in (Endless(), "x" * 10_000_000, endless, b"x" * 10_000_000, {str(n): "y" * 1000 for n in range(1000)}):
        assert len(_shown(value)) <= frame_locals.VALUE_MOST + 10
    assert len(_failing(**{f"v{number}": "x" * 10_000 for number in range(200)})) <= frame_locals.BYTES_MOST + 100


def test_a_query_is_not_run_to_show_it() -> None:
    asked = []

    class QuerySet:
        def __repr__(self) -> str:
            asked.append(self)
            return "<QuerySet [...]>"

    QuerySet.__module__ = "django.db.models.query"
    orders = type("OrderQuerySet", (QuerySet,), {"__module__": "shop.models"})()
    assert _shown({"orders": orders}) == "{'orders': <shop.models.OrderQuerySet>}"
    assert asked == []
