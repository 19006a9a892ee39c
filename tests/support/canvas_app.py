"""A Celery application whose tasks are put together to canvases; ``case`` says in the events which one it was."""

import os
import signal
import time
from pathlib import Path
from typing import Any

from celery import Celery, chain, chord, group  # noqa: F401 - for the code that publishers run
from opentelemetry import trace  # noqa: F401 - the same

import celeryscope
from support.waiting import until

app = Celery("canvases", broker=os.environ["BROKER_URL"], backend=os.environ["RESULT_URL"])
app.conf.update(task_default_queue=os.environ["QUEUE"], broker_connection_retry_on_startup=True)
celeryscope.instrument(app)


@app.task(name="prepare")
def prepare(case: str) -> None: ...


@app.task(name="pack")
def pack(case: str) -> None: ...


@app.task(name="weigh")
def weigh(case: str) -> None: ...


@app.task(name="ship")
def ship(case: str) -> None: ...


@app.task(name="bill")
def bill(case: str) -> None: ...


@app.task(name="broken")
def broken(case: str) -> None:
    raise ValueError(case)


@app.task(name="killed")
def killed(case: str) -> None:
    time.sleep(0.2)
    os.kill(os.getpid(), signal.SIGKILL)


@app.task(name="told")
def told(task_id: str, case: str) -> None:
    """An error callback of the old style, which is a task of its own."""


@app.task(name="calls")
def calls(case: str) -> None:
    pack.delay(case=case)
    group(weigh.si(case=case), weigh.si(case=case)).apply_async()


@app.task(name="replaced", bind=True)
def replaced(self: Any, case: str) -> None:
    raise self.replace(chain(pack.si(case=case), weigh.si(case=case)))


@app.task(name="flaky", bind=True, max_retries=2)
def flaky(self: Any, case: str) -> None:
    if self.request.retries < 2:
        raise self.retry(exc=RuntimeError("not yet"), countdown=0.3)


@app.task(name="hopeless", bind=True, max_retries=1)
def hopeless(self: Any, case: str) -> None:
    raise self.retry(exc=RuntimeError("never"), countdown=0)


@app.task(name="busy")
def busy(case: str) -> None:
    """Until the file ``release`` is in the worker's folder."""
    until(Path("release").exists, what="release")
