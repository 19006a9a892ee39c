"""What and where a sender is: attributes of the resource, by rules for tenants and services, or for all as defaults."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache

from celeryscope_collector.processors import ForTenant, Processor
from celeryscope_collector.processors.senders import rules_for, service_of
from celeryscope_collector.processors_file.models import Deployment, DeploymentRule
from celeryscope_collector.records import Origin


def deployment(settings: Deployment) -> ForTenant:
    """The processor. Costs nothing a record: only resources are touched."""

    @lru_cache(maxsize=256)
    def prepared(tenant: str) -> Processor:
        rules = rules_for(tenant, settings.rules)
        return Processor(origin=lambda origin: placed(origin, rules))

    return prepared


def placed(origin: Origin, rules: Sequence[tuple[Callable[[str], bool], DeploymentRule]]) -> Origin:
    """The origin with the attributes of its rules: for each the first rule that has it, and only what the sender
    leaves open unless that rule may overwrite it.
    """
    service = service_of(origin)
    decided: dict[str, tuple[str, bool]] = {}
    for of_service, rule in rules:
        if of_service(service):
            for name, text in rule.attributes.items():
                decided.setdefault(name, (text, rule.overwrite))
    said = origin.resource.get("attributes", [])
    known = {attribute["key"] for attribute in said}
    added = {name: text for name, (text, overwrite) in decided.items() if overwrite or name not in known}
    if not added:
        return origin
    attributes = [attribute for attribute in said if attribute["key"] not in added]
    attributes += [{"key": name, "value": {"stringValue": text}} for name, text in added.items()]
    return replace(origin, resource={**origin.resource, "attributes": attributes})
