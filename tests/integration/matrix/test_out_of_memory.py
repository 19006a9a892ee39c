"""A real kill by the kernel's out-of-memory killer, where one may make control groups."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from celeryscope.out_of_memory import own_counter
from servers import Redis
from support.sink import Sink
from support.waiting import until
from support.workers import Worker

pytestmark = pytest.mark.redis

LIMIT = 400 * 2**20


@pytest.fixture
def small_group() -> Iterator[Path]:
    """A memory control group of version one or two, inside our own, that takes 400 MiB."""
    counter = own_counter()
    if counter is None:
        pytest.skip("no memory control group here")
    group = counter.parent / f"celeryscope-test-{os.getpid()}"
    limit = "memory.limit_in_bytes" if counter.name == "memory.oom_control" else "memory.max"
    try:
        group.mkdir()
        (group / limit).write_text(str(LIMIT))
        with suppress(OSError):
            # Nor in swap, where there is any: the kernel would rather fill that than kill.
            swap = ("memory.memsw.limit_in_bytes", str(LIMIT)) if limit != "memory.max" else ("memory.swap.max", "0")
            (group / swap[0]).write_text(swap[1])
    except OSError as error:
        with suppress(OSError):
            group.rmdir()
        pytest.skip(f"no control group can be made: {error}")
    yield group
    until(lambda: not (group / "cgroup.procs").read_text(), what="the group's processes to end")
    group.rmdir()


def test_a_child_that_the_kernel_kills_for_its_memory_is_told_apart_from_one_that_somebody_kills(
    small_group: Path, redis: Redis, tmp_path: Path
) -> None:
    enter = ["/bin/sh", "-c", f'echo $$ > {small_group}/cgroup.procs; exec "$@"', "sh"]
    with Sink() as sink, Worker(sink, redis.url, tmp_path, within=enter) as worker:
        worker.run("hoards.delay(1000)")
        until(lambda: sink.events("celery.task.lost"), what="lost")
        worker.run("killed.delay()")
        until(lambda: len(sink.events("celery.task.lost")) == 2, what="lost again")
        hoarded, killed = sink.events("celery.task.lost")
    assert hoarded["celery.failure_kind"] == "out_of_memory"
    assert hoarded["exception.message"].startswith("Killed by the kernel's out-of-memory killer. Worker exited")
    assert killed["celery.failure_kind"] == "worker_lost"
