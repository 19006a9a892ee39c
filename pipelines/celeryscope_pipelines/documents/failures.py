"""Failure clusters: the fingerprint of a failure, and the entity of its cluster."""

from collections.abc import Iterator

from celeryscope import semconv
from celeryscope_pipelines.attributes import nanos, timestamp
from celeryscope_pipelines.fingerprint import VERSION, fingerprint_of
from celeryscope_pipelines.records import Record
from celeryscope_pipelines.writes import Op, Write


def with_fingerprint(record: Record) -> Iterator[Write]:
    """Adds the fingerprint's attributes to the record, for the builders behind; writes nothing itself."""
    known = record.attributes
    found = fingerprint_of(
        kind=str(known.get(semconv.FAILURE_KIND) or semconv.KIND_EXCEPTION),
        task=str(known.get(semconv.TASK_NAME) or ""),
        exception_type=str(known.get(semconv.EXCEPTION_TYPE) or ""),
        message=str(known.get(semconv.EXCEPTION_MESSAGE) or ""),
        stacktrace=str(known.get(semconv.EXCEPTION_STACKTRACE) or ""),
    )
    known |= {
        semconv.FINGERPRINT: found.key,
        semconv.FINGERPRINT_COARSE: found.coarse_key,
        semconv.FINGERPRINT_VERSION: VERSION,
        semconv.FAILURE_TITLE: found.title,
        semconv.CULPRIT: found.culprit,
    }
    return iter(())


def cluster(record: Record) -> Iterator[Write]:
    """The cluster's entity; whoever writes it merges first and last seen with what is there."""
    known, tenant = record.attributes, record.origin.tenant
    seen = timestamp(nanos(record.item.get("timeUnixNano")))
    copied = (
        semconv.FINGERPRINT,
        semconv.FINGERPRINT_COARSE,
        semconv.FINGERPRINT_VERSION,
        semconv.FAILURE_TITLE,
        semconv.CULPRIT,
        semconv.FAILURE_KIND,
        semconv.EXCEPTION_TYPE,
        semconv.EXCEPTION_MESSAGE,
        semconv.EXCEPTION_STACKTRACE,
        semconv.TASK_NAME,
        semconv.TASK_ID,
        semconv.ATTEMPT,
    )
    body = {key: known[key] for key in copied if known.get(key) is not None}
    body |= {"@timestamp": seen, semconv.FIRST_SEEN: seen, semconv.LAST_SEEN: seen, semconv.TENANT: tenant}
    body[semconv.SERVICE_NAME] = record.origin.attributes.get(semconv.SERVICE_NAME)
    yield Write(Op.FAILURE, semconv.INDEX_FAILURES, f"{tenant}/{known[semconv.FINGERPRINT]}", body)
