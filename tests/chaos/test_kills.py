"""A worker is killed with SIGKILL while the shop's load runs; the other processes are killed in ``test_chaos``."""

import json
import time
from collections import Counter
from collections.abc import Callable

import pytest
from celery import Celery
from redis import Redis

from celeryscope import semconv
from celeryscope.errors import Unavailable
from demo.documents import documents
from demo.outcome import Attempt
from demo.stack import Stack
from shop import expected as expectations
from shop.expected import Attempts, Expected

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]


@pytest.fixture
def running(stack: Stack) -> Stack:
    """All processes run when a test begins, also after one that stopped the shop."""
    for process in stack.services:
        process.start()
    return stack


def assert_balanced(stack: Stack) -> None:
    """All that was written has arrived; the shop is stopped, so that nothing is written any more."""
    stack.stop_shop()
    spool = stack.spool_status()
    assert (spool["pending"], spool["dropped"]) == (0, {})
    audit = json.loads(stack.product("audit", "--json", "--wait", "120"))
    assert audit["missing"]["count"] == audit["dead_letters"] == 0
    # A shipper that is killed after the collector's answer has not noted it. The next one sends the records again, but
    # for starts whose ends are there by then, which count as superseded: Kafka may have more than that, never less.
    assert audit["kafka"]["distinct"] >= spool["shipped"]


def assert_each_attempt_is_final_and_once(stack: Stack) -> None:
    assert begun_attempts(stack) == []
    with documents(stack.elasticsearch.url, stack.tenant) as reader:
        attempts = reader.all_attempts()
    assert max(Counter((attempt.task_id, attempt.retries) for attempt in attempts).values()) == 1


def begun_attempts(stack: Stack) -> list[Attempt]:
    """Attempts that a worker has received and that have no final state.

    One that was only sent is none of them: a message that Redis had just handed to the killed worker's socket is gone.
    """
    with documents(stack.elasticsearch.url, stack.tenant) as reader:
        attempts = reader.all_attempts()
    return [attempt for attempt in attempts if attempt.state in {semconv.STATE_RECEIVED, semconv.STATE_STARTED}]


def broker_is_empty(stack: Stack) -> bool:
    """Whether no message waits, and none is out with a worker: those of a killed one come again after a while.

    Queues are Redis's only lists here, which are gone when they are empty.
    """
    with Redis.from_url(stack.redis.url) as redis:
        return not redis.exists("unacked") and not list(redis.scan_iter(_type="list"))


def exports(stack: Stack) -> int:
    """How many of these tasks have begun."""
    return stack.worker.log.read_text().count("exporting orders")


def wait_until(condition: Callable[[], bool], timeout: float = 120) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_worker_that_is_killed_leaves_no_attempt_open_and_the_next_one_ships_what_it_had_written(
    running: Stack,
) -> None:
    already = exports(running)
    with running.publishing() as load:
        # The load has such a task, too, but it may run for a second only: too short for a machine that stands still.
        wait_until(lambda: exports(running) > already)
        with Celery(broker=running.redis.url, set_as_current=False) as app:
            exporting = app.send_task("shop.maintenance.export_orders", soft_time_limit=14, ignore_result=True).id
        wait_until(lambda: exports(running) > already + 1)
        running.worker.kill()
        running.worker.start()
        output, _ = load.communicate(timeout=300)
    assert load.returncode == 0
    assert expectations.loads(output)
    # A worker that is stopped leaves what it has not begun to the next one: received, without an end.
    wait_until(lambda: broker_is_empty(running) and not begun_attempts(running), timeout=300)
    assert_balanced(running)
    # Its final state may be that of a second delivery, when the worker died before it had acknowledged the first.
    with documents(running.elasticsearch.url, running.tenant) as reader:
        kinds = [line.get(semconv.FAILURE_KIND) for line in reader.logs(semconv.TASK_ID, [exporting])]
    assert kinds.count(semconv.KIND_WORKER_LOST) == 1
    assert_each_attempt_is_final_and_once(running)


def test_whoever_waits_for_the_load_is_told_which_process_has_ended(running: Stack) -> None:
    running.collector.kill()
    never = Expected("never published", "no-such-root", [Attempts("no.such.task", "SUCCESS")])
    with pytest.raises(Unavailable, match=r"collector has ended; the end of .*collector\.log"):
        running.wait_for([never], timeout=30)
    # Those that are stopped after this would wait for it.
    running.collector.start()
