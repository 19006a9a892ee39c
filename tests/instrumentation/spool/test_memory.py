from celeryscope.spool import format as frame
from celeryscope.spool.format import Item
from celeryscope.spool.memory import MemoryQueue


def _item(number: int, flags: int = 0, size: int = 100) -> Item:
    return Item(frame.LOG, flags, number, b"x" * size, b"")


def _keys(items: list[Item]) -> list[int]:
    return [item.key for item in items]


def test_what_was_put_is_taken_in_order() -> None:
    queue = MemoryQueue(10_000)
    for number in range(10):
        assert not queue.put(_item(number, frame.FAILURE if number % 3 == 0 else 0))
    assert queue.pop().key == 0
    assert _keys(queue.take(350)) == [1, 2, 3, 4]
    assert _keys(queue.take(10_000)) == [5, 6, 7, 8, 9]
    assert queue.first() is None


def test_over_its_limit_the_oldest_that_tell_of_no_failure_go_first() -> None:
    queue = MemoryQueue(1500)  # room for five items with what each takes besides
    gone = [queue.put(_item(number, frame.FAILURE if number < 2 else 0)) for number in range(8)]
    assert [_keys(items) for items in gone] == [[], [], [], [], [], [2], [3], [4]]
    gone = [queue.put(_item(number, frame.FAILURE)) for number in range(8, 13)]
    assert [_keys(items) for items in gone] == [[5], [6], [7], [0], [1]]
    assert _keys(queue.take(10_000)) == [8, 9, 10, 11, 12]


def test_what_is_put_back_comes_first_and_goes_first() -> None:
    queue = MemoryQueue(1500)
    for number in range(4):
        queue.put(_item(number))
    taken = queue.take(200)
    queue.put(_item(4))
    queue.put(_item(5))
    assert _keys(queue.put_back(taken)) == [0]
    assert _keys(queue.take(10_000)) == [1, 2, 3, 4, 5]


def test_an_item_larger_than_the_queue_is_told_as_gone_at_once() -> None:
    queue = MemoryQueue(1500)
    assert _keys(queue.put(_item(1, size=2000))) == [1]
    assert not queue


def test_an_end_with_its_span_counts_as_two_records() -> None:
    queue = MemoryQueue(10_000)
    queue.put(Item(frame.END, frame.CLOSES | frame.OF_SPAN, 1, b"{}", b""))
    queue.put(Item(frame.END, frame.CLOSES, 1, b"{}", b""))
    assert queue.records == 3
