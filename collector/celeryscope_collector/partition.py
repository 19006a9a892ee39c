"""Which partition a record goes to: all records of a workflow meet in one."""

from zlib import crc32

from celeryscope import semconv
from celeryscope_collector.records import Record


def partition_key(record: Record) -> str:
    """``celery.root_id``, else the trace id, else ``log.record.uid`` (workers' own events have neither)."""
    uid = ""
    for attribute in record.item.get("attributes", ()):
        key = attribute["key"]
        if key == semconv.ROOT_ID:
            root_id = attribute["value"].get("stringValue")
            if root_id:
                return str(root_id)
        elif key == semconv.LOG_RECORD_UID:
            uid = attribute["value"].get("stringValue", "")
    return record.item.get("traceId") or uid


def partition_for(record: Record, partitions: int) -> int:
    """A number from 0 to ``partitions - 1``; the same for the same key on every machine and in every version."""
    return crc32(partition_key(record).encode()) % partitions
