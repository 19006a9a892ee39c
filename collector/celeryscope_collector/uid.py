"""An id and a time for log records that came without."""

from hashlib import blake2b
from typing import Any

from celeryscope import semconv


class RecordIds:
    """Gives ``log.record.uid`` to the records of one request.

    The id is a hash of the request and the record's place in it, so a sender that repeats the same request is given the
    same ids and no document comes twice. A record without any time is stamped with the time of arrival, which is then
    part of its id: equal texts sent twice are two records.
    """

    def __init__(self, body: bytes, received_at: int) -> None:
        """``received_at`` is in nanoseconds since the Unix epoch."""
        self.received_at = received_at
        self._body = body
        self._digest: bytes | None = None

    def uid(self, index: int, *, timed: bool) -> str:
        """Of the record at that place among the valid ones of the request; ``timed``: it came with a time."""
        if self._digest is None:
            self._digest = blake2b(self._body, digest_size=32).digest()
        place = f"{index}" if timed else f"{index} {self.received_at}"
        return blake2b(self._digest + place.encode(), digest_size=16).hexdigest()

    def complete(self, item: dict[str, Any], index: int) -> None:
        """Set what the log record lacks, in place."""
        timed = _is_set(item.get("timeUnixNano")) or _is_set(item.get("observedTimeUnixNano"))
        if not timed:
            item["observedTimeUnixNano"] = str(self.received_at)
        attributes = item.setdefault("attributes", [])
        for position, attribute in enumerate(attributes):
            if attribute["key"] == semconv.LOG_RECORD_UID:
                if attribute["value"].get("stringValue"):
                    return
                del attributes[position]
                break
        uid = self.uid(index, timed=timed)
        attributes.append({"key": semconv.LOG_RECORD_UID, "value": {"stringValue": uid}})


def _is_set(time: object) -> bool:
    return time not in {None, 0, "", "0"}
