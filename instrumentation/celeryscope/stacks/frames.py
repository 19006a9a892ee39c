"""Stacks as data: what ``faulthandler`` wrote, or the interpreter's own frames, and the text that is made of them."""

import linecache
import re
from collections.abc import Iterable
from types import FrameType
from typing import NamedTuple

_MOST_FRAMES = 200
_HEAD = re.compile(r"^(?:(Current thread|Thread) (0x[0-9a-f]+)|Stack)(?: \[(.*)\])? \(most recent call first\):$")
_FRAME = re.compile(r'^  File (?:"(.*)"|\?\?\?), line (\d+|\?\?\?) in (.*)$')
_ESCAPE = re.compile(r"\\(?:x([0-9a-f]{2})|u([0-9a-f]{4})|U([0-9a-f]{8}))")
_TRACER = "/celery/app/trace.py"
"""Where Celery calls a task."""


class Frame(NamedTuple):
    """One frame; ``line`` is 0 when it is not known."""

    file: str
    line: int
    function: str

    @property
    def source(self) -> str:
        """The frame's line of source code, stripped; empty when the file can't be read."""
        linecache.checkcache(self.file)
        return linecache.getline(self.file, self.line).strip()


class Stack(NamedTuple):
    """The stack of a thread or greenlet, innermost frame first."""

    name: str
    frames: tuple[Frame, ...]
    is_current: bool = False
    """The thread that wrote the stacks: the one that the signal interrupted."""

    @property
    def runs_task(self) -> bool:
        """Whether Celery has called a task on it."""
        return any(frame.file.endswith(_TRACER) for frame in self.frames)


def parse(text: str) -> list[Stack]:
    """The stacks that ``faulthandler`` wrote, the task's own first: the one inside Celery, else the current one."""
    stacks: list[Stack] = []
    for line in text.splitlines():
        if head := _HEAD.match(line):
            current, ident, name = head[1] in {None, "Current thread"}, head[2], head[3]
            stacks.append(Stack(" ".join(filter(None, ["Thread", name, ident])), (), current))
        elif stacks and (found := _FRAME.match(line)):
            frame = Frame(
                _unescaped(found[1] or "???"), int(found[2]) if found[2].isdigit() else 0, _unescaped(found[3])
            )
            stacks[-1] = stacks[-1]._replace(frames=(*stacks[-1].frames, frame))
    return sorted(stacks, key=lambda stack: (not stack.runs_task, not stack.is_current))


def walked(name: str, innermost: FrameType | None) -> Stack:
    """The stack that ends in the interpreter's frame ``innermost``."""
    found: list[Frame] = []
    frame = innermost
    while frame is not None and len(found) < _MOST_FRAMES:
        found.append(Frame(frame.f_code.co_filename, frame.f_lineno or 0, frame.f_code.co_name))
        frame = frame.f_back
    return Stack(name, tuple(found))


def task_of(innermost: FrameType | None) -> str | None:
    """Id of the task that runs in the stack which ends in ``innermost``; None when none does."""
    frame = innermost
    while frame is not None:
        code = frame.f_code
        if code.co_name == "trace_task" and code.co_filename.endswith(_TRACER):
            return frame.f_locals.get("uuid")
        frame = frame.f_back
    return None


def as_text(stacks: Iterable[Stack]) -> str:
    """All stacks as Python shows tracebacks, innermost frame last, with lines of source where they can be read."""
    lines: list[str] = []
    for stack in stacks:
        lines.append(f"{stack.name} (most recent call last):")
        for frame in reversed(stack.frames):
            lines.append(f'  File "{frame.file}", line {frame.line}, in {frame.function}')
            if source := frame.source:
                lines.append(f"    {source}")
        lines.append("")
    return "\n".join(lines)


def _unescaped(text: str) -> str:
    """faulthandler escapes all that isn't printable ASCII."""
    return _ESCAPE.sub(lambda found: chr(int(found[1] or found[2] or found[3], 16)), text)
