"""The failure cluster that a task or an exception names itself: ``celeryscope_fingerprint`` of either."""

from collections.abc import Callable
from typing import Any

from celery._state import get_current_task

from celeryscope import semconv

_MOST = 200
"""Characters of a name."""


def override(error: BaseException, redacted: Callable[[str], str]) -> dict[str, str]:
    """The attribute with the name that the exception gives its cluster, else the task that runs; else nothing."""
    named = _named(error) or _named(get_current_task())
    return {semconv.FINGERPRINT_OVERRIDE: redacted(named[:_MOST])} if named else {}


def _named(owner: Any) -> str:
    try:
        found = getattr(owner, semconv.FINGERPRINT_OPTION, None)
        # What is neither is no name: of a method, or of a proxy that has any attribute, the text differs each time.
        return str(found) if isinstance(found, str | int) else ""
    except Exception:  # noqa: BLE001 - a user's __getattr__ or __str__ may raise anything
        return ""
