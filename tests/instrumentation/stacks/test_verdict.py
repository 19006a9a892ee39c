import pytest

from celeryscope.stacks.frames import Frame
from celeryscope.stacks.procfs import IDLE, Busy
from celeryscope.stacks.verdict import STANDARD_LIBRARY, verdict

INSTALLED = "/venv/lib/python3.11/site-packages"
CELERY = (Frame(f"{INSTALLED}/celery/app/trace.py", 453, "trace_task"),)
OWN = Frame("/app/pay.py", 12, "charge")
CLIENT = Frame(f"{INSTALLED}/redis/connection.py", 60, "get_connection")


def library(path: str, function: str) -> Frame:
    return Frame(STANDARD_LIBRARY + path, 1, function)


def installed(path: str, function: str) -> Frame:
    return Frame(f"{INSTALLED}/{path}", 1, function)


def judge(*frames: Frame, busy: Busy = IDLE, waits_in: str = "", line: str = "x = 1") -> tuple[str, str]:
    return verdict((*frames, *CELERY), busy, waits_in, lambda frame: line if frame in {OWN, CLIENT} else "")


AT_OWN = "/app/pay.py:12 in charge: "


@pytest.mark.parametrize(
    ("frames", "kind", "what"),
    [
        ([library("threading.py", "wait"), OWN], "lock", ""),
        ([library("threading.py", "wait"), library("queue.py", "get"), OWN], "lock", ""),
        ([library("threading.py", "wait"), library("concurrent/futures/_base.py", "result"), OWN], "lock", ""),
        ([library("socket.py", "accept"), OWN], "io", "socket, "),
        ([library("ssl.py", "read"), library("socket.py", "readinto"), OWN], "io", "ssl, "),
        ([library("selectors.py", "select"), library("asyncio/base_events.py", "_run_once"), OWN], "io", "select, "),
        ([library("subprocess.py", "_try_wait"), library("subprocess.py", "run"), OWN], "io", "process, "),
        ([installed("gevent/hub.py", "sleep"), OWN], "sleep", ""),
        ([installed("gevent/thread.py", "acquire"), OWN], "lock", ""),
        ([installed("gevent/_socket3.py", "recv"), OWN], "io", "socket, "),
        (
            [installed("eventlet/hubs/hub.py", "switch"), installed("eventlet/greenthread.py", "sleep"), OWN],
            "sleep",
            "",
        ),
        ([installed("eventlet/hubs/hub.py", "switch"), installed("eventlet/semaphore.py", "acquire"), OWN], "lock", ""),
    ],
)
def test_a_library_that_waits_tells_what_for(frames: list[Frame], kind: str, what: str) -> None:
    assert judge(*frames) == (kind, f"{what}{AT_OWN}x = 1")


@pytest.mark.parametrize(
    ("waits_in", "kind", "what"),
    [
        ("futex_do_wait", "lock", ""),
        ("futex_wait_queue", "lock", ""),
        ("locks_lock_inode_wait", "lock", ""),
        ("hrtimer_nanosleep", "sleep", ""),
        ("inet_csk_accept", "io", "socket, "),
        ("sk_wait_data", "io", "socket, "),
        ("poll_schedule_timeout.constprop.0", "io", "select, "),
        ("ep_poll", "io", "select, "),
        ("anon_pipe_read", "io", "pipe, "),
        ("do_wait", "io", "process, "),
        ("folio_wait_bit_common", "io", "file, "),
        ("rpc_wait_bit_killable", "io", "file, "),
        ("something_else", "unknown", ""),
    ],
)
def test_the_kernel_tells_what_c_code_waits_for(waits_in: str, kind: str, what: str) -> None:
    assert judge(OWN, waits_in=waits_in) == (kind, f"{what}{AT_OWN}x = 1")


@pytest.mark.parametrize(
    ("line", "kind", "what"),
    [
        ("with self._lock:", "lock", ""),
        ("with open(path) as file:", "unknown", ""),
        ("lock.acquire()", "lock", ""),
        ("time.sleep(3)", "sleep", ""),
        ("data = connection.recv(10)", "io", "socket, "),
        ("text = file.read()", "io", "file, "),
        ("x = compute()", "unknown", ""),
        ("", "unknown", ""),
    ],
)
def test_the_line_of_source_tells_when_nothing_else_does(line: str, kind: str, what: str) -> None:
    assert judge(OWN, line=line) == (kind, f"{what}/app/pay.py:12 in charge" + (f": {line}" if line else ""))


def test_a_busy_thread_computes_whatever_its_stack_looks_like() -> None:
    assert judge(library("threading.py", "wait"), OWN, busy=Busy(0.9, 0.9), waits_in="futex_do_wait")[0] == "cpu"


def test_a_thread_that_competes_for_the_interpreter_computes() -> None:
    assert judge(OWN, busy=Busy(0.2, 1.0), waits_in="futex_do_wait")[0] == "cpu"


def test_a_thread_that_waits_beside_a_busy_one_still_waits() -> None:
    assert judge(OWN, busy=Busy(0.0, 1.0), waits_in="futex_do_wait", line="with stock:")[0] == "lock"
    assert judge(OWN, busy=Busy(0.0, 1.0), waits_in="hrtimer_nanosleep")[0] == "sleep"


def test_a_thread_whose_native_threads_compute_for_it_computes() -> None:
    assert judge(OWN, busy=Busy(0.0, 3.8), waits_in="futex_do_wait", line="numpy.dot(a, b)")[0] == "cpu"
    assert judge(OWN, busy=Busy(0.0, 3.8), line="numpy.dot(a, b)")[0] == "cpu"


def test_a_lock_of_a_library_is_named_where_the_library_waits() -> None:
    assert judge(library("threading.py", "wait"), CLIENT, OWN) == (
        "lock",
        f"{CLIENT.file}:60 in get_connection: x = 1",
    )


def test_io_of_a_library_is_named_where_the_application_asked_for_it() -> None:
    assert judge(library("socket.py", "readinto"), CLIENT, OWN) == ("io", f"socket, {AT_OWN}x = 1")


def test_a_process_that_sits_in_the_kernel_has_a_verdict_without_a_stack() -> None:
    assert verdict((), IDLE, "rpc_wait_bit_killable") == ("io", "file, kernel: rpc_wait_bit_killable")
    assert verdict((), IDLE, "") == ("unknown", "")
