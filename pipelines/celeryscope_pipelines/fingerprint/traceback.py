"""Reads the text of a Python traceback: chained exceptions, exception groups, and whatever a sender has cut.

What CPython's traceback module writes (Lib/traceback.py, ``TracebackException.format``, of 3.8 to 3.14), which this
follows:

- A chain is blocks, with a sentence on a line of its own between two of them. A block is a header, frames, the line
  ``type: message``, more lines of the message, notes. An exception that was never raised has no header and no frames.
- A frame is ``File "path", line n, in function`` and then, four spaces deep, its source: none where the source is not
  at hand, one line up to 3.12, since 3.13 all lines of the statement, ``...<5 lines>...`` for many. Lines of ``~`` and
  ``^`` (since 3.11) point into it. A frame that repeats is written three times, then counted.
- A syntax error names where it is like a frame, but without a function.
- A group's members stand behind rulers, ``+---------------- 1 ----------------``, each of them a chain. At depth d of
  groups every line begins with the margin: 2·d spaces and ``| ``. The first ruler of a group begins with ``+-+`` at the
  group's own depth, the others at the members'; the closing ruler is missing when an inner group has just closed. Of
  more than 15 members the others are only counted.

A header within a message (the traceback of another process, say) counts as one more block. Every line is looked at once
for each depth at most, and no text makes the reader raise.
"""

import re
from functools import lru_cache
from typing import Final

from celeryscope_pipelines.fingerprint.model import Frame, Link, Relation

_HEADERS: Final = frozenset(
    {
        "Traceback (most recent call last):",
        "Exception Group Traceback (most recent call last):",
        "  + Exception Group Traceback (most recent call last):",
    }
)
_OUTERMOST_GROUP: Final = ("  + Exception Group Traceback", "  | ")
_CHAINED: Final[dict[str, Relation]] = {
    "The above exception was the direct cause of the following exception:": "cause",
    "During handling of the above exception, another exception occurred:": "context",
}
_FRAME_BEGINS: Final = '  File "'
_FRAME: Final = re.compile(r'  File "(?P<path>.*)", line (?P<line>\d{1,9})(?:, in (?P<name>.+))?$')
_REPEATED: Final = re.compile(r"  \[Previous line repeated (\d{1,9}) more times?\]$")
_EXCEPTION: Final = re.compile(r"(?P<type>[^\W\d][\w.<>-]*)(?::(?: (?P<message>.*))?)?$")
_RULER: Final = re.compile(r"\+-+(?: (?P<number>\d+|\.\.\.) -+)?$")
_MORE: Final = re.compile(r" *\| and (\d{1,9}) more exceptions?$")
_CUT: Final = re.compile(r"\[\.\.\. \d+ bytes,? cut by [\w ]+ \.\.\.\]$")
_ANY_MARGIN: Final = re.compile(r" *[|+] ")
_MARGINS: Final = frozenset({"| ", "|", "+ "})
"""The second one where somebody has stripped the line."""
_POINTERS: Final = "~^ "
_DEEPEST: Final = 50
"""CPython writes at most 10 groups within each other; what claims to be deeper is not read."""
_SOURCE_MOST: Final = 500
"""Characters of a frame's source that are kept; it bounds the time to look for something in it."""
_TYPE_MOST: Final = 200
_REMEMBERED_MOST: Final = 64 * 1024
"""Characters of a stack; longer ones are read anew each time, so that what is remembered stays small."""


def parse(text: str) -> list[Link]:
    """The chain of exceptions, the last one raised at its end; empty when the text is no traceback.

    Where a sender has cut the middle out, the lines before it are read as they stand and those behind it without regard
    to groups, since nobody knows any more which group they belong to.
    """
    lines = text.replace("\r\n", "\n").split("\n")
    cuts = _cuts(lines) if "[... " in text else []
    if not cuts:
        return _Reader(lines).chain(0)
    before = lines[: cuts[0]]
    if before and _FRAME_BEGINS in before[-1]:
        before.pop()  # the start of a frame that was cut
    blocks = _Resumed(_Reader(before).chain(0))
    for cut, end in zip(cuts, [*cuts[1:], len(lines)], strict=True):
        for line in lines[cut + 2 : end]:  # the line behind the mark is the end of one that was cut
            blocks.take(_ANY_MARGIN.sub("", line, count=1))
    return blocks.finished()


def _cuts(lines: list[str]) -> list[int]:
    return [number for number, line in enumerate(lines) if line.startswith("[...") and _CUT.match(line)]


class _Reader:
    """Goes through the lines once, deeper with each group."""

    def __init__(self, lines: list[str]) -> None:
        self._lines = lines
        self._at = 0

    def chain(self, depth: int) -> list[Link]:
        """The exceptions of one chain, up to the first line that isn't at its margin."""
        blocks, lines, count = _Blocks(), self._lines, len(self._lines)
        ruler = "  " * depth + "+-+-"
        while self._at < count:
            line = lines[self._at]
            if not depth:
                if (behind := blocks.take_stack(lines, self._at)) > self._at:
                    self._at = behind
                elif line.startswith(_OUTERMOST_GROUP) and blocks.between:
                    blocks.add(self.chain(1))
                else:
                    blocks.take(line)
                    self._at += 1
            elif _at_margin(line, depth):
                blocks.take(line[2 * depth + 2 :])
                self._at += 1
            elif depth < _DEEPEST and line.startswith(ruler):
                blocks.group(*self._members(depth))
            else:
                break
        return blocks.finished()

    def _members(self, depth: int) -> tuple[list[list[Link]], int]:
        """The members of the group whose first ruler is the line at hand, and how many more it says there were."""
        members: list[list[Link]] = []
        more = 0
        indent = 2 * depth + 2
        while True:
            self._at += 1
            first = self._lines[self._at] if self._at < len(self._lines) else ""
            if counted := _MORE.match(first):
                more = int(counted[1])
            if member := self.chain(depth + 1):
                members.append(member)
            line = self._lines[self._at] if self._at < len(self._lines) else ""
            ruler = _RULER.match(line, indent) if line[:indent].isspace() else None
            if ruler is None:
                return members, more
            if ruler["number"] is None:
                self._at += 1
                return members, more


class _Blocks:
    """The blocks of one chain, from its lines without their margin."""

    def __init__(self) -> None:
        self.links: list[Link] = []
        self._link: Link | None = None
        self._in_stack = False
        self._stack: list[str] = []
        self._relation: Relation = ""
        self._message: list[str] = []

    @property
    def between(self) -> bool:
        """Whether the next line begins a block."""
        return self._link is None

    def take(self, line: str) -> None:
        """The next line."""
        if self._in_stack and self.take_stack([line]):
            return
        if line in _HEADERS:
            self._begin()
            self._in_stack = True
        elif line in _CHAINED:
            self._end()
            self._relation = _CHAINED[line]
        elif self._link is None:
            self._take_first(line)
        elif not self._in_stack:
            self._message.append(line)
        elif line:
            self._take_exception(self._link, line)

    def add(self, links: list[Link]) -> None:
        """A chain that stands between two blocks, as an outermost group does."""
        if links:
            links[0].relation, self._relation = self._relation, ""
            self.links += links

    def group(self, members: list[list[Link]], more: int) -> None:
        """The block's members, and the number of those not shown; nothing of a block comes behind them."""
        self._link = self._link or Link()
        self._link.members, self._link.hidden_members = members, more
        self._end()

    def finished(self) -> list[Link]:
        """All that was read."""
        self._end()
        return self.links

    def _take_first(self, line: str) -> None:
        """A line between blocks: an exception that was never raised, text, or frames whose header was cut off."""
        if not self.links and line.startswith(_FRAME_BEGINS) and _FRAME.match(line):
            self._begin()
            self._in_stack = True
            self.take(line)
        elif _EXCEPTION.match(line):
            self._begin()
            assert self._link is not None
            self._take_exception(self._link, line)

    def take_stack(self, lines: list[str], at: int = 0) -> int:
        """The lines of a stack from the number ``at`` on; returns the number of the first line that is of none.

        All at once: most lines of a traceback are these.
        """
        end = at
        if self._in_stack:
            while end < len(lines) and lines[end][:1].isspace() and lines[end] not in _HEADERS:
                end += 1
            self._stack += lines[at:end]
        return end

    def _take_exception(self, link: Link, line: str) -> None:
        self._leave_stack()
        if found := _EXCEPTION.match(line):
            link.type, message = found["type"], found["message"] or ""
        else:
            link.type, _, message = line.partition(": ")
            link.type = link.type[:_TYPE_MOST]
        self._message = [message]

    def _begin(self) -> None:
        # What stood before a header without a sentence between them was text, or a message that quotes a traceback.
        self._leave_stack()
        if self._link is not None and self._link.frames:
            self._end()
        self._link = Link(relation=self._relation)
        self._relation, self._message = "", []

    def _leave_stack(self) -> None:
        if self._link is not None and self._stack:
            self._link.frames += _frames("\n".join(self._stack))
        self._in_stack, self._stack = False, []

    def _end(self) -> None:
        self._leave_stack()
        link = self._link
        if link is not None and (link.type or link.frames or link.members):
            link.message = "\n".join(self._message).rstrip("\n")
            self.links.append(link)
            self._relation = ""
        self._link, self._message = None, []


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
                self._end()
                self._begin()
            self._in_stack = True
        if self._in_stack or line in _HEADERS or line in _CHAINED:
            super().take(line)


def _at_margin(line: str, depth: int) -> bool:
    indent = 2 * depth
    return line[indent : indent + 2] in _MARGINS and line[:indent].isspace()


def _frames(stack: str) -> tuple[Frame, ...]:
    """The frames in the lines of a stack. A stack has mostly been seen before, with another message behind it."""
    return (_read_frames if len(stack) <= _REMEMBERED_MOST else _read_frames.__wrapped__)(stack)


@lru_cache(maxsize=256)
def _read_frames(stack: str) -> tuple[Frame, ...]:
    frames: list[Frame] = []
    for line in stack.split("\n"):
        if line.startswith("    "):
            if frames:
                _add_source(frames[-1], line)
        elif found := _FRAME.match(line):
            path, number, name = found.groups()
            frames.append(Frame(path, name or "<module>", int(number)))
        elif frames and (repeated := _REPEATED.match(line)):
            frames[-1].repeated = int(repeated[1])
    return tuple(frames)


def _add_source(frame: Frame, line: str) -> None:
    if not frame.source:
        frame.source = line.strip()[:_SOURCE_MOST]
    elif line.strip(_POINTERS) and len(frame.source) < _SOURCE_MOST:
        frame.source += f" {line.strip()[:_SOURCE_MOST]}"
