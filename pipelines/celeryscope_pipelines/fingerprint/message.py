"""Messages without what is different each time."""

import re
from functools import lru_cache
from typing import Final

_READ_MOST: Final = 4096
"""Characters of a message that are looked at; it bounds the time."""
_MONTH: Final = "(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*"
_UNIT: Final = (
    r"(?: ?(?:[nuµm]s|s|secs?|seconds?|milliseconds?|mins?|minutes?|h|hours?|days?|[kKMGT]i?B|bytes?|[A-Z]{3})(?!\w)|%)"
)
_PARAMETER: Final = re.compile(
    # Most of a message is words: nothing to be looked for. An apostrophe within or behind one begins no quotation.
    r"(?<!\w)(?![a-z]++(?![\w.+@:/\\'\"`-]))(?:[bBuU]?(?:'(?P<single>[^'\n]*+)'|\"(?P<double>[^\"\n]*+)\"|`(?P<back>[^`\n]*+)`)(?!\w)"
    r"|(?P<url>[A-Za-z][A-Za-z0-9+.-]{1,15}://[^\s'\"<>)\]}]+)"
    r"|(?P<email>[\w.+-]{1,64}@[\w-]+(?:\.[\w-]+)+)"
    r"|(?P<uuid>[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}(?!\w))"
    rf"|(?P<date>\d{{4}}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?: ?(?:Z|UTC|[+-]\d\d:?\d\d))?)?(?!\w)"
    rf"|(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*,? )?(?:\d{{1,2}} {_MONTH} \d{{4}}|{_MONTH} \d{{1,2}}(?:,? \d{{4}})?)"
    r"(?:,? \d\d:\d\d(?::\d\d)?)?(?: (?:GMT|UTC|[+-]\d{4}))?(?!\w))"
    r"|(?P<ip>\d{1,3}(?:\.\d{1,3}){3}(?:[:/]\d{1,5})?(?![\w.])"
    r"|(?:[0-9a-fA-F]{1,4}:){7}[0-9a-fA-F]{1,4}(?!\w)|(?:(?:[0-9a-fA-F]{1,4}:){1,6}:|::)(?:[0-9a-fA-F:]{1,39})?(?!\w))"
    r"|(?P<hex>0[xX][0-9a-fA-F]+)"
    r"|(?P<object><[A-Za-z_][\w.]*+(?:[ :(][^<>\n]{0,300})?>)"
    r"|(?P<path>(?:~|\.{1,2})?/(?:[\w.@%+~=-]+/)*+[\w.@%+~=-]+|[A-Za-z]:\\[^\s'\"<>|]+|(?:[\w-]{1,64}/){1,8}+[\w-]+\.\w{1,5}(?!\w))"
    rf"|(?P<n>[-+]?\d+(?:[.,:/_-]\d+)*+(?:[eE][-+]?\d+)?{_UNIT}?(?![\w-]))"
    # A word with digits in it is a name for one of many, too.
    r"|(?P<id>(?<![.-])(?=[\w.-]{0,80}?\d)\w(?:[\w.-]{0,120}\w)?)"
    r")"
)
_ANYTHING: Final = re.compile(r"[\d'\"`@/\\<]|[a-fA-F]:")
_AFTER_ITS_NOUN: Final = re.compile(
    r"(?:^name|argument|attribute|class|column|constraint|field|for key|function|import name|index|keyword|method"
    r"|module|module named|named parameter|option|parameter|permission|property|relation|setting|table|variable):? $",
    re.IGNORECASE,
)
_AFTER_TYPES: Final = re.compile(r"(?:instances of|\btype:|for \S{1,4}:|not|got|expected|and) $")
_TYPE_FOLLOWS: Final = " object"
_NAME: Final = re.compile(r"[A-Za-z_][\w.<>-]{0,79}")
_TYPES: Final = frozenset(
    [
        "NoneType",
        "bool",
        "bytes",
        "coroutine",
        "datetime.date",
        "datetime.datetime",
        "decimal.Decimal",
        "dict",
        "float",
        "function",
        "generator",
        "int",
        "list",
        "method",
        "module",
        "object",
        "set",
        "str",
        "tuple",
        "type",
    ]
)
_MANY_DIGITS: Final = re.compile(r"\d{3,}")
_REPEATED: Final = re.compile(r"(<[a-z]+>)(?:, ?\1)+")
CODE: Final = re.compile(
    r"(?P<what>\b(?:http|http error|status|status[ _]code|error code|exit status|exit code|signal)[ :=]{1,2})"
    r"(?P<code>\d{1,4})\b"
    r"|\b(?P<before>[1-5]\d\d)(?= (?:Client|Server) Error)",
    re.IGNORECASE,
)
"""A status, an exit code or a signal, which tells failures apart."""
_DIGITS_MOST: Final = 4
_AROUND: Final = 24
"""Characters around a number that tell whether it is a code."""
_DATA: Final = re.compile(r"\{[^{}\n]*+\}")


def parameterised(message: str, code: str = "") -> str:
    """The start of the message with what is different each time replaced by what it is, e.g. ``<n>``, ``<uuid>``.

    A quoted text stays when it is of the program and not of its data: the name of an attribute, a column, a type, or
    one that stands in quotes in ``code``, the source lines at hand.
    """
    # Without a quotation the code is not asked.
    quotes = "'" in message or '"' in message or "`" in message
    return _parameterised(message[:_READ_MOST], code if quotes else "")


@lru_cache(maxsize=64)
def _parameterised(message: str, code: str) -> str:
    # Remembered for a moment: a failure's title and its key need the same.
    if _ANYTHING.search(message):
        message = _PARAMETER.sub(lambda found: _replaced(found, code), message)
        message = _REPEATED.sub(r"\1", message)
    depth = 0
    while "{" in message and depth < 3:
        message = _DATA.sub("<data>", message)
        depth += 1
    return message


def _replaced(found: re.Match[str], code: str) -> str:
    kind = str(found.lastgroup)
    if kind in ("single", "double", "back"):
        return _quoted(found, found[kind], code)
    if kind == "n":
        text, start, end = found.string, found.start(), found.end()
        around = text[max(0, start - _AROUND) : start], found["n"], text[end : end + _AROUND]
        return found["n"] if is_code(*around) else "<n>"
    if kind == "object":
        if found["object"].startswith("<class '"):
            return f"<{found['object'][8:-2].rpartition('.')[2]}>"
        return f"<{found['object'][1:-1].split(' ')[0].split(':')[0].split('(')[0].rpartition('.')[2]}>"
    return f"<{kind}>"


def is_code(before: str, value: str, after: str) -> bool:
    """Whether the value between the two texts is a status, an exit code or a signal."""
    if len(value) > _DIGITS_MOST or not value.isdigit():
        return False
    end = len(before) + len(value)
    return any(found.end() == end for found in CODE.finditer(f"{before}{value}{after}"))


def _quoted(found: re.Match[str], text: str, code: str) -> str:
    if not _NAME.fullmatch(text):
        return "<text>"
    message, start, end = found.string, found.start(), found.end()
    stays = (
        (text in _TYPES and _AFTER_TYPES.search(message[max(0, start - 20) : start]) is not None)
        or message.startswith(_TYPE_FOLLOWS, end)
        or _AFTER_ITS_NOUN.search(message[max(0, start - 20) : start]) is not None
        or (code and (f"'{text}'" in code or f'"{text}"' in code))
    )
    return _MANY_DIGITS.sub("<n>", found[0]) if stays else "<text>"


def one_line(text: str) -> str:
    """The first line with something on it, single spaces between its words."""
    return " ".join(text[:_READ_MOST].lstrip().partition("\n")[0].split())


def first_line(message: str) -> str:
    """The first line; with the second one when it only announces that, as pydantic's does: there it names a field."""
    line = one_line(message)
    if line.endswith(":") or "validation error" in line:
        _, _, second = message.lstrip().partition("\n")
        line = f"{line} {one_line(second)}".rstrip()
    return line
