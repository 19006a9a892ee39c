"""What a message says in the words that stay: those of the program, whichever version of Python or a library runs it.

A message is kept as a template: what came in as data is ``<*>``, what the program itself says stays. Wordings that
differ between versions of Python (3.8 to 3.14) or of a library are made one.
"""

import re
from collections.abc import Callable
from typing import Final

from celeryscope_pipelines.fingerprint.message import CODE, first_line, is_code, parameterised

_MOST: Final = 200
"""Characters of a template that count."""
_SAYS_ENOUGH: Final = frozenset(
    [
        "JSONDecodeError",
        "KeyboardInterrupt",
        "MemoryError",
        "RecursionError",
        "SoftTimeLimitExceeded",
        "StopAsyncIteration",
        "StopIteration",
        "SystemExit",
        "UnicodeDecodeError",
        "UnicodeEncodeError",
        "ZeroDivisionError",
    ]
)
"""Types whose messages hold positions and values, or differ between versions, and add nothing to the type."""
_OF_THE_NETWORK: Final = re.compile(
    r"(?:Time(?:d)?Out|Timeout|ConnectionError|ConnectError|Connect(?:ion)?(?:Refused|Reset|Aborted|Closed)|Disconnected"
    r"|BrokenPipe|gaierror|EndpointConnection|ServerNotFound|ReadError|RemoteProtocolError|SSLError|ProxyError)"
)
"""Types of what a network does: a library's message tells which of its moods it was."""
_NO_CONNECTION: Final = re.compile(
    r"connection refused|could not connect|can't connect|name or service not known|could not translate host name"
    r"|connection to server at .* failed|connection timed out|no route to host|timeout expired"
)
_LOST_CONNECTION: Final = re.compile(
    r"closed the connection|connection (?:already |has been |is |was )?(?:unexpectedly )?(?:closed|reset|lost|aborted)"
    r"|server has gone away|lost connection|broken pipe|terminating connection|remote end closed"
)
"""What a server's absence, and its going away, is called by one driver or the other, or by its next version."""
_ABOUT_CONNECTIONS: Final = ("connect", "service", "host", "timeout", "gone away", "pipe", "remote")
"""Words of which one is in every text that the two find."""
_SUGGESTION: Final = re.compile(
    r"[.,;]? (?:Did you mean:? .*|Did you forget .*|\(most likely due to a circular import\).*|\(consider renaming .*)$"
)
Replacement = str | Callable[[re.Match[str]], str]
_WORDINGS: Final[tuple[tuple[str, re.Pattern[str], Replacement], ...]] = (
    # A word that must stand in the message for the expression to be tried, and what becomes of it.
    ("local variable", re.compile(r"(?:cannot access )?local variable ('[^']*').*"), r"local variable \1 is not set"),
    ("positional", re.compile(r"(?<![\w<>.])(?:[\w<>]+\.)+(\w+\(\))"), r"\1"),
    ("argument", re.compile(r"(?<![\w<>.])(?:[\w<>]+\.)+(\w+\(\))"), r"\1"),
    ("values to unpack", re.compile(r"(values to unpack).*"), r"\1"),
    ("unhashable type", re.compile(r"^.*(unhashable type: '[\w.]*').*"), r"\1"),
    ("abstract class", re.compile(r"(Can't instantiate abstract class '?[\w.]*).*"), r"\1"),
    ("indices must be integers", re.compile(r"(indices must be integers).*"), r"\1"),
    ("returned non-zero", re.compile(r"Command .*(returned non-zero exit status)"), r"\1"),
    ("a container or ", re.compile(r"a container or "), ""),
    ("(Caused by ", re.compile(r"\(Caused by (\w+).*"), r"(Caused by \1)"),
    (" error '", re.compile(r"(?:Client|Server) error '(\d{3}) [^']*'"), r"status \1"),
    (", message='", re.compile(r"^(\d{3}), message='[^']*'"), r"status \1"),
    ("An error occurred (", re.compile(r"(An error occurred \(\w+\) when calling the \w+ operation).*"), r"\1"),
    # SQLAlchemy names the driver's class, MySQL's drivers show a tuple.
    ("(", re.compile(r"^\((?:\w+\.)+(\w+)\) "), r"\1 "),
    ("(", re.compile(r"""\(\d{3,5}, (["'])(.*)\1\)"""), r"\2"),
    ("50", re.compile(r"\b50[234] Server Error: .*? for url"), "unavailable for url"),
)
_BEFORE_CODES: Final = ("http", "status", "error", "exit", "signal")
_UNAVAILABLE: Final = frozenset({"502", "503", "504"})
_PLACEHOLDER: Final = re.compile(r"<[a-z]+>")
_PLACEHOLDERS: Final = re.compile(r"<\*>(?:[\s,:/.()#=-]*<\*>)+")
_COUNTED: Final = re.compile(r"(<\*> [a-z][\w-]{3,}?)s\b")
_RAISED: Final = re.compile(
    r"""raise\s+[\w.]+\(\s*(?P<prefix>[fFrRuU]{0,2})(?P<quote>["'])(?P<text>[^"'\\]{4,200})(?P=quote)"""
    r"(?P<then>\s*%|\.format\()?"
)
_KEY: Final = re.compile(r"'(?:[a-z_]{2,40}|[A-Z_]{2,40})'")
_FIELD: Final = re.compile(r"\{[^{}]*\}|%\(\w+\)[a-z]|%[-+ #0]*\d*(?:\.\d+)?[a-z]")
_WORD: Final = re.compile(r"(?<![\w<*])[^\W\d_]{2,}(?![\w*>])")
_OWN_WORDS: Final = 5
_SENTENCE: Final = re.compile(r"[a-z]\w+ .*\w")


def template(exception_type: str, message: str, *, code: str, raised: str, in_library: bool) -> str:
    """What of the message counts when failures are compared; empty when the type alone says it.

    ``exception_type`` is its short name, ``code`` the application's source lines, as far as they are known, ``raised``
    the line that raised the exception where that is the application's own; ``in_library`` says it is not.
    """
    if exception_type in _SAYS_ENOUGH or (in_library and _OF_THE_NETWORK.search(exception_type)):
        return ""
    line = first_line(message)
    if in_library and (found := _of_a_connection(line.lower())):
        return found
    if raised and line and (found := interpolated(line, raised, code)):
        line = found
    if exception_type == "KeyError" and not code:
        return line if _KEY.fullmatch(line) else "<*>"
    line = _SUGGESTION.sub("", line)
    for word, expression, replacement in _WORDINGS:
        if word in line:
            line = expression.sub(replacement, line, count=1)
    if any(word in line.lower() for word in _BEFORE_CODES):
        line = CODE.sub(_as_a_word, line)
    line = parameterised(line, code)
    if "<" in line:
        line = _PLACEHOLDERS.sub("<*>", _PLACEHOLDER.sub("<*>", line))
        line = _COUNTED.sub(r"\1", line)
    return line.strip(" .")[:_MOST]


def _of_a_connection(line: str) -> str:
    """What a driver says of its connection, whichever words it has for that; ``line`` in small letters."""
    if any(word in line for word in _ABOUT_CONNECTIONS):
        if _NO_CONNECTION.search(line):
            return "no connection"
        if _LOST_CONNECTION.search(line):
            return "lost connection"
    return ""


def _as_a_word(found: re.Match[str]) -> str:
    """A code that tells failures apart, in letters, which no placeholder takes away."""
    what, code = found["what"] or "", found["code"] or found["before"]
    return what + ("unavailable" if code in _UNAVAILABLE else "".join("abcdefghij"[int(digit)] for digit in code))


def interpolated(message: str, raised: str, code: str) -> str:
    """The message with ``<text>``, ``<n>`` and the like for what the line that raised it puts in.

    Empty if that can't be told from the line.
    """
    found = _RAISED.search(raised)
    if found is None or not ("f" in found["prefix"].lower() or found["then"]):
        return ""
    literals, fields = _FIELD.split(found["text"]), _FIELD.findall(found["text"])
    if len(literals) < 2 or sum(map(len, literals)) < 4:
        return ""
    values = _values(message, literals)
    if values is None:
        return ""
    parts = [literals[0]]
    for value, literal, field in zip(values, literals[1:], fields, strict=True):
        # The name of a class or function is the program's, and an inner sentence is mostly another exception's.
        said = "__name__" in field or _SENTENCE.fullmatch(value) or f"'{value}'" in code or f'"{value}"' in code
        said = said or is_code(parts[-1], value, literal)
        parts += [value if said else _placeholder(value), literal]
    return "".join(parts)


def _placeholder(value: str) -> str:
    """What of the kind of the value stands for it."""
    kind = parameterised(value)
    return kind if _PLACEHOLDER.fullmatch(kind) else "<text>"


def _values(message: str, literals: list[str]) -> list[str] | None:
    """What stands between the literals, each taken where it comes first; None when the message is another."""
    if not message.startswith(literals[0]):
        return None
    values, at = [], len(literals[0])
    for literal in literals[1:-1]:
        found = message.find(literal, at) if literal else at
        if found < 0:
            return None
        values.append(message[at:found])
        at = found + len(literal)
    end = len(message) - len(literals[-1])
    return [*values, message[at:end]] if at <= end and message.endswith(literals[-1]) else None


def is_its_own(says: str) -> bool:
    """Whether the template has so many words of its own that the program will have it at one place only."""
    return len(_WORD.findall(says)) >= _OWN_WORDS
