"""The Celery application of the load: one task for each way in which its attempts end."""

import logging
import os
import signal
from typing import Any

from celery import Celery, chain
from celery.exceptions import Ignore, Reject

import celeryscope
from chaos import plan

app = Celery("chaos", broker=os.environ["CHAOS_BROKER_URL"])
app.conf.update(broker_connection_retry_on_startup=True, task_ignore_result=True)
celeryscope.instrument(app)
log = logging.getLogger("chaos.shop")


@app.task
def sell() -> None:
    log.warning(plan.BEGAN)
    log.warning(plan.DONE)


@app.task
def fail() -> None:
    log.warning(plan.BEGAN)
    raise ValueError("out of stock")


@app.task(bind=True, max_retries=1)
def again(self: Any) -> None:
    log.warning(plan.BEGAN)
    if not self.request.retries:
        raise self.retry(exc=TimeoutError("no answer"), countdown=0)
    log.warning(plan.DONE)


@app.task
def ignore() -> None:
    log.warning(plan.BEGAN)
    raise Ignore


@app.task
def reject() -> None:
    log.warning(plan.BEGAN)
    raise Reject("not for us", requeue=False)


@app.task
def die() -> None:
    log.warning(plan.BEGAN)
    os.kill(os.getpid(), signal.SIGKILL)


_TASKS = {plan.SELL: sell, plan.FAIL: fail, plan.AGAIN: again, plan.IGNORE: ignore, plan.REJECT: reject, plan.DIE: die}


def publish(placed: plan.Order) -> None:
    if placed.kind == plan.CHAIN:
        chain(*(sell.si().set(task_id=task_id, queue=placed.queue) for task_id in placed.task_ids)).apply_async()
    else:
        _TASKS[placed.kind].apply_async(task_id=placed.task_ids[0], queue=placed.queue)
