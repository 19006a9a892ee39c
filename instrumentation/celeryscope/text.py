"""Bounds of text that leaves the process."""

from collections.abc import Callable

_WHOLE = 64 * 1024
"""Characters, or four times the bound if that is more, that are always redacted as one text."""


def cut_middle(text: str, max_bytes: int, redact: Callable[[str], str] = str) -> str:
    """``text`` in at most about ``max_bytes`` bytes of UTF-8, with its middle cut out: the error stands at the end.

    It is redacted before it is cut, or a name would be parted from its secret; of a text many times too long only
    both ends are.
    """
    half = max_bytes // 2
    whole = max(4 * max_bytes, _WHOLE)
    if len(text) > whole:
        head, tail = (redact(end).encode(errors="replace") for end in (text[: whole // 2], text[-(whole // 2) :]))
        missing = len(text) - whole + len(head) + len(tail) - 2 * half
    else:
        text = redact(text)
        if len(text) * 4 <= max_bytes:
            return text
        head = tail = text.encode(errors="replace")
        missing = len(head) - 2 * half
        if len(head) <= max_bytes:
            return text
    return (
        f"{head[:half].decode(errors='ignore')}\n[... {missing} bytes cut by celeryscope ...]\n"
        f"{tail[len(tail) - half :].decode(errors='ignore')}"
    )
