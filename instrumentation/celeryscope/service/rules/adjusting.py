"""What an operator wants otherwise: one YAML file with thresholds, severities, routes and maintenance windows.

Kibana's rules take the first part of it (``rules``), `celeryscope watch` all of it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BeforeValidator, Field

from celeryscope.errors import ConfigError
from celeryscope.service.rules.models import (
    Duration,
    Globs,
    Parameter,
    Rule,
    Section,
    Severity,
    Slug,
    Text,
    Value,
    written,
)
from celeryscope.service.rules.query import Special, filled
from celeryscope.service.rules.reading import nearest
from celeryscope.service.yaml_file.document import Document, Problem
from celeryscope.service.yaml_file.reading import checked, refused, text_of

_WHAT = "the alert settings"


Values: TypeAlias = dict[Slug, Value]
Match: TypeAlias = dict[str, Globs]
"""Columns and patterns of which each column must match one."""


class SpecialValues(Section):
    """Other thresholds for some tasks, queues or workers."""

    match: Match = Field(min_length=1, max_length=1)
    parameters: Values = Field(min_length=1)


class RuleAdjustment(Section):
    """One rule otherwise than it is shipped."""

    enabled: bool = True
    severity: Severity | None = None
    interval: Duration | None = None
    hold: Duration | None = None
    parameters: Values = Field(default_factory=dict)
    special: tuple[SpecialValues, ...] = ()
    """The first that matches counts."""
    ignore: Match = Field(default_factory=dict)
    """Rows that are no alerts."""


class Route(Section):
    """Who is told of which alerts; a route without a key is for all."""

    teams: Globs = ()
    severities: tuple[Severity, ...] = ()
    rules: Globs = ()
    match: Match = Field(default_factory=dict)
    notify: tuple[Slug, ...]
    """Names of targets in CELERYSCOPE_WATCH_TARGETS; an empty list tells nobody."""


def _clock(written: object) -> time:
    try:
        return time.fromisoformat(written if isinstance(written, str) else "")
    except ValueError:
        raise ValueError('a time of day is needed, in quotes: "02:30"') from None


def _moment(written: object) -> datetime:
    if isinstance(written, datetime) and written.tzinfo is not None:
        return written
    raise ValueError("a moment with its time zone is needed, e.g. 2026-11-21T02:00:00Z")


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        raise ValueError(f"`{name}` is no time zone; use e.g. Europe/Berlin or UTC") from None
    return name


Day: TypeAlias = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


class Maintenance(Section):
    """When alerts are expected: they are recorded, and nobody is told. Either every week, or once."""

    name: Text
    rules: Globs = ("*",)
    match: Match = Field(default_factory=dict)
    days: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
    """On which the window begins."""
    begin: Annotated[time | None, BeforeValidator(_clock)] = None
    length: Duration = timedelta(hours=1)
    zone: Annotated[str, AfterValidator(_zone)] = "UTC"
    once: Annotated[datetime | None, BeforeValidator(_moment)] = None
    """Instead of ``begin`` and ``days``: the moment at which it begins."""


class Adjustments(Section):
    """The whole file."""

    rules: dict[Slug, RuleAdjustment] = Field(default_factory=dict)
    routes: tuple[Route, ...] = ()
    maintenance: tuple[Maintenance, ...] = ()

    def require_targets(self, names: Iterable[str]) -> None:
        """Raises ConfigError when a route tells somebody who is none of these."""
        known = list(names)
        for name in sorted({name for route in self.routes for name in route.notify} - set(known)):
            raise ConfigError(
                f"A route notifies `{name}`, which is not in CELERYSCOPE_WATCH_TARGETS: {nearest(name, known)}"
            )


@dataclass(frozen=True, slots=True)
class ActiveRule:
    """A rule as it is to be evaluated."""

    rule: Rule
    severity: Severity
    interval: timedelta
    hold: timedelta
    query: str
    """With all parameters filled in."""
    candidates: str
    """Likewise; empty for a rule without."""
    values: dict[str, Value]
    """The parameters in force."""

    def means(self) -> str:
        """What the rule means, with its thresholds in force."""
        text = self.rule.means
        for name, value in self.values.items():
            text = text.replace(f"{{{name}}}", written(value))
        return text


def read_adjustments(path: Path | None, rules: tuple[Rule, ...]) -> Adjustments:
    """The operator's file; without one nothing is otherwise. Raises ConfigError that names all problems."""
    if path is None:
        return Adjustments()
    known, found, document = checked(text_of(path, _WHAT), Adjustments)
    if known is not None:
        found = sorted(_problems(known, {rule.id: rule for rule in rules}, document))
    if known is None or found:
        raise refused(path, _WHAT, found)
    return known


def activate(rules: tuple[Rule, ...], adjustments: Adjustments | None = None) -> tuple[ActiveRule, ...]:
    """The rules that are switched on, with what the operator wants."""
    wanted = (adjustments or Adjustments()).rules
    return tuple(
        _active(rule, adjustment) for rule in rules if (adjustment := wanted.get(rule.id, RuleAdjustment())).enabled
    )


def _active(rule: Rule, adjustment: RuleAdjustment) -> ActiveRule:
    special: dict[str, list[Special]] = {}
    for one in adjustment.special:
        for column, patterns in one.match.items():
            for name, value in one.parameters.items():
                special.setdefault(name, []).append(Special(column, patterns, value))
    values = {name: parameter.default for name, parameter in rule.parameters.items()} | adjustment.parameters
    return ActiveRule(
        rule=rule,
        severity=adjustment.severity or rule.severity,
        interval=adjustment.interval or rule.interval,
        hold=rule.hold if adjustment.hold is None else adjustment.hold,
        query=filled(rule.query, rule, values, special, adjustment.ignore),
        candidates=filled(rule.candidates, rule, values, special),
        values=values,
    )


def _problems(known: Adjustments, rules: dict[str, Rule], document: Document) -> Iterator[Problem]:
    for name, adjustment in known.rules.items():
        path = ("rules", name)
        rule = rules.get(name)
        if rule is None:
            yield Problem(document.key(path), f"`{name}` is no rule: {nearest(name, list(rules))}")
            continue
        yield from _wrong_values(adjustment.parameters, rule, (*path, "parameters"), document)
        for number, one in enumerate(adjustment.special):
            inner = (*path, "special", number)
            yield from _wrong_values(one.parameters, rule, (*inner, "parameters"), document)
            yield from _not_by(one, rule, inner, document)
        for column in sorted(set(adjustment.ignore) - set(rule.group)):
            text = f"`{column}` is none of the rule's columns: {nearest(column, list(rule.group))}"
            yield Problem(document.key((*path, "ignore", column)), text)
    for number, window in enumerate(known.maintenance):
        if (window.begin is None) == (window.once is None):
            yield Problem(document.at(("maintenance", number)), "one of `begin` and `once` is needed, and not both")


def _wrong_values(
    values: dict[str, Value], rule: Rule, path: tuple[str | int, ...], document: Document
) -> Iterator[Problem]:
    for name, value in values.items():
        parameter = rule.parameters.get(name)
        if parameter is None:
            text = f"`{rule.id}` has no parameter `{name}`: {nearest(name, list(rule.parameters))}"
            yield Problem(document.key((*path, name)), text)
        elif wrong := _unfit(parameter, value):
            yield Problem(document.at((*path, name)), wrong)


def _unfit(parameter: Parameter, value: Value) -> str:
    if isinstance(parameter.default, timedelta) != isinstance(value, timedelta):
        return "a duration is needed, e.g. 90s" if isinstance(parameter.default, timedelta) else "a number is needed"
    number: Any = value.total_seconds() if isinstance(value, timedelta) else value
    if number < parameter.minimum or (parameter.maximum is not None and number > parameter.maximum):
        most = "" if parameter.maximum is None else f" and at most {parameter.maximum:g}"
        return f"it should be at least {parameter.minimum:g}{most}"
    return ""


def _not_by(one: SpecialValues, rule: Rule, path: tuple[str | int, ...], document: Document) -> Iterator[Problem]:
    for name in one.parameters:
        parameter = rule.parameters.get(name)
        if parameter is not None and parameter.by not in one.match:
            by = f"only by `{parameter.by}`" if parameter.by else "one value for all"
            yield Problem(document.key((*path, "parameters", name)), f"`{name}` has {by}")


def settings_file(path: Path | None, rules: tuple[Rule, ...]) -> tuple[tuple[ActiveRule, ...], Adjustments]:
    """The rules in force and the rest of the operator's file. Raises ConfigError."""
    adjustments = read_adjustments(path, rules)
    active = activate(rules, adjustments)
    if not active:
        raise ConfigError("All alert rules are switched off; there is nothing to watch.")
    return active, adjustments
