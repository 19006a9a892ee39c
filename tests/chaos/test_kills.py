"""A process is killed with SIGKILL while the load runs and started again: nothing is missing, nothing is twice."""

import json
from collections import Counter

import pytest

from celeryscope import semconv
from demo.documents import documents
from demo.stack import Stack
from servers import Server
from shop import expected as expectations
from shop.expected import Expected

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


@pytest.fixture
def running(stack: Stack) -> Stack:
    """All processes run when a test begins, also after one that stopped the shop."""
    for process in stack.services:
        process.start()
    return stack


def kill_during_load(stack: Stack, process: Server, kills: int) -> list[Expected]:
    """Publish the load; meanwhile kill the process and start it again, some times over."""
    with stack.publishing() as load:
        for _ in range(kills):
            process.kill()
            process.start()
        output, _ = load.communicate(timeout=60)
    assert load.returncode == 0
    return expectations.loads(output)


def assert_balanced(stack: Stack) -> None:
    """All that was written has arrived; the shop is stopped, so that nothing is written any more."""
    stack.stop_shop()
    spool = stack.spool_status()
    assert (spool["pending"], spool["dropped"]) == (0, {})
    audit = json.loads(stack.product("audit", "--json", "--written", str(spool["written"]), "--wait", "60"))
    assert audit["missing"] == 0


def assert_each_attempt_is_final_and_once(stack: Stack) -> None:
    with documents(stack.elasticsearch.url, stack.tenant) as reader:
        attempts = reader.all_attempts()
    assert [attempt for attempt in attempts if attempt.state not in semconv.FINAL_STATES] == []
    assert max(Counter((attempt.task_id, attempt.retries) for attempt in attempts).values()) == 1


def test_an_indexer_that_is_killed_during_the_load_loses_and_repeats_nothing(running: Stack) -> None:
    expected = kill_during_load(running, running.indexer, kills=3)
    running.wait_for(expected)
    assert_balanced(running)
    assert_each_attempt_is_final_and_once(running)


def test_a_collector_that_is_killed_during_the_load_loses_and_repeats_nothing(running: Stack) -> None:
    expected = kill_during_load(running, running.collector, kills=3)
    running.wait_for(expected)
    assert_balanced(running)
    assert_each_attempt_is_final_and_once(running)


def test_what_a_killed_worker_had_written_arrives_through_the_next_one_and_its_tasks_are_lost(running: Stack) -> None:
    expected = running.publish(tasks=100)
    running.worker.kill()
    running.worker.start()
    # Redis gives what the dead worker had reserved to nobody before its visibility timeout; so ask for final states
    # only of what a worker had begun, and let the account tell about everything else.
    assert_balanced(running)
    with documents(running.elasticsearch.url, running.tenant) as reader:
        attempts = reader.attempts(item.root_id for item in expected)
    assert attempts
    assert [attempt for attempt in attempts if attempt.state == semconv.STATE_STARTED] == []
