"""The command line: ``python -m clusters --help``; ``make bench-clusters`` scores our clusters beside two baselines."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

from celeryscope_pipelines.fingerprint import Fingerprint, fingerprint_of
from clusters import baselines
from clusters.corpus import Failure, load, scored
from clusters.score import Grouping, Score, halves, score
from figures import Figure, show, write

_OUTPUT = Path(__file__).parents[3] / "build" / "bench" / "clusters.json"
_GOAL = 0.97
_WORST = 10


@cache
def _fingerprint(failure: Failure) -> Fingerprint:
    return fingerprint_of(
        kind=failure.kind,
        task=failure.task,
        exception_type=failure.type,
        message=failure.message,
        stacktrace=failure.stacktrace,
    )


def cluster(failure: Failure) -> str:
    """celeryscope's key; ``celery-failures`` has a document for each."""
    return _fingerprint(failure).key


def exact(failure: Failure) -> str:
    """celeryscope's key with the call path."""
    return _fingerprint(failure).exact_key


def coarse(failure: Failure) -> str:
    """celeryscope's key without the message."""
    return _fingerprint(failure).coarse_key


OURS = "celeryscope's clusters"
EXACT, COARSE = "celeryscope's exact key (with the call path)", "celeryscope's coarse key (without the message)"
GROUPINGS: dict[str, Grouping] = {
    OURS: cluster,
    EXACT: exact,
    COARSE: coarse,
    "baseline: exception type only": baselines.type_only,
    "baseline: type and all frames": baselines.type_and_frames,
}


def figures(failures: Sequence[Failure], scores: dict[str, Score]) -> Iterator[Figure]:
    """All figures; the goals are on our clusters."""
    groups = len({failure.group for failure in failures})
    yield Figure("corpus: tracebacks", len(failures), "", 300, at_least=True)
    yield Figure("corpus: groups", groups, "", 60, at_least=True)
    for name, found in scores.items():
        yield Figure(f"{name}: precision", found.precision, "of pairs")
        yield Figure(f"{name}: recall", found.recall, "of pairs")
        yield Figure(f"{name}: F1", found.f1, "", _GOAL if name == OURS else None, at_least=True)
        yield Figure(f"{name}: clusters", found.clusters, f"for {groups} groups")
    best = max(found.f1 for name, found in scores.items() if name.startswith("baseline"))
    yield Figure("F1 above the better baseline", scores[OURS].f1 - best, "", 0.0, at_least=True)
    for number, half in enumerate(halves(failures), 1):
        for name in (OURS, EXACT, COARSE):
            yield Figure(f"{name}: F1 of half {number} of the groups", score(half, GROUPINGS[name]).f1, "")


def explain(name: str, found: Score, most: int) -> None:
    """Print the worst splits and merges: what to mend first."""
    print(f"\n{name}: {len(found.splits)} groups are split, {len(found.merges)} clusters are of several groups.")
    for split in found.splits[:most]:
        print(f"  split: {split.group} ({split.missing} pairs)")
        for part in split.parts:
            print("    " + "; ".join(f"{member.setting} ({', '.join(member.differs)})" for member in part))
    for merge in found.merges[:most]:
        print(f"  merge: {', '.join(f'{size} of {group}' for group, size in merge.groups)} ({merge.wrong} pairs)")


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when all was measured, whether the goals hold or not."""
    options = _options(arguments)
    failures = list(scored(load()))
    scores = {name: score(failures, grouping) for name, grouping in GROUPINGS.items()}
    found = list(figures(failures, scores))
    show(found)
    write(found, options.output)
    if options.explain or any(figure.holds is False for figure in found):
        most = sys.maxsize if options.explain else _WORST
        explain(OURS, scores[OURS], most)
        if options.explain:
            explain(COARSE, scores[COARSE], most)
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m clusters", description=__doc__)
    parser.add_argument(
        "--explain", action="store_true", help="all splits and merges, of both keys; the worst otherwise"
    )
    parser.add_argument("--output", type=Path, default=_OUTPUT, help="the figures' file")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
