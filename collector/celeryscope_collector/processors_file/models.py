"""What may stand in the processors file: one class for each section, its keys and their meaning.

The file's reference in docs/processors.md says the same in words; its example is deploy/collector/processors.yaml.
"""

import re
from difflib import get_close_matches
from typing import Annotated, Final, Literal, Self, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from celeryscope import semconv
from celeryscope_collector.processors.matching import matcher
from celeryscope_collector.tokens import TENANT

Severity: TypeAlias = Literal["DEBUG", "INFO", "WARN", "ERROR", "FATAL"]
"""OpenTelemetry's severities of log records."""

_LONGEST: Final = 200
_ENDS: Final = frozenset(event for event, state in semconv.TASK_STATES.items() if state in semconv.FINAL_STATES)
_EVENTS: Final = frozenset(
    value for name, value in vars(semconv).items() if name.startswith("EVENT_") and isinstance(value, str)
)


class Section(BaseModel):
    """Base of all: unknown keys are refused, nothing is converted (007 is no text), nothing changes later."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


Text: TypeAlias = Annotated[str, Field(min_length=1, max_length=_LONGEST)]
Globs: TypeAlias = tuple[Text, ...]
"""Patterns, any of which may match: ``*`` is any text, ``?`` one character, ``[ab]`` one of these; case matters."""


class Identity(Section):
    """The tenant from the token; it has no keys."""


class Sender(Section):
    """Whose records something is about; without a key, everybody's."""

    tenants: Globs = ()
    services: Globs = ()
    """By ``service.name``."""


def _web_address(address: str) -> str:
    if re.fullmatch(r"https?://[^/\s@]+(/\S*)?", address) is None:
        raise ValueError("a web address is needed, e.g. https://wiki.example.com/runbooks/payments, without password")
    return address


class OwnershipRule(Sender):
    """Whose tasks they are, and how bad it is when they fail."""

    tasks: Globs = Field(min_length=1)
    team: Text | None = None
    severity: Literal["low", "medium", "high", "critical"] | None = None
    runbook: Annotated[Text, AfterValidator(_web_address)] | None = None
    tier: Text | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not (self.team or self.severity or self.runbook or self.tier):
            raise ValueError("a rule needs at least one of `team`, `severity`, `runbook` and `tier`")
        return self


class Ownership(Section):
    """Who is responsible for a task; the first rule that matches is taken."""

    rules: tuple[OwnershipRule, ...] = Field(min_length=1)
    overwrite: bool = False
    """Replace what the sender says of its owner itself."""


def _of_the_resource(name: str) -> str:
    if name == semconv.TENANT:
        raise ValueError(f"`{semconv.TENANT}` comes from the token and can't be set")
    return name


class DeploymentRule(Sender):
    """Attributes of the resource, for the senders that it is about."""

    attributes: dict[Annotated[Text, AfterValidator(_of_the_resource)], Text] = Field(min_length=1)
    overwrite: bool = False
    """Replace what the sender says itself."""


class Deployment(Section):
    """Where and what the sender is; of several rules that set an attribute the first that matches is taken."""

    rules: tuple[DeploymentRule, ...] = Field(min_length=1)


class RedactionNames(Section):
    """Names of attributes."""

    terms: tuple[Text, ...] = ()
    """A name that has one of these in it is secret, too."""
    keep: tuple[Text, ...] = ()
    """Exact names that never are."""


def _tenant(name: str) -> str:
    if TENANT.fullmatch(name) is None:
        raise ValueError(f"`{name}` is no tenant: lower-case letters, digits, `_` and `.`, a letter or digit first")
    return name


class Redaction(RedactionNames):
    """Which attributes are secret; a tenant's names are added to those of all."""

    tenants: dict[Annotated[str, AfterValidator(_tenant)], RedactionNames] = {}


class Limits(Section):
    """The most that one record may have; sizes in bytes of UTF-8."""

    attributes: int = Field(256, ge=32)
    value_bytes: int = Field(64 * 1024, ge=256)
    stacktrace_bytes: int = Field(512 * 1024, ge=1024)
    body_bytes: int = Field(64 * 1024, ge=256)


Ratio: TypeAlias = Annotated[float, Field(ge=0, le=1)]
Seconds: TypeAlias = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class SamplingRule(Sender):
    """Another ratio for some senders."""

    ratio: Ratio

    @model_validator(mode="after")
    def _is_about_somebody(self) -> Self:
        if not (self.tenants or self.services):
            raise ValueError("a rule needs `tenants` or `services`; for all others stands the `ratio` above")
        return self


class Sampling(Section):
    """Which spans and log lines of successful quick tasks stay; everything else always does."""

    ratio: Ratio
    slow_seconds: Seconds = 10.0
    keep_severity: Severity = "WARN"
    rules: tuple[SamplingRule, ...] = ()


def _known_event(pattern: str) -> str:
    # Other senders may have events of their own, so only a name that looks like one of ours is questioned.
    ours = pattern.startswith("celery.") and not re.search(r"[*?\[]", pattern)
    if ours and pattern not in _EVENTS:
        near = get_close_matches(pattern, sorted(_EVENTS), n=1)
        raise ValueError(f"`{pattern}` is no event: " + (f"did you mean `{near[0]}`?" if near else "see docs/data.md"))
    return pattern


class DropRule(Sender):
    """Records that nobody wants; all its keys must match."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,49}$")]
    """Its drops are counted under this name."""
    tasks: Globs = ()
    events: tuple[Annotated[Text, AfterValidator(_known_event)], ...] = ()
    loggers: Globs = ()
    below: Severity | None = None
    """Log lines less severe than this."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if not (self.tasks or self.events or self.loggers or self.below):
            raise ValueError("a rule needs at least one of `tasks`, `events`, `loggers` and `below`")
        if self.events and (self.loggers or self.below):
            raise ValueError("`events` and `loggers` or `below` exclude each other: these are about log lines")
        self._leaves_states_whole()
        return self

    def _leaves_states_whole(self) -> None:
        dropped = set(filter(matcher(self.events), semconv.TASK_STATES)) if self.events else set()
        if dropped & _ENDS and dropped != set(semconv.TASK_STATES):
            raise ValueError(
                f"without `{min(dropped & _ENDS)}` alone its attempts would seem to run for ever: drop all their "
                "events (`celery.task.*`), or all of a task (`tasks` without `events`)"
            )


class Drop(Section):
    """Records that are not passed on; counted by the first rule that matches."""

    rules: tuple[DropRule, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [rule.name for rule in self.rules]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"two rules are named `{twice}`: what they drop could not be told apart")
        return self


class Step(Section):
    """One item of the list: exactly one of these keys."""

    identity: Identity | None = None
    ownership: Ownership | None = None
    deployment: Deployment | None = None
    redaction: Redaction | None = None
    drop: Drop | None = None
    sampling: Sampling | None = None
    limits: Limits | None = None


class ProcessorsFile(Section):
    """The whole file: the processors in their order."""

    processors: tuple[Step, ...]
