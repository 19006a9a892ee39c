"""What a report must cope with: a workflow of hundreds of attempts, and text that wants to be more than text."""

from uuid import uuid4

from celeryscope import semconv
from integration.shop_day import Day

WAVE = "3a7e0000-0000-4000-8000-000000000500"
"""A workflow of 500 attempts: a task and a group, of which one in ten failed, all the same way."""
HOSTILE = "05111e00-0000-4000-8000-000000000666"
RUNNING = "5ca1ab1e-0000-4000-8000-000000000001"
SCRIPT = "</script><img src=x onerror=\"document.title='taken over'\"><!--"
"""What would run if any part of it was taken for HTML."""
LOST_PARCEL = """\
Traceback (most recent call last):
  File "/srv/shop/parcels.py", line 7, in pack
    raise LookupError(parcel)
LookupError: no such parcel
"""
HOSTILE_TEXT = f"""\
Traceback (most recent call last):
  File "/srv/shop/web.py", line 1, in parse
    read({SCRIPT!r})
ValueError: {SCRIPT}
"""


def add_busy_day(day: Day) -> None:
    """Add these workflows."""
    day.task(RUNNING, "shop.crawl", semconv.EVENT_TASK_STARTED, (40, 39))
    day.task(WAVE, "shop.wave", semconv.EVENT_TASK_SUCCEEDED, (300, 299.9, 299))
    lost = {
        semconv.EXCEPTION_TYPE: "LookupError",
        semconv.EXCEPTION_MESSAGE: "no such parcel",
        semconv.EXCEPTION_STACKTRACE: LOST_PARCEL,
        semconv.FAILURE_KIND: semconv.KIND_EXCEPTION,
    }
    for index in range(499):
        member = {semconv.ROOT_ID: WAVE, semconv.PARENT_ID: WAVE, semconv.GROUP_ID: "g", semconv.GROUP_INDEX: index}
        began = 299 - index * 0.05
        failed = index % 10 == 3
        event = semconv.EVENT_TASK_FAILED if failed else semconv.EVENT_TASK_SUCCEEDED
        day.task(str(uuid4()), "shop.pack", event, (299, began, began - 1), **member, **(lost if failed else {}))
    day.task(
        HOSTILE,
        f"shop.{SCRIPT}",
        semconv.EVENT_TASK_FAILED,
        (20, 19, 18),
        **{
            semconv.ARGS: f"('{SCRIPT}',)",
            semconv.EXCEPTION_TYPE: "ValueError",
            semconv.EXCEPTION_MESSAGE: SCRIPT,
            semconv.EXCEPTION_STACKTRACE: HOSTILE_TEXT,
            semconv.FAILURE_KIND: semconv.KIND_EXCEPTION,
            semconv.OWNER_RUNBOOK: "javascript:document.title='taken over'",
        },
    )
