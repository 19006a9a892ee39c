"""Waiting for what another process does."""

import time
from collections.abc import Callable


def until(condition: Callable[[], object], timeout: float = 90, what: str = "") -> None:
    """Return once ``condition()`` is true; fail after ``timeout`` seconds, which a machine under load may need."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout} s: {what or condition}"
        time.sleep(0.05)
