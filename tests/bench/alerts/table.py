"""What a run found, to read: a line for each scenario, and one for each rule."""

from collections import Counter
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from alerts.scoring import Alert, Verdict

_console = Console(width=150)


def show(verdicts: Sequence[Verdict], strangers: Sequence[Alert]) -> None:
    """Print both tables, and each alert that is wrong."""
    table = Table("scenario", "incidents", "told", "seconds until told", "right", "wrong", "by")
    for verdict in verdicts:
        delays = [delay for delay in verdict.delays.values() if delay is not None]
        table.add_row(
            verdict.scenario.name,
            str(len(verdict.delays)),
            "" if not verdict.delays else "MISSED" if verdict.missed else "yes",
            ", ".join(f"{delay:.0f}" for delay in delays),
            str(len(verdict.right)),
            str(len(verdict.wrong) or ""),
            ", ".join(f"{rule} {count}" for rule, count in Counter(a.rule for a in verdict.right).most_common()),
        )
    _console.print(table)
    _show_rules(verdicts, strangers)
    for verdict in verdicts:
        for alert in verdict.wrong:
            _console.print(f"wrong: {verdict.scenario.name} at {clock(alert.at)}: {alert.rule}: {alert.message}")
    for alert in strangers:
        _console.print(f"wrong, of no service: at {clock(alert.at)}: {alert.rule}: {alert.message}")


def clock(seconds: float) -> str:
    """A moment as scenarios write it."""
    return f"{int(seconds) // 3600}h{int(seconds) // 60 % 60:02d}m{int(seconds) % 60:02d}s"


def _show_rules(verdicts: Sequence[Verdict], strangers: Sequence[Alert]) -> None:
    right = Counter(alert.rule for verdict in verdicts for alert in verdict.right)
    wrong = Counter(alert.rule for verdict in verdicts for alert in verdict.wrong)
    wrong.update(alert.rule for alert in strangers)
    table = Table("rule", "right", "wrong")
    for rule in sorted(right | wrong):
        table.add_row(rule, str(right[rule]), str(wrong[rule] or ""))
    _console.print(table)
