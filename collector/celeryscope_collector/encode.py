"""Records as messages for Kafka: plain OTLP export requests below a size, in JSON or in protobuf."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import orjson

from celeryscope_collector.otlp.answers import JSON, PROTOBUF
from celeryscope_collector.otlp.origin_messages import resource_message, scope_message
from celeryscope_collector.otlp.wire import field
from celeryscope_collector.partition import partition_key, partition_of
from celeryscope_collector.records import Origin, Signal


@dataclass(frozen=True, slots=True)
class Message:
    """One Kafka message, how many records it holds, and its media type, which is its header ``content-type``."""

    topic: str
    partition: int
    value: bytes
    records: int
    media_type: str = JSON


class Encoder:
    """Gathers the records of a request into messages of at most ``max_bytes`` each, of one partition only.

    Records of one partition and encoding stay in the order in which they are added. A resource and its scope are
    written once per message for each run of records that share them. A record that alone is over ``max_bytes`` is
    refused as ``record_too_large``.
    """

    def __init__(self, signal: Signal, partitions: int, max_bytes: int) -> None:
        self.messages: list[Message] = []
        self.refused: Counter[str] = Counter()
        self._signal = signal
        self._partitions = partitions
        self._max_bytes = max_bytes
        self._frames: dict[tuple[Origin, str], _Frame] = {}
        self._builders: dict[tuple[int, str], _Builder] = {}

    def add(self, origin: Origin, items: Iterable[dict[str, Any]], key: str | None = None) -> None:
        """Records with the same resource and scope, as JSON; all into the partition of ``key``, if there is one."""
        items = list(items)
        keys = [partition_key(item) for item in items] if key is None else [key] * len(items)
        self.add_payloads(origin, JSON, map(orjson.dumps, items), keys)

    def add_payloads(self, origin: Origin, media_type: str, payloads: Iterable[bytes], keys: Iterable[str]) -> None:
        """Records as they stand in a message, with the same resource and scope; and the key of each one's partition."""
        frame = self._frame(origin, media_type)
        by_partition: dict[int, list[bytes]] = {}
        for payload, key in zip(payloads, keys, strict=True):
            by_partition.setdefault(partition_of(key, self._partitions), []).append(payload)
        for partition, records in by_partition.items():
            self._builder(partition, media_type).add_all(frame, records, self.refused)

    def finish(self) -> list[Message]:
        """All messages; nothing can be added any more."""
        for builder in self._builders.values():
            builder.finish()
        return self.messages

    def _builder(self, partition: int, media_type: str) -> "_Builder":
        builder = self._builders.get((partition, media_type))
        if builder is None:
            builder = _Builder(self._signal, media_type, partition, self._max_bytes, self.messages)
            self._builders[partition, media_type] = builder
        return builder

    def _frame(self, origin: Origin, media_type: str) -> "_Frame":
        frame = self._frames.get((origin, media_type))
        if frame is None:
            frame = _JsonFrame(origin, self._signal) if media_type == JSON else _ProtobufFrame(origin)
            self._frames[origin, media_type] = frame
        return frame


class _Frame(Protocol):
    """A resource and scope around records."""

    size: int
    """So many bytes more than the records and their commas, at most."""

    def around(self, records: list[bytes]) -> bytes: ...


class _JsonFrame:
    def __init__(self, origin: Origin, signal: Signal) -> None:
        head = b'{"resource":' + orjson.dumps(origin.resource)
        if origin.resource_schema:
            head += b',"schemaUrl":' + orjson.dumps(origin.resource_schema)
        head += b',"' + signal.scope_key.encode() + b'":[{"scope":' + orjson.dumps(origin.scope)
        if origin.scope_schema:
            head += b',"schemaUrl":' + orjson.dumps(origin.scope_schema)
        self._head, self._tail = head + b',"' + signal.item_key.encode() + b'":[', b"]}]}"
        self.size = len(self._head) + len(self._tail)

    def around(self, records: list[bytes]) -> bytes:
        return self._head + b",".join(records) + self._tail


class _ProtobufFrame:
    _LENGTHS = 2 * (1 + 5)
    """Two tags with lengths of up to five bytes."""

    def __init__(self, origin: Origin) -> None:
        self._resource = field(1, resource_message(origin.resource))
        self._scope = field(1, scope_message(origin.scope))
        self._resource_schema = field(3, origin.resource_schema.encode()) if origin.resource_schema else b""
        self._scope_schema = field(3, origin.scope_schema.encode()) if origin.scope_schema else b""
        parts = (self._resource, self._scope, self._resource_schema, self._scope_schema)
        self.size = sum(map(len, parts)) + self._LENGTHS

    def around(self, records: list[bytes]) -> bytes:
        scope = field(2, self._scope + b"".join(records) + self._scope_schema)
        return field(1, self._resource + scope + self._resource_schema)


class _Builder:
    """Gathers the records of one partition and cuts a message before it grows over the limit."""

    OVERHEAD = len(b'{"resourceSpans":[]}')

    def __init__(
        self, signal: Signal, media_type: str, partition: int, max_bytes: int, messages: list[Message]
    ) -> None:
        self.signal, self.media_type, self.partition = signal, media_type, partition
        self.max_bytes, self.messages = max_bytes, messages
        self.groups: list[bytes] = []
        self.records: list[bytes] = []
        self.frame: _Frame | None = None
        self.size = self.OVERHEAD
        self.count = 0

    def add_all(self, frame: _Frame, records: list[bytes], refused: Counter[str]) -> None:
        """Those that are too large by themselves are refused."""
        # The commas count too.
        size = sum(map(len, records)) + len(records)
        if frame is self.frame and self.size + size <= self.max_bytes:
            self.records += records
            self.size += size
            self.count += len(records)
            return
        for record in records:
            if frame.size + len(record) + self.OVERHEAD > self.max_bytes:
                refused["record_too_large"] += 1
            else:
                self._add(frame, record)

    def _add(self, frame: _Frame, record: bytes) -> None:
        same = frame is self.frame
        # The comma before the record or the group counts too.
        more = len(record) + 1 + (0 if same else frame.size)
        if self.size + more - 1 > self.max_bytes:
            self.finish()
            same, more = False, len(record) + 1 + frame.size
        if not same:
            self._close_group()
            self.frame = frame
        self.records.append(record)
        self.size += more
        self.count += 1

    def finish(self) -> None:
        self._close_group()
        if self.groups:
            message = Message(self.signal.topic, self.partition, self._value(), self.count, self.media_type)
            self.messages.append(message)
        self.groups, self.size, self.count, self.frame = [], self.OVERHEAD, 0, None

    def _value(self) -> bytes:
        if self.media_type == PROTOBUF:
            return b"".join(self.groups)
        return b'{"' + self.signal.resource_key.encode() + b'":[' + b",".join(self.groups) + b"]}"

    def _close_group(self) -> None:
        if self.frame is not None and self.records:
            self.groups.append(self.frame.around(self.records))
            self.records = []
