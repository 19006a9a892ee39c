"""Reads the text of a Python traceback: chained exceptions, exception groups, and whatever a sender has cut.

What CPython's traceback module writes (Lib/traceback.py, ``TracebackException.format``), which this follows:

- A chain is blocks, with a sentence on a line of its own between two of them. A block is a header, frames, the line
  ``type: message``, more lines of the message, notes. An exception that was never raised has no header and no frames.
- A group's members stand behind rulers, ``+---------------- 1 ----------------``, each of them a chain. At depth d of
  groups every line begins with the margin: 2·d spaces and ``| ``. The first ruler of a group begins with ``+-+`` at the
  group's own depth, the others at the members'; the closing ruler is missing when an inner group has just closed.

A header within a message (the traceback of another process, say) counts as one more block. Every line is looked at once
for each depth at most, and no text makes the reader raise.
"""

import re
from dataclasses import dataclass, field
from typing import Final

_HEADERS: Final = frozenset(
    {
        "Traceback (most recent call last):",
        "Exception Group Traceback (most recent call last):",
        "  + Exception Group Traceback (most recent call last):",
    }
)
_OUTERMOST_GROUP: Final = ("  + Exception Group Traceback", "  | ")
_CHAINED: Final = frozenset(
    {
        "The above exception was the direct cause of the following exception:",
        "During handling of the above exception, another exception occurred:",
    }
)
_FRAME: Final = re.compile(r'  File "(?P<path>.*)", line \d+(?:, in (?P<name>.+))?$')
_EXCEPTION: Final = re.compile(r"(?P<type>[^\W\d][\w.<>-]*)(?::(?: (?P<message>.*))?)?$")
_RULER: Final = re.compile(r"\+-+(?: (?P<number>\d+|\.\.\.) -+)?$")
_CUT: Final = re.compile(r"\[\.\.\. \d+ bytes,? cut by [\w ]+ \.\.\.\]$")
_ANY_MARGIN: Final = re.compile(r" *[|+] ")
_MARGINS: Final = frozenset({"| ", "|", "+ "})
"""The second one where somebody has stripped the line."""
_DEEPEST: Final = 50
"""CPython writes at most 10 groups within each other; what claims to be deeper is not read."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame: the file's path and the function's name (not qualified: Python doesn't write the class)."""

    path: str
    name: str


@dataclass(slots=True)
class Link:
    """An exception of a chain: its frames, the outermost first, and its members (each a chain) when it is a group."""

    type: str = ""
    message: str = ""
    frames: list[Frame] = field(default_factory=list)
    members: list[list["Link"]] = field(default_factory=list)


def parse(text: str) -> list[Link]:
    """The chain of exceptions, the last one raised at its end; empty when the text is no traceback.

    Where a sender has cut the middle out, the lines before it are read as they stand and those behind it without regard
    to groups, since nobody knows any more which group they belong to.
    """
    lines = text.splitlines()
    cut = next((number for number, line in enumerate(lines) if line.startswith("[...") and _CUT.match(line)), None)
    if cut is None:
        return _Reader(lines).chain(0)
    before, behind = lines[:cut], lines[cut + 2 :]  # the line behind the mark is the end of one that was cut
    if before and 'File "' in before[-1]:
        before.pop()  # the start of a frame that was cut
    blocks = _Resumed(_Reader(before).chain(0))
    for line in behind:
        blocks.take(_ANY_MARGIN.sub("", line, count=1))
    return blocks.finished()


class _Reader:
    """Goes through the lines once, deeper with each group."""

    def __init__(self, lines: list[str]) -> None:
        self._lines = lines
        self._at = 0

    def chain(self, depth: int) -> list[Link]:
        """The exceptions of one chain, up to the first line that isn't at its margin."""
        blocks = _Blocks()
        while self._at < len(self._lines):
            line = self._lines[self._at]
            if not depth and blocks.between and line.startswith(_OUTERMOST_GROUP):
                blocks.links += self.chain(1)
            elif _at_margin(line, depth):
                blocks.take(line[2 * depth + 2 :] if depth else line)
                self._at += 1
            elif depth < _DEEPEST and line.startswith("  " * depth + "+-+-"):
                blocks.group(self._members(depth))
            else:
                break
        return blocks.finished()

    def _members(self, depth: int) -> list[list[Link]]:
        """The members of the group whose first ruler is the line at hand."""
        members: list[list[Link]] = []
        indent = 2 * depth + 2
        while True:
            self._at += 1
            if member := self.chain(depth + 1):
                members.append(member)
            line = self._lines[self._at] if self._at < len(self._lines) else ""
            ruler = _RULER.match(line, indent) if line[:indent].isspace() else None
            if ruler is None:
                return members
            if ruler["number"] is None:
                self._at += 1
                return members


class _Blocks:
    """The blocks of one chain, from its lines without their margin."""

    def __init__(self) -> None:
        self.links: list[Link] = []
        self._link: Link | None = None
        self._in_stack = False

    @property
    def between(self) -> bool:
        """Whether the next line begins a block."""
        return self._link is None

    def take(self, line: str) -> None:
        """The next line."""
        if line in _HEADERS:
            self._begin()
            self._in_stack = True
        elif line in _CHAINED:
            self._end()
        elif self._in_stack and self._link is not None:
            if frame := _FRAME.match(line):
                self._link.frames.append(Frame(frame["path"], frame["name"] or "<module>"))
            elif line and not line[0].isspace():
                self._take_exception(line)
        elif self._link is None:
            self._take_exception(line)

    def group(self, members: list[list[Link]]) -> None:
        """The block's members; nothing of a block comes behind them."""
        self._link = self._link or Link()
        self._link.members = members
        self._end()

    def finished(self) -> list[Link]:
        """All that was read."""
        self._end()
        return self.links

    def _take_exception(self, line: str) -> None:
        found = _EXCEPTION.match(line)
        if self._link is None:
            if found is None:
                return  # text before a traceback
            self._begin()
        self._in_stack = False
        if found is not None and self._link is not None:
            self._link.type, self._link.message = found["type"], found["message"] or ""

    def _begin(self) -> None:
        # What stood before a header without a sentence between them was text, or a message that quotes a traceback.
        if self._link is not None and self._link.frames:
            self._end()
        self._link = Link()

    def _end(self) -> None:
        if self._link is not None and (self._link.type or self._link.frames or self._link.members):
            self.links.append(self._link)
        self._link, self._in_stack = None, False


class _Resumed(_Blocks):
    """Lines from the middle of a traceback: a frame may come without a header, an exception only behind a frame."""

    def __init__(self, links: list[Link]) -> None:
        super().__init__()
        self.links = links
        if links and not links[-1].type:
            self._link = links.pop()  # its frames were cut

    def take(self, line: str) -> None:
        """The next line."""
        if not self._in_stack and _FRAME.match(line):
            if self._link is None or self._link.type:
                self._begin()
            self._in_stack = True
        if self._in_stack or line in _HEADERS or line in _CHAINED:
            super().take(line)


def _at_margin(line: str, depth: int) -> bool:
    if not depth:
        return True
    indent = 2 * depth
    return line[indent : indent + 2] in _MARGINS and line[:indent].isspace()
