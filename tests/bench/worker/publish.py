"""Publishes N messages of one task into one queue: ``python -m worker.publish TASK N QUEUE``."""

import sys

from worker import app


def main(task: str, count: int, queue: str) -> None:
    """Publish with whatever instrumentation this process has, so that the messages carry what real ones do."""
    for _ in range(count):
        getattr(app, task).apply_async(queue=queue)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
