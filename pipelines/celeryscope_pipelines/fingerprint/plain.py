"""The traceback's own text, out of what a log has made of it: colours, a prefix on each line, JSON, a ``repr``."""

import re
from typing import Final

_HEADER: Final = "Traceback (most recent call last):"
_GROUP: Final = "  + Exception Group "
_FRAME: Final = '  File "'
_COLOUR: Final = re.compile(r"\x1b\[[0-9;]*m")
_TO_THE_QUOTE: Final = re.compile(r'(?:[^"\\]++|\\.)*+', re.DOTALL)
_END_OF_LINE: Final = re.compile(r"(\\{1,8})n")
_ESCAPED: Final = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))", re.DOTALL)
_LETTERS: Final = {"n": "\n", "t": "\t", "r": ""}
_DIGITS: Final = re.compile(r"\d+")
_PREFIX_MOST: Final = 300


def plain(text: str) -> str:
    """``text`` as Python wrote it, as far as that can be told; a traceback that is one already stays as it is."""
    if "\x1b" in text:
        text = _COLOUR.sub("", text)
    at = text.find(_HEADER)
    if at < 0:
        return text
    if text.endswith(_GROUP, max(0, at - len(_GROUP)), at):
        at -= len(_GROUP)
    behind = text.find(_HEADER, at) + len(_HEADER)
    if escaped := _END_OF_LINE.match(text, behind):
        return _unescaped(text[at:], len(escaped[1]))
    start = text.rfind("\n", 0, at) + 1
    prefix = text[start:at].removesuffix("Exception Group ")
    return _without(prefix, text[start:]) if prefix.strip(" |+") and len(prefix) <= _PREFIX_MOST else text


def _unescaped(text: str, backslashes: int) -> str:
    """Of the text of a JSON document or a ``repr``, up to its end; what is escaped again has twice the backslashes."""
    if '\\"' in text and (found := _TO_THE_QUOTE.match(text)):
        text = found[0]
    while backslashes:
        text, backslashes = _ESCAPED.sub(_meant, text), backslashes // 2
    # JSON writes one character as two halves, and half of one is no text that could be stored.
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _meant(found: re.Match[str]) -> str:
    code, letter = found.groups()
    return chr(int(code, 16)) if code else _LETTERS.get(letter, letter)


def _without(prefix: str, text: str) -> str:
    """The lines without what stands before each of them; only the first one has it when a logger has written it.

    Two prefixes may differ in their numbers: times, ids of processes.
    """
    first, _, rest = text.partition("\n")
    if rest.startswith((_FRAME, "  | ")):
        return f"{first[len(prefix) :]}\n{rest}"
    expression = _DIGITS.sub(lambda _: r"\d+", re.escape(prefix.rstrip()))
    expression = f"^{expression} {{0,{len(prefix) - len(prefix.rstrip())}}}"
    return re.sub(expression, "", text, flags=re.MULTILINE)
