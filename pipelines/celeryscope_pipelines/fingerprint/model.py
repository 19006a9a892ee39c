"""What a traceback's text says: a chain of exceptions, each with its frames and, of a group, its members."""

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Relation: TypeAlias = Literal["", "cause", "context"]
"""What an exception has to do with the one before: raised from it, or while it was handled."""


@dataclass(slots=True)
class Frame:
    """One frame of a stack; several chains may have the same one, so nobody changes it."""

    path: str
    name: str
    """The function's, not qualified: Python writes no class (Cython does). Of a syntax error's place ``<module>``."""
    line: int = 0
    """From 1."""
    source: str = ""
    """The statement on one line, where the text has it; of several lines since Python 3.13 only."""
    repeated: int = 0
    """How many more times the same frame follows, where Python has only counted it."""


@dataclass(slots=True)
class Link:
    """One exception of a chain."""

    type: str = ""
    """With its module, but for builtins; empty where the end of the text was cut off."""
    message: str = ""
    """All its lines, and those of the notes behind them: the text makes no difference between the two."""
    frames: list[Frame] = field(default_factory=list)
    """The outermost first; empty for an exception that was never raised."""
    members: list[list["Link"]] = field(default_factory=list)
    """Of a group, each of them a chain."""
    hidden_members: int = 0
    """Members that Python has only counted."""
    relation: Relation = ""
    """To the link before; empty for the first, and where the text doesn't tell."""
