"""Who sent it: the tenant comes from the token, whatever the sender claims."""

from dataclasses import replace

from celeryscope import semconv
from celeryscope_collector.processors import Processor
from celeryscope_collector.records import Origin


def identity(tenant: str) -> Processor:
    """Set ``celery.tenant`` of the resource, replacing every claim of the sender."""

    def owned(origin: Origin) -> Origin:
        claimed = origin.resource.get("attributes", ())
        attributes = [attribute for attribute in claimed if attribute["key"] != semconv.TENANT]
        attributes.append({"key": semconv.TENANT, "value": {"stringValue": tenant}})
        return replace(origin, resource={**origin.resource, "attributes": attributes})

    return Processor(origin=owned)
