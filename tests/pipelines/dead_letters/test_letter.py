"""A message in the topic of dead letters that another program has put there is a letter, too."""

from types import SimpleNamespace

import pytest

from celeryscope_pipelines.dead_letters.letter import stored


def message(*headers: tuple[str, bytes | None]) -> SimpleNamespace:
    return SimpleNamespace(value=None, headers=headers, partition=0, offset=17, timestamp=1_700_000_000_000)


@pytest.mark.parametrize("content", [b"first", b"", b"\xff", b"-3", b"9" * 5000, "\u00b2".encode(), None])
def test_headers_that_are_not_ours_say_nothing(content: bytes | None) -> None:
    letter = stored(message(("partition", content), ("offset", content), ("topic", content)))
    assert (letter.partition, letter.offset, letter.position) == (-1, -1, "0:17")


def test_without_headers_the_reason_is_unknown() -> None:
    assert stored(message()).reason == "unknown"
