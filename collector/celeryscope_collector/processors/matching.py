"""Patterns of names: ``*`` is any text, ``?`` one character, ``[ab]`` one of these, ``[!ab]`` none; case matters."""

import re
from collections.abc import Callable, Collection
from fnmatch import translate
from functools import lru_cache
from typing import Final, TypeVar

Result = TypeVar("Result")

_LONGEST: Final = 512


def matcher(patterns: Collection[str]) -> Callable[[str], bool]:
    """Whether a whole name fits any of the patterns; every name does when there is none."""
    if not patterns:
        return lambda _name: True
    match = re.compile("|".join(map(translate, patterns))).match
    return lambda name: match(name) is not None


def remembered(answer: Callable[[str, str], Result], most: int) -> Callable[[str, str], Result]:
    """``answer`` of two names, kept for so many of them; not for long ones, which no application has: senders must not
    be able to fill the memory with names.
    """
    kept = lru_cache(maxsize=most)(answer)

    def of(one: str, other: str) -> Result:
        return kept(one, other) if len(one) + len(other) <= _LONGEST else answer(one, other)

    return of
