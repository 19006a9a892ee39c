"""Whose records a rule is about: patterns of tenants and of service names."""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from celeryscope import semconv
from celeryscope_collector.processors.matching import matcher
from celeryscope_collector.processors_file.models import Sender
from celeryscope_collector.records import Origin

Rule = TypeVar("Rule", bound=Sender)


def service_of(origin: Origin) -> str:
    """The origin's ``service.name``; empty when it has none."""
    attributes: list[dict[str, Any]] = origin.resource.get("attributes", [])
    for attribute in attributes:
        if attribute["key"] == semconv.SERVICE_NAME:
            return str(attribute["value"].get("stringValue", ""))
    return ""


def rules_for(tenant: str, rules: Iterable[Rule]) -> list[tuple[Callable[[str], bool], Rule]]:
    """The rules that are about a tenant's records, in their order, each with what tells its services."""
    return [(matcher(rule.services), rule) for rule in rules if matcher(rule.tenants)(tenant)]
