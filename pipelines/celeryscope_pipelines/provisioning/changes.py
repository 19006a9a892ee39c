"""What setup found and did, item by item."""

from dataclasses import asdict, dataclass
from enum import Enum


class Action(Enum):
    """What became, or would become, of an item."""

    CREATED = "created"
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    KEPT = "kept"
    """It is not as it should be and setup must not change it; ``detail`` says why and what to do."""


@dataclass(frozen=True, slots=True)
class Change:
    """One topic, template or index."""

    kind: str
    """``topic``, ``template`` or ``index``."""
    name: str
    action: Action
    detail: str = ""

    def as_dict(self) -> dict[str, str]:
        """For JSON."""
        return {**asdict(self), "action": self.action.value}
