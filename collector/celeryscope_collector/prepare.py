"""Which processors run: sections of the processors file, or the settings in its place, made into processors."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from celeryscope_collector.processors import ForTenant, limits
from celeryscope_collector.processors.deployment import deployment
from celeryscope_collector.processors.drop import drop
from celeryscope_collector.processors.identity import identity
from celeryscope_collector.processors.ownership import ownership
from celeryscope_collector.processors.redaction import redaction
from celeryscope_collector.processors.sampling import sampling
from celeryscope_collector.processors_file.models import Drop, Identity, Limits, Redaction
from celeryscope_collector.processors_file.reading import Sections, read_processors
from celeryscope_collector.settings import CollectorSettings


def sections_of(settings: CollectorSettings) -> Sections:
    """Those of the processors file, else what the settings say. Raises ConfigError when the file can't be used."""
    if settings.processors_file is not None:
        return read_processors(settings.processors_file)
    sections: Sections = {
        "identity": Identity(),
        "redaction": Redaction(terms=settings.redaction_terms, keep=settings.redaction_keep),
        "limits": Limits(
            attributes=settings.max_attributes,
            value_bytes=settings.max_value_bytes,
            stacktrace_bytes=settings.max_stacktrace_bytes,
            body_bytes=settings.max_body_bytes,
        ),
    }
    return {name: sections[name] for name in settings.processors}


def prepared(sections: Sections) -> dict[str, ForTenant]:
    """The processors of the sections, in their order; each drop rule is one of its own, ``drop.<its name>``."""
    processors: dict[str, ForTenant] = {}
    for name, section in sections.items():
        processors |= drop(section) if isinstance(section, Drop) else {name: _PREPARE[name](section)}
    return processors


def _redaction(section: Redaction) -> ForTenant:
    general = redaction(section.terms, section.keep)
    own = {
        tenant: redaction((*section.terms, *names.terms), (*section.keep, *names.keep))
        for tenant, names in section.tenants.items()
    }
    return lambda tenant: own.get(tenant, general)(tenant)


def _limits(section: Limits) -> ForTenant:
    return limits.limits(
        limits.Limits(
            attributes=section.attributes,
            value=section.value_bytes,
            stacktrace=section.stacktrace_bytes,
            body=section.body_bytes,
        )
    )


_PREPARE: Final[Mapping[str, Callable[[Any], ForTenant]]] = {
    "identity": lambda _section: identity,
    "ownership": ownership,
    "deployment": deployment,
    "redaction": _redaction,
    "sampling": sampling,
    "limits": _limits,
}
