"""Leaves out spans and log lines of workflows in which nothing happened; what stays tells for how many it stands.

**What is never left out**: every event (so states, failures and timelines of all tasks stay whole), spans that failed,
were retried, lost or revoked, that belong to a retry or took long, log lines of some severity, with an exception, of a
retry or of no task. Of the rest a share stays that is chosen by the trace's id: all of a workflow, by every collector
and whenever it comes, or nothing of it.

**What can't be known.** A collector keeps nothing from one request to the next, so it does not wait for a workflow's
end. Whatever tells of a failure, a retry or a slow task keeps all records of its trace in the same request: a shipper
sends each second, so of a task that fails within a second nearly all is there. What came in a request before it is
kept by chance only.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final
from zlib import crc32

from celeryscope import semconv
from celeryscope.otlp import SEVERITY_NUMBERS
from celeryscope_collector.processors import ForTenant, Processor
from celeryscope_collector.processors.drop import is_line
from celeryscope_collector.processors.senders import rules_for, service_of
from celeryscope_collector.processors_file.models import Sampling
from celeryscope_collector.records import TRACES, Record

_ERROR: Final = 2
_QUIET: Final = frozenset(
    {
        semconv.STATE_SENT,
        semconv.STATE_RECEIVED,
        semconv.STATE_STARTED,
        semconv.STATE_SUCCESS,
        semconv.STATE_IGNORED,
    }
)
_ASKED: Final = frozenset(
    {
        semconv.STATE,
        semconv.RETRIES,
        semconv.RUNTIME,
        semconv.TASK_ID,
        semconv.EXCEPTION_TYPE,
        semconv.SAMPLING_RATIO,
    }
)
_SEED: Final = crc32(b"celeryscope sampling")
"""Makes the choice independent of those of senders, which look at the ids' digits, and of the partition."""


def chance(trace_id: str) -> float:
    """A number from 0 to below 1, evenly spread over traces and always the same for one: below the ratio it stays."""
    return crc32(trace_id.encode(), _SEED) / 2**32


def sampling(settings: Sampling) -> ForTenant:
    """The processor."""
    slow = round(settings.slow_seconds * 1e9)
    least = SEVERITY_NUMBERS[settings.keep_severity]

    @lru_cache(maxsize=256)
    def ratios(tenant: str) -> Callable[[str], float]:
        return ratio_by_service(tenant, settings)

    def for_tenant(tenant: str) -> Processor:
        ratio_of = ratios(tenant)
        telling: set[str] = set()

        def look(record: Record) -> None:
            if (trace_id := record.item.get("traceId")) and tells(record, slow):
                telling.add(trace_id)

        def sample(record: Record) -> Record | None:
            trace_id = record.item.get("traceId")
            if not trace_id or trace_id in telling or not may_go(record, least):
                return record
            ratio = ratio_of(service_of(record.origin))
            if ratio == 1:
                return record
            return stands_for_others(record, ratio) if chance(trace_id) < ratio else None

        return Processor(look=look, record=sample)

    return for_tenant


def ratio_by_service(tenant: str, settings: Sampling) -> Callable[[str], float]:
    """Tells the ratio for each service of a tenant: of the first rule that matches, else the general one."""
    rules = rules_for(tenant, settings.rules)

    def ratio_of(service: str) -> float:
        return next((rule.ratio for of_service, rule in rules if of_service(service)), settings.ratio)

    return ratio_of if rules else lambda _service: settings.ratio


def tells(record: Record, slow: int) -> bool:
    """Whether the record says that its task failed, was lost, retried or revoked, or took ``slow`` ns or longer."""
    item = record.item
    values = _asked(item)
    if int(values.get(semconv.RETRIES, {}).get("intValue", 0)) > 0:
        return True
    if record.signal is TRACES:
        return (
            int(item.get("status", {}).get("code", 0)) == _ERROR
            or _is_loud(values)
            or int(item.get("endTimeUnixNano", 0)) - int(item.get("startTimeUnixNano", 0)) >= slow
            or any(event.get("name") == semconv.EVENT_EXCEPTION for event in item.get("events", ()))
        )
    event = item.get("eventName")
    if event not in semconv.TASK_STATES:
        return event == semconv.EVENT_TASK_STACK
    return _is_loud(values) or float(values.get(semconv.RUNTIME, {}).get("doubleValue", 0)) * 1e9 >= slow


def may_go(record: Record, least: int) -> bool:
    """Whether a record of a trace that tells nothing is of a kind that may be left out."""
    if record.signal is TRACES:
        return True
    if not is_line(record) or not 0 < int(record.item.get("severityNumber", 0)) < least:
        return False
    values = _asked(record.item)
    return semconv.TASK_ID in values and semconv.EXCEPTION_TYPE not in values


def stands_for_others(record: Record, ratio: float) -> Record:
    """The record with ``celery.sampling.ratio``.

    Where a collector before this one has said so, the smaller ratio: both choose the same traces first.
    """
    earlier = _asked(record.item).get(semconv.SAMPLING_RATIO, {}).get("doubleValue", 1)
    attributes = [entry for entry in record.attributes if entry["key"] != semconv.SAMPLING_RATIO]
    attributes.append({"key": semconv.SAMPLING_RATIO, "value": {"doubleValue": min(ratio, float(earlier))}})
    record.item["attributes"] = attributes
    return record


def _is_loud(values: Mapping[str, Any]) -> bool:
    return values.get(semconv.STATE, {}).get("stringValue", semconv.STATE_SENT) not in _QUIET


def _asked(item: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    return {entry["key"]: entry["value"] for entry in item.get("attributes", ()) if entry["key"] in _ASKED}
