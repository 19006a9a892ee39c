"""What one round of reading a spool yields: records by kind, resource and scope, ready to be joined to requests."""

from dataclasses import dataclass, field

from celeryscope.spool.format import LOG, SPAN

Groups = dict[tuple[bytes, bytes], list[bytes]]
"""(resource, scope) -> payloads, all OTLP/JSON."""


@dataclass(slots=True)
class Batch:
    """Records to send together; ``size`` is the sum of their payloads in bytes."""

    spans: Groups = field(default_factory=dict)
    logs: Groups = field(default_factory=dict)
    size: int = 0

    def add(self, kind: int, resource: bytes, scope: bytes, payload: bytes) -> None:
        """Add one record of kind ``SPAN`` or ``LOG``."""
        groups = {SPAN: self.spans, LOG: self.logs}[kind]
        groups.setdefault((resource, scope), []).append(payload)
        self.size += len(payload)

    def __len__(self) -> int:
        return sum(len(payloads) for groups in (self.spans, self.logs) for payloads in groups.values())
