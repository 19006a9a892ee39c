"""Patterns fit whole names, quickly whatever the name; answers about names are remembered, but not for long names."""

import time

import pytest

from celeryscope_collector.processors.matching import matcher, remembered


@pytest.mark.parametrize(
    ("patterns", "name", "fits"),
    [
        ((), "anything", True),
        (("shop.*",), "shop.pay", True),
        (("shop.*",), "my.shop.pay", False),
        (("shop.*",), "shop", False),
        (("shop",), "shop.pay", False),
        (("a", "b*"), "bb", True),
        (("shop.pa?",), "shop.pay", True),
        (("[ab].x", "[!cd].y"), "a.x", True),
        (("[ab].x", "[!cd].y"), "c.y", False),
        (("shop.*",), "shop.\n", True),
        (("shop.+",), "shop.pp", False),
    ],
)
def test_a_pattern_fits_a_whole_name(patterns: tuple[str, ...], name: str, fits: bool) -> None:
    assert matcher(patterns)(name) == fits


def test_a_name_made_for_it_does_not_make_matching_slow() -> None:
    fits = matcher(("*a*a*a*a*a*a*b",))
    started = time.thread_time()
    assert not fits("a" * 100_000)
    assert time.thread_time() - started < 1


def test_answers_are_remembered_but_not_for_long_names() -> None:
    asked: list[str] = []

    def answer(one: str, other: str) -> int:
        asked.append(one)
        return len(one + other)

    of = remembered(answer, 10)
    assert [of("a", "b"), of("a", "b"), of("x" * 600, ""), of("x" * 600, "")] == [2, 2, 600, 600]
    assert asked == ["a", "x" * 600, "x" * 600]
