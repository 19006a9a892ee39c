"""Failure clusters: the fingerprint of a failure, and the entity of its cluster."""

from dataclasses import replace

from celeryscope import semconv
from celeryscope_pipelines.attributes import as_document, timestamp
from celeryscope_pipelines.documents.common import log_time
from celeryscope_pipelines.fingerprint import VERSION, FailureRules, fingerprint_of
from celeryscope_pipelines.records import Record
from celeryscope_pipelines.writes import Op, Write

_SAMPLE = (
    semconv.FINGERPRINT,
    semconv.FINGERPRINT_COARSE,
    semconv.FINGERPRINT_OVERRIDE,
    semconv.FINGERPRINT_VERSION,
    semconv.FAILURE_TITLE,
    semconv.CULPRIT,
    semconv.CULPRIT_FILE,
    semconv.CULPRIT_LINE,
    semconv.ROOT_CAUSE_TYPE,
    semconv.ROOT_CAUSE_MESSAGE,
    semconv.ROOT_CAUSE_CULPRIT,
    semconv.FAILURE_KIND,
    semconv.EXCEPTION_TYPE,
    semconv.EXCEPTION_MESSAGE,
    semconv.EXCEPTION_STACKTRACE,
    semconv.TASK_NAME,
    semconv.TASK_ID,
    semconv.ATTEMPT,
    semconv.WORKER,
    semconv.MESSAGING_DESTINATION,
    semconv.OWNER_TEAM,
    semconv.OWNER_SEVERITY,
    semconv.OWNER_RUNBOOK,
    semconv.OWNER_TIER,
)
_FROM_RESOURCE = (
    semconv.SERVICE_NAME,
    semconv.SERVICE_VERSION,
    semconv.DEPLOYMENT_ENVIRONMENT,
    semconv.K8S_CLUSTER,
    semconv.CLOUD_REGION,
)


def fingerprinted(record: Record, rules: FailureRules) -> Record:
    """The record of a failure, or of a retry, with the attributes of its fingerprint by the user's rules and ours.

    A retry that no exception was the reason for has none: it is no failure.
    """
    exception_type, stacktrace = _text(record, semconv.EXCEPTION_TYPE), _text(record, semconv.EXCEPTION_STACKTRACE)
    if record.event_name == semconv.EVENT_TASK_RETRIED and not exception_type and not stacktrace:
        return record
    found = fingerprint_of(
        kind=_text(record, semconv.FAILURE_KIND) or semconv.KIND_EXCEPTION,
        task=_text(record, semconv.TASK_NAME),
        exception_type=exception_type,
        message=_text(record, semconv.EXCEPTION_MESSAGE),
        stacktrace=stacktrace,
        override=_text(record, semconv.FINGERPRINT_OVERRIDE),
        rules=rules,
    )
    added: dict[str, str | int] = {
        semconv.FINGERPRINT: found.key,
        semconv.FINGERPRINT_COARSE: found.coarse_key,
        semconv.FINGERPRINT_EXACT: found.exact_key,
        semconv.FINGERPRINT_VERSION: VERSION,
        semconv.FAILURE_TITLE: found.title,
        semconv.CULPRIT: found.culprit,
    }
    if found.culprit_file:
        added[semconv.CULPRIT_FILE] = found.culprit_file
        added[semconv.CULPRIT_LINE] = found.culprit_line
    if found.root_type and (found.root_type, found.root_culprit) != (exception_type, found.culprit):
        added[semconv.ROOT_CAUSE_TYPE] = found.root_type
        added[semconv.ROOT_CAUSE_MESSAGE] = found.root_message
        added[semconv.ROOT_CAUSE_CULPRIT] = found.root_culprit
    return replace(record, attributes=record.attributes | added)


def cluster(record: Record) -> Write:
    """One failure of the cluster, of a record with a fingerprint; whoever writes it merges it with what is there."""
    known, tenant = record.attributes, record.origin.tenant
    seen = timestamp(log_time(record))
    body = as_document({key: known[key] for key in _SAMPLE if key in known})
    body |= {"@timestamp": seen, semconv.FIRST_SEEN: seen, semconv.LAST_SEEN: seen, semconv.TENANT: tenant}
    body |= {name: found for name in _FROM_RESOURCE if (found := record.origin.attributes.get(name)) is not None}
    return Write(Op.FAILURE, semconv.INDEX_FAILURES, f"{tenant}/{known[semconv.FINGERPRINT]}", body)


def _text(record: Record, key: str) -> str:
    found = record.attributes.get(key)
    return "" if found is None else str(found)
