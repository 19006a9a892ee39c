"""What the indexer makes of a small shop's day, as documents of docs/data.md."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from elasticsearch import Elasticsearch
from elasticsearch.helpers import bulk

ROOT, PAY, SHIP = (f"{step}-6c5e-4d0b-9d0a-9a3f0f4f2a11" for step in ("0a11da7e", "0000a9ee", "00005419"))
"""A chain of validate, pay and ship; pay fails at its second attempt, ship is never sent."""
DECLINED = f"a1{0:030x}"
LOST = f"a2{0:030x}"
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


def seed(url: str, tenant: str) -> None:
    """Write the shop's documents for the tenant, searchable at once."""
    with Elasticsearch(url) as client:
        _mappings(client)
        bulk(client, _Shop(tenant).documents(), refresh="wait_for")


def _mappings(client: Elasticsearch) -> None:
    """What the views need of `celeryscope setup`'s templates, below their priority."""
    times = ("@timestamp", "celery.sent_at", "celery.started_at", "celery.ended_at", "celery.first_seen")
    mappings = {
        "date_detection": False,
        "dynamic_templates": [{"text": {"match_mapping_type": "string", "mapping": {"type": "keyword"}}}],
        "properties": {name: {"type": "date_nanos"} for name in times},
    }
    for name, pattern, more in (
        ("views-entities", "celery-*", {}),
        ("views-logs", "logs-celery.otel-*", {"data_stream": {}}),
    ):
        client.indices.put_index_template(
            name=name, index_patterns=[pattern], priority=450, template={"mappings": mappings}, **more
        )


class _Shop:
    """The shop of a tenant, now."""

    def __init__(self, tenant: str) -> None:
        self._tenant = tenant
        self._now = datetime.now(UTC)

    def documents(self) -> list[dict[str, Any]]:
        return [*self._attempts(), *self._logs(), *self._failures(), self._worker()]

    def _ago(self, seconds: float) -> str:
        return (self._now - timedelta(seconds=seconds)).isoformat()

    def _attempts(self) -> list[dict[str, Any]]:
        steps = {"chain_ids": [PAY, SHIP], "chain_names": ["shop.pay", "shop.ship"]}
        left = {"parent_id": ROOT, "chain_ids": [SHIP], "chain_names": ["shop.ship"]}
        declined = {"type": "shop.PaymentDeclined", "message": "card expired"}
        return [
            self._attempt(ROOT, "shop.validate", "SUCCESS", [60, 59.5, 59], steps),
            self._attempt(PAY, "shop.pay", "RETRY", [59, 58.5, 58], {**left, "retry": {"reason": "gateway away"}}),
            self._attempt(
                PAY,
                "shop.pay",
                "FAILURE",
                [58, 56, 55],
                {**left, "retries": 1, "fingerprint": DECLINED},
                exception=declined,
            ),
            self._attempt(str(uuid4()), "shop.crunch", "STARTED", [50, 49], {"root_id": str(uuid4())}),
        ]

    def _attempt(
        self, task_id: str, name: str, state: str, times: list[float], more: dict[str, Any], **fields: Any
    ) -> dict[str, Any]:
        own = {
            "tenant": self._tenant,
            "task_id": task_id,
            "task_name": name,
            "state": state,
            "root_id": ROOT,
            "retries": 0,
        }
        spans = zip(("sent_at", "started_at", "ended_at"), times, strict=False)
        celery = {**own, **{field: self._ago(age) for field, age in spans}, **more}
        attempt = f"{task_id}:{celery['retries']}"
        return {
            "_index": f"celery-tasks-{self._now:%Y.%m.%d}",
            "_id": f"{self._tenant}/{attempt}",
            "@timestamp": celery["sent_at"],
            "celery": {**celery, "attempt": attempt, "clock": 1, "worker": "celery@box"},
            "service": {"name": "shop-worker"},
            **fields,
        }

    def _logs(self) -> list[dict[str, Any]]:
        declined = {"celery.fingerprint": DECLINED, "exception.type": "shop.PaymentDeclined"}
        declined |= {"exception.message": "card expired", "exception.stacktrace": TRACEBACK}
        lost = {"celery.fingerprint": LOST, "exception.type": "WorkerLostError"}
        return [
            self._log(58.2, 9, "the first attempt's line", PAY),
            self._log(55.5, 9, "charging card", PAY, **{"celery.retries": 1, "order": 17}),
            self._failure(55, PAY, "shop.pay", **declined, **{"celery.retries": 1}),
            self._failure(600, str(uuid4()), "shop.pay", **declined, **{"celery.root_id": "r1"}),
            self._failure(500, str(uuid4()), "shop.pay", **declined, **{"celery.root_id": "r2"}),
            self._failure(30, str(uuid4()), "shop.crunch", **lost, **{"celery.root_id": "r3"}),
        ]

    def _log(self, age: float, severity: int, message: str, task_id: str, **attributes: Any) -> dict[str, Any]:
        uid = str(uuid4())
        identity = {
            "celery.task_id": task_id,
            "celery.task_name": "shop.pay",
            "celery.root_id": ROOT,
            "celery.retries": 0,
        }
        return {
            "_op_type": "create",
            "_index": f"logs-celery.otel-{self._tenant}",
            "_id": uid,
            "@timestamp": self._ago(age),
            "severity_number": severity,
            "body": {"text": message},
            "attributes": {**identity, "log.record.uid": uid, "celery.worker": "celery@box", **attributes},
            "resource": {"attributes": {"service.name": "shop-worker"}},
        }

    def _failure(self, age: float, task_id: str, name: str, **attributes: Any) -> dict[str, Any]:
        message = f"Task {name} failed: {attributes.get('exception.message', 'signal 9 (SIGKILL)')}"
        event = {"celery.task_name": name, "celery.event": "celery.task.failed"}
        document = self._log(age, 17, message, task_id, **{**event, **attributes})
        return {**document, "event_name": "exception", "processor": {"event": "error"}}

    def _failures(self) -> list[dict[str, Any]]:
        described = (
            (DECLINED, "shop.PaymentDeclined: card expired", "shop.gateway in charge"),
            (LOST, "WorkerLostError: signal 9 (SIGKILL)", None),
        )
        return [
            {
                "_index": "celery-failures",
                "_id": f"{self._tenant}/{fingerprint}",
                "celery": {
                    "tenant": self._tenant,
                    "fingerprint": fingerprint,
                    "failure_title": title,
                    "culprit": culprit,
                    "first_seen": self._ago(90_000),
                },
            }
            for fingerprint, title, culprit in described
        ]

    def _worker(self) -> dict[str, Any]:
        spool = {"pending_bytes": 0, "dropped": {"quota": 3}}
        return {
            "_index": "celery-workers",
            "_id": f"{self._tenant}/celery@box",
            "@timestamp": self._ago(0),
            "celery": {"tenant": self._tenant, "worker": "celery@box", "state": "ONLINE", "active": 1, "spool": spool},
        }
