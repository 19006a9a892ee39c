"""One run of a benchmark from the command line: figures are told as they come, then as a table and in a file."""

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from figures import Figure, show, write
from measuring import MeasurementFailed


def run(name: str, output: Path, measuring: Callable[[Path], AbstractContextManager[Iterator[Figure]]]) -> int:
    """0 when all was measured, whether the goals hold or not; 1 when something could not be.

    ``measuring`` gets a folder for its processes, and keeps them while the figures are taken; what they log is kept
    when something could not be measured.
    """
    folder = Path(tempfile.mkdtemp(prefix=f"celeryscope-bench-{name}-"))
    print(
        f"Logs of all processes are in {folder} until all is measured; load average {os.getloadavg()[0]:.1f}.",
        file=sys.stderr,
    )
    measured: list[Figure] = []
    failed = False
    with measuring(folder) as figures:
        try:
            for figure in figures:
                print(f"{figure.name}: {figure.value:,.1f} {figure.unit}", file=sys.stderr, flush=True)
                measured.append(figure)
        except MeasurementFailed as error:
            print(f"The measurement failed: {error}", file=sys.stderr)
            failed = True
    if not failed:
        shutil.rmtree(folder)
    show(measured)
    write(measured, output)
    return 1 if failed else 0
