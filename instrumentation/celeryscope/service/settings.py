"""Base of the services' settings: frozen, read from the environment once, all errors reported together."""

import os
from pathlib import Path
from typing import Any, Final, Self

from pydantic import ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from celeryscope.errors import ConfigError

_SECRETS_FOLDER: Final = "CELERYSCOPE_SECRETS_DIR"
_USUAL_FOLDER: Final = "/run/secrets"
"""Where Docker and Podman put the secrets of a container."""


class ServiceSettings(BaseSettings):
    """A group of settings that share a prefix of environment variables, e.g. ``CELERYSCOPE_KAFKA_``."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", env_ignore_empty=True)

    @classmethod
    def load(cls, **overrides: Any) -> Self:
        """Read the group from the environment; ``overrides`` (e.g. from command line options) win unless None.

        What the environment leaves out may stand in a file named like the variable, in any case, in the folder that
        ``CELERYSCOPE_SECRETS_DIR`` names (``/run/secrets``). Raises ConfigError with one line for each wrong or unknown
        setting.
        """
        given = {name: value for name, value in overrides.items() if value is not None}
        given["_secrets_dir"] = _secrets_folder()
        problems = _unknown_names(cls)
        try:
            settings = cls(**given)
        except OSError as error:
            raise ConfigError(
                f"{error.filename} can't be read ({error.strerror}): it holds a setting of ours."
            ) from error
        except ValidationError as error:
            problems += _problems(cls, error)
        if problems:
            raise ConfigError("\n".join(problems))
        return settings


def _secrets_folder() -> Path | None:
    """The folder of secrets when there is one; raises ConfigError when one that is named is missing."""
    named = os.environ.get(_SECRETS_FOLDER)
    folder = Path(named or _USUAL_FOLDER)
    if folder.is_dir():
        return folder
    if named:
        raise ConfigError(f"{_SECRETS_FOLDER}: {named} is no folder.")
    return None


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
