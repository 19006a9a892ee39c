"""What the product understands: its command lines and its settings, to check examples with."""

import dataclasses
import re
import sys
from pathlib import Path

import click

from celeryscope.cli import main
from celeryscope.settings import PREFIX, Settings

sys.path.insert(0, str(Path(__file__).parents[2] / "deploy" / "docs"))

from settings_reference import SERVICES


def parse(arguments: list[str]) -> click.Command:
    """The command of ``celeryscope <arguments>``, as a person would type it; click's errors when there is none."""
    command: click.Command = main
    context = click.Context(main, resilient_parsing=True)
    words = list(arguments)
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        found = command.get_command(context, words[0])
        if found is None:
            raise click.UsageError(f"celeryscope {' '.join(arguments)}: there is no {words[0]}")
        command, words = found, words[1:]
    context = click.Context(command, info_name=command.name, resilient_parsing=False)
    command.make_parser(context).parse_args(words)
    return command


def setting_names() -> set[str]:
    """All environment variables that the workers and the services know."""
    ours = {PREFIX + field.name.upper() for field in dataclasses.fields(Settings)}
    for group in SERVICES.values():
        prefix = group.model_config.get("env_prefix", "")
        ours |= {f"{prefix}{name}".upper() for name in group.model_fields}
    return ours


def named_settings(text: str) -> set[str]:
    """The settings that a text names."""
    return set(re.findall(rf"\b{PREFIX}[A-Z_]*[A-Z]\b", text))
