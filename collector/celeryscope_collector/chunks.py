"""Some dozens of records that came next to each other, as they were received: as dicts of JSON, or as protobuf.

What is known of them together (their survey) may tell that no processor would change them; then they are passed on as
they are. Otherwise they are taken apart, and go through the processors one by one as dicts, whatever they were.
"""

from dataclasses import dataclass
from typing import Any, Protocol

from celeryscope import semconv
from celeryscope_collector.encode import Encoder
from celeryscope_collector.otlp.cut import items_of
from celeryscope_collector.otlp.validity import CHECKS
from celeryscope_collector.otlp.wire import field
from celeryscope_collector.otlp.wire_survey import Route
from celeryscope_collector.processors import Survey
from celeryscope_collector.records import Origin, Signal
from celeryscope_collector.uid import RecordIds


class Chunk(Protocol):
    """Valid records of one origin."""

    @property
    def origin(self) -> Origin:
        """Their resource and scope, as received."""

    @property
    def survey(self) -> Survey | None:
        """What is known of them together; None when that is nothing."""

    def __len__(self) -> int:
        """How many they are."""

    def complete(self, ids: RecordIds, first: int) -> None:
        """Give log records the ids and times they lack; the first of the chunk is at ``first`` in the request."""

    def items(self) -> list[dict[str, Any]]:
        """Each as OTLP/JSON dicts, to be changed and then added to an encoder; called once."""

    def add_to(self, encoder: Encoder, origin: Origin) -> None:
        """All of them as they are, below that resource and scope."""


@dataclass(frozen=True, slots=True)
class Dicts:
    """Records that were JSON, or that were decoded because they are not plain."""

    origin: Origin
    content: list[dict[str, Any]]
    survey: Survey | None

    def __len__(self) -> int:
        return len(self.content)

    def complete(self, ids: RecordIds, first: int) -> None:
        """See Chunk."""
        for place, item in enumerate(self.content):
            ids.complete(item, first + place)

    def items(self) -> list[dict[str, Any]]:
        """See Chunk."""
        return self.content

    def add_to(self, encoder: Encoder, origin: Origin) -> None:
        """See Chunk."""
        encoder.add(origin, self.content)


_ATTRIBUTES = 6
_OBSERVED_TAG = b"\x59"  # field 11, eight bytes


@dataclass(frozen=True, slots=True)
class Payloads:
    """Records in protobuf, and where each of them goes."""

    origin: Origin
    payloads: list[bytes]
    routes: list[Route]
    survey: Survey
    signal: Signal

    def __len__(self) -> int:
        return len(self.payloads)

    def complete(self, ids: RecordIds, first: int) -> None:
        """See Chunk."""
        for place, route in enumerate(self.routes):
            if not route.timed:
                self.payloads[place] += _OBSERVED_TAG + ids.received_at.to_bytes(8, "little")
            if not route.uid:
                route.uid = ids.uid(first + place, timed=route.timed)
                value = field(2, field(1, route.uid.encode()))
                self.payloads[place] += field(_ATTRIBUTES, field(1, semconv.LOG_RECORD_UID.encode()) + value)

    def items(self) -> list[dict[str, Any]]:
        """See Chunk."""
        check = CHECKS[self.signal.kind]
        return [check(item) for item in items_of(self.payloads, self.signal)]

    def add_to(self, encoder: Encoder, origin: Origin) -> None:
        """See Chunk."""
        encoder.add_payloads(origin, self.payloads, [route.key or route.uid for route in self.routes])
