"""A world for rules to look at: events of processes, indexed as the pipeline does it, at times of a day of its own.

Each world has a tenant and a day that no other has, so that a rule that looks back for hours sees nobody else's.
"""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import orjson
from elasticsearch import Elasticsearch
from elasticsearch.helpers import bulk

from celeryscope import otlp, semconv
from celeryscope.service.rules.adjusting import ActiveRule, Adjustments, activate
from celeryscope.service.rules.reading import read_rules
from celeryscope_pipelines.decode import decode
from celeryscope_pipelines.documents import documents_for
from celeryscope_pipelines.watcher import Finding, evaluate
from celeryscope_pipelines.writes import Op, Write
from support import messages

_days = itertools.count(1)
_numbers = itertools.count(1)
FAILED = {
    semconv.EXCEPTION_TYPE: "TimeoutError",
    semconv.EXCEPTION_MESSAGE: "no answer after 30 s",
    semconv.EXCEPTION_STACKTRACE: messages.TRACEBACK,
    semconv.FAILURE_KIND: semconv.KIND_EXCEPTION,
}
RULES = {rule.rule.id: rule for rule in activate(read_rules())}


class World:
    """Times are seconds before ``now``; ``skew`` is how much a host's clock goes ahead of the collectors'."""

    def __init__(self, client: Elasticsearch) -> None:
        self.client = client
        self.now = datetime(2031, 1, 1, 12, tzinfo=UTC) + timedelta(days=3 * next(_days))
        self.tenant = f"world-{uuid4().hex[:8]}"
        self._events: list[tuple[bytes, int, str]] = []
        self._clusters: dict[str, dict[str, Any]] = {}

    def findings(self, rule: str | ActiveRule, after: float = 0) -> list[Finding]:
        """What the rule finds in the tenant's data, some seconds after ``now``."""
        self.flush()
        active = RULES[rule] if isinstance(rule, str) else rule
        then = self.now + timedelta(seconds=after)
        found = evaluate(self.client, active, then)
        # Candidates spare Elasticsearch work and nothing else: of all tests' worlds they leave out no finding.
        assert found == evaluate(self.client, replace(active, candidates=""), then)
        return [finding for finding in found if finding.row.get(semconv.TENANT, self.tenant) == self.tenant]

    def worker(self, name: str, ago: float, event: str = semconv.EVENT_WORKER_HEARTBEAT, **more: Any) -> None:
        """A worker's heartbeat, or another of its events; ``process``: which of its processes, if it had several."""
        state = "OFFLINE" if event == semconv.EVENT_WORKER_OFFLINE else "ONLINE"
        known = {semconv.WORKER: name, semconv.STATE: state, semconv.BROKER: "redis://broker:6379//"}
        self.event(event, ago, {**known, **_named(more)}, skew=more.get("skew", 0), process=more.get("process", ""))

    def task(self, event: str, ago: float, name: str = "shop.pay", **more: Any) -> None:
        """An event of an attempt of its own, sent two seconds before, unless ``more`` says otherwise."""
        identity = str(more.pop("task_id", None) or uuid4())
        known: dict[str, Any] = {
            semconv.TASK_ID: identity,
            semconv.TASK_NAME: name,
            semconv.ROOT_ID: identity,
            semconv.RETRIES: 0,
            semconv.ATTEMPT: f"{identity}:0",
            semconv.STATE: semconv.TASK_STATES[event],
            semconv.SENT_AT: self.microseconds(more.pop("sent", ago + 2)),
            semconv.WORKER: "celery@a",
            semconv.MESSAGING_DESTINATION: "celery",
        }
        if event not in {semconv.EVENT_TASK_SENT, semconv.EVENT_TASK_RECEIVED}:
            known[semconv.STARTED_AT] = self.microseconds(more.pop("started", ago + 1))
        if known[semconv.STATE] in semconv.FINAL_STATES:
            known[semconv.ENDED_AT] = self.microseconds(ago)
        if known[semconv.STATE] in semconv.FAILED_STATES | {semconv.STATE_RETRY}:
            known |= FAILED
        self.event(event, ago, {**known, **_named(more)}, skew=more.get("skew", 0))

    def tasks(self, event: str, times: Iterable[float], name: str = "shop.pay", **more: Any) -> None:
        """Several attempts that each had that event."""
        for ago in times:
            self.task(event, ago, name, **more)

    def schedule(self, name: str, ago: float, due_in: float, event: str = semconv.EVENT_BEAT_SENT, **more: Any) -> None:
        """What beat tells of an entry, which is due again ``due_in`` seconds after that."""
        skew = more.get("skew", 0)
        next_at = self.microseconds(ago - due_in - skew)
        known = {semconv.SCHEDULE: name, semconv.TASK_NAME: f"shop.{name}", semconv.BEAT_NEXT_AT: next_at}
        if "started" in more:
            known[semconv.BEAT_STARTED_AT] = self.microseconds(more["started"] - skew)
        self.event(event, ago, known, skew=skew)

    def depth(self, ago: float, depth: int, queue: str = "celery") -> None:
        """A look at a queue."""
        known = {semconv.MESSAGING_DESTINATION: queue, semconv.QUEUE_DEPTH: depth, semconv.BROKER: "redis://broker//"}
        self.event(semconv.EVENT_QUEUE_DEPTH, ago, known)

    def run(self, ago: float, attempt: str, delivery: str, name: str = "shop.pay") -> None:
        """The span of one delivery's run, which succeeded."""
        attributes = {
            semconv.TASK_ID: attempt.partition(":")[0],
            semconv.TASK_NAME: name,
            semconv.ATTEMPT: attempt,
            semconv.DELIVERY: delivery,
            semconv.STATE: semconv.STATE_SUCCESS,
        }
        span = orjson.loads(messages.span(uuid4().hex, uuid4().hex[:16], **attributes))
        at = self.microseconds(ago) * 1000
        span |= {"startTimeUnixNano": str(at), "endTimeUnixNano": str(at + 1_000_000)}
        request = messages.request("spans", self.tenant, orjson.dumps(span))
        self._index([write for record in decode(request, "span").records for write in documents_for(record)])

    def event(self, name: str, ago: float, attributes: dict[str, Any], skew: float = 0, process: str = "") -> None:
        """Any event, from a host whose clock is ``skew`` seconds ahead."""
        moment = self.microseconds(ago - skew)
        number = next(_numbers)
        values = {
            semconv.LOG_RECORD_UID: f"{self.tenant}-{number}",
            semconv.CLOCK: moment + number % 1000,
            **attributes,
        }
        record = otlp.log_record(
            time_ns=moment * 1000, attributes=otlp.encoded(values), body=name, severity_text="INFO", event_name=name
        )
        self._events.append((record, self.microseconds(ago) // 1000, process))

    def microseconds(self, ago: float) -> int:
        """The moment, as events have it."""
        return int((self.now.timestamp() - ago) * 1_000_000)

    def flush(self) -> None:
        """Index what has happened so far."""
        writes: list[Write] = []
        for process in sorted({process for _, _, process in self._events}):
            events = [(payload, arrived) for payload, arrived, told_by in self._events if told_by == process]
            instance = {"SERVICE_INSTANCE_ID": process} if process else {}
            request = messages.request("logs", self.tenant, *(payload for payload, _ in events), **instance)
            for record, (_, arrived) in zip(decode(request, "log").records, events, strict=True):
                record.arrived = arrived
                writes += documents_for(record)
        self._events.clear()
        self._index(writes)

    def _index(self, writes: Iterable[Write]) -> None:
        _, refused = bulk(self.client, self._actions(writes), refresh=True, raise_on_error=False)
        assert not [item for item in refused if next(iter(item.values()))["status"] != 409], refused

    def _actions(self, writes: Iterable[Write]) -> Iterator[dict[str, Any]]:
        for write in writes:
            action: dict[str, Any] = {"_index": write.index, "_id": write.id, "_source": write.body}
            if write.op is Op.CREATE:
                yield {"_op_type": "create", **action}
            elif write.op is Op.VERSIONED:
                yield {"_op_type": "index", "version": write.version, "version_type": "external", **action}
            else:
                first = self._clusters.setdefault(write.id, write.body)
                body = {**write.body, semconv.FIRST_SEEN: first[semconv.FIRST_SEEN]}
                yield {"_op_type": "index", **action, "_source": body}

    def cluster(self, **changes: Any) -> None:
        """Decide something about the only failure cluster there is."""
        self.flush()
        (identity,) = self._clusters
        self.client.update(index=semconv.INDEX_FAILURES, id=identity, doc=_named(changes), refresh=True)


def adjusted(rule: str, **adjustment: Any) -> ActiveRule:
    """A shipped rule with an operator's adjustment."""
    adjustments = Adjustments.model_validate({"rules": {rule: adjustment}})
    return next(active for active in activate(read_rules(), adjustments) if active.rule.id == rule)


def _named(more: dict[str, Any]) -> dict[str, Any]:
    """Attributes by semconv's constant names, e.g. ``OWNER_TEAM``."""
    return {getattr(semconv, name): value for name, value in more.items() if name.isupper()}
