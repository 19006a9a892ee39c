"""A run: the load goes on while one fault after the other strikes; then everything is counted."""

import json
import random
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from celeryscope.errors import CeleryscopeError
from chaos import plan
from chaos.faults import Fault, Pauses
from chaos.found import found
from chaos.poison import Poison
from chaos.stack import TENANT, Stack
from chaos.verdict import Verdict, judge

_DRAIN = 300
_AUDIT_WAIT = "180"


@dataclass
class Struck:
    """One fault that happened."""

    name: str
    began_at: str
    """UTC."""
    lasted: float
    """Seconds until all it took was back."""
    recovered: float
    """Seconds from then until everything was ready again."""
    orders: int
    """Published meanwhile."""
    problems: list[str]
    """What should not have been: a process that ended by itself, or was not ready again in time."""


@dataclass
class Outcome:
    """All that a run has found out."""

    verdict: Verdict
    audit: dict[str, Any]
    spools: dict[str, dict[str, Any]]
    """Status of the spools: ``spool`` and ``small spool``."""
    without_letter: int
    """Poisoned messages that have become no dead letter."""
    struck: list[Struck] = field(default_factory=list)
    seconds: float = 0.0


def in_random_order(faults: Iterable[Fault], seed: int) -> list[Fault]:
    """The same order for the same seed and faults."""
    ordered = sorted(faults, key=lambda fault: fault.name)
    random.Random(seed).shuffle(ordered)
    return ordered


def strike_all(stack: Stack, faults: Iterable[Fault], pauses: Pauses, tell: Callable[[str], None]) -> Iterator[Struck]:
    """One after the other, each when all is well again after the one before."""
    for fault in faults:
        tell(fault.name)
        began_at, begun, orders = datetime.now(UTC), time.monotonic(), stack.publisher.orders
        problems = _problems(fault.strike)
        back = time.monotonic()
        problems += [f"{name} ended by itself" for name in stack.ended]
        problems += _problems(stack.heal)
        for problem in problems:
            tell(problem)
        yield Struck(
            name=fault.name,
            began_at=began_at.isoformat(timespec="seconds"),
            lasted=back - begun,
            recovered=time.monotonic() - back,
            orders=stack.publisher.orders - orders,
            problems=problems,
        )
        time.sleep(pauses.between)


def _problems(action: Callable[[], None]) -> list[str]:
    """The run goes on after them: the account at the end says what came of it."""
    try:
        action()
    except CeleryscopeError as error:
        return [str(error)]
    return []


def finish(stack: Stack, seed: int, records: int, poison: Poison, tell: Callable[[str], None]) -> Outcome:
    """Publish what is still missing of ``records``, wait until all has arrived, and count."""
    wanted = plan.orders_for(seed, records)
    if stack.publisher.orders < wanted:
        tell(f"publishing the rest, {wanted - stack.publisher.orders} orders")
        stack.hurry(wanted)
    tell("waiting until all has arrived")
    stack.drain(_DRAIN)
    spools = {name: stack.spool_status(path) for name, path in stack.spools.items()}
    options = ["--tenant", TENANT, "--wait", _AUDIT_WAIT]
    audit = json.loads(stack.product("audit", "--json", *options, allowed=(0, 1), timeout=600))
    dropped = sum(spools["small spool"]["dropped"].values())
    verdict = judge(plan.planned(seed, stack.publisher.orders), found(stack.elasticsearch.url, TENANT), dropped)
    letters = stack.product("dead-letter", "list", "--json", "--limit", "1000", allowed=(0, 3))
    return Outcome(verdict, audit, spools, len(poison.without_letter(letters)))
