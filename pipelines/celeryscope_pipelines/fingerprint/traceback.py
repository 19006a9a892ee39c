"""Reads the text of a Python traceback: chained exceptions, exception groups, and whatever a sender has cut.

The text is what ``traceback.format_exception`` of CPython 3.8 to 3.14 writes (Lib/traceback.py): a header, frames as
``  File "...", line n, in name``, the exception's line at the margin of the header, sentences between chained
exceptions, and for groups the same behind margins of ``  | `` with rulers ``+---------------- 1 ----------------``.
"""

import re
from dataclasses import dataclass, field
from typing import Final

_HEADER: Final = re.compile(r"(?:Exception Group )?Traceback \(most recent call last\):")
_FRAME: Final = re.compile(r'\s*File "(?P<path>[^"]*)", line \d+(?:, in (?P<name>.+))?')
_RULER: Final = re.compile(r"\+-[+-]*(?: (?:\d+|\.\.\.) )?-*")
_MARGIN: Final = re.compile(r"^ *(?:\| |\|$|\+ (?=Exception Group))")
_EXCEPTION: Final = re.compile(r"(?P<type>[A-Za-z_][\w.<>]*)(?::\s?(?P<message>.*))?$")
_CHAINED: Final = (
    "The above exception was the direct cause of the following exception:",
    "During handling of the above exception, another exception occurred:",
)


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame: the file's path and the function's (from Python 3.11 on qualified) name."""

    path: str
    name: str


@dataclass(slots=True)
class Link:
    """One exception of a chain, with its frames from the outermost to the innermost, and its members when it's a group."""

    type: str = ""
    message: str = ""
    frames: list[Frame] = field(default_factory=list)
    members: list[list["Link"]] = field(default_factory=list)


def parse(text: str) -> list[Link]:
    """The chain of exceptions, the last one raised at its end; empty when the text has no traceback."""
    return _chain(text.splitlines())


def _chain(lines: list[str]) -> list[Link]:
    links: list[Link] = []
    current: Link | None = None
    position = 0
    while position < len(lines):
        line = lines[position]
        bare = _MARGIN.sub("", line, count=1) if current is None or not current.frames else line
        if _HEADER.match(bare.strip()):
            current = Link()
            links.append(current)
        elif current is not None and _is_ruler(line):
            end = _end_of_group(lines, position)
            current.members = [_chain(member) for member in _members(lines[position:end])]
            position = end
            current = None
            continue
        elif current is not None:
            _take(current, _MARGIN.sub("", line, count=1))
        position += 1
    return [link for link in links if link.type or link.frames]


def _take(link: Link, line: str) -> None:
    if frame := _FRAME.match(line):
        if not link.type:
            link.frames.append(Frame(frame["path"], frame["name"] or "<module>"))
    elif link.type or not line or line[0].isspace() or line.strip() in _CHAINED:
        return
    elif found := _EXCEPTION.match(line):
        link.type, link.message = found["type"], found["message"] or ""


def _is_ruler(line: str) -> bool:
    return bool(_RULER.fullmatch(line.strip())) and "---" in line


def _end_of_group(lines: list[str], start: int) -> int:
    """The line behind a group's closing ruler, which stands at the group's own margin and has no number."""
    indent = _indent(lines[start])
    for position in range(start + 1, len(lines)):
        if _is_ruler(lines[position]) and not re.search(r"\d|\.\.\.", lines[position]):
            closes = _indent(lines[position])
            if closes in {indent, indent + 2}:
                return position + 1
        elif lines[position].strip() and _indent(lines[position]) < indent:
            return position
    return len(lines)


def _members(lines: list[str]) -> list[list[str]]:
    """The lines of each member of a group, without the group's margin."""
    indent = _indent(lines[0]) + 2
    members: list[list[str]] = []
    for line in lines:
        if _is_ruler(line) and _indent(line) <= indent:
            if re.search(r"\d", line):
                members.append([])
        elif members:
            members[-1].append(line[indent + 2 :] if line[indent : indent + 1] == "|" else line[indent:])
    return members


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" "))
