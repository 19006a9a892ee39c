"""What has become of a load, against what must become of it. Pure."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from shop.expected import Expected


@dataclass(frozen=True)
class Attempt:
    """An attempt as Elasticsearch has it; times are ISO 8601."""

    task_id: str
    root_id: str
    task: str
    retries: int
    state: str
    trace_id: str | None
    failure_type: str | None
    failure_message: str | None
    failure_kind: str | None
    chord_id: str | None
    sent_at: str | None
    received_at: str | None
    started_at: str | None
    ended_at: str | None
    chain: tuple[tuple[str, str], ...]
    """Steps that were planned after it: (task id, task name)."""


def differences(expected: Sequence[Expected], attempts: Iterable[Attempt]) -> dict[str, str]:
    """For each root id whose attempts are not (yet) exactly the expected ones, what differs."""
    found: dict[str, Counter[tuple[str, int, str]]] = {item.root_id: Counter() for item in expected}
    for attempt in attempts:
        if attempt.root_id in found:
            found[attempt.root_id][attempt.task, attempt.retries, attempt.state] += 1
    return {
        item.root_id: f"{item.scenario} (workflow {item.root_id}): {problem}"
        for item in expected
        if (problem := _difference(_wanted(item), found[item.root_id]))
    }


def _wanted(item: Expected) -> Counter[tuple[str, int, str]]:
    wanted: Counter[tuple[str, int, str]] = Counter()
    for attempts in item.attempts:
        wanted[attempts.task, attempts.retries, attempts.state] += attempts.count
    return wanted


def _difference(wanted: Counter[tuple[str, int, str]], found: Counter[tuple[str, int, str]]) -> str:
    missing, unexpected = wanted - found, found - wanted
    parts = [
        f"{word} {count} x {task} {state} (retry {retries})"
        for word, counts in (("missing", missing), ("unexpected", unexpected))
        for (task, retries, state), count in counts.items()
    ]
    return ", ".join(parts)
