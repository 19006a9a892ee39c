"""How much a tenant may send: defaults from the settings, exceptions from the tokens file."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from celeryscope.errors import ConfigError


@dataclass(frozen=True)
class TenantLimits:
    """Records and bytes (as received) a second, and bytes of one request; None means no limit of its own."""

    records_per_second: float | None = None
    bytes_per_second: float | None = None
    request_bytes: int | None = None


def limits_by_tenant(content: Any, default: TenantLimits) -> dict[str, TenantLimits]:
    """The part ``limits: {shop: {records_per_second: 5000}, ...}`` of a tokens file.

    What an entry does not name is the default's. Raises ConfigError when it is something else.
    """
    if content is None:
        return {}
    if not isinstance(content, Mapping):
        raise ConfigError("`limits` must be a map of tenants, e.g. {shop: {records_per_second: 5000}}")
    return {str(tenant): replace(default, **_checked(tenant, entry)) for tenant, entry in content.items()}


def _checked(tenant: Any, entry: Any) -> dict[str, Any]:
    names = [field.name for field in fields(TenantLimits)]
    if not isinstance(entry, Mapping) or not set(entry) <= set(names):
        raise ConfigError(f"limits of tenant {tenant}: it may have {', '.join(names)}, and nothing else")
    for name, number in entry.items():
        if type(number) not in {int, float} or not 0 < number < float("inf"):
            raise ConfigError(f"limits of tenant {tenant}: {name} must be a number above 0")
    return dict(entry)
