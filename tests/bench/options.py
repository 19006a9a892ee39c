"""Options that all benchmarks' command lines have."""

import argparse
from collections.abc import Callable


def list_of(known: tuple[str, ...]) -> Callable[[str], list[str]]:
    """What reads a comma-separated list of some of these names."""

    def parse(text: str) -> list[str]:
        wanted = text.split(",")
        if unknown := set(wanted) - set(known):
            raise argparse.ArgumentTypeError(f"unknown: {', '.join(sorted(unknown))}")
        return wanted

    return parse
