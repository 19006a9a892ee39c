"""Some dozens of records that came next to each other, as they were received: as dicts of JSON, or as protobuf.

What is known of them together (their survey) may tell that no processor would change them; then they are passed on as
they are. Otherwise they are taken apart, and go through the processors one by one as dicts, whatever they were.
"""

from dataclasses import dataclass
from typing import Any, Protocol, Self

import orjson

from celeryscope import semconv
from celeryscope_collector.encode import Encoder
from celeryscope_collector.otlp.answers import JSON, PROTOBUF
from celeryscope_collector.otlp.cut import RECORDS, items_of
from celeryscope_collector.otlp.shapes import Fit
from celeryscope_collector.otlp.url_passwords import may_be_in
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


_UID = b'{"key":"%b","value":{"stringValue":"%%b"}}' % semconv.LOG_RECORD_UID.encode()


@dataclass(frozen=True, slots=True)
class Texts:
    """Records in JSON that fit known shapes, as they came; ``fits`` say where each of them goes."""

    origin: Origin
    texts: list[bytes]
    fits: list[Fit]
    survey: Survey

    @classmethod
    def of(cls, origin: Origin, texts: list[bytes], fits: list[Fit]) -> Self:
        """With the survey that follows from the shapes."""
        shapes = {id(fit.shape): fit.shape for fit in fits}.values()
        survey = Survey(
            names=frozenset().union(*[shape.names for shape in shapes]),
            # A text is never longer than the record in which it is written.
            longest=max(map(len, texts)),
            # A log record may yet be given its id.
            most=max([shape.most for shape in shapes]) + 1,
            url_passwords=any(map(may_be_in, texts)),
        )
        return cls(origin, texts, fits, survey)

    def __len__(self) -> int:
        return len(self.texts)

    def complete(self, ids: RecordIds, first: int) -> None:
        """See Chunk. They have their times."""
        for place, fit in enumerate(self.fits):
            if not fit.uid:
                fit.uid = ids.uid(first + place, timed=True)
                before, behind = self.texts[place][: fit.end], self.texts[place][fit.end :]
                comma = b"" if before.endswith(b"[") else b","
                self.texts[place] = before + comma + _UID % fit.uid.encode() + behind

    def items(self) -> list[dict[str, Any]]:
        """See Chunk."""
        return list(map(orjson.loads, self.texts))

    def add_to(self, encoder: Encoder, origin: Origin) -> None:
        """See Chunk."""
        encoder.add_payloads(origin, JSON, self.texts, [fit.key or fit.uid for fit in self.fits])


_ATTRIBUTES = 6
_OBSERVED_TAG = b"\x59"  # field 11, eight bytes


@dataclass(frozen=True, slots=True)
class Payloads:
    """Records in protobuf, and where each of them goes."""

    origin: Origin
    payloads: list[bytes]
    fields: list[bytes]
    """The same as fields of a scope, which is how they are sent."""
    routes: list[Route]
    survey: Survey
    signal: Signal

    def __len__(self) -> int:
        return len(self.payloads)

    def complete(self, ids: RecordIds, first: int) -> None:
        """See Chunk."""
        for place, route in enumerate(self.routes):
            if route.timed and route.uid:
                continue
            if not route.timed:
                self.payloads[place] += _OBSERVED_TAG + ids.received_at.to_bytes(8, "little")
            if not route.uid:
                route.uid = ids.uid(first + place, timed=route.timed)
                value = field(2, field(1, route.uid.encode()))
                self.payloads[place] += field(_ATTRIBUTES, field(1, semconv.LOG_RECORD_UID.encode()) + value)
            self.fields[place] = field(RECORDS, self.payloads[place])

    def items(self) -> list[dict[str, Any]]:
        """See Chunk."""
        check = CHECKS[self.signal.kind]
        return [check(item) for item in items_of(self.payloads, self.signal)]

    def add_to(self, encoder: Encoder, origin: Origin) -> None:
        """See Chunk."""
        encoder.add_payloads(origin, PROTOBUF, self.fields, [route.key or route.uid for route in self.routes])
