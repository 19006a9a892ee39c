"""From the bytes of a request to the messages for Kafka: decode, process, encode; no clock, no network, no logger."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from celeryscope.errors import Rejected
from celeryscope_collector.chain import Chain, Steps, through
from celeryscope_collector.chunks import Chunk, Dicts
from celeryscope_collector.encode import Encoder, Message
from celeryscope_collector.metrics_requests import attribute_lists, decoded_metrics
from celeryscope_collector.otlp.content import decompressed
from celeryscope_collector.otlp.decode import decode
from celeryscope_collector.processors import ForTenant
from celeryscope_collector.records import LOGS, METRICS, Origin, Record, Signal
from celeryscope_collector.uid import RecordIds
from celeryscope_collector.watched import Current

_OF_ALL_SIGNALS: Final = frozenset({"redaction", "limits"})


@dataclass(frozen=True)
class ExportRequest:
    """An export request as it was received; ``received_at`` in nanoseconds since the Unix epoch."""

    signal: Signal
    tenant: str
    media_type: str
    encoding: str
    body: bytes
    received_at: int


@dataclass
class Outcome:
    """Messages to send, records refused by reason, records dropped on purpose by processor."""

    messages: list[Message]
    refused: Counter[str]
    dropped: Counter[str]

    @property
    def accepted(self) -> int:
        """How many records the messages hold."""
        return sum(message.records for message in self.messages)


class Pipeline:
    """The processors in their order, and the sizes that bound a request and a message."""

    def __init__(
        self,
        processors: Current[Mapping[str, ForTenant]],
        max_request_bytes: int,
        max_message_bytes: int,
        *,
        keep_protobuf: bool = True,
    ) -> None:
        """Sizes in bytes; ``keep_protobuf``: what comes in protobuf and isn't changed is not made JSON."""
        self._processors = processors
        self._max_request_bytes = max_request_bytes
        self._max_message_bytes = max_message_bytes
        self._keep_protobuf = keep_protobuf

    def run(self, request: ExportRequest, partitions: int) -> Outcome:
        """All of a request that can be accepted, as messages for a topic of so many partitions.

        Raises Rejected (the whole request is malformed), TooLarge or Unsupported.
        """
        body = decompressed(request.body, request.encoding, self._max_request_bytes)
        if request.signal is METRICS:
            return self._pass_metrics(request, body, partitions)
        decoded = decode(body, request.media_type, request.signal, keep_protobuf=self._keep_protobuf)
        if request.signal is LOGS:
            _complete(decoded.chunks, RecordIds(body, request.received_at))
        chain = Chain((name, prepare(request.tenant)) for name, prepare in self._processors.content.items())
        encoder = Encoder(request.signal, partitions, self._max_message_bytes)
        work = _Work(request.signal, chain, decoded.refused)
        if chain.looks:
            decoded.chunks = [Dicts(chunk.origin, chunk.items(), chunk.survey) for chunk in decoded.chunks]
            work.look(decoded.chunks)
        for chunk in decoded.chunks:
            work.process(chunk, encoder)
        messages = encoder.finish()
        return Outcome(messages, work.refused + encoder.refused, work.dropped)

    def _pass_metrics(self, request: ExportRequest, body: bytes, partitions: int) -> Outcome:
        chain = Chain((name, prepare(request.tenant)) for name, prepare in self._processors.content.items())
        # The others decide about tasks; these two bound and clean any attributes.
        steps = [(name, step) for name, step in chain.steps(None) if name in _OF_ALL_SIGNALS]
        encoder = Encoder(METRICS, partitions, self._max_message_bytes)
        refused: Counter[str] = Counter()
        for origin, items in decoded_metrics(body, request.media_type):
            changed = chain.origin(origin)
            # All of a sender's in one partition, so that each series stays in its order.
            key = orjson.dumps(changed.resource).decode()
            for item in items:
                try:
                    _clean_metric(item, steps, changed)
                except Rejected as error:
                    refused[error.reason] += 1
                else:
                    encoder.add(changed, (item,), key)
        return Outcome(encoder.finish(), refused + encoder.refused, Counter())


def _clean_metric(item: dict[str, Any], steps: Steps, origin: Origin) -> None:
    for attributes in attribute_lists(item):
        record = Record(METRICS, origin, {"attributes": attributes})
        through(steps, record, Counter())
        attributes[:] = record.attributes


def _complete(chunks: list[Chunk], ids: RecordIds) -> None:
    first = 0
    for chunk in chunks:
        chunk.complete(ids, first)
        first += len(chunk)


class _Work:
    """The records of one request on their way through the chain, and what became of those that did not come through."""

    def __init__(self, signal: Signal, chain: Chain, refused: Counter[str]) -> None:
        self.refused = refused
        self.dropped: Counter[str] = Counter()
        self._signal = signal
        self._chain = chain
        self._origins: dict[Origin, Origin | Rejected] = {}

    def look(self, chunks: list[Chunk]) -> None:
        """Show all records to the processors that want to see them before any is processed."""
        self._chain.look(Record(self._signal, chunk.origin, item) for chunk in chunks for item in chunk.items())

    def process(self, chunk: Chunk, encoder: Encoder) -> None:
        """Those of the chunk that neither are refused nor dropped go to the encoder."""
        origin = self._origin(chunk.origin)
        if isinstance(origin, Rejected):
            self.refused[origin.reason] += len(chunk)
        elif steps := self._chain.steps(chunk.survey):
            for item in chunk.items():
                self._through(steps, Record(self._signal, origin, item), encoder)
        else:
            chunk.add_to(encoder, origin)

    def _through(self, steps: Steps, record: Record, encoder: Encoder) -> None:
        try:
            processed = through(steps, record, self.dropped)
        except Rejected as error:
            self.refused[error.reason] += 1
            return
        if processed is not None:
            encoder.add(processed.origin, (processed.item,))

    def _origin(self, origin: Origin) -> Origin | Rejected:
        done = self._origins.get(origin)
        if done is None:
            try:
                done = self._chain.origin(origin)
            except Rejected as error:
                done = error
            self._origins[origin] = done
        return done
