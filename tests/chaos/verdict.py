"""Whether all that was planned is there once, and nothing else. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from celeryscope import semconv
from chaos.found import Found
from chaos.plan import Attempt, Identity

_UNFINISHED = frozenset({semconv.STATE_SENT, semconv.STATE_RECEIVED, semconv.STATE_STARTED})


@dataclass
class Verdict:
    """Lists of what is wrong, for people; each is empty when all is well."""

    records: int = 0
    """Planned, at least."""
    attempts: int = 0
    killed: int = 0
    """Attempts that ended with their process."""
    by_publishers: int = 0
    """Records that must have been written when attempts were published, at least; the other two likewise."""
    by_worker: int = 0
    by_cramped: int = 0
    lost: list[Identity] = field(default_factory=list)
    doubled: list[Identity] = field(default_factory=list)
    """Or not planned at all."""
    wrong: list[str] = field(default_factory=list)
    """Attempts whose final state is another one."""
    covered: list[Identity] = field(default_factory=list)
    """Missing, but the small spool has counted at least as many records as dropped, by reason."""


def judge(planned: Iterable[Attempt], found: Found, dropped: int) -> Verdict:
    """``dropped``: records that the cramped worker's spool says it has dropped, whatever the reason.

    Only what that worker alone could tell may be missing, and no more of it than it has counted.
    """
    verdict, wanted = Verdict(), set[Identity]()
    for attempt in planned:
        verdict.records += attempt.records
        verdict.attempts += 1
        verdict.by_publishers += len(attempt.by_publisher())
        verdict.by_worker += 0 if attempt.is_cramped else attempt.written
        verdict.by_cramped += attempt.written if attempt.is_cramped else 0
        verdict.killed += attempt.state == semconv.STATE_LOST
        wanted.update(attempt.by_publisher(), attempt.by_worker())
        missing = list(_missing(attempt, found))
        state = found.states.get(attempt.name)
        if attempt.is_cramped:
            verdict.covered += [identity for identity in missing if identity not in attempt.by_publisher()]
            missing = [identity for identity in missing if identity in attempt.by_publisher()]
            if state in _UNFINISHED:
                verdict.covered.append(Identity("event", attempt.name, attempt.state))
                state = attempt.state
        verdict.lost += missing
        if state not in {None, attempt.state}:
            verdict.wrong.append(f"{attempt.name}: {state} instead of {attempt.state}")
    verdict.covered, beyond = verdict.covered[:dropped], verdict.covered[dropped:]
    verdict.lost += beyond
    verdict.doubled = [one for one, count in found.identities.items() if count > 1 or one not in wanted]
    return verdict


def _missing(attempt: Attempt, found: Found) -> Iterator[Identity]:
    return (one for one in (*attempt.by_publisher(), *attempt.by_worker()) if not found.identities[one])
