"""Records that are written like one that was seen before: the same fields, attributes and kinds, other values.

A *shape* is made from one record and has two sides, both made of the same record with marks in place of its values: the
pattern of the texts of all records that are written alike, and the form of their document, which is what the builders
of documents make of the marked record. So nothing is said here of what documents hold. A text that fits is neither
parsed nor serialised: its pieces are put into the form.

Invariant, of which there are property tests: what is made of a text that fits is the document that is made of the
record otherwise, in JSON that says the same. What a pattern does not say, that the text is valid JSON in UTF-8, has to
be known before.
"""

import re
import secrets
from collections.abc import Mapping
from operator import itemgetter
from typing import Any, Final, NamedTuple

import orjson

from celeryscope.errors import Rejected
from celeryscope_pipelines.attributes import moment, plain
from celeryscope_pipelines.documents import documents_for
from celeryscope_pipelines.documents.common import check_tenant
from celeryscope_pipelines.indexer.lines import lines_of
from celeryscope_pipelines.records import LOG, SPAN, Origin, Record
from celeryscope_pipelines.shapes.marks import TEXT, Marked, MarkedOrigin, Source, names_of, values_of
from celeryscope_pipelines.writes import Op, Write

_PATTERN_MOST: Final = 30_000
_ATTRIBUTES_MOST: Final = 100
_HINTS_MOST: Final = 64
_ALIKE_MOST: Final = 6
_FORMS_MOST: Final = 16
_FREE: Final = 64
"""So many shapes and forms are made without anything having fitted one."""
_WORTH: Final = 500
"""To make one takes some milliseconds, which so many records that fit have saved."""
_BEARABLE: Final = 10_000
"""Among so many records one try is hardly felt, should none of those before have led to anything."""
_PLAIN_TEXT: Final = rb'[^"]++'


class NoShape(Exception):
    """The record is not written in the way that is looked for, or not only what is shown depends on its values."""


class Made(NamedTuple):
    """A document in the form that Elasticsearch's bulk API takes, see ``indexer.batch.Item``."""

    lines: bytes
    entity: tuple[str, str] | None
    version: int


class Place:
    """Where records come from, as documents show it: a resource and scope, and when they were put into Kafka."""

    def __init__(self, origin: Origin, arrived: int) -> None:
        """``arrived``: milliseconds since the Unix epoch. Raises Rejected for a tenant that can't be one."""
        check_tenant(origin.tenant)
        self.origin = origin
        self.arrived = arrived
        self.names = names_of(origin)
        self.values = (moment(arrived * 1000).encode(), *values_of(origin))


class _Form:
    """A text with places, and which of the values go there."""

    def __init__(self, text: bytes, shown: Mapping[bytes, int]) -> None:
        marks = sorted(shown, key=len, reverse=True)
        parts = re.split(b"(" + b"|".join(map(re.escape, marks)) + b")", text)
        self.text = b"%b".join(part.replace(b"%", b"%%") for part in parts[::2])
        self.order = tuple(shown[mark] for mark in parts[1::2])
        if len(self.order) < 2:  # of which itemgetter would make no tuple
            raise NoShape
        self._pick = itemgetter(*self.order)

    def filled(self, values: tuple[bytes, ...]) -> bytes:
        """The text of these values."""
        pieces: tuple[bytes, ...] = self._pick(values)
        return self.text % pieces


class _Document:
    """The form of the documents of a shape, of records whose origins have the same attributes."""

    def __init__(self, item: Mapping[str, Any], kind: str, origin: Origin) -> None:
        """Raises NoShape."""
        marked, of_origin, arrived = Marked(item), MarkedOrigin(origin), secrets.randbelow(10**12) + 10**12
        (write,) = _writes(marked.item, kind, of_origin.origin, arrived)
        places = len(marked.patterns)
        lines = lines_of(write)
        derived = {mark: source for mark, source in marked.shown.items() if source.derive and mark in lines}
        self.derived = [(source.derive, itemgetter(*source.places)) for source in derived.values() if source.derive]
        self.sources: list[Source] = list(derived.values())
        shown = {mark: source.places[0] for mark, source in marked.shown.items() if source.derive is None}
        shown |= {mark: places + number for number, mark in enumerate(derived)}
        first = places + len(derived)
        shown |= {
            mark: first + number for number, mark in enumerate((moment(arrived * 1000).encode(), *of_origin.shown))
        }
        self.lines = _Form(lines, shown)
        self.entity: _Form | None = None
        self._version = 0
        if write.op is Op.VERSIONED:
            self.entity = _Form(f"{write.index}\n{write.id}".encode(), shown)
            self._version = _place_of(write.version, shown)

    def same(self, other: "_Document") -> bool:
        """Whether it was made of other marks to the same end."""
        return self._says() == other._says()

    def _says(self) -> tuple[Any, ...]:
        entity = None if self.entity is None else (self.entity.text, self.entity.order)
        return self.lines.text, self.lines.order, self.sources, entity, self._version

    def made(self, found: tuple[bytes, ...], place: Place) -> Made:
        values = (*found, *[derive(pick(found)) for derive, pick in self.derived], *place.values)
        lines = self.lines.filled(values)
        if self.entity is None:
            return Made(lines, None, 0)
        index, _, identity = self.entity.filled(values).decode().partition("\n")
        return Made(lines, (index, identity), int(values[self._version]))


def _place_of(version: int, shown: Mapping[bytes, int]) -> int:
    found = shown.get(b"%d" % version)
    if found is None:
        raise NoShape
    return found


def _writes(item: dict[str, Any], kind: str, origin: Origin, arrived: int) -> list[Write]:
    """The one document of a record. Raises NoShape when it has several, or none, or is a failure."""
    record = Record(kind, origin, item, plain(item.get("attributes")), arrived)
    try:
        writes = documents_for(record)
    except Rejected as error:
        raise NoShape from error
    if len(writes) != 1 or writes[0].op is Op.FAILURE:
        raise NoShape
    return writes


class Shape:
    """Made from a record."""

    def __init__(self, text: bytes, item: dict[str, Any], kind: str) -> None:
        """Raises NoShape when the text itself would not fit, or a span has events, which may be documents."""
        attributes = item.get("attributes")
        if item.get("events") or (isinstance(attributes, list) and len(attributes) > _ATTRIBUTES_MOST):
            raise NoShape
        self._item, self._kind = item, kind
        pattern = Marked(item).pattern()
        if len(pattern) > _PATTERN_MOST:
            raise NoShape
        self._escaped = re.compile(pattern, re.DOTALL).fullmatch
        # In a text without a backslash each quote ends a text.
        self._plain = re.compile(pattern.replace(TEXT, _PLAIN_TEXT), re.DOTALL).fullmatch
        self._documents: dict[tuple[str, ...], _Document] = {}
        if self.fit(text) is None:
            raise NoShape

    def fit(self, text: bytes) -> tuple[bytes, ...] | None:
        """The pieces of the text; None when it doesn't fit."""
        found = (self._escaped if b"\\" in text else self._plain)(text)
        return None if found is None else found.groups()

    def document(self, names: tuple[str, ...]) -> _Document | None:
        """The form for origins with these attributes, if it has been learned."""
        return self._documents.get(names)

    def learn(self, text: bytes, place: Place) -> None:
        """The form for origins like this one, from a record that fits. Raises NoShape when there is none."""
        form = _Document(self._item, self._kind, place.origin)
        if not form.same(_Document(self._item, self._kind, place.origin)):
            # Something shows that depends on a value in a way that nothing is known of.
            raise NoShape
        found, item = self.fit(text), orjson.loads(text)
        (write,) = _writes(item, self._kind, place.origin, place.arrived)
        if found is None or _parsed(form.made(found, place).lines) != _parsed(lines_of(write)):
            raise NoShape
        if len(self._documents) >= _FORMS_MOST:
            self._documents.clear()
        self._documents[place.names] = form


def _parsed(lines: bytes) -> list[Any]:
    return [orjson.loads(line) for line in lines.splitlines()]


class Shapes:
    """Those that were seen of one kind of records. A memo: it changes nothing but the time that is needed."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._known: dict[bytes, tuple[Shape, ...]] = {}
        self._asked = self._fits = self._learned = 0

    def document(self, text: bytes, place: Place) -> Made | None:
        """What is written to Elasticsearch because of a record, when it fits one of the shapes."""
        self._asked += 1
        for shape in self._known.get(_hint(text), ()):
            found = shape.fit(text)
            if found is not None:
                form = shape.document(place.names)
                if form is None:
                    return None
                self._fits += 1
                return form.made(found, place)
        return None

    def learn(self, text: bytes, item: dict[str, Any], place: Place) -> None:
        """Of a record that has no document here yet. Seldom, when most records are new."""
        if self._learned >= _FREE + self._fits // _WORTH + self._asked // _BEARABLE:
            return
        self._learned += 1
        hint = _hint(text)
        alike = self._known.get(hint, ())
        try:
            shape = next((one for one in alike if one.fit(text) is not None), None) or Shape(text, item, self._kind)
            shape.learn(text, place)
        except NoShape:
            return
        except Exception:  # noqa: BLE001 - whatever a sender may write, a memo must not stop what can be done without it
            return
        if shape in alike:
            return
        if hint not in self._known and len(self._known) >= _HINTS_MOST:
            self._known.clear()
        self._known[hint] = (shape, *alike)[:_ALIKE_MOST]


def _hint(text: bytes) -> bytes:
    """Something that records of one shape have in common, and most others have not: the name of the last attribute."""
    start = text.rfind(b'"key":"') + 7
    return text[start : text.find(b'"', start)]


SHAPES_OF_PROCESS: Final = {kind: Shapes(kind) for kind in (SPAN, LOG)}
