"""Base of the services' settings: frozen, read from the environment once, all errors reported together."""

import os
from typing import Any, Self

from pydantic import ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from celeryscope.errors import ConfigError


class ServiceSettings(BaseSettings):
    """A group of settings that share a prefix of environment variables, e.g. ``CELERYSCOPE_KAFKA_``."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", env_ignore_empty=True)

    @classmethod
    def load(cls, **overrides: Any) -> Self:
        """Read the group from the environment; ``overrides`` (e.g. from command line options) win unless None.

        Raises ConfigError with one line for each wrong or unknown setting.
        """
        given = {name: value for name, value in overrides.items() if value is not None}
        problems = _unknown_names(cls)
        try:
            settings = cls(**given)
        except ValidationError as error:
            problems += _problems(cls, error)
        if problems:
            raise ConfigError("\n".join(problems))
        return settings


def _unknown_names(group: type[ServiceSettings]) -> list[str]:
    prefix = group.model_config.get("env_prefix", "")
    known = {f"{prefix}{name}".upper() for name in group.model_fields}
    return [
        f"{name}: no such setting; the settings reference in docs/settings.md lists them"
        for name in sorted(os.environ)
        if prefix and name.upper().startswith(prefix.upper()) and name.upper() not in known
    ]


def _problems(group: type[ServiceSettings], error: ValidationError) -> list[str]:
    # The wrong value itself is not shown: it may be a secret in the wrong variable.
    prefix = group.model_config.get("env_prefix", "")
    return [
        f"{prefix}{'.'.join(str(part) for part in item['loc']) or '*'}".upper()
        + f": {item['msg'].removeprefix('Value error, ')}"
        for item in error.errors()
    ]
