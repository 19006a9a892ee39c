"""Secrets do not leave the process: values of telling names become ``[redacted]``, wherever they stand.

The names follow what Django (``SafeExceptionReporterFilter``), Sentry (``DEFAULT_DENYLIST``) and Elastic's agents
(``sanitize_field_names``) take for telling. Passwords in URLs and private keys need no name and are always redacted.

What can't be known: a secret without a name (a positional argument, an element of a list), and one whose name says
nothing. The deny list is there to be extended.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any, Final

from celeryscope.secrets_in_text import REDACTED, NamedSecrets

__all__ = ["REDACTED", "Redactor", "redact_urls"]

DENIED: Final = (
    "accesskey",
    "apikey",
    "authorization",
    "cardnumber",
    "connectionstring",
    "cookie",
    "credential",
    "creditcard",
    "cvv",
    "passphrase",
    "passwd",
    "password",
    "privatekey",
    "pwd",
    "secret",
    "sessionid",
    "sessionkey",
    "token",
    "xamzsignature",
    "xgoogsignature",
)
"""A name is telling when it has one of these in it; case, ``-``, ``_``, ``.`` and spaces do not matter."""
DENIED_ENDINGS: Final = ("auth", "jwt", "pass", "pw", "session")
"""A name is telling when its last word is one of these: too short or too common to be looked for anywhere."""

_DEEPEST: Final = 8
_MOST_ITEMS: Final = 1000
_SHORTEST: Final = len("pw=x")
_FRAME_MOST: Final = 2048
_NAME_MOST: Final = 256
"""Characters of names and frames that are remembered; longer ones would fill the memory."""
_FRAME: Final = '\n  File "'
_SEPARATORS: Final = str.maketrans("", "", "-_. ")
# What follows "://": a user, maybe empty, a colon, and the password up to the last @ of this URL. The password never
# runs across whitespace, quotes or the next "://", so the search stays linear; a port before a path is not one.
_USERINFO: Final = re.compile(r"""://([^\s:/@?#"'<>]*):(?!\d{1,5}[/?#])((?:(?!://)[^\s"'<>])+)@""")
_PRIVATE_KEY: Final = re.compile(
    r"(-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----).*?(?:(?=-----END [A-Z ]{0,40}PRIVATE KEY-----)|\Z)", re.DOTALL
)


class Redactor:
    """Redacts by one deny list; made once a process."""

    def __init__(self, more: Iterable[str] = (), keep: Iterable[str] = (), *, by_name: bool = True) -> None:
        """``more`` extends the denied names, ``keep`` lists exact keys to leave alone.

        Without ``by_name`` only passwords in URLs and private keys are redacted.
        """
        parts = (*DENIED, *filter(None, (_squeezed(name) for name in more)))
        part = re.compile("|".join(map(re.escape, parts)))
        ending = re.compile(rf"(?:^|[\W_]|(?<=[a-z0-9])(?=[A-Z]))(?i:{'|'.join(DENIED_ENDINGS)})$")
        kept = frozenset(keep)

        def is_secret(name: str) -> bool:
            return name not in kept and bool(part.search(_squeezed(name)) or ending.search(name))

        remembered = lru_cache(maxsize=8192)(is_secret)
        self.is_secret: Callable[[str], bool] = (
            (lambda name: (remembered if len(name) <= _NAME_MOST else is_secret)(name))
            if by_name
            else lambda _name: False
        )
        """Whether a key's value is a secret."""
        self._in_text = NamedSecrets(parts, DENIED_ENDINGS) if by_name else None
        self._frame = lru_cache(maxsize=1024)(self._redacted_frame)

    def text(self, text: str) -> str:
        """A repr, message, line of a log or any other text. Linear in its length."""
        if len(text) < _SHORTEST:
            return text
        if "://" in text:
            text = redact_urls(text)
        if "PRIVATE KEY" in text:
            text = _PRIVATE_KEY.sub(rf"\1{REDACTED}", text)
        return self._in_text.redacted(text) if self._in_text else text

    def traceback(self, text: str) -> str:
        """A traceback's text. Frames are remembered: what fails often fails at the same place."""
        first, *frames = text.split(_FRAME)
        if not frames:
            return self.text(text)
        # What stands before the first frame and behind the last one is another text each time.
        redacted = [
            self._frame(frame) if len(frame) <= _FRAME_MOST else self._redacted_frame(frame) for frame in frames[:-1]
        ]
        return _FRAME.join((self.text(first), *redacted, self._redacted_frame(frames[-1])))

    def _redacted_frame(self, frame: str) -> str:
        return self.text(_FRAME[1:] + frame)[len(_FRAME) - 1 :]

    def fields(self, values: Mapping[Any, Any]) -> dict[str, Any]:
        """The mapping with the values of telling keys redacted, nested ones too; what OTLP has no type for as text."""
        return self._mapping(values, 0)

    def value(self, value: Any, depth: int = 0) -> Any:
        """The value of a key that is not telling: strings, sequences and mappings redacted inside."""
        if isinstance(value, str):
            return self.text(value)
        if value is None or isinstance(value, bool | int | float):
            return value
        if depth >= _DEEPEST:
            return "[...]"
        if isinstance(value, Mapping):
            return self._mapping(value, depth)
        if isinstance(value, list | tuple | set | frozenset):
            return self._items(value, depth)
        return self.text(safe_str(value))

    def _mapping(self, values: Mapping[Any, Any], depth: int) -> dict[str, Any]:
        redacted: dict[str, Any] = {}
        for key, value in values.items():
            name = key if type(key) is str else safe_str(key)
            if len(redacted) >= _MOST_ITEMS:
                redacted["..."] = f"{len(values) - _MOST_ITEMS} more"
                break
            if self.is_secret(name) and not tells_nothing(name, value):
                redacted[name] = REDACTED
            else:
                redacted[name] = self.value(value, depth + 1)
        return redacted

    def _items(self, values: Iterable[Any], depth: int) -> list[Any]:
        items = list(values)
        if len(items) == 2 and isinstance(items[0], str) and self.is_secret(items[0]) and isinstance(items[1], str):
            return [items[0], REDACTED]  # one of a list of pairs, as headers are
        redacted = [self.value(item, depth + 1) for item in items[:_MOST_ITEMS]]
        return redacted if len(items) <= _MOST_ITEMS else [*redacted, f"[... {len(items) - _MOST_ITEMS} more]"]


def redact_urls(text: str) -> str:
    """The text with the password of each ``scheme://user:password@host`` redacted."""
    if "://" not in text or "@" not in text:
        return text
    return _USERINFO.sub(rf"://\1:{REDACTED}@", text)


def tells_nothing(name: str, value: Any) -> bool:
    """Whether a telling name's value is no secret: nothing and flags are none, and a number of tokens is no token."""
    if value is None or isinstance(value, bool):
        return True
    return isinstance(value, int | float) and _squeezed(name).endswith(("tokens", "tokencount"))


def safe_str(value: Any) -> str:
    """``str(value)``; says so when that raises."""
    try:
        return str(value)
    except Exception as error:  # noqa: BLE001 - a user's __str__ may raise anything
        return f"<{type(value).__name__}: {type(error).__name__} in __str__>"


def _squeezed(name: str) -> str:
    return name.lower().translate(_SEPARATORS)
