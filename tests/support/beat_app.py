"""``worker_app`` with a schedule, and a scheduler that sends in a way of its own."""

from datetime import UTC, datetime
from typing import Any

from celery.beat import Scheduler
from celery.schedules import crontab

from support.worker_app import app

NIGHT = (datetime.now(UTC).hour + 12) % 24
"""Not now, whenever the tests run."""

app.conf.beat_schedule = {
    "every-second": {"task": "support.worker_app.succeed", "schedule": 1.0, "args": (1,)},
    "by-name": {"task": "elsewhere.task", "schedule": 1.0, "options": {"queue": "elsewhere"}},
    "impossible": {"task": "support.worker_app.succeed", "schedule": 1.0, "args": ({1j},)},
    "nightly": {"task": "support.worker_app.succeed", "schedule": crontab(hour=NIGHT, minute=0)},
}
app.conf.beat_max_loop_interval = 0.2


class OwnTicks(Scheduler):
    """Sends as celery-redbeat does: without ``apply_entry``, and by letting ``apply_async`` advance the entry."""

    def tick(self, *_: Any, **__: Any) -> float:
        for entry in list(self.schedule.values()):
            if self.is_due(entry)[0]:
                try:
                    self.apply_async(entry)
                except Exception:
                    app.log.get_default_logger().exception("not sent")
        return 0.1
