"""Bounds and redaction of text that leaves the process."""

import re

# All runs are bounded: an unbounded one before a literal costs quadratic time on a user's long word.
_NAMES_A_SECRET = (
    r"(?:passw(?:or)?d|passphrase|secret|token|api_?key|authorization|credential|private_?key)[\w.-]{0,64}"
)
_SECRET_IN_REPR = re.compile(
    rf"""({_NAMES_A_SECRET}['"]?\s{{0,8}}[:=]\s{{0,8}})(b?'(?:[^'\\]|\\.)*'|b?"(?:[^"\\]|\\.)*"|[^\s,)}}\]]+)""",
    re.IGNORECASE,
)
_SECRET_IN_URL = re.compile(r"(://[^/\s:@]{0,256}:)[^/\s@]{1,1024}(?=@)")
REDACTED = "[redacted]"


def cut_middle(text: str, max_bytes: int) -> str:
    """``text`` in at most about ``max_bytes`` bytes of UTF-8, with its middle cut out: the error stands at the end."""
    if len(text) * 4 <= max_bytes:
        return text
    data = text.encode(errors="replace")
    if len(data) <= max_bytes:
        return text
    half = max_bytes // 2
    head, tail = data[:half].decode(errors="ignore"), data[len(data) - half :].decode(errors="ignore")
    return f"{head}\n[... {len(data) - 2 * half} bytes cut by celeryscope ...]\n{tail}"


def redact_repr(text: str) -> str:
    """A ``repr`` of arguments without the values of keys that name secrets, and without passwords in URLs."""
    text = _SECRET_IN_REPR.sub(rf"\1'{REDACTED}'", text)
    return redact_urls(text)


def redact_urls(text: str) -> str:
    """``scheme://user:password@host`` without the password."""
    return _SECRET_IN_URL.sub(rf"\g<1>{REDACTED}", text) if "://" in text else text
