"""The table at the end, and the same as a file."""

import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from chaos.run import Outcome, Struck
from figures import Figure, show

_SHOWN = 10


def figures(outcome: Outcome, records: int) -> list[Figure]:
    """What was counted, and what it must be."""
    verdict, audit = outcome.verdict, outcome.audit
    beyond = audit["kafka"]["distinct"] - sum(status["shipped"] for status in outcome.spools.values())
    return [
        Figure("records planned", verdict.records, "records", records, at_least=True),
        Figure("attempts planned", verdict.attempts, "attempts"),
        Figure("of these, in processes killed in the middle of them", verdict.killed, "attempts"),
        Figure("lost", len(verdict.lost), "documents", 0),
        Figure("doubled, or never planned", len(verdict.doubled), "documents", 0),
        Figure("final states that are wrong", len(verdict.wrong), "attempts", 0),
        *_of_spools(outcome),
        Figure("missing, all of them counted as dropped by the small spool", len(verdict.covered), "documents"),
        Figure("audit: records of Kafka that are nowhere", audit["missing"]["count"], "records", 0),
        Figure("shipped, but not in Kafka", max(-beyond, 0), "records", 0),
        # They had arrived, but the answer had not, or only that of the spans; then the quota struck, or the end came.
        Figure("in Kafka, but counted as dropped or superseded", max(beyond, 0), "records", _given_up(outcome)),
        Figure("audit: in Kafka more than once, indexed once", audit["kafka"]["repeated"], "records"),
        Figure("poison without a dead letter", outcome.without_letter, "messages", 0),
        Figure("dead letters of sound records", audit["dead_letters"], "records", 0),
        Figure("problems while a fault lasted", sum(len(one.problems) for one in outcome.struck), "problems", 0),
    ]


def _given_up(outcome: Outcome) -> int:
    return sum(status["superseded"] + sum(status["dropped"].values()) for status in outcome.spools.values())


def _of_spools(outcome: Outcome) -> list[Figure]:
    verdict, found = outcome.verdict, []
    planned = {"spool": verdict.by_publishers + verdict.by_worker, "small spool": verdict.by_cramped}
    for name, status in outcome.spools.items():
        found += [
            Figure(f"{name}: written", status["written"], "records", planned[name], at_least=True),
            Figure(f"{name}: shipped", status["shipped"], "records"),
            Figure(f"{name}: superseded", status["superseded"], "records"),
            *(
                Figure(f"{name}: dropped, {reason}", count, "records", None if name == "small spool" else 0)
                for reason, count in status["dropped"].items()
            ),
            Figure(f"{name}: neither shipped nor superseded nor dropped", status["pending"], "records", 0),
        ]
    return found


def show_all(outcome: Outcome, found: list[Figure], seed: int) -> None:
    """Faults, figures, and some of what is wrong."""
    table = Table("began at", "fault", "lasted, s", "ready again, s", "orders meanwhile", "problems")
    for one in outcome.struck:
        cells = (one.began_at, one.name, f"{one.lasted:.0f}", f"{one.recovered:.0f}", str(one.orders))
        table.add_row(*cells, "; ".join(one.problems))
    console = Console(width=140)
    console.print(f"seed {seed}: {len(outcome.struck)} faults in {outcome.seconds:.0f} s, each alone, in random order")
    console.print(table)
    show(found)
    verdict = outcome.verdict
    for name, wrong in (("lost", verdict.lost), ("doubled", verdict.doubled), ("wrong", verdict.wrong)):
        for one in wrong[:_SHOWN]:
            console.print(f"{name}: {one}", markup=False)


def write(outcome: Outcome, found: list[Figure], seed: int, path: Path) -> None:
    """A list of the figures, then of the faults."""
    rows = [figure.as_dict() for figure in found] + [_row(one, seed) for one in outcome.struck]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(rows, indent=2, ensure_ascii=False) + "\n")


def _row(one: Struck, seed: int) -> dict[str, Any]:
    return {
        "name": f"fault: {one.name}",
        "value": round(one.lasted, 1),
        "unit": "s",
        "goal": None,
        "holds": not one.problems,
        "began_at": one.began_at,
        "ready_again_after": round(one.recovered, 1),
        "orders_meanwhile": one.orders,
        "problems": one.problems,
        "seed": seed,
    }
