"""The group whose messages are being published: Celery says in no message how many members a group has.

``celery.canvas.group._apply_tasks`` publishes the members of each group and of each chord's header, one at a time, as
its caller asks for the next one. It is wrapped so that the publish signals of a member find the group.
"""

import functools
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from typing import Any

from celery import canvas as celery_canvas

from celeryscope.canvas import Group, members

_current: ContextVar[Group | None] = ContextVar("celeryscope_group", default=None)
_WRAPPED = "_apply_tasks"


def group_being_published() -> Group | None:
    """The group of which a member is being published in this context."""
    return _current.get()


class GroupTracker:
    """The wrapper around Celery's method, as long as it is installed."""

    def __init__(self) -> None:
        self._original: Callable[..., Iterator[Any]] | None = None

    def install(self) -> None:
        """Wrap the method; a Celery without it has groups without sizes."""
        self._original = getattr(celery_canvas.group, _WRAPPED, None)
        if self._original is not None:
            setattr(celery_canvas.group, _WRAPPED, _tracking(self._original))

    def remove(self) -> None:
        """Put Celery's own method back, unless somebody else has wrapped ours."""
        wrapped = getattr(celery_canvas.group, _WRAPPED, None)
        if self._original is not None and getattr(wrapped, "__wrapped__", None) is self._original:
            setattr(celery_canvas.group, _WRAPPED, self._original)
        self._original = None


def _tracking(original: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
    @functools.wraps(original)
    def apply_tasks(self: Any, tasks: Iterable[Any], *arguments: Any, **options: Any) -> Iterator[Any]:
        group = Group(options.get("group_id"), _size(self), outer=_current.get())
        results = original(self, _counted(tasks, group), *arguments, **options)
        while True:
            # Between two members the caller's code runs, which may publish what is no member.
            token = _current.set(group)
            try:
                result = next(results)
            except StopIteration:
                return
            finally:
                _current.reset(token)
            yield result

    return apply_tasks


def _counted(tasks: Iterable[Any], group: Group) -> Iterator[Any]:
    """The same tasks; Celery looks one ahead, so the last member of a generator is published with the size."""
    count = 0
    for task in tasks:
        count += 1
        yield task
    group.size = count


def _size(group: Any) -> int | None:
    """Members of a group that is a list all the way down; a generator stays as lazy as it is."""
    try:
        return None if _is_lazy(group.tasks) else len(members(group))
    except Exception:  # noqa: BLE001 - Celery's publish must not fail for a number
        return None


def _is_lazy(tasks: Any) -> bool:
    # celery.utils.functional.regen, the list around a generator, says in this attribute whether it has seen its end.
    if not getattr(tasks, "_regen__done", True):
        return True
    nested = ((task.get("kwargs") or {}).get("tasks") for task in tasks if task.get("subtask_type") == "group")
    return any(_is_lazy(inner) for inner in nested if inner is not None)
