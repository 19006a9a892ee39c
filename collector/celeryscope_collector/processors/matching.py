"""Patterns of names: ``*`` is any text, ``?`` one character, ``[ab]`` one of these, ``[!ab]`` none; case matters."""

import re
from collections.abc import Callable, Collection
from fnmatch import translate


def matcher(patterns: Collection[str]) -> Callable[[str], bool]:
    """Whether a whole name fits any of the patterns; every name does when there is none."""
    if not patterns:
        return lambda _name: True
    match = re.compile("|".join(map(translate, patterns))).match
    return lambda name: match(name) is not None
