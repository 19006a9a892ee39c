"""Writes the list of rules in docs/alerts.md from the rules' files; ``--check`` only compares.

python deploy/docs/alerts_reference.py docs/alerts.md
"""

import re
import sys
from datetime import timedelta
from pathlib import Path
from typing import Final

import click

from celeryscope.service.rules.models import Parameter, Rule, Value, shown
from celeryscope.service.rules.reading import read_rules

_BEGIN: Final = "<!-- The rules: written by `make docs` from kibana/rules; change those. -->\n"
_CATEGORIES: Final = {
    "tasks": "Tasks",
    "workers": "Workers",
    "queues": "Queues",
    "schedules": "Schedules",
    "pipeline": "The pipeline",
}


def page(before: str) -> str:
    """The page with the list as it should be; what stands before the marker stays."""
    head = before.partition(_BEGIN)[0]
    rules = read_rules()
    parts = [
        f"### {title}\n\n" + "\n".join(_rule(rule) for rule in rules if rule.category == category)
        for category, title in _CATEGORIES.items()
    ]
    return head + _BEGIN + "\n" + "\n".join(parts)


def _rule(rule: Rule) -> str:
    columns = ", ".join(f"`{column}`" for column in rule.group)
    quiet = ", ".join(f"`{inhibition.rule}`" for inhibition in rule.inhibited_by)
    lines = [
        f"#### {rule.title} (`{rule.id}`)",
        f"{rule.severity}, every {shown(rule.interval)}, one alert for each {columns}."
        + (f" Held back during {quiet}." if quiet else ""),
        "",
        f"**What it means.** {_filled(rule.means, rule)}",
        "",
        f"**What to do.** {rule.what_to_do}",
        "",
    ]
    if rule.parameters:
        lines += ["| parameter | default | by | meaning |", "|---|---|---|---|"]
        lines += [_parameter(name, parameter) for name, parameter in rule.parameters.items()]
        lines.append("")
    return "\n".join(lines)


def _parameter(name: str, parameter: Parameter) -> str:
    by = f"`{parameter.by}`" if parameter.by else ""
    return f"| `{name}` | {_value(parameter.default)} | {by} | {parameter.description} |"


def _filled(text: str, rule: Rule) -> str:
    return re.sub(r"\{([a-z_]+)\}", lambda found: _value(rule.parameters[found[1]].default), text)


def _value(value: Value) -> str:
    return shown(value) if isinstance(value, timedelta) else f"{value:,}" if isinstance(value, int) else f"{value:g}"


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--check", is_flag=True, help="Write nothing; exit code 1 when the file is not current.")
def main(file: Path, check: bool) -> None:
    """Write the list of rules into FILE."""
    before = file.read_text()
    if not check:
        file.write_text(page(before))
    elif before != page(before):
        click.echo(f"{file} is not what the rules say: run `make docs`.", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
