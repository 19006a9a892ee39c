"""A traceback is read the same whatever a log has made of its text."""

import json
import time
import traceback
from collections.abc import Callable

import pytest

from celeryscope_pipelines.fingerprint.plain import plain
from celeryscope_pipelines.fingerprint.traceback import parse


def _fail() -> None:
    try:
        raise KeyError('the "sku"\tof C:\\shop \u00e9 \U0001f600')
    except KeyError as error:
        raise ExceptionGroup("several", [ValueError("one\nand two"), error]) from error


def _text() -> str:
    try:
        _fail()
    except ExceptionGroup as error:
        return "".join(traceback.format_exception(error))
    raise AssertionError


TEXT = _text()


def _prefixed(prefix: Callable[[int], str]) -> str:
    return "\n".join(f"{prefix(number)}{line}" for number, line in enumerate(TEXT.splitlines())) + "\n"


LOGGED = {
    "as it is": TEXT,
    "behind a line of a log": f"2026-11-21 20:00:01,123 ERROR Task shop.pay raised unexpected\n{TEXT}",
    "behind a time in the same line": f"[2026-11-21 20:00:01,123: ERROR/ForkPoolWorker-1] {TEXT}",
    "compose": _prefixed(lambda _: "worker_1  | "),
    "compose, stripped": "\n".join(line.rstrip() for line in _prefixed(lambda _: "worker_1  | ").split("\n")),
    "container runtime": _prefixed(lambda number: f"2026-11-21T20:00:{number % 60:02}.{number * 7919}Z stderr F "),
    "journal": _prefixed(lambda number: f"Nov 21 20:00:{number % 60:02} host-3 celery[4711]: "),
    "logger, each line": _prefixed(lambda number: f"[20:00:{number % 60:02}] ERROR: "),
    "JSON": json.dumps({"level": "error", "exc_info": TEXT, "task": "shop.pay"}),
    "JSON in JSON": json.dumps({"log": json.dumps({"exc_info": TEXT})}),
    "JSON, no ASCII": json.dumps({"exc_info": TEXT}, ensure_ascii=False),
    "repr": repr(TEXT),
    "Windows": TEXT.replace("\n", "\r\n"),
    "colours": TEXT.replace('File "', 'File \x1b[35m"').replace('", line', '"\x1b[0m, line'),
}


@pytest.mark.parametrize("logged", LOGGED.values(), ids=LOGGED)
def test_types_messages_and_frames_are_the_same(logged: str) -> None:
    expected, found = parse(TEXT), parse(plain(logged))
    assert [link.type for link in found] == [link.type for link in expected] == ["KeyError", "ExceptionGroup"]
    assert [link.frames for link in found] == [link.frames for link in expected]
    assert found[0].message == expected[0].message
    members = [member[0] for member in found[-1].members]
    assert [member.type for member in members] == ["ValueError", "KeyError"]


def test_what_was_escaped_is_text_that_can_be_stored() -> None:
    halves = 'Traceback (most recent call last):\\n  File \\"a.py\\", line 1, in f\\nE: \\ud83d\\ude00 \\ud83d'
    (link,) = parse(plain(halves))
    assert link.message.encode() == "\U0001f600 \ufffd".encode()


def test_a_traceback_in_a_message_stays_where_it_is() -> None:
    quoting = "Traceback (most recent call last):\n  File \"a.py\", line 1, in f\nE: said 'Traceback (most recent'\n"
    assert plain(quoting) == quoting


@pytest.mark.parametrize(
    "text",
    [
        "Traceback (most recent call last):\\n" * 30_000,
        "x Traceback (most recent call last):\n" * 30_000,
        "Traceback (most recent call last):\\n" + '\\"' * 500_000,
        "Traceback (most recent call last):\\n" + "\\\\" * 500_000,
        "9" * 299 + "Traceback (most recent call last):\n" + ("9" * 299 + "\n") * 3000,
        "\x1b[" * 500_000,
    ],
)
def test_a_megabyte_of_anything_is_made_plain_within_a_second(text: str) -> None:
    begun = time.thread_time()
    parse(plain(text))
    assert time.thread_time() - begun < 1
