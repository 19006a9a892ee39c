"""What once broke the pipeline does not again, and nothing near to a real request does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuzz.target import CRASHES, check, seeds

SEEDS = list(seeds())


@pytest.mark.parametrize("crash", sorted(CRASHES.glob("*.bin")), ids=lambda path: path.stem)
def test_what_fuzzing_found_stays_fixed(crash: object) -> None:
    check(crash.read_bytes())  # type: ignore[attr-defined]


@given(st.sampled_from(SEEDS), st.lists(st.tuples(st.integers(0, 2000), st.binary(max_size=6)), max_size=4), st.data())
def test_a_request_with_some_bytes_changed_is_refused_or_kept_whole(
    seed: bytes, changes: list[tuple[int, bytes]], data: st.DataObject
) -> None:
    changed = bytearray(seed)
    for place, content in changes:
        start = place % len(changed)
        changed[start : start + data.draw(st.integers(0, 8))] = content
        if not changed:
            return
    check(bytes(changed))


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_or_kept_whole(data: bytes) -> None:
    check(data)
