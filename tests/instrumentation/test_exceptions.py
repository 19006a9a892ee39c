import sys

import pytest
from billiard.einfo import ExceptionInfo

from celeryscope import exceptions
from celeryscope.redaction import Redactor


def _raised(error: BaseException, cause: BaseException | None = None) -> BaseException:
    try:
        raise error from cause
    except BaseException as caught:
        return caught


def test_type_message_and_chain_are_told() -> None:
    error = _raised(ValueError("bad order"), KeyError("sku"))
    described = exceptions.describe(error, None, 10_000, Redactor())
    assert described["exception.type"] == "ValueError"
    assert described["exception.message"] == "bad order"
    assert "KeyError: 'sku'" in described["exception.stacktrace"]
    assert "The above exception was the direct cause" in described["exception.stacktrace"]


def test_every_member_of_a_group_is_told() -> None:
    error = _raised(ExceptionGroup("several", [ValueError("one"), TypeError("two")]))
    text = exceptions.describe(error, None, 10_000, Redactor())["exception.stacktrace"]
    assert "ValueError: one" in text
    assert "TypeError: two" in text


def test_an_exception_whose_str_raises_is_told_all_the_same() -> None:
    class Hostile(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no")

    described = exceptions.describe(_raised(Hostile()), None, 10_000, Redactor())
    assert "RuntimeError in __str__" in described["exception.message"]
    assert described["exception.type"].endswith("Hostile")
    assert "_raised" in described["exception.stacktrace"]


@pytest.mark.parametrize(("kind", "name"), [(KeyError, "KeyError"), (ExceptionInfo, "billiard.einfo.ExceptionInfo")])
def test_types_are_named_as_tracebacks_name_them(kind: type[BaseException], name: str) -> None:
    assert exceptions.type_name(kind) == name


def test_the_exception_under_way_wins_over_what_celery_made_of_it() -> None:
    try:
        raise ValueError("original")
    except ValueError:
        assert exceptions.original(None) is sys.exc_info()[1]


def test_secrets_leave_neither_with_the_message_nor_with_the_traceback() -> None:
    error = _raised(ValueError("token=q7Z"), KeyError("redis://:q7Z@h"))
    described = exceptions.describe(error, None, 10_000, Redactor())
    assert described["exception.message"] == "token=[redacted]"
    assert "q7Z" not in described["exception.stacktrace"]
