import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeryscope.spool import format as frame

parts = st.tuples(
    st.integers(0, 2**32 - 1),
    st.integers(1, 5),
    st.integers(0, 15),
    st.integers(0, 2**16 - 1),
    st.integers(0, 2**64 - 1),
    st.binary(max_size=200),
)


@given(st.lists(parts, max_size=20))
def test_what_was_packed_is_read_back(items: list[tuple[int, int, int, int, int, bytes]]) -> None:
    data = b"".join(frame.pack(*item) for item in items)
    assert [tuple(read)[:6] for read in frame.frames(data, 0)] == items


@given(st.lists(parts, min_size=1, max_size=10), st.data())
def test_a_torn_tail_costs_only_the_torn_frame(items: list[tuple[int, ...]], draw: st.DataObject) -> None:
    packed = [frame.pack(*item) for item in items]
    whole = b"".join(packed[:-1])
    torn = draw.draw(st.integers(0, len(packed[-1]) - 1))
    assert len(list(frame.frames(whole + packed[-1][:torn], 0))) == len(items) - 1


@given(st.lists(parts, min_size=2, max_size=10), st.data())
def test_a_flipped_bit_never_yields_a_wrong_frame(items: list[tuple[int, ...]], draw: st.DataObject) -> None:
    data = bytearray(b"".join(frame.pack(*item) for item in items))
    position = draw.draw(st.integers(0, len(data) - 1))
    data[position] ^= 1 << draw.draw(st.integers(0, 7))
    read: list[tuple[object, ...]] = []
    with contextlib.suppress(frame.CorruptFrame):
        read.extend(tuple(item)[:6] for item in frame.frames(bytes(data), 0))
    assert read == items[: len(read)]
    assert len(read) < len(items)


def test_after_a_corrupt_payload_reading_goes_on_with_the_next_frame() -> None:
    first, second = frame.pack(1, frame.LOG, 0, 1, 0, b"one"), frame.pack(2, frame.LOG, 0, 1, 0, b"two")
    data = bytearray(first + second)
    data[len(first) - 1] ^= 0xFF
    with pytest.raises(frame.CorruptFrame) as raised:
        list(frame.frames(bytes(data), 0))
    assert raised.value.resume_at == len(first)
    assert next(frame.frames(bytes(data), len(first))).payload == b"two"
