"""A traceback on the terminal: every character of it, in colour where there is colour."""

import re
from typing import Final

from rich.syntax import Syntax
from rich.text import Text

from celeryscope_pipelines.fingerprint.places import is_application
from celeryscope_pipelines.views.wording import clean

_FRAME: Final = re.compile(
    r"^(?P<indent>[ |+]*)File \"(?P<path>[^\"\n]*)\", line \d+.*\n(?:(?P=indent) +.*(?:\n|\Z))*", re.MULTILINE
)


def highlighted(traceback: str) -> Text:
    """The complete traceback, neither wrapped nor cut; control characters as visible escapes."""
    plain = clean(traceback).rstrip("\n")
    colored = Syntax("", "pytb", theme="ansi_dark").highlight(plain)
    colored.rstrip()
    if colored.plain != plain:
        # Colours are a convenience (the highlighter replaces tabs, for one); the text is what counts.
        colored = Text(plain)
    colored.overflow = "ignore"
    return colored


def with_places(traceback: str) -> Text:
    """The same, with the application's frames as they are and those of libraries dimmed."""
    shown = highlighted(traceback)
    for frame in _FRAME.finditer(shown.plain):
        if is_application(frame["path"]):
            shown.stylize("bold", frame.start(), frame.start() + len(frame[0].split("\n", 1)[0]))
        else:
            shown.stylize("dim", *frame.span())
    return shown
