"""Publishes the plan, order by order at an even pace, until SIGTERM; goes on where the one before it has ended."""

import os
import signal
import threading
import time
from pathlib import Path

from chaos import plan
from chaos.application import publish
from chaos.progress import note, published


def main(file: Path, seed: int, orders_per_second: float) -> None:
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    number, begun = published(file), time.monotonic()
    first = number
    while not stop.wait(begun + (number - first) / orders_per_second - time.monotonic()):
        publish(plan.order(seed, number))
        number += 1
        note(file, number)


if __name__ == "__main__":
    main(Path(os.environ["CHAOS_PUBLISHED"]), int(os.environ["CHAOS_SEED"]), float(os.environ["CHAOS_RATE"]))
