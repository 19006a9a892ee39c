"""What users say of their failures: whose code is whose, and which failures are one cluster whatever we think."""

import re
from collections.abc import Iterator
from fnmatch import translate
from functools import lru_cache
from typing import Final, NamedTuple

from celeryscope_pipelines.fingerprint.model import Frame, Link
from celeryscope_pipelines.fingerprint.places import AS_FOUND, InApp, dotted
from celeryscope_pipelines.fingerprint.title import short_type

FIELDS: Final = ("default", "way", "task", "type", "culprit")
"""What may stand in braces in a key or a title that users give."""
_FIELD: Final = re.compile(r"\{(" + "|".join(FIELDS) + r")\}")


class Rule(NamedTuple):
    """Failures of one cluster: all that is given must match, of each the first pattern that does is enough.

    Patterns are as in ``fnmatch``: ``*`` any text, ``?`` one character; case matters.
    """

    name: str
    key: str
    """May hold FIELDS in braces: ``{default}`` is the key that would be without the rule, ``{way}`` the exact one."""
    title: str = ""
    """Likewise; ``{default}`` is the title that would be. Empty: that title."""
    exceptions: tuple[str, ...] = ()
    """Types, with their module or without, of any exception of the chain, or of a group's members."""
    messages: tuple[str, ...] = ()
    """Messages of the same exception."""
    tasks: tuple[str, ...] = ()
    frames: tuple[str, ...] = ()
    """``module.function`` of any frame; the module as it is imported."""
    clusters: tuple[str, ...] = ()
    """Keys that would be without the rule."""


class FailureRules(NamedTuple):
    """The content of a failure rules file; the first rule that matches is taken."""

    in_app: InApp = AS_FOUND
    rules: tuple[Rule, ...] = ()

    def rule_for(self, key: str, task: str, last: tuple[str, str], chain: list[Link]) -> Rule | None:
        """The rule for a failure that has the key without it.

        Of its ``last`` exception the type and the message may be known better than the chain has them.
        """
        return next((rule for rule in self.rules if _matches(rule, key, task, last, chain)), None)


NO_RULES: Final = FailureRules()


def filled(text: str, **fields: str) -> str:
    """The key or title with its fields, each of FIELDS."""
    return _FIELD.sub(lambda found: fields[found[1]], text)


def _matches(rule: Rule, key: str, task: str, last: tuple[str, str], chain: list[Link]) -> bool:
    if rule.clusters and not _any_of(rule.clusters).match(key):
        return False
    if rule.tasks and not _any_of(rule.tasks).match(task):
        return False
    if rule.exceptions or rule.messages:
        raised = [last, *((link.type, link.message) for link in _links(chain))]
        if not any(_is_of(rule, *one) for one in raised):
            return False
    return not rule.frames or any(_is_in(rule.frames, frame) for link in _links(chain) for frame in link.frames)


def _is_of(rule: Rule, exception_type: str, message: str) -> bool:
    if rule.exceptions:
        types = _any_of(rule.exceptions)
        if not (types.match(exception_type) or types.match(short_type(exception_type))):
            return False
    return not rule.messages or _any_of(rule.messages).match(message) is not None


def _is_in(patterns: tuple[str, ...], frame: Frame) -> bool:
    # Where the module's name begins in the path is not known, so every folder may be its first.
    parts = f"{dotted(frame.path)}.{frame.name}".split(".")
    return any(_any_of(patterns).match(".".join(parts[start:])) for start in range(len(parts)))


def _links(chain: list[Link]) -> Iterator[Link]:
    for link in chain:
        yield link
        for member in link.members:
            yield from _links(member)


@lru_cache(maxsize=1024)
def _any_of(patterns: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(map(translate, patterns)))
