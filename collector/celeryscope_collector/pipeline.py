"""From the bytes of a request to the messages for Kafka: decode, process, encode; no clock, no network, no logger."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from celeryscope.errors import Rejected
from celeryscope_collector.chain import Chain, through
from celeryscope_collector.encode import Message, encode
from celeryscope_collector.otlp.content import decompressed
from celeryscope_collector.otlp.decode import decode
from celeryscope_collector.processors import ForTenant
from celeryscope_collector.records import LOGS, Origin, Record, Signal
from celeryscope_collector.uid import RecordIds


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

    def __init__(self, processors: Mapping[str, ForTenant], max_request_bytes: int, max_message_bytes: int) -> None:
        self._processors = dict(processors)
        self._max_request_bytes = max_request_bytes
        self._max_message_bytes = max_message_bytes

    def run(self, request: ExportRequest, partitions: int) -> Outcome:
        """All of a request that can be accepted, as messages for a topic of so many partitions.

        Raises Rejected (the whole request is malformed), TooLarge or Unsupported.
        """
        body = decompressed(request.body, request.encoding, self._max_request_bytes)
        decoded = decode(body, request.media_type, request.signal)
        refused, dropped = decoded.refused, Counter[str]()
        chain = Chain((name, prepare(request.tenant)) for name, prepare in self._processors.items())
        origins = _Origins(chain)
        chain.look(decoded.records)
        steps = chain.steps(None)
        ids = RecordIds(body, request.received_at)
        kept: list[Record] = []
        for index, record in enumerate(decoded.records):
            if request.signal is LOGS:
                ids.complete(record, index)
            try:
                record.origin = origins.behind_chain(record.origin)
                processed = through(steps, record, dropped)
            except Rejected as error:
                refused[error.reason] += 1
                continue
            if processed is not None:
                kept.append(processed)
        encoded = encode(kept, request.signal, partitions, self._max_message_bytes)
        return Outcome(encoded.messages, refused + encoded.refused, dropped)


class _Origins:
    """Origins as the processors leave them, each gone through the chain once."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self._done: dict[Origin, Origin | Rejected] = {}

    def behind_chain(self, origin: Origin) -> Origin:
        """Raises Rejected, for each record anew, when a processor refuses the origin."""
        done = self._done.get(origin)
        if done is None:
            try:
                done = self._chain.origin(origin)
            except Rejected as error:
                done = error
            self._done[origin] = done
        if isinstance(done, Rejected):
            raise done
        return done
