"""What the documents of the data streams have in common."""

from typing import Any

from celeryscope_pipelines.attributes import as_document
from celeryscope_pipelines.records import Record

_DATASET = "celery.otel"


def data_stream(kind: str, tenant: str) -> tuple[str, dict[str, str]]:
    """The data stream's name and the field that says its parts; ``kind`` is "logs" or "traces"."""
    return f"{kind}-{_DATASET}-{tenant}", {"type": kind, "dataset": _DATASET, "namespace": tenant}


def envelope(record: Record, kind: str) -> tuple[str, dict[str, Any]]:
    """The data stream and the start of a document in it, in the OTel-native shape."""
    index, stream = data_stream(kind, record.origin.tenant)
    resource: dict[str, Any] = {"attributes": {**as_document(record.origin.attributes), "agent.name": "celeryscope"}}
    if record.origin.schema_url:
        resource["schema_url"] = record.origin.schema_url
    scope = {key: record.origin.scope[key] for key in ("name", "version") if record.origin.scope.get(key)}
    return index, {"data_stream": stream, "resource": resource, "scope": scope}
