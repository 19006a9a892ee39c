"""What happens to a record between decode and encode: the contract of a processor.

A processor is made in two steps: ``prepare(settings)`` once per process, then ``(tenant)`` once per request, which
gives a ``Processor``. It is pure: no clock, no randomness, no I/O, no logger, and nothing is kept from request to
request except caches. What it does is said in up to five parts, so that the pipeline does as little as can be:

``origin``  is called once for each resource and scope of a request, however many records share them. It owns the
            Origin it is given: it may change it in place, and returns it or another one. All processors have seen the
            origins, in their order, before the first record is looked at.
``record``  is called for each record, in the order of the processors. It owns ``record.item`` (plain OTLP/JSON dicts,
            whatever the record arrived in) and may change it in place; ``record.origin`` is shared and finished: read
            only. It returns the record; None drops it on purpose (it is counted under the processor's name).
``leaves``  is asked before, for some dozens of records at once: True promises that ``record`` would return each of
            them as it is, so it isn't called at all. It may use nothing but the Survey.
``look``    is called for every record of the request before any of them is processed, for what a processor has to know
            of a record's neighbours. It changes nothing. While a processor has it, every record is decoded.
``decides`` promises that ``record`` changes nothing, it keeps or drops: what was found out about the records before
            then stays true, and they can be passed on as they came.

Either function may raise Rejected: the record, or all records of the origin, are refused and the sender is told.
So a processor for the resource (identity) costs nothing a record. One that adds attributes should stand behind
redaction and limits: those two can only leave out their work for records that no earlier processor has changed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from celeryscope_collector.records import Origin, Record


@dataclass(frozen=True)
class Survey:
    """What is known of some records together. Each is an upper bound: never less than what any of them holds."""

    names: frozenset[str] = frozenset()
    """The names of all attributes at any depth: of records, of span events and links, of maps in bodies."""
    longest: int = 0
    """Bytes of UTF-8 (of base64) of the longest text (bytes) in a body, an attribute or a span's status."""
    most: int = 0
    """The number of attributes of the record, span event or link that has most, or one more."""
    url_passwords: bool = False
    """Whether a body, an attribute or a span's status may have ``scheme://user:password@`` in it."""


def _leaves_none(_survey: Survey) -> bool:
    return False


@dataclass(frozen=True)
class Processor:
    """What one processor does to the records of one request; see the module."""

    origin: Callable[[Origin], Origin] | None = None
    record: Callable[[Record], Record | None] | None = None
    leaves: Callable[[Survey], bool] = _leaves_none
    decides: bool = False
    look: Callable[[Record], None] | None = None


ForTenant: TypeAlias = Callable[[str], Processor]
