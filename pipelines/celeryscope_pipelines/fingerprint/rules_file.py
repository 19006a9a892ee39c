"""The YAML file with which users say which failures are one cluster (docs/failure-clusters.md)."""

import re
from pathlib import Path
from typing import Annotated, Final, Self, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from celeryscope.service.yaml_file.reading import checked, refused, text_of
from celeryscope_pipelines.fingerprint.places import InApp
from celeryscope_pipelines.fingerprint.rules import FIELDS, FailureRules, Rule

_WHAT: Final = "the failure rules file"
_LONGEST: Final = 200
_BRACES: Final = re.compile(r"\{(\w*)\}")


def _known_fields(text: str) -> str:
    for name in _BRACES.findall(text):
        if name not in FIELDS:
            known = ", ".join(f"`{{{field}}}`" for field in FIELDS)
            raise ValueError(f"`{{{name}}}` is nothing that can be put in here: use {known}")
    return text


class Section(BaseModel):
    """Base of all: unknown keys are refused, nothing is converted, nothing changes later."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


Text: TypeAlias = Annotated[str, Field(min_length=1, max_length=_LONGEST)]
Filled: TypeAlias = Annotated[Text, AfterValidator(_known_fields)]
Globs: TypeAlias = tuple[Text, ...]


class InAppSection(Section):
    """Whose code is the application's, where its path does not tell."""

    include: Globs = ()
    exclude: Globs = ()


class RuleSection(Section):
    """Failures that are one cluster."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,49}$")]
    exceptions: Globs = ()
    messages: Globs = ()
    tasks: Globs = ()
    frames: Globs = ()
    clusters: Globs = ()
    key: Filled | None = None
    """The name, if it is left out."""
    title: Filled | None = None

    @model_validator(mode="after")
    def _matches_something(self) -> Self:
        if not (self.exceptions or self.messages or self.tasks or self.frames or self.clusters):
            raise ValueError("a rule needs at least one of `exceptions`, `messages`, `tasks`, `frames` and `clusters`")
        return self


class RulesFile(Section):
    """The whole file."""

    in_app: InAppSection = InAppSection()
    rules: tuple[RuleSection, ...] = ()

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [rule.name for rule in self.rules]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"two rules are named `{twice}`")
        return self


def read_rules(path: Path) -> FailureRules:
    """The rules of a file. Raises ConfigError with a line ``file:line:column: what`` for each problem."""
    file, problems, _ = checked(text_of(path, _WHAT), RulesFile)
    if file is None:
        raise refused(path, _WHAT, problems)
    return FailureRules(InApp(file.in_app.include, file.in_app.exclude), tuple(map(_rule, file.rules)))


def _rule(section: RuleSection) -> Rule:
    return Rule(
        name=section.name,
        key=section.key or section.name,
        title=section.title or "",
        exceptions=section.exceptions,
        messages=section.messages,
        tasks=section.tasks,
        frames=section.frames,
        clusters=section.clusters,
    )
