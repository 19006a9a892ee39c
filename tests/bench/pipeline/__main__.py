"""The command line: ``python -m pipeline --help``; ``make bench-pipeline`` measures everything.

A part is a module with ``figures(bench) -> Iterator[Figure]``; it raises MeasurementFailed when a figure would not be
what its name says.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import session
from figures import Figure
from options import list_of
from pipeline import collector, indexer, latency, memory, scaling, soak
from pipeline.bench import Bench

_OUTPUT = Path(__file__).parents[3] / "build" / "bench" / "pipeline.json"
PARTS: dict[str, Callable[[Bench], Iterator[Figure]]] = {
    "collector": collector.figures,
    "indexer": indexer.figures,
    "latency": latency.figures,
    "scaling": scaling.figures,
    "memory": memory.figures,
    "soak": soak.figures,
}
_ON_REQUEST = {"soak"}
"""Takes an hour."""


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when all was measured, whether the goals hold or not; 1 when something could not be."""
    options = _options(arguments)

    @contextmanager
    def measuring(folder: Path) -> Iterator[Iterator[Figure]]:
        with Bench(folder, options) as bench:
            yield (figure for part in options.only for figure in PARTS[part](bench))

    return session.run("pipeline", options.output, measuring)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m pipeline", description=__doc__)
    parser.add_argument("--runs", type=int, default=3, help="runs of each figure; medians are told [3]")
    usual = [part for part in PARTS if part not in _ON_REQUEST]
    parser.add_argument("--only", type=list_of(tuple(PARTS)), default=usual, help=f"{', '.join(PARTS)} [all but soak]")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter runs: for development")
    parser.add_argument("--soak-minutes", type=int, default=60, help="how long the soak takes [60]")
    parser.add_argument("--go-collector", default="", help="an OpenTelemetry Collector's binary, measured beside ours")
    parser.add_argument("--output", type=Path, default=_OUTPUT, help="the figures' file")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
