"""Closes what a dead process left open: its spans and its attempts."""

from opentelemetry.trace import StatusCode

from celeryscope import otlp, semconv
from celeryscope.spool.state import End, SpanEnd, Start, ended

_MESSAGE = "The process that ran the task died (killed, out of memory, or the machine went away)."
_TYPE = "celeryscope.ProcessDied"


def lost_span(start: Start, died_at_ns: int) -> bytes:
    """The span (OTLP/JSON) of a delivery, ended at ``died_at_ns`` with status ERROR."""
    span = SpanEnd(
        ended_ns=max(died_at_ns, start["time_ns"]), status=otlp.SPAN_STATUS[StatusCode.ERROR], message=_MESSAGE
    )
    said = {semconv.STATE: semconv.STATE_LOST}
    made = ended(start, End(event=None, time_ns=0, severity="", body="", attributes=said, span=span))[1]
    assert made is not None
    return made


def lost_event(start: Start, died_at_ns: int) -> bytes:
    """The event ``celery.task.lost`` (OTLP/JSON ``LogRecord``) of a delivery.

    Its clock is the one just behind the start's: whatever happened to the attempt elsewhere since (a redelivery) is
    later and wins. Its uid depends on the delivery alone, so that it exists once, whoever says it.
    """
    started_at = start["time_ns"] // 1000
    ended_at = max(died_at_ns // 1000, started_at)
    said = {
        semconv.LOG_RECORD_UID: uid(start["delivery"]),
        semconv.STATE: semconv.STATE_LOST,
        semconv.CLOCK: start["clock"] + 1,
        semconv.ENDED_AT: ended_at,
        semconv.RUNTIME: (ended_at - started_at) / 1e6,
        semconv.FAILURE_KIND: semconv.KIND_WORKER_LOST,
        semconv.EXCEPTION_TYPE: _TYPE,
        semconv.EXCEPTION_MESSAGE: _MESSAGE,
    }
    end = End(
        event=semconv.EVENT_TASK_LOST,
        time_ns=died_at_ns,
        severity="ERROR",
        body=f"Task {start['name']} lost: {_MESSAGE}",
        attributes=said,
        span=None,
    )
    made = ended(start, end)[0]
    assert made is not None
    return made


def uid(delivery: str) -> str:
    """``log.record.uid`` of the event that says a delivery was lost."""
    return f"{delivery}-lost"
