"""Records that nobody wants: each rule is a processor of its own, so each drop is counted under its rule's name."""

from collections.abc import Callable
from typing import Final, TypeAlias

from celeryscope import semconv
from celeryscope.otlp import SEVERITY_NUMBERS
from celeryscope_collector.processors import ForTenant, Processor, Survey
from celeryscope_collector.processors.matching import matcher
from celeryscope_collector.processors.senders import service_of
from celeryscope_collector.processors_file.models import Drop, DropRule
from celeryscope_collector.records import LOGS, Record

PREFIX: Final = "drop."
"""Stands before a rule's name in the names of processors."""

Condition: TypeAlias = Callable[[Record], bool]


def drop(settings: Drop) -> dict[str, ForTenant]:
    """A processor for each rule, by its name."""
    return {PREFIX + rule.name: drop_rule(rule) for rule in settings.rules}


def drop_rule(rule: DropRule) -> ForTenant:
    """The processor of one rule."""
    conditions = conditions_of(rule)
    of_tenant = matcher(rule.tenants)

    def decide(record: Record) -> Record | None:
        return None if all(condition(record) for condition in conditions) else record

    def leaves(survey: Survey) -> bool:
        return bool(rule.tasks) and semconv.TASK_NAME not in survey.names

    processor = Processor(record=decide, leaves=leaves, decides=True)
    return lambda tenant: processor if of_tenant(tenant) else Processor()


def conditions_of(rule: DropRule) -> list[Condition]:
    """What must be true of a record so that the rule drops it; the cheapest comes first."""
    conditions: list[Condition] = []
    if rule.events:
        of_event = matcher(rule.events)
        conditions.append(lambda record: bool(event := record.item.get("eventName", "")) and of_event(event))
    if rule.below is not None or rule.loggers:
        conditions.append(is_line)
    if rule.below is not None:
        least = SEVERITY_NUMBERS[rule.below]
        # 0 is a line that doesn't say how severe it is.
        conditions.append(lambda record: 0 < int(record.item.get("severityNumber", 0)) < least)
    if rule.loggers:
        of_logger = matcher(rule.loggers)
        conditions.append(lambda record: of_logger(logger_of(record)))
    if rule.tasks:
        of_task = matcher(rule.tasks)
        conditions.append(lambda record: bool(task := record.text(semconv.TASK_NAME)) and of_task(task))
    if rule.services:
        of_service = matcher(rule.services)
        conditions.append(lambda record: of_service(service_of(record.origin)))
    return conditions


def is_line(record: Record) -> bool:
    """Whether it is a log line: no event, no span."""
    return record.signal is LOGS and not record.item.get("eventName")


def logger_of(record: Record) -> str:
    """The name of a line's logger: its attribute, else its scope, as OpenTelemetry's own handlers have it."""
    return record.text(semconv.LOGGER_NAME) or str(record.origin.scope.get("name", ""))
