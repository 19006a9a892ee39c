"""The wrapper around Celery's publishing function: sees what it raises, changes nothing, and can be taken off."""

import pytest
from celery import Celery
from celery.app.amqp import AMQP
from kombu.exceptions import OperationalError

from celeryscope.refusals import RefusalTracker


def test_the_caller_gets_the_exception_that_was_seen() -> None:
    seen: list[BaseException] = []
    tracker = RefusalTracker(seen.append)
    tracker.install()
    try:
        app = Celery(broker="redis://127.0.0.1:1/0")
        with pytest.raises(OperationalError) as raised:
            app.send_task("any", retry=False)
        assert seen == [raised.value]
        tracker.remove()
        with pytest.raises(OperationalError):
            app.send_task("any", retry=False)
        assert len(seen) == 1, "a function that is already made is silent afterwards"
    finally:
        tracker.remove()


def test_celerys_own_function_is_put_back() -> None:
    own = AMQP._create_task_sender
    tracker = RefusalTracker(lambda _: None)
    tracker.install()
    assert AMQP._create_task_sender is not own
    tracker.remove()
    assert AMQP._create_task_sender is own
