"""Every shape of text that CPython's traceback module writes, and what senders make of it."""

import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from celeryscope.text import cut_middle
from celeryscope_pipelines.fingerprint.model import Frame, Link
from celeryscope_pipelines.fingerprint.traceback import parse


def text_of(function: Callable[[], Any]) -> str:
    try:
        function()
    except BaseException as error:
        return "".join(traceback.format_exception(error))
    raise AssertionError("it should have raised")


def caught(function: Callable[[], Any]) -> Exception:
    try:
        function()
    except Exception as error:
        return error
    raise AssertionError("it should have raised")


def tree(chain: list[Link]) -> list[Any]:
    """Types of a chain; a group is a tuple of its type and its members."""
    return [(link.type, *map(tree, link.members)) if link.members else link.type for link in chain]


def functions(link: Link) -> list[str]:
    return [frame.name for frame in link.frames]


def divide() -> None:
    _ = 1 / 0


def look_up() -> None:
    {}["sku"]


def wrap() -> None:
    try:
        look_up()
    except KeyError as error:
        raise ValueError("bad\nsecond line: of the message") from error


def handle_badly() -> None:
    try:
        wrap()
    except ValueError:
        divide()


def group(*members: Exception, name: str = "several") -> ExceptionGroup[Exception]:
    def raise_it() -> None:
        raise ExceptionGroup(name, list(members))

    error = caught(raise_it)
    assert isinstance(error, ExceptionGroup)
    return error


def text_of_error(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))


def test_a_plain_exception_has_its_type_message_and_frames() -> None:
    (link,) = parse(text_of(divide))
    assert (link.type, link.message) == ("ZeroDivisionError", "division by zero")
    assert [(frame.path, frame.name) for frame in link.frames] == [(__file__, "text_of"), (__file__, "divide")]
    assert link.frames[-1].line == divide.__code__.co_firstlineno + 1


def test_a_chain_of_causes_and_contexts_ends_with_the_last_one_raised() -> None:
    chain = parse(text_of(handle_badly))
    assert tree(chain) == ["KeyError", "ValueError", "ZeroDivisionError"]
    assert functions(chain[1]) == ["handle_badly", "wrap"]
    assert chain[1].message == "bad\nsecond line: of the message"


def test_a_cause_that_was_never_raised_is_a_link_without_frames() -> None:
    def fail() -> None:
        raise ValueError("outer") from KeyError("inner")

    chain = parse(text_of(fail))
    assert tree(chain) == ["KeyError", "ValueError"]
    assert chain[0].frames == []


def test_a_group_has_its_members_in_order() -> None:
    (link,) = parse(text_of_error(group(caught(divide), caught(wrap))))
    assert tree([link]) == [("ExceptionGroup", ["ZeroDivisionError"], ["KeyError", "ValueError"])]
    assert functions(link) == ["caught", "raise_it"]
    assert functions(link.members[1][1]) == ["caught", "wrap"]


def test_a_chain_within_a_group_within_a_group_stays_with_its_member() -> None:
    inner = group(caught(wrap), caught(divide), name="inner")
    (link,) = parse(text_of_error(group(caught(wrap), caught(divide), inner)))
    expected_inner = ("ExceptionGroup", ["KeyError", "ValueError"], ["ZeroDivisionError"])
    assert tree([link]) == [("ExceptionGroup", ["KeyError", "ValueError"], ["ZeroDivisionError"], [expected_inner])]


def test_a_group_in_the_middle_of_its_siblings_ends_where_they_go_on() -> None:
    inner = group(caught(look_up), name="inner")
    (link,) = parse(text_of_error(group(inner, group(inner, name="twice"), caught(divide))))
    inner_tree = ("ExceptionGroup", ["KeyError"])
    assert tree([link]) == [("ExceptionGroup", [inner_tree], [("ExceptionGroup", [inner_tree])], ["ZeroDivisionError"])]


def test_a_group_may_be_a_cause_at_the_top_and_within_a_member() -> None:
    def fail() -> None:
        try:
            raise group(caught(divide), name="inner")
        except ExceptionGroup as error:
            raise RuntimeError("gave up") from error

    cause = ("ExceptionGroup", ["ZeroDivisionError"])
    assert tree(parse(text_of(fail))) == [cause, "RuntimeError"]
    nested = text_of_error(group(caught(fail), caught(look_up)))
    assert tree(parse(nested)) == [("ExceptionGroup", [cause, "RuntimeError"], ["KeyError"])]
    last = text_of_error(group(caught(look_up), caught(fail)))
    assert tree(parse(last)) == [("ExceptionGroup", ["KeyError"], [cause, "RuntimeError"])]


def test_a_group_caused_by_an_exception_comes_behind_it() -> None:
    def fail() -> None:
        try:
            divide()
        except ZeroDivisionError as error:
            raise ExceptionGroup("several", [KeyError("never raised")]) from error

    assert tree(parse(text_of(fail))) == ["ZeroDivisionError", ("ExceptionGroup", ["KeyError"])]


def test_a_group_that_was_never_raised_has_no_header() -> None:
    never = ExceptionGroup("never raised", [KeyError("a"), caught(divide)])
    assert tree(parse(text_of_error(never))) == [("ExceptionGroup", ["KeyError"], ["ZeroDivisionError"])]


def test_members_beyond_the_fifteenth_are_only_counted_by_python() -> None:
    (link,) = parse(text_of_error(group(*(KeyError(number) for number in range(40)))))
    assert (len(link.members), link.hidden_members) == (15, 25)


def test_groups_deeper_than_python_writes_them_end_there() -> None:
    error: Exception = caught(divide)
    for _ in range(14):
        error = group(error, KeyError("beside"))
    chain, depth = parse(text_of_error(error)), 0
    while chain and chain[-1].members:
        assert tree(chain[-1].members[-1]) in (["KeyError"], []) or depth == 10
        chain, depth = chain[-1].members[0], depth + 1
    assert depth == 10


def test_a_message_of_many_lines_is_no_chain() -> None:
    message = 'first\n  File "no/frame.py", line 3, in nowhere\nKeyError: no exception\n\n  | a | table |'

    def fail() -> None:
        raise ValueError(message)

    (link,) = parse(text_of(fail))
    assert (link.type, link.message, functions(link)) == ("ValueError", message, ["text_of", "fail"])


def test_notes_and_empty_messages_are_read_over() -> None:
    def fail() -> None:
        error = ValueError()
        error.add_note("KeyError: a note\nof two lines")
        raise error

    assert tree(parse(text_of(fail))) == ["ValueError"]
    assert tree(parse(text_of_error(group(caught(fail), caught(divide))))) == [
        ("ExceptionGroup", ["ValueError"], ["ZeroDivisionError"])
    ]


def test_a_syntax_error_points_at_the_file_that_has_it() -> None:
    def fail() -> None:
        compile("def f(:\n", "/srv/app/shop/broken.py", "exec")

    (link,) = parse(text_of(fail))
    assert link.type == "SyntaxError"
    assert link.frames[-1] == Frame("/srv/app/shop/broken.py", "<module>", 1, "def f(:")


def test_repeated_frames_are_shown_three_times_as_python_does() -> None:
    def deeper(n: int) -> None:
        if n:
            deeper(n - 1)
        else:
            divide()

    text = text_of(lambda: deeper(50))
    assert "[Previous line repeated" in text
    (link,) = parse(text)
    assert functions(link) == ["text_of", "<lambda>", "deeper", "deeper", "deeper", "deeper", "divide"]


def test_frames_without_a_source_line_and_of_frozen_modules_are_frames() -> None:
    text = (
        "Traceback (most recent call last):\n"
        '  File "/gone/a.py", line 1, in <module>\n'
        '  File "<frozen importlib._bootstrap>", line 1176, in _find_and_load\n'
        "ModuleNotFoundError: No module named 'shop'\n"
    )
    (link,) = parse(text)
    assert link.frames == [
        Frame("/gone/a.py", "<module>", 1),
        Frame("<frozen importlib._bootstrap>", "_find_and_load", 1176),
    ]
    assert link.type == "ModuleNotFoundError"


def test_statements_of_several_lines_as_python_3_13_shows_them_are_one_source() -> None:
    text = (
        "Traceback (most recent call last):\n"
        '  File "/srv/app/shop/pay.py", line 7, in pay\n'
        "    charge(\n    ~~~~~~^\n        order,\n        ^^^^^^\n    ...<3 lines>...\n    )\n    ^\n"
        '  File "/srv/app/shop/pay.py", line 19, in charge\n'
        '    raise ValueError(\n        f"order {order} declined"\n    )\n'
        "ValueError: order 7 declined\n"
    )
    (link,) = parse(text)
    assert [frame.source for frame in link.frames] == [
        "charge( order, ...<3 lines>... )",
        'raise ValueError( f"order {order} declined" )',
    ]


def test_a_syntax_error_of_python_3_8_and_of_one_that_was_never_raised_has_its_place() -> None:
    block = '  File "/srv/app/shop/broken.py", line 3\n    def f(:\n          ^\nSyntaxError: invalid syntax\n'
    frames = 'Traceback (most recent call last):\n  File "/srv/app/run.py", line 1, in <module>\n    import shop\n'
    for text in (block, frames + block):
        (link,) = parse(text)
        assert (link.type, link.message) == ("SyntaxError", "invalid syntax")
        assert link.frames[-1] == Frame("/srv/app/shop/broken.py", "<module>", 3, "def f(:")


def test_frames_of_cython_zips_and_eggs_are_frames() -> None:
    paths = ("pandas/_libs/index.pyx", "/srv/shop.pyz/shop/pay.py", "/srv/shop-1.2-py3.8.egg/shop/pay.py")
    lines = "".join(f'  File "{path}", line 7, in shop.Order.pay\n' for path in paths)
    (link,) = parse(f"Traceback (most recent call last):\n{lines}KeyError: 'sku'\n")
    assert [(frame.path, frame.name, frame.source) for frame in link.frames] == [
        (path, "shop.Order.pay", "") for path in paths
    ]


def test_a_type_that_is_no_name_is_read_up_to_its_message() -> None:
    error = type("Not a name!", (Exception,), {"__module__": "shop"})("no: way")

    def fail() -> None:
        raise error

    (link,) = parse(text_of(fail))
    assert (link.type, link.message) == ("shop.Not a name!", "no: way")


def test_frames_whose_header_was_cut_off_are_read() -> None:
    (link,) = parse('    fetch()\n  File "/srv/a.py", line 1, in f\n    fail()\nValueError: x\n')
    assert (link.type, functions(link)) == ("ValueError", ["f"])


def test_an_exception_whose_end_was_cut_off_has_frames_and_no_type() -> None:
    (link,) = parse(text_of(divide).rpartition("ZeroDivisionError")[0])
    assert (link.type, functions(link)) == ("", ["text_of", "divide"])


def test_two_cuts_leave_what_is_around_them() -> None:
    def ping(n: int) -> None:
        pong(n - 1) if n else divide()

    def pong(n: int) -> None:
        ping(n)

    once = cut_middle(text_of(lambda: ping(200)), 8000)
    (link,) = parse(cut_middle(once.replace("[... ", "x\n[... ", 1), 3000))
    assert (link.type, functions(link)[0], functions(link)[-1]) == ("ZeroDivisionError", "text_of", "divide")


def test_how_exceptions_hang_together_is_told() -> None:
    def hide() -> None:
        try:
            divide()
        except ZeroDivisionError:
            raise KeyError("hidden") from None

    assert [link.relation for link in parse(text_of(handle_badly))] == ["", "cause", "context"]
    assert [(link.type, link.relation) for link in parse(text_of(hide))] == [("KeyError", "")]


def test_windows_paths_line_ends_and_types_within_functions_are_understood() -> None:
    text = (
        "Traceback (most recent call last):\r\n"
        '  File "C:\\shop\\pay.py", line 7, in pay\r\n    charge()\r\n'
        "shop.pay.make.<locals>.Declined: no\r\n"
    )
    (link,) = parse(text)
    assert link.frames == [Frame("C:\\shop\\pay.py", "pay", 7, "charge()")]
    assert link.type == "shop.pay.make.<locals>.Declined"


def test_a_traceback_of_another_process_in_a_message_counts_as_a_block() -> None:
    remote = text_of(look_up)

    def fail() -> None:
        raise RuntimeError(f'\n"""\n{remote}"""')

    assert tree(parse(text_of(fail))) == ["RuntimeError", "KeyError"]


def test_text_before_a_traceback_is_not_part_of_it() -> None:
    assert tree(parse("Task failed:\n" + text_of(divide))) == ["ZeroDivisionError"]


@pytest.mark.parametrize(
    "text", ["", "\n\n", "  \n | \n", "no traceback at all", "it failed; see the log", "+-+---- 1 -"]
)
def test_text_of_something_else_is_no_chain(text: str) -> None:
    assert parse(text) == []


def test_a_line_of_an_exception_alone_is_a_link_without_frames() -> None:
    assert parse("KeyError: 'sku'\n") == [Link("KeyError", "'sku'")]


def test_a_cut_within_a_long_message_keeps_the_frames_and_the_rest_of_the_chain() -> None:
    def fail() -> None:
        try:
            raise KeyError("x" * 5000 + "\nWord\n" * 2000)
        except KeyError as error:
            raise ValueError("outer") from error

    chain = parse(cut_middle(text_of(fail), 4000))
    assert tree(chain) == ["KeyError", "ValueError"]
    assert [functions(link) for link in chain] == [["fail"], ["text_of", "fail"]]


def test_a_cut_within_the_frames_keeps_both_ends() -> None:
    def ping(n: int) -> None:
        pong(n - 1) if n else divide()

    def pong(n: int) -> None:
        ping(n)

    text = text_of(lambda: ping(200))
    for size in range(3000, 3400, 7):
        (link,) = parse(cut_middle(text, size))
        assert link.type == "ZeroDivisionError"
        assert functions(link)[:3] == ["text_of", "<lambda>", "ping"]
        assert functions(link)[-1] == "divide"
        assert set(functions(link)) == {"text_of", "<lambda>", "ping", "pong", "divide"}


def test_a_cut_within_a_group_keeps_its_own_frames_and_what_is_left_of_the_members() -> None:
    text = text_of_error(group(*(caught(wrap) for _ in range(12))))
    first = parse(cut_middle(text, 2500))[0]
    assert first.type == "ExceptionGroup"
    assert tree(first.members[0]) == ["KeyError", "ValueError"]


FRAGMENTS = (
    *" |+-\n:.1",
    "  ",
    "  | ",
    "Traceback (most recent call last):\n",
    "  + Exception Group Traceback (most recent call last):\n",
    "  +-+---------------- 1 ----------------\n",
    "    +------------------------------------\n",
    '  File "a.py", line 1, in f\n',
    "The above exception was the direct cause of the following exception:\n",
    "[... 7 bytes cut by celeryscope ...]\n",
    "KeyError: 'a'\n",
)


@settings(deadline=None)
@given(st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=5), max_size=40))
def test_no_text_makes_the_reader_raise(fragments: list[str]) -> None:
    parse("".join(fragments))


@settings(deadline=None)
@given(st.integers(0, 4000), st.integers(0, 4000), st.integers(0, 3))
def test_no_part_of_a_traceback_makes_the_reader_raise(start: int, length: int, indent: int) -> None:
    text = text_of_error(group(group(caught(wrap)), caught(handle_badly)))
    parse("  " * indent + text[start : start + length])


def _lines_of_a_megabyte(line: str) -> str:
    return line * (1_000_000 // len(line))


@pytest.mark.parametrize(
    "text",
    [
        'Traceback (most recent call last):\n  File "a.py", line 1, in f\nE: ' + "x" * 1_000_000,
        'Traceback (most recent call last):\n  File "' + '", line 1' * 100_000,
        "Traceback (most recent call last):\n" + "a." * 500_000 + " b",
        "Traceback (most recent call last):\n" + _lines_of_a_megabyte('  File "/srv/app/a.py", line 1, in f\n'),
        _lines_of_a_megabyte("  | \n  +-+---------------- 1 ----------------\n"),
        "".join("  " * depth + "+-+---------------- 1 ----------------\n" for depth in range(1, 950)),
        _lines_of_a_megabyte("Traceback (most recent call last):\n"),
        _lines_of_a_megabyte("[... 3 bytes cut by celeryscope ...]\n"),
        " " * 1_000_000,
        "+" + "-" * 1_000_000 + " ",
    ],
)
def test_a_megabyte_of_anything_is_read_within_a_second(text: str) -> None:
    begun = time.thread_time()
    parse(text)
    assert time.thread_time() - begun < 1


def test_a_thousand_frames_are_read_within_milliseconds() -> None:
    limit = sys.getrecursionlimit()

    def ping(n: int) -> None:
        pong(n - 1) if n else divide()

    def pong(n: int) -> None:
        ping(n)

    sys.setrecursionlimit(limit + 2000)
    try:
        text = text_of(lambda: ping(500))
    finally:
        sys.setrecursionlimit(limit)
    took = []
    for _ in range(3):
        begun = time.thread_time()
        (link,) = parse(text)
        took.append(time.thread_time() - begun)
    assert min(took) < 0.1
    assert len(link.frames) > 1000
