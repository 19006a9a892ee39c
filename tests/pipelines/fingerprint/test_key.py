"""What keeps a failure in its cluster and what doesn't, on exceptions that were really raised."""

import random
import string
import time
import traceback
from typing import Any

import pytest
from celery import Celery
from celery.exceptions import Retry
from hypothesis import given, settings
from hypothesis import strategies as st

from celeryscope import semconv
from celeryscope_pipelines.fingerprint import Fingerprint, fingerprint_of
from celeryscope_pipelines.fingerprint.message import parameterised

PAY = """
class Declined(Exception):
    pass

def look_up(table, key):
    return table[key]

def charge(order):
    try:
        look_up({}, order)
    except KeyError as error:
        raise Declined(f"order {order} declined") from error

def refund(order):
    try:
        [][5]
    except IndexError as error:
        raise Declined(f"order {order} declined") from error

def unrelated(order):
    raise Declined(f"order {order} declined")

def other_type(order):
    try:
        look_up({}, order)
    except KeyError as error:
        raise ValueError(f"order {order} declined") from error
"""

GROUPS = """
def first(n):
    raise ValueError(f"first {n}")

def second(n):
    raise ValueError(f"second {n}")

def chained(n):
    try:
        first(n)
    except ValueError as error:
        raise KeyError(n) from error

def nested(n):
    gather([first, chained], n)

def gather(functions, n):
    errors = []
    for function in functions:
        try:
            function(n)
        except Exception as error:
            errors.append(error)
    raise ExceptionGroup("several", errors)
"""

LIBRARY = """
def call(function, *args):
    return function(*args)

def fail(reason):
    raise OSError(reason)
"""

HERE = "/srv/app/current/shop/pay.py"
HEADER = "Traceback (most recent call last):\n"
SITE = "/srv/app/venv/lib/python3.11/site-packages"


def module(source: str, path: str = HERE, offset: int = 0) -> dict[str, Any]:
    """The names of a module that stands in ``path``, its first line moved down by ``offset``."""
    names: dict[str, Any] = {"__name__": "shop.pay"}
    exec(compile("\n" * offset + source, path, "exec"), names)
    return names


def fingerprint(function: Any, *args: Any, task: str = "shop.tasks.pay", kind: str = "exception") -> Fingerprint:
    """The fingerprint of what the call raises."""
    try:
        function(*args)
    except BaseException as error:
        return of_error(error, task=task, kind=kind)
    raise AssertionError("it should have raised")


def of_error(error: BaseException, task: str = "shop.tasks.pay", kind: str = "exception") -> Fingerprint:
    return fingerprint_of(
        kind=kind,
        task=task,
        exception_type=f"{type(error).__module__}.{type(error).__qualname__}".removeprefix("builtins."),
        message=str(error),
        stacktrace="".join(traceback.format_exception(error)),
    )


def without_stack(message: str, **changes: str) -> Fingerprint:
    known = {"kind": "exception", "task": "t", "exception_type": "E", "stacktrace": ""} | changes
    return fingerprint_of(message=message, **known)


RELEASES = st.from_regex(r"(/[a-z0-9._-]{1,12}){0,5}", fullmatch=True).map(lambda above: f"{above}/shop/pay.py")
MEMBERS = ["first", "second", "chained", "nested"]
ORDERS = st.one_of(st.integers(), st.uuids().map(str), st.from_regex(r"[a-z]{0,5}[0-9]{1,8}", fullmatch=True))


@settings(deadline=None, max_examples=60)
@given(path=RELEASES, offset=st.integers(0, 300), order=ORDERS)
def test_lines_releases_and_messages_do_not_change_the_cluster(path: str, offset: int, order: Any) -> None:
    assert fingerprint(module(PAY, path, offset)["charge"], order).key == CHARGE.key


def test_windows_paths_are_the_same_module() -> None:
    assert fingerprint(module(PAY, "C:\\releases\\7\\shop\\pay.py")["charge"], 1).key == CHARGE.key


def test_a_release_named_after_a_commit_is_no_package() -> None:
    first, second = (
        fingerprint(module(PAY, f"/srv/{commit}/pay.py")["charge"], 1) for commit in ("b7f32c91d", "a91e0d44c")
    )
    assert first.key == second.key
    assert first.culprit == "pay in charge"


@pytest.mark.parametrize("name", ["refund", "unrelated"])
def test_another_function_cause_or_type_is_another_cluster(name: str) -> None:
    assert fingerprint(module(PAY)[name], 7).key != CHARGE.key


def test_what_wraps_the_same_exception_is_of_one_cluster_and_told_apart_by_the_exact_key() -> None:
    found = fingerprint(module(PAY)["other_type"], 7)
    assert found.key == CHARGE.key
    assert found.exact_key != CHARGE.exact_key


def test_another_cause_alone_is_another_cluster() -> None:
    swapped = PAY.replace("return table[key]", "return table.missing").replace("KeyError", "AttributeError")
    assert fingerprint(module(swapped)["charge"], 7).key != CHARGE.key


def test_another_module_is_another_cluster() -> None:
    assert fingerprint(module(PAY, "/srv/app/current/shop/refunds.py")["charge"], 7).key != CHARGE.key


def test_another_call_path_is_the_same_cluster_and_told_apart_by_the_exact_key() -> None:
    library = module("def again(function, order):\n    function(order)\n", "/srv/app/current/shop/again.py")
    names = module(PAY)
    direct, by_way = fingerprint(names["charge"], 7), fingerprint(library["again"], names["charge"], 7)
    assert direct.key == by_way.key
    assert direct.exact_key != by_way.exact_key
    assert direct.exact_key == fingerprint(names["charge"], 8).exact_key


def test_the_coarse_key_joins_what_differs_in_its_message_only() -> None:
    names = module("def check(reason):\n    raise ValueError(reason)\n\ndef other():\n    raise ValueError('empty')\n")
    empty, negative = fingerprint(names["check"], "empty"), fingerprint(names["check"], "negative")
    assert empty.key != negative.key
    assert empty.coarse_key == negative.coarse_key
    assert empty.coarse_key != fingerprint(names["other"]).coarse_key


@pytest.mark.parametrize(
    "path",
    [
        f"{SITE}/tenacity/__init__.py",
        "C:\\shop\\venv\\Lib\\site-packages\\tenacity.py",
        "/usr/lib/python3/dist-packages/tenacity.py",
        "/usr/local/lib/python3.13/contextlib.py",
        "C:\\Python312\\Lib\\contextlib.py",
        "/opt/libraries/celery/app/trace.py",
        "/opt/libraries/kombu/utils/functional.py",
        "<frozen runpy>",
        "<string>",
    ],
)
def test_frames_of_others_do_not_count(path: str) -> None:
    wrapper, names = module(LIBRARY, path), module(PAY)
    assert fingerprint(wrapper["call"], names["charge"], 7).key == CHARGE.key


def test_an_application_in_a_folder_called_celery_is_an_application() -> None:
    found = fingerprint(module(PAY, "/srv/celery/tasks.py")["charge"], 7)
    assert found.culprit == "celery.tasks in charge"


def test_the_place_within_a_library_does_not_split_a_cluster() -> None:
    source = "def fetch(fail):\n    fail('no route')\n"
    keys = {
        fingerprint(module(source)["fetch"], module(LIBRARY, f"{SITE}/requests/{name}.py")["fail"]).key
        for name in ("adapters", "sessions")
    }
    assert len(keys) == 1


def test_comprehensions_which_have_frames_in_some_pythons_only_do_not_count() -> None:
    text = 'Traceback (most recent call last):\n  File "a/b.py", line 1, in f\n{}E: x\n'
    inner = '  File "a/b.py", line 1, in <listcomp>\n'
    with_it, without = (without_stack("x", stacktrace=text.format(part)) for part in (inner, ""))
    assert (with_it.key, with_it.culprit) == (without.key, without.culprit) == (without.key, "a.b in f")


def test_without_a_frame_of_the_application_the_task_counts() -> None:
    library, celerys = module(LIBRARY, f"{SITE}/requests/api.py"), module(LIBRARY, f"{SITE}/celery/app/trace.py")
    found = fingerprint(celerys["call"], library["fail"], "x", task="a")
    # this file's own frame is the application's, so take it out as if Celery had called the library itself
    text = f'Traceback (most recent call last):\n  File "{SITE}/%s", line 4, in %s\nOSError: x\n'
    requests, celery = text % ("requests/api.py", "fail"), text % ("celery/app/trace.py", "trace_task")
    keys = {without_stack("x", stacktrace=stack, task=task).key for stack in (requests, celery) for task in "ab"}
    assert len(keys) == 2
    assert found.key not in keys
    assert without_stack("x", task="a", exception_type="OSError").key in keys
    assert without_stack("x", stacktrace=requests, task="a").culprit == "requests.api in fail"
    assert without_stack("x", stacktrace=celery, task="a").culprit == "a"


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.sampled_from(["first", "second", "chained", "nested"]), min_size=1, max_size=6), st.randoms(), ORDERS
)
def test_order_and_number_of_a_groups_members_do_not_count(names: list[str], random: random.Random, order: Any) -> None:
    functions = module(GROUPS)
    shuffled = names + random.choices(names, k=3)
    random.shuffle(shuffled)
    one = fingerprint(functions["gather"], [functions[name] for name in names], 1)
    same = fingerprint(functions["gather"], [functions[name] for name in shuffled], order)
    assert (one.key, one.coarse_key, one.culprit) == (same.key, same.coarse_key, same.culprit)


def test_other_members_are_another_cluster() -> None:
    functions = module(GROUPS)
    sets = (["first"], ["second"], ["first", "second"], ["nested"], ["nested", "second"])
    keys = {fingerprint(functions["gather"], [functions[name] for name in names], 1).key for names in sets}
    assert len(keys) == len(sets)


@settings(deadline=None, max_examples=25)
@given(depth=st.integers(1, 40))
def test_how_deep_a_recursion_went_does_not_count(depth: int) -> None:
    source = "def ping(n):\n    pong(n)\n\ndef pong(n):\n    if not n: raise ValueError(n)\n    ping(n - 1)\n"
    ping = module(source)["ping"]
    assert fingerprint(ping, depth).key == fingerprint(ping, 1).key


@pytest.mark.parametrize("lead", [0, 1, 2])
def test_where_in_its_cycle_a_recursion_hit_the_limit_does_not_count(lead: int) -> None:
    source = "def ping(n):\n    pong(n)\n\ndef pong(n):\n    str(n)\n    ping(n)\n"
    names = module(source)

    def deeper(n: int) -> Fingerprint:
        return deeper(n - 1) if n else fingerprint(names["ping"], 1)

    assert deeper(lead).key == deeper(3).key


def test_a_retry_and_the_last_attempts_failure_are_of_one_cluster() -> None:
    app = Celery("shop", broker="memory://", backend="cache+memory://")
    pay = module(PAY)
    seen: list[Fingerprint] = []

    @app.task(bind=True, autoretry_for=(Exception,), max_retries=1, retry_backoff=False, default_retry_delay=0)
    def task(self: Any, order: int) -> None:
        try:
            pay["other_type"](order)
        except Exception as error:
            seen.append(of_error(error))
            raise

    failed = task.apply(args=(7,))
    assert failed.state == "FAILURE"
    last = without_stack("", exception_type="ValueError", stacktrace=failed.traceback)
    assert {each.key for each in seen} == {last.key}
    assert len(seen) == 2


def test_celerys_retry_around_an_exception_does_not_count() -> None:
    try:
        module(PAY)["charge"](7)
    except Exception as error:
        text = "".join(traceback.format_exception(error))
    during = "\nDuring handling of the above exception, another exception occurred:\n\n"
    retry = f'{HEADER}  File "/a/b.py", line 1, in f\ncelery.exceptions.Retry: Retry in 3s\n'
    assert without_stack("", stacktrace=text + during + retry) == without_stack("", stacktrace=text)


def test_a_retry_without_an_exception_is_named_as_it_is() -> None:
    def again() -> None:
        raise Retry("again")

    assert fingerprint(again).title == "Retry in again: again"


@pytest.mark.parametrize(
    "kind",
    [
        semconv.KIND_WORKER_LOST,
        semconv.KIND_OUT_OF_MEMORY,
        semconv.KIND_TIME_LIMIT,
        semconv.KIND_SOFT_TIME_LIMIT,
        semconv.KIND_TERMINATED,
        semconv.KIND_UNREGISTERED,
    ],
)
def test_what_strikes_from_outside_is_keyed_by_kind_and_task(kind: str) -> None:
    names = module(PAY)
    first, second = fingerprint(names["charge"], 1, kind=kind), fingerprint(names["refund"], 2, kind=kind)
    other = fingerprint(names["charge"], 1, kind=kind, task="shop.tasks.other")
    assert (first.key, first.culprit) == (second.key, "shop.tasks.pay")
    assert first.coarse_key == first.key
    assert first.key not in {other.key, CHARGE.key}


def test_kinds_are_apart() -> None:
    kinds = ("worker_lost", "out_of_memory", "time_limit", "soft_time_limit", "terminated", "unregistered", "rejected")
    assert len({without_stack("", kind=kind).key for kind in (*kinds, "exception")}) == len(kinds) + 1


@settings(max_examples=60)
@given(st.integers(), st.uuids(), st.floats(), st.text(string.ascii_letters, min_size=1), st.binary(min_size=6))
def test_without_a_stack_ids_numbers_and_quoted_texts_do_not_count(
    number: int, uid: Any, real: float, text: str, data: bytes
) -> None:
    def message(number: int, uid: Any, real: float, text: str, data: bytes) -> str:
        texts, sha = f'{text!r} "{text}"', f"0{data.hex()}f0"
        return f"order {number} of {uid}, {abs(real):.3f} EUR, {texts} at {abs(number):#x}; {sha} took {number}s"

    if real - real == 0:  # infinities and nan are words
        one, other = message(number, uid, real, text, data), message(7, "0" * 8 + str(uid)[8:], 0.5, "a b", b"123456")
        assert without_stack(one).key == without_stack(other).key


def test_without_a_stack_type_words_and_task_count() -> None:
    found = [
        without_stack("order 7 declined"),
        without_stack("order 7 refused"),
        without_stack("order 7 declined", task="u"),
        without_stack("order 7 declined", exception_type="F"),
    ]
    assert len({each.key for each in found}) == 4
    assert {each.culprit for each in found} == {"t", "u"}


def test_an_apostrophe_begins_no_quotation() -> None:
    assert (
        parameterised("can't open the users' and owners' file 'a b'") == "can't open the users' and owners' file <text>"
    )


def test_the_title_is_the_types_own_name_the_function_and_one_line_of_message() -> None:
    assert CHARGE.title == "Declined in charge: order <n> declined"
    assert without_stack("order 7\nof 'x'", exception_type="shop.v2.Declined").title == "Declined in t: order <n>"
    assert without_stack("\n  \n a\t b \n", exception_type="E1", task="shop.pay").title == "E1 in pay: a b"
    assert without_stack("1 validation error for Order\nnumber\n  is 7", exception_type="E1").title == (
        "E1 in t: <n> validation error for Order number"
    )
    assert without_stack("", exception_type="shop.models.Order.DoesNotExist").title == "Order.DoesNotExist in t"
    assert without_stack("", exception_type="a.f.<locals>.E1", task="").title == "E1"
    assert without_stack("", exception_type="").title == "Unknown failure in t"
    assert without_stack("", exception_type="", stacktrace="KeyError: 'x'").title == "KeyError in t: <text>"


def test_the_culprit_has_a_file_and_a_line_which_are_in_no_key() -> None:
    found, moved = (fingerprint(module(PAY, offset=lines)["charge"], 1) for lines in (0, 100))
    assert (found.culprit_file, found.culprit_line) == (HERE, PAY[: PAY.index("declined")].count("\n") + 1)
    assert (moved.culprit_file, moved.culprit_line) == (HERE, found.culprit_line + 100)


@pytest.mark.parametrize(
    "text",
    [
        "{} Client Error: Unauthorized",
        "gateway answered with status {}, twice",
        "returned non-zero exit status {}.",
        "prematurely: signal {} (SIGKILL) Job: <n>.",
    ],
)
def test_the_title_has_the_status_that_tells_clusters_apart(text: str) -> None:
    assert (
        without_stack(text.replace("<n>", "7").format(404), exception_type="E1").title == f"E1 in t: {text.format(404)}"
    )


def test_the_title_has_nothing_that_the_line_that_raised_it_puts_in() -> None:
    raised = 'raise LookupError(f"no customer {name} among {count} in the shop")'
    text = f'{HEADER}  File "/srv/app/shop/pay.py", line 3, in find\n    {raised}\nLookupError: x'
    found = without_stack("no customer Ann Lee among 7 in the shop", exception_type="LookupError", stacktrace=text)
    assert found.title == "LookupError in find: no customer <text> among <n> in the shop"


def test_the_root_is_the_first_exception_of_the_chain() -> None:
    found = fingerprint(module(PAY)["charge"], "sku")
    assert (found.root_type, found.root_message, found.root_culprit) == ("KeyError", "'sku'", "shop.pay in look_up")
    alone = fingerprint(module(PAY)["unrelated"], 1)
    assert (alone.root_type, alone.root_message) == ("shop.pay.Declined", "order 1 declined")
    assert alone.root_culprit == alone.culprit == "shop.pay in unrelated"


@given(st.text(), st.text(), st.text())
def test_any_texts_have_a_fingerprint_with_a_title_of_one_line(exception_type: str, message: str, stack: str) -> None:
    found = without_stack(message, exception_type=exception_type, stacktrace=stack)
    assert len(found.title) <= 200
    assert len(found.title.splitlines()) == 1
    assert len(found.key) == len(found.coarse_key) == 32


def test_the_culprit_is_the_innermost_frame_of_the_application() -> None:
    library = module(LIBRARY, f"{SITE}/requests/api.py")
    source = "def fetch(fail):\n    fail('no route')\n"
    assert fingerprint(module(source)["fetch"], library["fail"]).culprit == "shop.pay in fetch"
    assert CHARGE.culprit == "shop.pay in charge"


CHARGE = fingerprint(module(PAY)["charge"], 1)


TWO_MEGABYTES = 2 * 1024 * 1024
HOSTILE = {
    "frames": HEADER + '  File "/srv/app/a.py", line 1, in f\n    f()\n',
    "nested groups": "".join("  " * depth + f"| E: x\n{'  ' * depth}+-+----- 1 --\n" for depth in range(60)),
    "chains": f"{HEADER}KeyError: 'x'\n\nThe above exception was the direct cause of the following exception:\n\n",
    "contexts": f'{HEADER}  File "/a.py", line 1, in f\nKeyError: 1\n\nDuring handling of the above exception, another '
    "exception occurred:\n\n",
    "a message": HEADER + "E: " + "x 'y' 7 {a} " * 1000,
    "escapes": 'Traceback (most recent call last):\\n  File \\"a.py\\", line 1, in f\\nE: \\ud83d\\n',
    "cuts": "[... 3 bytes cut by celeryscope ...]\n  File \"a.py\", line 1, in f\n",
    "one line": "a.b:",
}  # fmt: skip


@pytest.mark.parametrize("part", HOSTILE.values(), ids=HOSTILE)
def test_megabytes_of_anything_take_time_in_proportion(part: str) -> None:
    def seconds(length: int) -> float:
        text = (part * (length // len(part) + 1))[:length]
        took = []
        # A garbage collection of all that the tests before have left may fall into one of them.
        for _ in range(3):
            begun = time.thread_time()
            without_stack(text, stacktrace=text)
            took.append(time.thread_time() - begun)
        return min(took)

    tenth, whole = seconds(TWO_MEGABYTES // 10), seconds(TWO_MEGABYTES)
    assert whole < 20 * max(tenth, 0.05)
