"""Finds the values of telling names in any text: reprs, messages, tracebacks with their source lines, JSON, queries.

A name is followed by ``=`` or ``:`` (``'password': 'x'``, ``token=x&``, ``{"api_key": "x"}``, ``Cookie: a=x; b=y``), by
the other half of a pair (``('password', 'x')``), or it is an option of a command (``--password x``).

Where a value ends can't always be known: Celery's ``argsrepr`` escapes no backslash, a log line quotes nothing. In
doubt the value is longer:

- A quoted value ends at its quote, unless a backslash stands before that, or a letter, digit or colon behind it.
  Without an end it goes on to the end of the text, or to the next frame of a traceback.
- An unquoted value ends at a space, and at a comma, bracket or quote that something else begins behind; whatever
  stands in brackets belongs to it. That of a header goes on to the end of the line.
- In a traceback's line of source code a value ends with the line, and expressions stay (``token=make_token(user)``).

All of it takes linear time: what was looked at belongs to the value, and lookaheads are bounded.
"""

import json
import re
from collections.abc import Iterable, Iterator
from typing import Final
from urllib.parse import quote

REDACTED: Final = "[redacted]"

_NAME_MOST: Final = 64
_BEHIND_NAME: Final = re.compile(
    rf"""(?P<more>[\w.-]{{0,{_NAME_MOST}}})(?P<quote>\\{{0,7}}['"]{{1,3}})?\]?[ \t]{{0,8}}"""
    r"""(?:(?P<is>:(?!//)=?|=>|={1,3}|!={1,2})|(?P<pair>,)|(?<=[ \t])(?=[^\s-]))[ \t]{0,8}"""
)
_NOTHING: Final = re.compile(r"(?:None|True|False|null|true|false)(?![\w-])|\s|\Z")
"""Says more than it gives away."""
_COUNTED: Final = re.compile(r"token[-_]?(?:s|count)", re.IGNORECASE)
_NUMBER: Final = re.compile(r"\d+(?:\.\d+)?(?![\w.-])")
_OF_EXCEPTIONS: Final = ("Error", "Exception", "Warning")
_QUOTE: Final = re.compile(r"""[bBfFrRuU]{0,2}(?P<quote>\\{0,7}(?:'''|\"\"\"|'|"))""")
_SCHEME: Final = re.compile(r"(?:api-?key|basic|bearer|digest|negotiate|token)[ \t]{1,8}", re.IGNORECASE)
_HEADERS: Final = frozenset({"authorization", "cookie"})
_HEADER_END: Final = re.compile(r"""[\r\n]|\\[nr]|['"](?=[,)\]}\s]|\Z)""")
_BREAK: Final = re.compile(r"""[\[({<\])}>,;&'"\s]|\\(?=[nrt'"])""")
_SOMETHING_ELSE: Final = re.compile(r"""\Z|[\s'"\])}>]|\\[nrt]|[\w.%\[\]-]{1,64}[ \t]{0,8}[=:]""")
_ANNOTATED: Final = re.compile(r"(?:[ \t]{0,8}\|[ \t]{0,8}\w{1,64}){0,4}[ \t]{0,8}=[ \t]{0,8}")
_PAIR_END: Final = re.compile(r"""\\{0,7}['"]{0,3},?[ ]?[)\]]""")
_FRAME: Final = re.compile(r'([ |]{0,64})  File "')
_NEXT_FRAME: Final = re.compile(
    r'\n(?=[ |+]{0,64}(?:  File "[^"\n]{0,4096}", line \d|(?:Exception Group )?Traceback \(most recent call last\):\n))'
)


class NamedSecrets:
    """The text scanner for one deny list."""

    def __init__(self, parts: Iterable[str], endings: Iterable[str]) -> None:
        """``parts``: a name that has one of these in it is telling; ``endings``: one whose last word is one of these.

        Both in small letters, without ``-`` and ``_``, which names may have anywhere.
        """
        self._endings = frozenset(endings) - frozenset(parts)
        pattern = _pattern({form for name in (*parts, *endings) for form in _forms(name)}) or "(?!)"
        self._in_lower_case = re.compile(pattern)
        self._in_any_case = re.compile(pattern, re.IGNORECASE)

    def redacted(self, text: str) -> str:
        """The text with ``[redacted]`` for each value of a telling name."""
        # To ignore case takes ten times as long, but lower case may have another length (U+0130).
        searched, pattern = (text.lower(), self._in_lower_case) if text.isascii() else (text, self._in_any_case)
        name = pattern.search(searched)
        if name is None:
            return text
        pieces: list[str] = []
        done = 0
        for start, end in _Scan(text, searched, pattern, self._endings).values(name):
            pieces += (text[done:start], REDACTED)
            done = end
        return "".join((*pieces, text[done:])) if pieces else text


def _forms(name: str) -> tuple[str, ...]:
    """The name itself, as JSON may have it, and as it stands in a query: the latter without letters beyond ASCII."""
    return name, json.dumps(name)[1:-1], quote(name).lower()


def _pattern(names: Iterable[str]) -> str:
    """A pattern for the longest name that begins at a place; it branches by letter, so that none is read twice."""
    branches: dict[str, set[str]] = {}
    for name in names:
        if name:
            branches.setdefault(name[0], set()).add(name[1:])
    if not branches:
        return ""
    choices = [re.escape(letter) + _behind_letter(rests) for letter, rests in sorted(branches.items())]
    return choices[0] if len(choices) == 1 else f"(?:{'|'.join(choices)})"


def _behind_letter(rests: set[str]) -> str:
    pattern = _pattern(rests)
    if not pattern:
        return ""
    return f"(?:[-_]?{pattern})?" if "" in rests else f"[-_]?{pattern}"


class _Scan:
    """One way through one text."""

    def __init__(self, text: str, searched: str, pattern: re.Pattern[str], endings: frozenset[str]) -> None:
        self._text = text
        self._searched = searched
        self._pattern = pattern
        self._endings = endings
        self._line = 0
        """Where the line at hand begins."""
        self._line_end = -1
        self._is_source = False
        self._block_end = -1
        """Where the next frame of a traceback begins, or the text ends."""
        self._unbalanced_up_to = -1

    def values(self, name: re.Match[str] | None) -> Iterator[tuple[int, int]]:
        """(start, end) of each value to redact, in their order; ``name`` is the first match of the pattern."""
        while name:
            at = name.start() + 1
            behind = self._behind(name)
            value = self._value(name, behind) if behind else None
            while behind and value:
                yield value
                at = value[1]
                # The value of ``password: str = "x"`` comes behind its type.
                annotated = _ANNOTATED.match(self._text, at) if behind["is"] == ":" else None
                value = self._value_at(annotated.end()) if annotated else None
            name = self._pattern.search(self._searched, at)

    def _behind(self, name: re.Match[str]) -> re.Match[str] | None:
        """What stands between the name and its value; None when the name is not telling, or has no value."""
        text = self._text
        behind = _BEHIND_NAME.match(text, name.end())
        if behind is None or behind["more"].endswith(_OF_EXCEPTIONS):
            return None
        ends_only = name[0].lower().replace("-", "").replace("_", "") in self._endings
        if ends_only and (behind["more"] or not _begins_word(text, name.start())):
            return None
        if behind["is"]:
            return behind
        if self._is_option(name):
            return None if text.startswith("-", behind.end()) else behind
        opens_pair = behind["pair"] and behind["quote"] and _opens_pair(text, _start_of_name(text, name.start()))
        return behind if opens_pair else None

    def _value(self, name: re.Match[str], behind: re.Match[str]) -> tuple[int, int] | None:
        text, at = self._text, behind.end()
        if behind["is"] == ":" and not behind["quote"] and name[0].lower() in _HEADERS and not _QUOTE.match(text, at):
            self._move_to(at)
            end = _HEADER_END.search(text, at, self._line_end)
            return _some(at, end.start() if end else self._line_end)
        if _COUNTED.fullmatch(name[0] + behind["more"]) and _NUMBER.match(text, at):
            return None
        value = self._value_at(at)
        if behind["pair"] and value and not self._is_option(name) and not _PAIR_END.match(text, value[1]):
            return None
        return value

    def _is_option(self, name: re.Match[str]) -> bool:
        return self._text.startswith("--", _start_of_name(self._text, name.start()))

    def _value_at(self, at: int) -> tuple[int, int] | None:
        """(start, end) of what is secret of the value that begins there; None when nothing is."""
        text = self._text
        if _NOTHING.match(text, at):
            return None
        self._move_to(at)
        stop = self._line_end if self._is_source else self._block_end
        if opening := _QUOTE.match(text, at, stop):
            start = opening.end()
            end = _closing(text, opening["quote"], start, stop)
            return _some(start, stop if end < 0 else end)
        scheme = _SCHEME.match(text, at, stop)
        end = self._end_of_bare(scheme.end() if scheme else at, stop)
        return None if self._is_code(at, end) else _some(at, end)

    def _is_code(self, at: int, end: int) -> bool:
        """Whether it is an expression in a traceback's line of source, which names the secret but does not tell it."""
        if not self._is_source or self._text[at].isdigit():
            return False
        return self._text.find("'", at, end) < 0 and self._text.find('"', at, end) < 0

    def _end_of_bare(self, at: int, stop: int) -> int:
        text, depth = self._text, 0
        while found := _BREAK.search(text, at, stop):
            char, at = found[0], found.end()
            if char in "[({<":
                # An unbalanced bracket is looked for once; the second time it could take quadratic time.
                depth += 1
                stop = self._line_end if self._unbalanced_up_to >= stop else stop
            elif depth:
                if char in "])}>":
                    depth -= 1
                elif char in "'\"" and not text[found.start() - 1].isalnum():
                    end = _closing(text, char, at, stop, may_be_key=True)
                    at = end + 1 if end >= 0 else stop
            elif self._ends_bare(char, at, stop):
                return found.start()
        if not depth:
            return stop
        self._unbalanced_up_to = max(self._unbalanced_up_to, stop)
        return min(self._line_end, stop)

    def _ends_bare(self, char: str, behind: int, stop: int) -> bool:
        if char.isspace() or char == "\\":
            return True
        if char in ",;&":
            return _SOMETHING_ELSE.match(self._text, behind, stop) is not None
        return behind >= stop or not (self._text[behind].isalnum() or self._text[behind] == "_")

    def _move_to(self, at: int) -> None:
        """Know the line and the block of ``at``; each character is looked at once, since ``at`` only grows."""
        text = self._text
        if at > self._line_end:
            begin = text.rfind("\n", self._line, at) + 1
            previous = text.rfind("\n", self._line, max(begin - 1, 0)) + 1 or self._line
            frame = _FRAME.match(text, previous)
            self._is_source = frame is not None and text.startswith(frame[1] + "    ", begin)
            self._line = begin or self._line
            end = text.find("\n", at)
            self._line_end = len(text) if end < 0 else end
        if at > self._block_end:
            frame = _NEXT_FRAME.search(text, at)
            self._block_end = frame.start() if frame else len(text)


def _closing(text: str, quote: str, at: int, stop: int, may_be_key: bool = False) -> int:
    """Where the quote closes; -1 when it does not. A colon behind it says that it closes a key, which no value is."""
    while (found := text.find(quote, at, stop)) >= 0:
        behind = text[found + len(quote) : found + len(quote) + 1]
        in_word = behind.isalnum() or behind == "_" or (behind == ":" and not may_be_key)
        if text[found - 1] != "\\" and not in_word:
            return found
        at = found + 1
    return -1


def _begins_word(text: str, at: int) -> bool:
    if at == 0:
        return True
    before = text[at - 1]
    return not before.isalnum() or (before.islower() and text[at].isupper())


def _start_of_name(text: str, at: int) -> int:
    first = max(at - _NAME_MOST, 0)
    while at > first and (text[at - 1].isalnum() or text[at - 1] in "_.-"):
        at -= 1
    return at


def _opens_pair(text: str, start: int) -> bool:
    """Whether a quoted name that begins at ``start`` is the first in its brackets."""
    before = text[max(start - 12, 0) : start].rstrip("\\'\"")
    return before.rstrip("bu").endswith(("(", "["))


def _some(start: int, end: int) -> tuple[int, int] | None:
    return (start, end) if start < end else None
