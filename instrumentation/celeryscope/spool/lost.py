"""Closes what a dead process left open: its spans and its attempts."""

from typing import Any

import orjson

from celeryscope import semconv

_STATUS_ERROR = 2
_MESSAGE = "The process that ran the task died (killed, out of memory, or the machine went away)."
_TYPE = "celeryscope.ProcessDied"


def lost_span(payload: bytes, died_at_ns: int) -> bytes:
    """The open span (OTLP/JSON) ended at ``died_at_ns`` with status ERROR and the state LOST."""
    span = orjson.loads(payload)
    span["endTimeUnixNano"] = str(max(died_at_ns, int(span["startTimeUnixNano"])))
    span["status"] = {"code": _STATUS_ERROR, "message": _MESSAGE}
    _set(span["attributes"], {semconv.STATE: {"stringValue": semconv.STATE_LOST}})
    return orjson.dumps(span)


def lost_event(payload: bytes, died_at_ns: int) -> bytes:
    """The event ``celery.task.lost`` that follows the ``started`` event in ``payload`` (OTLP/JSON log record).

    Its clock is the one just behind the start's: whatever happened to the attempt elsewhere since (a redelivery) is
    later and wins. Its uid depends on the delivery alone, so that it exists once, whoever says it.
    """
    record = orjson.loads(payload)
    attributes = record["attributes"]
    known = {item["key"]: item["value"] for item in attributes}
    ended_us = max(died_at_ns // 1000, int(known[semconv.STARTED_AT]["intValue"]))
    runtime = (ended_us - int(known[semconv.STARTED_AT]["intValue"])) / 1e6
    _set(
        attributes,
        {
            semconv.LOG_RECORD_UID: {"stringValue": uid(known[semconv.DELIVERY]["stringValue"])},
            semconv.STATE: {"stringValue": semconv.STATE_LOST},
            semconv.CLOCK: {"intValue": str(int(known[semconv.CLOCK]["intValue"]) + 1)},
            semconv.ENDED_AT: {"intValue": str(ended_us)},
            semconv.RUNTIME: {"doubleValue": runtime},
            semconv.FAILURE_KIND: {"stringValue": semconv.KIND_WORKER_LOST},
            semconv.EXCEPTION_TYPE: {"stringValue": _TYPE},
            semconv.EXCEPTION_MESSAGE: {"stringValue": _MESSAGE},
        },
    )
    name = known.get(semconv.TASK_NAME, {}).get("stringValue", "?")
    record |= {
        "timeUnixNano": str(died_at_ns),
        "eventName": semconv.EVENT_TASK_LOST,
        "severityNumber": 17,
        "severityText": "ERROR",
        "body": {"stringValue": f"Task {name} lost: {_MESSAGE}"},
    }
    return orjson.dumps(record)


def uid(delivery: str) -> str:
    """``log.record.uid`` of the event that says a delivery was lost."""
    return f"{delivery}-lost"


def _set(attributes: list[dict[str, Any]], values: dict[str, dict[str, Any]]) -> None:
    attributes[:] = [item for item in attributes if item["key"] not in values]
    attributes += [{"key": key, "value": value} for key, value in values.items()]
