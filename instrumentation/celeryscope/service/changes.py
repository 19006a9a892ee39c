"""What a command that sets something up found and did, item by item, and how it tells."""

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from enum import Enum
from time import monotonic, sleep
from typing import Final, TypeVar

import click
from rich.text import Text

from celeryscope.errors import Unavailable
from celeryscope.service.terminal import Terminal, plain_table, show_json

_PAUSE: Final = 1.0
Answer = TypeVar("Answer")


class Action(Enum):
    """What became, or would become, of an item."""

    CREATED = "created"
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    KEPT = "kept"
    """It is not as it should be and must not be changed; ``detail`` says why and what to do."""
    DELETED = "deleted"
    MISSING = "missing"


_STYLES: Final = {
    Action.CREATED: "green",
    Action.CHANGED: "yellow",
    Action.UNCHANGED: "dim",
    Action.KEPT: "bold red",
    Action.DELETED: "yellow",
    Action.MISSING: "bold red",
}


@dataclass(frozen=True, slots=True)
class Change:
    """One item, by its kind (topic, template, index, dashboard, rule, ...) and its name for people."""

    kind: str
    name: str
    action: Action
    detail: str = ""

    def as_dict(self) -> dict[str, str]:
        """For JSON."""
        return {**asdict(self), "action": self.action.value}


def tell(changes: Iterable[Change], *, as_json: bool = False, dry_run: bool = False) -> None:
    """Write a table of the changes with a summary, or JSON."""
    items = list(changes)
    if as_json:
        show_json({"dry_run": dry_run, "items": [change.as_dict() for change in items]})
        return
    table = plain_table("item", "name", "", "")
    for change in items:
        table.add_row(change.kind, change.name, Text(change.action.value, _STYLES[change.action]), change.detail)
    counts = {action: sum(change.action is action for change in items) for action in Action}
    summary = ", ".join(f"{count} {action.value}" for action, count in counts.items() if count)
    Terminal().show(table, Text(f"\n{summary}" + (" (dry run: nothing was done)" if dry_run else "")))


def patiently(work: Callable[[], Answer], wait: float) -> Answer:
    """The work's answer, tried again while a server is away (Unavailable) and ``wait`` seconds are not over."""
    deadline, told = monotonic() + wait, ""
    while True:
        try:
            return work()
        except Unavailable as error:
            if monotonic() + _PAUSE > deadline:
                raise
            if str(error) != told:
                told = str(error)
                click.echo(f"waiting: {told}", err=True)
            sleep(_PAUSE)
