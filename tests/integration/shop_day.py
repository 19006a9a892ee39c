"""A small shop's day as OTLP log records, and what the indexer makes of them, written to Elasticsearch."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import orjson
from elasticsearch import Elasticsearch
from elasticsearch.helpers import bulk

from celeryscope import semconv
from celeryscope.service.elasticsearch import ElasticsearchSettings
from celeryscope_pipelines.decode import decode
from celeryscope_pipelines.documents import documents_for
from celeryscope_pipelines.provisioning import Plan
from celeryscope_pipelines.provisioning.indices import provision_indices
from celeryscope_pipelines.records import LOG
from celeryscope_pipelines.writes import Op, Write

ROOT, PAY, SHIP = (f"{step}-6c5e-4d0b-9d0a-9a3f0f4f2a11" for step in ("0a11da7e", "0000a9ee", "00005419"))
"""A chain of validate, pay and ship; pay fails at its second attempt, ship is never sent."""
TRACEBACK = """\
Traceback (most recent call last):
  File "/srv/shop/gateway.py", line 12, in charge
    raise TimeoutError("no answer")
TimeoutError: no answer

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "/srv/shop/payments.py", line 40, in pay
    gateway.charge(order)
shop.PaymentDeclined: card expired
"""
DECLINED = {
    semconv.EXCEPTION_TYPE: "shop.PaymentDeclined",
    semconv.EXCEPTION_MESSAGE: "card expired",
    semconv.EXCEPTION_STACKTRACE: TRACEBACK,
    semconv.FAILURE_KIND: semconv.KIND_EXCEPTION,
}
LOST = {
    semconv.EXCEPTION_TYPE: "WorkerLostError",
    semconv.EXCEPTION_MESSAGE: "signal 9 (SIGKILL)",
    semconv.FAILURE_KIND: semconv.KIND_WORKER_LOST,
}


VITALS = {semconv.ACTIVE: 1, f"{semconv.SPOOL_DROPPED_PREFIX}quota": 3}
"""What the shop's worker tells of itself."""


class Day:
    """Records of a tenant; ages are seconds before now."""

    def __init__(self, tenant: str) -> None:
        self._tenant = tenant
        self._now = int(datetime.now(UTC).timestamp() * 1_000_000)
        self._records: list[dict[str, Any]] = []

    def task(self, task_id: str, name: str, event: str, ages: Iterable[float], **attributes: Any) -> None:
        """An event of an attempt; ``ages`` are those of sent, started and ended, as many as there were."""
        times = [self._microseconds(age) for age in ages]
        retries = attributes.get(semconv.RETRIES, 0)
        known = dict(zip((semconv.SENT_AT, semconv.STARTED_AT, semconv.ENDED_AT), times, strict=False))
        identity = {semconv.TASK_ID: task_id, semconv.TASK_NAME: name, semconv.RETRIES: retries}
        identity |= {semconv.ROOT_ID: task_id, semconv.ATTEMPT: f"{task_id}:{retries}", semconv.WORKER: "celery@box"}
        state = {semconv.STATE: semconv.TASK_STATES[event], semconv.CLOCK: times[-1]}
        severity = 17 if semconv.FAILURE_KIND in attributes else 9
        message = f"Task {name} {event.rpartition('.')[2]}: {attributes.get(semconv.EXCEPTION_MESSAGE)}"
        self._add(times[-1], severity, message, {**identity, **state, **known, **attributes}, event)

    def line(self, task_id: str, age: float, message: str, **attributes: Any) -> None:
        """A line that the application logged in a task of the workflow."""
        identity = {semconv.TASK_ID: task_id, semconv.ROOT_ID: ROOT, semconv.RETRIES: 0}
        self._add(self._microseconds(age), 9, message, {**identity, **attributes})

    def worker(self, age: float, **attributes: Any) -> None:
        """A worker's heartbeat."""
        known = {semconv.WORKER: "celery@box", semconv.STATE: "ONLINE", semconv.CLOCK: self._microseconds(age)}
        self._add(self._microseconds(age), 9, "heartbeat", {**known, **attributes}, semconv.EVENT_WORKER_HEARTBEAT)

    def write(self, url: str) -> None:
        """Index all of it, searchable at once."""
        writes = [write for record in decode(self._request(), LOG).records for write in documents_for(record)]
        list(provision_indices(ElasticsearchSettings(url=url), Plan()))
        with Elasticsearch(url) as client:
            bulk(client, _actions(writes), refresh="wait_for")

    def _microseconds(self, age: float) -> int:
        return self._now - int(age * 1_000_000)

    def _add(self, time: int, severity: int, message: str, attributes: dict[str, Any], event: str = "") -> None:
        attributes = {semconv.LOG_RECORD_UID: str(uuid4()), **attributes}
        self._records.append(
            {
                "timeUnixNano": str(time * 1_000),
                "severityNumber": severity,
                "eventName": event,
                "body": {"stringValue": message},
                "attributes": _otlp(attributes),
            }
        )

    def _request(self) -> bytes:
        resource = {"attributes": _otlp({semconv.SERVICE_NAME: "shop-worker", semconv.TENANT: self._tenant})}
        scopes = [{"scope": {"name": semconv.SCOPE_NAME}, "logRecords": self._records}]
        return orjson.dumps({"resourceLogs": [{"resource": resource, "scopeLogs": scopes}]})


def _otlp(attributes: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": _any_value(value)} for key, value in attributes.items()]


def _any_value(value: Any) -> dict[str, Any]:
    if isinstance(value, list):
        return {"arrayValue": {"values": [_any_value(item) for item in value]}}
    return {"intValue": str(value)} if isinstance(value, int) else {"stringValue": value}


def _actions(writes: Iterable[Write]) -> Iterator[dict[str, Any]]:
    """The bulk actions; of a cluster's several writes the one with the latest failure stays."""
    for write in writes:
        action = {"_index": write.index, "_id": write.id, "_source": write.body}
        if write.op is Op.VERSIONED:
            action |= {"version": write.version, "version_type": "external"}
        yield {"_op_type": "create" if write.op is Op.CREATE else "index", **action}


def shop_day(tenant: str) -> Day:
    """One workflow that failed, failures of the same kind before it, a killed worker process, a task under way."""
    day = Day(tenant)
    rest = {
        semconv.ROOT_ID: ROOT,
        semconv.PARENT_ID: ROOT,
        semconv.CHAIN_IDS: [SHIP],
        semconv.CHAIN_NAMES: ["shop.ship"],
    }
    whole = {semconv.CHAIN_IDS: [PAY, SHIP], semconv.CHAIN_NAMES: ["shop.pay", "shop.ship"]}
    day.task(str(uuid4()), "shop.pay", semconv.EVENT_TASK_FAILED, (602, 601, 600), **DECLINED)
    day.task(str(uuid4()), "shop.pay", semconv.EVENT_TASK_FAILED, (502, 501, 500), **DECLINED)
    day.task(ROOT, "shop.validate", semconv.EVENT_TASK_SUCCEEDED, (60, 59.5, 59), **whole)
    day.line(PAY, 58.2, "the first attempt's line")
    again = {semconv.EXCEPTION_TYPE: "shop.Busy", semconv.EXCEPTION_MESSAGE: "gateway away"}
    day.task(PAY, "shop.pay", semconv.EVENT_TASK_RETRIED, (59, 58.5, 58), **rest, **again)
    day.line(PAY, 55.5, "charging card", order=17, **{semconv.RETRIES: 1})
    day.task(PAY, "shop.pay", semconv.EVENT_TASK_FAILED, (58, 56, 55), **rest, **DECLINED, **{semconv.RETRIES: 1})
    day.task(str(uuid4()), "shop.crunch", semconv.EVENT_TASK_LOST, (40, 39, 30), **LOST)
    day.task(str(uuid4()), "shop.stuck", semconv.EVENT_TASK_STARTED, (50, 49))
    day.worker(0, **VITALS)
    return day
