import faulthandler
import sys
import threading
from pathlib import Path

from celeryscope.stacks.frames import Frame, as_text, parse, walked
from support.waiting import until

CELERY = "/venv/lib/python3.11/site-packages/celery/app/trace.py"
DUMP = f"""\
Thread 0x00007f10aa (most recent call first):
  File "/app/poll.py", line 9 in poll
  File "/usr/lib/python3.11/threading.py", line 975 in run

Current thread 0x00007f10bb (most recent call first):
  File "/app/pay.py", line 12 in charge
  File "{CELERY}", line 453 in trace_task
  ...
"""


def test_the_tasks_own_stack_comes_first() -> None:
    own, other = parse(DUMP)
    assert own.name == "Thread 0x00007f10bb"
    assert own.frames == (Frame("/app/pay.py", 12, "charge"), Frame(CELERY, 453, "trace_task"))
    assert other.frames[0] == Frame("/app/poll.py", 9, "poll")


def test_the_stack_inside_celery_is_the_tasks_whichever_thread_got_the_signal() -> None:
    swapped = DUMP.replace("Thread 0x00007f10aa", "Current thread 0x00007f10aa")
    swapped = swapped.replace("Current thread 0x00007f10bb", "Thread 0x00007f10bb")
    assert parse(swapped)[0].name == "Thread 0x00007f10bb"


def test_without_celery_in_sight_the_interrupted_thread_is_the_tasks() -> None:
    assert parse(DUMP.replace(CELERY, "/app/deep.py"))[0].name == "Thread 0x00007f10bb"


def test_names_of_threads_unknown_places_and_escapes_are_read() -> None:
    (stack,) = parse(
        "Current thread 0x00000000000000f1 [worker-1] (most recent call first):\n"
        "  Garbage-collecting\n"
        '  File "/app/\\xfcber/\\u4e2d.py", line 3 in f\\xfc\n'
        "  File ???, line ??? in ???\n"
        "  <no Python frame>\n"
        "\n"
        "Current thread's C stack trace (most recent call first):\n"
        '  Binary file "/usr/lib/libc.so.6", at +0x45330 [0x7f]\n'
    )
    assert stack.name == "Thread worker-1 0x00000000000000f1"
    assert stack.frames == (Frame("/app/über/中.py", 3, "fü"), Frame("???", 0, "???"))


def test_nonsense_has_no_stacks() -> None:
    assert parse("") == []
    assert parse('  File "/app/pay.py", line 12 in charge\nFatal Python error\n') == []


def test_what_this_python_writes_is_read_and_is_what_the_interpreter_says(tmp_path: Path) -> None:
    release = threading.Event()
    other = threading.Thread(target=release.wait)
    other.start()
    until(lambda: sys._current_frames()[other.ident or 0].f_code.co_name == "wait", what="the other thread waits")
    with (tmp_path / "dump").open("w+") as file:
        faulthandler.dump_traceback(file, all_threads=True)
        file.seek(0)
        stacks = parse(file.read())
    release.set()
    other.join()
    inside = walked("me", sys._getframe())
    assert [frame.function for frame in stacks[0].frames[:3]] == [frame.function for frame in inside.frames[:3]]
    assert any(frame.function == "wait" for stack in stacks[1:] for frame in stack.frames)


def test_the_text_is_a_traceback_with_source_where_it_can_be_read(tmp_path: Path) -> None:
    file = tmp_path / "pay.py"
    file.write_text("def charge():\n    gateway.charge()\n")
    stack = parse(
        f'Thread 0x1 (most recent call first):\n  File "{file}", line 2 in charge\n  File "/x.py", line 1 in f\n'
    )
    assert as_text(stack) == (
        "Thread 0x1 (most recent call last):\n"
        '  File "/x.py", line 1, in f\n'
        f'  File "{file}", line 2, in charge\n'
        "    gateway.charge()\n"
    )
