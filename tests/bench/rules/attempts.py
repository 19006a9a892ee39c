"""Attempts of many tasks over a day, as the indexer writes them."""

import random
from datetime import datetime, timedelta
from typing import Any

from elasticsearch import Elasticsearch

from celeryscope import otlp, semconv
from celeryscope_pipelines.decode import decode
from celeryscope_pipelines.documents import documents_for
from celeryscope_pipelines.indexer.lines import lines_of
from support import messages

TASKS = 60
HOURS = 26
_REQUEST = 500
_FAILING = 0.01
_ENDS = {True: semconv.EVENT_TASK_SUCCEEDED, False: semconv.EVENT_TASK_FAILED}


def index_attempts(client: Elasticsearch, count: int, now: datetime) -> None:
    """``count`` ended attempts, evenly over the HOURS before ``now``; one in a hundred failed.

    ``client`` is one of ours (``connect``), which sends bytes as they are. A cluster stays as it is made first.
    """
    chance = random.Random(count)
    for begin in range(0, count, _REQUEST):
        events = [_event(number, count, now, chance) for number in range(begin, min(begin + _REQUEST, count))]
        records = decode(messages.request("logs", "busy", *events), "log").records
        writes = [write for record in records for write in documents_for(record)]
        answer = client.bulk(operations=b"".join(map(lines_of, writes)))
        assert not [item for item in answer["items"] if next(iter(item.values()))["status"] not in {200, 201, 409}]
    client.indices.refresh(index="*", expand_wildcards="all")


def _event(number: int, count: int, now: datetime, chance: random.Random) -> bytes:
    ended = int((now - timedelta(hours=HOURS) * (1 - (number + 1) / count)).timestamp() * 1e6)
    succeeds = chance.random() >= _FAILING
    runtime = int(chance.expovariate(5) * 1e6)
    values: dict[str, Any] = {
        semconv.LOG_RECORD_UID: f"busy-{number}",
        semconv.CLOCK: ended,
        semconv.TASK_ID: f"task-{number}",
        semconv.TASK_NAME: f"shop.tasks.task_{number % TASKS}",
        semconv.ROOT_ID: f"task-{number}",
        semconv.RETRIES: 0,
        semconv.ATTEMPT: f"task-{number}:0",
        semconv.STATE: semconv.TASK_STATES[_ENDS[succeeds]],
        semconv.SENT_AT: ended - runtime - 50_000,
        semconv.RECEIVED_AT: ended - runtime - 20_000,
        semconv.STARTED_AT: ended - runtime,
        semconv.ENDED_AT: ended,
        semconv.RUNTIME: runtime / 1e6,
        semconv.WORKER: f"celery@host-{number % 40}",
        semconv.MESSAGING_DESTINATION: f"queue-{number % 6}",
    }
    if not succeeds:
        values[semconv.EXCEPTION_TYPE] = "TimeoutError"
        values[semconv.EXCEPTION_MESSAGE] = "no answer after 30 s"
        values[semconv.EXCEPTION_STACKTRACE] = messages.TRACEBACK
        values[semconv.FAILURE_KIND] = semconv.KIND_EXCEPTION
    return otlp.log_record(
        time_ns=ended * 1000,
        attributes=otlp.encoded(values),
        body=_ENDS[succeeds],
        severity_text="INFO" if succeeds else "ERROR",
        event_name=_ENDS[succeeds],
    )
