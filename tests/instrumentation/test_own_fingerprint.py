"""A task's option and an exception's attribute name the failure cluster, read where Celery tells of the failure."""

from typing import Any

import pytest
from celery import Celery, signals

from celeryscope import semconv
from celeryscope.own_fingerprint import override

APP = Celery("shop", broker="memory://", backend="cache+memory://")


class Named(Exception):
    celeryscope_fingerprint = "gateway away"


class Hostile(Exception):
    @property
    def celeryscope_fingerprint(self) -> str:
        raise RuntimeError


class Method(Exception):
    def celeryscope_fingerprint(self) -> str:
        return "never asked for"


class Proxy(Exception):
    def __getattr__(self, name: str) -> object:
        return object()


class Number(Exception):
    celeryscope_fingerprint = 17


def fail(error: Exception) -> None:
    raise error


plain = APP.task(name="shop.plain")(fail)
with_option = APP.task(name="shop.with_option", celeryscope_fingerprint="imports")(fail)


def told(task: Any, error: Exception) -> dict[str, str]:
    """What is told of a task that fails with the error."""
    seen: list[dict[str, str]] = []

    def failed(exception: BaseException, **_: Any) -> None:
        seen.append(override(exception, str))

    signals.task_failure.connect(failed)
    try:
        task.apply((error,))
    finally:
        signals.task_failure.disconnect(failed)
    return seen[0]


@pytest.mark.parametrize(
    ("task", "kind", "name"),
    [
        (plain, ValueError, None),
        (with_option, ValueError, "imports"),
        (plain, Named, "gateway away"),
        (with_option, Named, "gateway away"),
        (with_option, Hostile, "imports"),
        (plain, Number, "17"),
        # Neither is a name: its text would differ each time.
        (plain, Method, None),
        (plain, Proxy, None),
        (with_option, Proxy, "imports"),
    ],
)
def test_the_exceptions_name_goes_before_the_tasks(task: Any, kind: type[Exception], name: str | None) -> None:
    assert told(task, kind()) == ({} if name is None else {semconv.FINGERPRINT_OVERRIDE: name})


def test_a_name_is_bounded_and_redacted() -> None:
    error = Named()
    error.celeryscope_fingerprint = "x" * 10_000
    assert told(plain, error) == {semconv.FINGERPRINT_OVERRIDE: "x" * 200}
    assert override(error, lambda text: text.replace("x", "y")) == {semconv.FINGERPRINT_OVERRIDE: "y" * 200}
