"""Which partition a record goes to: all records of a workflow meet in one."""

from typing import Any
from zlib import crc32

from celeryscope import semconv


def partition_key(item: dict[str, Any]) -> str:
    """``celery.root_id``, else the trace id, else ``log.record.uid`` (workers' own events have neither)."""
    uid = ""
    for attribute in item.get("attributes", ()):
        key = attribute["key"]
        if key == semconv.ROOT_ID:
            root_id = attribute["value"].get("stringValue")
            if root_id:
                return str(root_id)
        elif key == semconv.LOG_RECORD_UID:
            uid = attribute["value"].get("stringValue", "")
    return item.get("traceId") or uid


def partition_of(key: str, partitions: int) -> int:
    """A number from 0 to ``partitions - 1``; the same for the same key on every machine and in every version."""
    return crc32(key.encode()) % partitions
