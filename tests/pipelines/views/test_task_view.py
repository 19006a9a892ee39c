from datetime import UTC
from typing import Any

from celeryscope_pipelines.views.logs import LogLine, as_dict, log_line, render
from celeryscope_pipelines.views.task import TaskView, in_focus
from celeryscope_pipelines.views.task import as_dict as task_dict
from celeryscope_pipelines.views.task import render as render_task
from celeryscope_pipelines.views.wording import Clock
from pipelines.views.building import at, attempt, printed

TRACEBACK = """\
Traceback (most recent call last):
  File "/srv/shop/gateway.py", line 12, in charge
    raise TimeoutError("no answer")
TimeoutError: no answer

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "/srv/shop/payments.py", line 40, in process_payment
    gateway.charge(order)
shop.PaymentDeclined: card expired"""
CLOCK = Clock(at(60), UTC)


def line(seconds: float, message: str, severity: int = 9, **more: Any) -> LogLine:
    more = {"task_id": "pay", "task_name": "shop.pay", "logger": "shop"} | more
    return LogLine(
        time=at(seconds), severity=severity, level="ERROR" if severity > 16 else "INFO", message=message, **more
    )


def failed(traceback: str = TRACEBACK) -> LogLine:
    return line(
        4,
        "Task shop.pay failed: card expired",
        severity=17,
        logger=None,
        event="celery.task.failed",
        exception_type="shop.PaymentDeclined",
        exception_message="card expired",
        stacktrace=traceback,
        fingerprint="0123456789abcdef",
    )


def payment(*lines: LogLine) -> TaskView:
    attempts = (
        attempt(
            "pay",
            state="RETRY",
            sent=0,
            started=1,
            ended=2,
            worker="celery@a",
            retry_reason="gateway away",
            retry_eta=at(2.5),
        ),
        attempt(
            "pay",
            state="FAILURE",
            sent=2,
            started=3,
            ended=4,
            retries=1,
            worker="celery@b",
            exception_type="shop.PaymentDeclined",
            exception_message="card expired",
        ),
    )
    return TaskView(attempts, attempts[1], lines, len(lines))


def test_a_task_is_shown_with_its_attempts_the_whole_chained_traceback_and_the_log_around_it() -> None:
    view = payment(line(3.5, "charging", extra={"order": 17}), failed())
    assert (
        printed(*render_task(view, CLOCK, ascii_only=False, logs=True), width=110)
        == f"""\
shop.pay
task pay
workflow  root
sent      2026-11-21 14:00:00 UTC

attempt  state     sent          started       waited    ran  worker
1        ↻ retry   14:00:00.000  14:00:01.000   1.0 s  1.0 s  celery@a
2        ✘ failed  14:00:02.000  14:00:03.000   1.0 s  1.0 s  celery@b

attempt 1: gateway away (next attempt from 14:00:02.500)

✘ failed, attempt 2 of 2
{TRACEBACK}

Log of attempt 2
14:00:03.500 INFO  shop: charging order=17
14:00:04.000 ERROR Task shop.pay failed: card expired

Next: celeryscope workflow root
      celeryscope task pay --attempt 1
      celeryscope logs --task pay
      celeryscope failures 01234567
"""
    )


def test_no_line_of_a_traceback_is_wrapped_or_cut_however_narrow_the_terminal_is() -> None:
    frame = f'  File "x.py", line 1, in f\n    {"call( " * 200})'
    long = f"Traceback (most recent call last):\n{frame}\nValueError: {'x y ' * 1_000}z"
    assert long in printed(*render_task(payment(failed(long)), CLOCK, ascii_only=False, logs=False), width=40)


def test_an_id_and_a_message_without_a_traceback_are_not_wrapped_either() -> None:
    message = "no " * 100 + "money"
    lost = attempt("t" * 60, state="LOST", exception_message=message)
    screen = printed(*render_task(TaskView((lost,), lost, (), 0), CLOCK, ascii_only=False, logs=False), width=40)
    assert f"\n{message}\n" in screen
    assert f"\n      celeryscope logs --task {'t' * 60}\n" in screen


def test_exception_groups_and_tabs_are_shown_as_they_were_recorded() -> None:
    group = (
        '  + Exception Group Traceback (most recent call last):\n  |   File "x", line 1\n  | \tExceptionGroup: [a] (2)'
    )
    shown = printed(*render_task(payment(failed(group)), CLOCK, ascii_only=False, logs=False))
    assert group.expandtabs(8) in shown


def test_a_traceback_cannot_steer_the_terminal() -> None:
    shown = printed(
        *render_task(payment(failed("ValueError: \x1b[2J[red]x[/red]")), CLOCK, ascii_only=False, logs=True)
    )
    assert "ValueError: \\x1b[2J[red]x[/red]" in shown


def test_a_failure_whose_traceback_is_not_there_says_so() -> None:
    shown = printed(*render_task(payment(), CLOCK, ascii_only=False, logs=True))
    assert "shop.PaymentDeclined: card expired\nNo traceback was recorded for this attempt." in shown
    assert "No log lines of this attempt." in shown


def test_the_attempt_in_focus_is_the_last_that_failed_unless_another_is_asked_for() -> None:
    lost, retried, fine = (
        attempt("pay", state="LOST"),
        attempt("pay", state="RETRY", retries=1, retry_reason="busy"),
        attempt("pay", retries=2),
    )
    assert in_focus([lost, retried, fine], None) is lost
    assert in_focus([retried, fine], None) is retried
    assert in_focus([fine], None) is fine
    assert in_focus([lost, retried, fine], 3) is fine
    assert in_focus([lost], 2) is None


def test_json_has_the_traceback_and_the_lines() -> None:
    data = task_dict(payment(line(3, "charging"), failed()))
    assert (data["attempt"], data["traceback"], data["logs_total"]) == (2, TRACEBACK, 2)
    assert [one["state"] for one in data["attempts"]] == ["RETRY", "FAILURE"]
    assert [one["message"] for one in data["logs"]] == ["charging", "Task shop.pay failed: card expired"]


def test_log_lines_of_several_tasks_name_their_task_and_exceptions_stand_whole_below_them() -> None:
    other = line(1, "hello\nsecond line", task_id="ship-1234567", task_name="shop.ship", retries=1)
    assert (
        printed(*render([other, failed()], 5, CLOCK))
        == f"""\
Times are UTC.
3 earlier lines left out; --limit shows more.
14:00:01.000 INFO  shop.ship #2 ship-123 shop: hello
    second line
14:00:04.000 ERROR shop.pay pay Task shop.pay failed: card expired
{TRACEBACK}
"""
    )


STACK = """\
Thread 0x00007f10bb (most recent call last):
  File "/app/pay.py", line 12, in charge
    with self._lock:
"""


def test_stacks_of_a_task_that_ran_too_long_stand_below_their_line_and_are_no_failure() -> None:
    told = "Task shop.pay runs for 60 s: lock at /app/pay.py:12 in charge: with self._lock:"
    found = {
        "@timestamp": "2026-11-21T14:00:02Z",
        "event_name": "celery.task.stack",
        "severity_number": 13,
        "body": {"text": told},
        "attributes": {"celery.stack.trace": STACK, "celery.stack.verdict": "lock"},
    }
    view = TaskView((attempt("pay", started=1.0, ended=70.0),), attempt("pay"), (log_line(found),), 1)
    assert view.failure is None
    output = printed(*render_task(view, Clock(at(80), UTC), ascii_only=False, logs=True))
    assert f"{told}\n{STACK}" in output
    assert task_dict(view)["logs"][0]["stack"] == STACK


def test_json_of_log_lines_counts_those_left_out() -> None:
    data = as_dict([line(1, "hello", extra={"order": 17})], 5)
    assert (data["total"], data["lines"][0]["fields"], data["lines"][0]["attempt"]) == (5, {"order": 17}, 1)
