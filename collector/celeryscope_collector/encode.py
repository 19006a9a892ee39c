"""Records as messages for Kafka: plain OTLP/JSON export requests below a size."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import orjson

from celeryscope_collector.otlp.answers import JSON
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

    Records stay in the order in which they are added. A resource and its scope are written once per message for each
    run of records that share them. A record that alone is over ``max_bytes`` is refused as ``record_too_large``.
    """

    def __init__(self, signal: Signal, partitions: int, max_bytes: int) -> None:
        self.messages: list[Message] = []
        self.refused: Counter[str] = Counter()
        self._signal = signal
        self._partitions = partitions
        self._max_bytes = max_bytes
        self._frames: dict[Origin, tuple[bytes, bytes]] = {}
        self._builders: dict[int, _Builder] = {}

    def add(self, origin: Origin, items: Iterable[dict[str, Any]]) -> None:
        """Records with the same resource and scope."""
        frame = self._frame(origin)
        room = self._max_bytes - len(frame[0]) - len(frame[1]) - _Builder.OVERHEAD
        for item in items:
            encoded = orjson.dumps(item)
            if len(encoded) > room:
                self.refused["record_too_large"] += 1
                continue
            partition = partition_of(partition_key(item), self._partitions)
            builder = self._builders.get(partition)
            if builder is None:
                builder = _Builder(self._signal, partition, self._max_bytes, self.messages)
                self._builders[partition] = builder
            builder.add(frame, encoded)

    def finish(self) -> list[Message]:
        """All messages; nothing can be added any more."""
        for builder in self._builders.values():
            builder.finish()
        return self.messages

    def _frame(self, origin: Origin) -> tuple[bytes, bytes]:
        frame = self._frames.get(origin)
        if frame is None:
            frame = self._frames[origin] = _frame(origin, self._signal)
        return frame


def _frame(origin: Origin, signal: Signal) -> tuple[bytes, bytes]:
    # What stands before and after the items of this origin.
    head = b'{"resource":' + orjson.dumps(origin.resource)
    if origin.resource_schema:
        head += b',"schemaUrl":' + orjson.dumps(origin.resource_schema)
    head += b',"' + signal.scope_key.encode() + b'":[{"scope":' + orjson.dumps(origin.scope)
    if origin.scope_schema:
        head += b',"schemaUrl":' + orjson.dumps(origin.scope_schema)
    return head + b',"' + signal.item_key.encode() + b'":[', b"]}]}"


class _Builder:
    """Gathers the items of one partition and cuts a message before it grows over the limit."""

    OVERHEAD = len(b'{"resourceSpans":[]}')

    def __init__(self, signal: Signal, partition: int, max_bytes: int, messages: list[Message]) -> None:
        self.signal, self.partition, self.max_bytes, self.messages = signal, partition, max_bytes, messages
        self.groups: list[bytes] = []
        self.items: list[bytes] = []
        self.frame: tuple[bytes, bytes] = (b"", b"")
        self.size = self.OVERHEAD
        self.records = 0

    def add(self, frame: tuple[bytes, bytes], item: bytes) -> None:
        same = frame is self.frame
        # The comma before the item or the group counts too.
        more = len(item) + 1 + (0 if same else len(frame[0]) + len(frame[1]))
        if self.size + more - 1 > self.max_bytes:
            self.finish()
            same, more = False, len(item) + 1 + len(frame[0]) + len(frame[1])
        if not same:
            self._close_group()
            self.frame = frame
        self.items.append(item)
        self.size += more
        self.records += 1

    def finish(self) -> None:
        self._close_group()
        if self.groups:
            value = b'{"' + self.signal.resource_key.encode() + b'":[' + b",".join(self.groups) + b"]}"
            self.messages.append(Message(self.signal.topic, self.partition, value, self.records))
        self.groups, self.size, self.records, self.frame = [], self.OVERHEAD, 0, (b"", b"")

    def _close_group(self) -> None:
        if self.items:
            self.groups.append(self.frame[0] + b",".join(self.items) + self.frame[1])
            self.items = []
