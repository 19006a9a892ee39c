"""Publishes that fail: Celery has a signal before a publish and one behind it, but none when the broker is away.

``celery.app.amqp.AMQP._create_task_sender`` makes, once for each app, the function that publishes all its tasks. It is
wrapped so that what this function raises is seen on its way to the caller. An app that has published before it was
instrumented keeps its function; its failures are then told at the next publish of the same thread.
"""

import functools
from collections.abc import Callable
from typing import Any

from celery.app.amqp import AMQP

_WRAPPED = "_create_task_sender"

Sender = Callable[..., Any]


class RefusalTracker:
    """The wrapper around Celery's method, as long as it is installed."""

    def __init__(self, refused: Callable[[BaseException], None]) -> None:
        """``refused`` is called in the thread whose publish has failed, and must not raise."""
        self._refused: Callable[[BaseException], None] | None = refused
        self._original: Callable[[Any], Sender] | None = None

    def install(self) -> None:
        """Wrap the method; with a Celery without it, nothing is seen."""
        self._original = getattr(AMQP, _WRAPPED, None)
        if self._original is not None:
            setattr(AMQP, _WRAPPED, self._tracking(self._original))

    def remove(self) -> None:
        """Put Celery's own method back, unless somebody else has wrapped ours; functions already made see nothing."""
        self._refused = None
        if self._original is not None and getattr(getattr(AMQP, _WRAPPED), "__wrapped__", None) is self._original:
            setattr(AMQP, _WRAPPED, self._original)
        self._original = None

    def _tracking(self, original: Callable[[Any], Sender]) -> Callable[[Any], Sender]:
        @functools.wraps(original)
        def create_task_sender(amqp: Any) -> Sender:
            send = original(amqp)

            @functools.wraps(send)
            def send_task_message(*arguments: Any, **options: Any) -> Any:
                try:
                    return send(*arguments, **options)
                except BaseException as error:
                    if self._refused is not None:
                        self._refused(error)
                    raise

            return send_task_message

        return create_task_sender
