"""A traceback on the terminal: every character of it, in colour where there is colour."""

from rich.syntax import Syntax
from rich.text import Text

from celeryscope_pipelines.views.wording import clean


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
