"""What a failure is called: ``ConnectionError in process_payment: cannot reach gateway``."""

import re
from functools import lru_cache
from typing import Final

from celeryscope_pipelines.fingerprint.message import first_line, one_line, parameterised
from celeryscope_pipelines.fingerprint.wording import interpolated

MOST: Final = 200
"""Characters of a title."""
_OF_THE_MODULE: Final = re.compile(r"(?<!\w)(?:[^\W\dA-Z]\w*\.)+(?=[^\W\d])|.*<locals>\.")


def title(exception_type: str, where: str, message: str, code: str = "", raised: str = "") -> str:
    """The title of a failure ``where``: a function or, where none is known, a task.

    ``code`` is the source at hand, ``raised`` the line of it that raised the exception.
    """
    text = short_type(exception_type) or "Unknown failure"
    if where:
        text += f" in {one_line(where)}"
    first = first_line(message)
    if first := parameterised((raised and interpolated(first, raised, code)) or first, code):
        text += f": {first}"
    return shortened(text)


def shortened(text: str) -> str:
    """A title that is not too long."""
    return text if len(text) <= MOST else text[: MOST - 1] + "…"


@lru_cache(maxsize=4096)
def short_type(name: str) -> str:
    """The type without its module, a class within a class with the one around it, e.g. ``Order.DoesNotExist``."""
    return _OF_THE_MODULE.sub("", one_line(name))
