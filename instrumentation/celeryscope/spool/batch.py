"""What one round of reading a spool yields: records by kind, resource and scope, ready to be joined to requests."""

import logging
from dataclasses import dataclass, field

from celeryscope import otlp
from celeryscope.spool import plain, state
from celeryscope.spool.format import LOG
from celeryscope.spool.plain import Told

logger = logging.getLogger("celeryscope")

Groups = dict[tuple[bytes, bytes], list[bytes]]
"""(resource, scope) -> payloads, all OTLP/JSON."""


@dataclass(slots=True)
class Batch:
    """Records to send together; ``size`` is the sum of their payloads in bytes."""

    spans: Groups = field(default_factory=dict)
    logs: Groups = field(default_factory=dict)
    size: int = 0
    superseded: int = 0
    """Records left out because another one of the batch says the same and more."""
    unreadable: int = 0
    """Records that nothing can be made of."""
    _starts: dict[int, tuple[bytes, Told]] = field(default_factory=dict)
    _ended: set[int] = field(default_factory=set)

    def add(self, kind: int, resource: bytes, scope: bytes, payload: bytes) -> None:
        """Add one record of kind ``SPAN`` or ``LOG`` (OTLP/JSON)."""
        groups = self.logs if kind == LOG else self.spans
        key = resource, scope
        group = groups.get(key)
        if group is None:
            group = groups[key] = []
        group.append(payload)
        self.size += len(payload)

    def start(self, key: int, resource: bytes, start: Told, size: int) -> None:
        """Add the start of the delivery ``key``, ``size`` bytes in the spool; left out if the batch has its end too."""
        self._starts[key] = (resource, start)
        self.size += size

    def end(self, key: int) -> None:
        """The batch has the final event of the delivery ``key``."""
        self._ended.add(key)

    def close(self) -> None:
        """Once all is added: starts become events, but for those that their delivery's end tells again."""
        for key, (resource, start) in self._starts.items():
            if key in self._ended:
                self.superseded += 1
                continue
            try:
                made = state.started(plain.start_of(start))
            except Exception as error:  # noqa: BLE001 - one record must not hold up all others
                self.give_up(1, error)
            else:
                self.logs.setdefault((resource, otlp.EVENTS_SCOPE), []).append(made)
        self._starts.clear()

    def give_up(self, records: int, error: Exception) -> None:
        """Nothing can be made of so many records."""
        if not self.unreadable:
            logger.error("celeryscope: a record of the spool can't be read and is dropped", exc_info=error)
        self.unreadable += records

    def __len__(self) -> int:
        grouped = sum(len(payloads) for groups in (self.spans, self.logs) for payloads in groups.values())
        return grouped + len(self._starts)
