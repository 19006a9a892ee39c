"""Whose task it is: team, severity, runbook and tier by patterns of task names; the first rule that matches is taken.

It stands in every record that says its task's name: events, spans of publish and run, log lines. So whoever reads one,
a rule for alerts above all, needs no other table.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Final, TypeAlias

from celeryscope import semconv
from celeryscope_collector.processors import ForTenant, Processor, Survey
from celeryscope_collector.processors.matching import matcher, remembered
from celeryscope_collector.processors.senders import rules_for, service_of
from celeryscope_collector.processors_file.models import Ownership, OwnershipRule
from celeryscope_collector.records import Record

Owner: TypeAlias = dict[str, str]
"""Attributes by their names; empty when no rule knows the task."""
OwnerOf: TypeAlias = Callable[[str, str], Owner]
"""From (service, task name)."""

_REMEMBERED: Final = 8192
"""Names of tasks; whoever sends more different ones pays for the matching again."""
_NAMES: Final = frozenset(
    {semconv.OWNER_TEAM, semconv.OWNER_SEVERITY, semconv.OWNER_RUNBOOK, semconv.OWNER_TIER},
)


def ownership(settings: Ownership) -> ForTenant:
    """The processor; what a sender says of its owner stays, unless ``overwrite`` is set."""

    @lru_cache(maxsize=256)
    def prepared(tenant: str) -> Processor:
        owner_of = owners(tenant, settings)

        def own(record: Record) -> Record:
            add_owner(record, owner_of, overwrite=settings.overwrite)
            return record

        return Processor(record=own, leaves=_names_no_task)

    return prepared


def owners(tenant: str, settings: Ownership) -> OwnerOf:
    """Tells the owner of each task of a tenant, and remembers it."""
    rules = [(matcher(rule.tasks), of_service, _owner(rule)) for of_service, rule in rules_for(tenant, settings.rules)]

    def owner_of(service: str, task: str) -> Owner:
        for of_task, of_service, owner in rules:
            if of_task(task) and of_service(service):
                return owner
        return {}

    return remembered(owner_of, _REMEMBERED)


def add_owner(record: Record, owner_of: OwnerOf, *, overwrite: bool) -> None:
    """Add the attributes of the record's owner, in place; nothing when it names no task."""
    attributes = record.item.get("attributes", [])
    task, claimed = "", set()
    for attribute in attributes:
        key = attribute["key"]
        if key == semconv.TASK_NAME:
            task = attribute["value"].get("stringValue", "")
        elif key in _NAMES:
            claimed.add(key)
    owner = owner_of(service_of(record.origin), task) if task else None
    if not owner:
        return
    if claimed and overwrite:
        attributes[:] = [attribute for attribute in attributes if attribute["key"] not in owner]
        claimed = set()
    attributes += [{"key": name, "value": {"stringValue": text}} for name, text in owner.items() if name not in claimed]


def _owner(rule: OwnershipRule) -> Owner:
    known = {
        semconv.OWNER_TEAM: rule.team,
        semconv.OWNER_SEVERITY: rule.severity,
        semconv.OWNER_RUNBOOK: rule.runbook,
        semconv.OWNER_TIER: rule.tier,
    }
    return {name: text for name, text in known.items() if text is not None}


def _names_no_task(survey: Survey) -> bool:
    return semconv.TASK_NAME not in survey.names
