"""The one guard between our code and the user's: what goes wrong in ours is told once and never reaches a task."""

import functools
import logging
from collections.abc import Callable
from typing import ParamSpec

from billiard.exceptions import SoftTimeLimitExceeded

logger = logging.getLogger("celeryscope")

P = ParamSpec("P")

_told: set[str] = set()


def guarded(function: Callable[P, object]) -> Callable[P, None]:
    """Run ``function`` for its effect; swallow and log (once for each place and type) any exception of ours.

    A soft time limit is not ours: Celery raises it wherever the task happens to be, and the task must see it.
    """

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            function(*args, **kwargs)
        except SoftTimeLimitExceeded:
            raise
        except Exception as error:
            key = f"{function.__qualname__}:{type(error).__name__}"
            if key not in _told:
                _told.add(key)
                logger.warning("celeryscope: %s failed (told once)", function.__qualname__, exc_info=True)

    return wrapper
