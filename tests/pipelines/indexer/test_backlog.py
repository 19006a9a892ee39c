"""What waits and what is in flight: nothing is told before all before it are done."""

import random
import threading

from hypothesis import given
from hypothesis import strategies as st

from celeryscope_pipelines.indexer.backlog import Backlog
from celeryscope_pipelines.indexer.batch import Message


def messages(partition: int, *offsets: int, size: int = 10) -> list[Message]:
    return [Message("logs", partition, offset, b"x" * size) for offset in offsets]


def test_a_batch_has_as_many_bytes_as_it_may_and_a_larger_message_is_one_of_its_own() -> None:
    backlog = Backlog(workers=1, batch_bytes=25, batch_messages=100)
    assert backlog.add(messages(0, 0, 1, 2) + messages(0, 3, size=1000)) == 1
    taken = [flight for _ in range(3) if (flight := backlog.take())]
    assert [[message.offset for message in flight.batch.messages] for flight in taken] == [[0, 1], [2], [3]]
    assert backlog.size == 1030
    assert backlog.take() is None


def test_a_batch_has_as_many_messages_as_it_may() -> None:
    backlog = Backlog(workers=1, batch_bytes=1000, batch_messages=2)
    backlog.add(messages(0, *range(3)))
    taken = backlog.take()
    assert taken is not None
    assert len(taken.batch.messages) == 2


def test_only_as_many_workers_are_asked_for_as_there_are_batches_and_no_more_than_there_may_be() -> None:
    backlog = Backlog(workers=3, batch_bytes=10, batch_messages=100)
    assert backlog.add(messages(0, 0)) == 1
    assert backlog.add(messages(0, 1, 2, 3, 4)) == 2
    assert backlog.add(messages(0, 5)) == 0
    while backlog.take():
        pass
    assert backlog.add(messages(0, 6)) == 1


def test_what_is_done_is_told_only_after_all_before_it() -> None:
    backlog = Backlog(workers=2, batch_bytes=10, batch_messages=1)
    backlog.add(messages(0, 7) + messages(1, 3))
    first, second = backlog.take(), backlog.take()
    assert first is not None
    assert second is not None
    backlog.done(second)
    assert backlog.settle() == {}
    backlog.done(first)
    assert backlog.settle() == {("logs", 0): 8, ("logs", 1): 4}
    assert (backlog.settle(), backlog.size) == ({}, 0)


def test_nothing_behind_a_failure_is_told_or_handed_out() -> None:
    backlog = Backlog(workers=3, batch_bytes=10, batch_messages=1)
    backlog.add(messages(0, *range(4)))
    flights = [flight for _ in range(3) if (flight := backlog.take())]
    error = ValueError()
    for flight, found in zip(flights, (None, error, None), strict=True):
        backlog.done(flight, found)
    assert backlog.failure is None
    assert backlog.settle() == {("logs", 0): 1}
    assert backlog.failure is error
    assert backlog.settle() == {}
    assert backlog.take() is None


def test_partitions_of_others_wait_no_more_and_those_in_flight_are_waited_for() -> None:
    backlog = Backlog(workers=1, batch_bytes=10, batch_messages=1)
    backlog.add(messages(0, 0, 1) + messages(1, 0))
    flight = backlog.take()
    assert flight is not None
    backlog.forget({("logs", 0)})
    assert not backlog.wait(0.01)
    threading.Timer(0.05, backlog.done, (flight,)).start()
    assert backlog.wait(30)
    left = backlog.take()
    assert left is not None
    assert [(message.partition, message.offset) for message in left.batch.messages] == [(1, 0)]


@given(st.lists(st.integers(0, 3), max_size=60), st.integers(1, 50), st.integers(1, 10), st.randoms())
def test_each_message_is_told_once_and_in_its_order(
    partitions: list[int], batch_bytes: int, batch_messages: int, chance: random.Random
) -> None:
    backlog = Backlog(workers=4, batch_bytes=batch_bytes, batch_messages=batch_messages)
    told: dict[tuple[str, int], int] = {}
    flying = []
    for offset, partition in enumerate(partitions):
        backlog.add(messages(partition, offset))
        if chance.random() < 0.5 and (flight := backlog.take()):
            flying.append(flight)
        if flying and chance.random() < 0.5:
            backlog.done(flying.pop(chance.randrange(len(flying))))
        for place, position in backlog.settle().items():
            assert position > told.get(place, 0)
            told[place] = position
    while flight := backlog.take():
        flying.append(flight)
    for flight in flying:
        backlog.done(flight)
    told |= backlog.settle()
    assert told == {("logs", partition): offset + 1 for offset, partition in enumerate(partitions)}
    assert backlog.size == 0
