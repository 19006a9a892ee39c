"""Writes docs/settings.md from the settings classes, whose fields say what they mean; ``--check`` only compares.

python deploy/docs/settings_reference.py docs/settings.md
"""

import dataclasses
import inspect
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

import click
from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from celeryscope.service.elasticsearch import ElasticsearchSettings
from celeryscope.service.kafka import KafkaSettings
from celeryscope.service.settings import ServiceSettings
from celeryscope.settings import PREFIX, Settings
from celeryscope_collector.settings import CollectorSettings
from celeryscope_kibana.settings import KibanaSettings
from celeryscope_pipelines.settings import IndexerSettings, PipelineSettings, RetentionSettings, WatchSettings

SERVICES: dict[str, type[ServiceSettings]] = {
    "Collector": CollectorSettings,
    "Indexer": IndexerSettings,
    "Alert watcher": WatchSettings,
    "Retention": RetentionSettings,
    "Status and account": PipelineSettings,
    "Connection to Kafka": KafkaSettings,
    "Connection to Elasticsearch": ElasticsearchSettings,
    "Connection to Kibana": KibanaSettings,
}

_INTRODUCTION = """\
<!-- Written by `make docs` from the settings classes; change those, not this page. -->
# Settings

All settings are environment variables. An unknown name that starts with a process's prefix is refused at the start,
and all errors are reported together. An empty value counts as unset.

The services (not the workers) also read files named like the variables, in any case, from `/run/secrets`, or the folder
that `CELERYSCOPE_SECRETS_DIR` names: `/run/secrets/celeryscope_elasticsearch_password`. The environment wins.
"""

_KINDS: dict[Any, str] = {
    str: "text",
    bool: "true or false",
    int: "whole number",
    float: "number",
    Path: "path",
    SecretStr: "secret",
}


class Row(NamedTuple):
    """One setting, ready for the table."""

    variable: str
    kind: str
    default: str
    meaning: str


def worker_rows() -> Iterator[Row]:
    """The settings of the instrumentation, a plain dataclass."""
    hints = get_type_hints(Settings)
    for field in dataclasses.fields(Settings):
        default = shown(field.default)
        if field.default_factory is not dataclasses.MISSING:
            # What it gives depends on the machine; its docstring says it for all.
            default = (inspect.getdoc(field.default_factory) or "").partition(":")[0].replace("``", "`")
        yield Row(PREFIX + field.name.upper(), kind(hints[field.name]), default, field.metadata["help"])


def service_rows(group: type[ServiceSettings]) -> Iterator[Row]:
    """The settings of a pydantic group."""
    prefix = group.model_config.get("env_prefix", "")
    hints = get_type_hints(group)
    for name, field in group.model_fields.items():
        limits = bounds(field)
        text = kind(hints[name]) + (f", {limits}" if limits else "")
        yield Row((prefix + name).upper(), text, shown(field.default), field.description or "")


def kind(annotation: Any) -> str:
    """What a user may write for a value of that type."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        return " or ".join(kind(argument) for argument in arguments if argument is not types.NoneType)
    if origin is Literal:
        return ", ".join(f"`{choice}`" for choice in arguments)
    if origin is tuple:
        inner = arguments[0]
        return f"list of {kind(inner)}" if get_origin(inner) is Literal else "list"
    return _KINDS[annotation]


def bounds(field: FieldInfo) -> str:
    """The range of a number, e.g. ``1 to 32``; empty when there is none."""
    found = {name: getattr(item, name) for item in field.metadata for name in ("ge", "gt", "le") if hasattr(item, name)}
    if {"ge", "le"} <= found.keys():
        return f"{found['ge']} to {found['le']}"
    words = {"ge": "at least", "gt": "above", "le": "at most"}
    return ", ".join(f"{words[name]} {limit}" for name, limit in found.items())


def shown(default: Any) -> str:
    """A default as one would write it into the environment."""
    if default is None or default is PydanticUndefined or default in ("", ()):
        return ""
    if isinstance(default, tuple):
        return f"`{','.join(map(str, default))}`"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    return f"`{default}`"


def section(title: str, about: str, rows: Iterator[Row]) -> str:
    """A heading, a sentence and the table."""
    lines = [f"| `{row.variable}` | {row.kind} | {row.default} | {row.meaning} |" for row in rows]
    header = "| variable | value | default | meaning |\n|---|---|---|---|"
    return f"## {title}\n{about.replace('``', '`')}\n\n{header}\n" + "\n".join(lines) + "\n"


def page() -> str:
    """The whole page."""
    sections = [section("Workers and publishers", summary(Settings), worker_rows())]
    sections += [section(title, summary(group), service_rows(group)) for title, group in SERVICES.items()]
    return "\n".join([_INTRODUCTION, *sections])


def summary(group: type) -> str:
    """The first line of a class's docstring."""
    return (inspect.getdoc(group) or "").splitlines()[0]


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--check", is_flag=True, help="Write nothing; exit code 1 when the file is not current.")
def main(file: Path, check: bool) -> None:
    """Write the settings reference to FILE."""
    if not check:
        file.write_text(page())
    elif not file.exists() or file.read_text() != page():
        click.echo(f"{file} is not what the settings say: run `make docs`.", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
