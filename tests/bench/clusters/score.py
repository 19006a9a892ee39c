"""Pairs of failures: which belong together, which a way of grouping puts together."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from math import comb

from clusters.corpus import Failure

Grouping = Callable[[Failure], Hashable]


@dataclass(frozen=True)
class Split:
    """A group whose failures are in several clusters; ``missing`` pairs are apart that belong together."""

    group: str
    parts: tuple[tuple[Failure, ...], ...]
    missing: int


@dataclass(frozen=True)
class Merge:
    """A cluster with failures of several groups; ``wrong`` pairs are together that belong apart."""

    groups: tuple[tuple[str, int], ...]
    wrong: int


@dataclass(frozen=True)
class Score:
    """Of all pairs put together the share that belongs together, and the other way round; both from 0 to 1."""

    precision: float
    recall: float
    clusters: int
    splits: tuple[Split, ...]
    merges: tuple[Merge, ...]

    @property
    def f1(self) -> float:
        """The harmonic mean."""
        return (
            2 * self.precision * self.recall / (self.precision + self.recall) if self.precision + self.recall else 0.0
        )


def score(failures: Iterable[Failure], grouping: Grouping) -> Score:
    """How well the grouping does; the worst splits and merges come first."""
    clusters: defaultdict[Hashable, list[Failure]] = defaultdict(list)
    for failure in failures:
        clusters[grouping(failure)].append(failure)
    parts: defaultdict[str, list[tuple[Failure, ...]]] = defaultdict(list)
    merges = []
    for members in clusters.values():
        sizes = Counter(member.group for member in members)
        for group in sizes:
            parts[group].append(tuple(member for member in members if member.group == group))
        if len(sizes) > 1:
            merges.append(Merge(tuple(sizes.most_common()), _pairs([len(members)]) - _pairs(sizes.values())))
    splits = [
        Split(
            group, tuple(sorted(found, key=len, reverse=True)), _pairs([sum(map(len, found))]) - _pairs(map(len, found))
        )
        for group, found in parts.items()
        if len(found) > 1
    ]
    together = _pairs(len(part) for found in parts.values() for part in found)
    put_together = _pairs(map(len, clusters.values()))
    belonging = _pairs(sum(map(len, found)) for found in parts.values())
    return Score(
        precision=together / put_together if put_together else 1.0,
        recall=together / belonging if belonging else 1.0,
        clusters=len(clusters),
        splits=tuple(sorted(splits, key=lambda split: -split.missing)),
        merges=tuple(sorted(merges, key=lambda merge: -merge.wrong)),
    )


def halves(failures: Sequence[Failure]) -> tuple[list[Failure], list[Failure]]:
    """The failures of half the groups each, by a hash of the group's name: what was tuned to one half shows."""
    found: tuple[list[Failure], list[Failure]] = [], []
    for failure in failures:
        found[hashlib.sha256(failure.group.encode()).digest()[0] % 2].append(failure)
    return found


def _pairs(sizes: Iterable[int]) -> int:
    return sum(comb(size, 2) for size in sizes)
