"""The ``celeryscope`` command: one group, whose sub-commands come from the entry points ``celeryscope.commands``."""

import sys
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import click

from celeryscope.__about__ import __version__
from celeryscope.errors import CeleryscopeError

_GROUP = "celeryscope.commands"


class _Missing(click.Command):
    """Stands for a sub-command whose extra is not installed, and says so."""

    def __init__(self, name: str, extra: str, module: str) -> None:
        super().__init__(name, help=f"(needs: pip install 'celeryscope[{extra}]')", add_help_option=False)
        self.message = f"celeryscope {name} needs the module {module}: pip install 'celeryscope[{extra}]'"
        self.ignore_unknown_options = True
        self.allow_extra_args = True

    def invoke(self, ctx: click.Context) -> Any:
        """Say what to install; exit code 2."""
        raise click.UsageError(self.message, ctx)


class Commands(click.Group):
    """Loads a sub-command when it is used, and ends with one line and a fitting exit code on our errors."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of all sub-commands."""
        return sorted({*super().list_commands(ctx), *_installed()})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The sub-command of that name, or a stand-in that says which extra it needs."""
        entry = _installed().get(cmd_name)
        if entry is None:
            return super().get_command(ctx, cmd_name)
        try:
            command = entry.load()
        except ModuleNotFoundError as error:
            extra = entry.extras[0] if entry.extras else None
            if extra is None or (error.name or "").startswith("celeryscope"):
                raise
            return _Missing(cmd_name, extra, error.name or "")
        assert isinstance(command, click.Command)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run the sub-command; one of our errors becomes its message and exit code."""
        try:
            return super().invoke(ctx)
        except CeleryscopeError as error:
            click.echo(f"celeryscope: {error}", err=True)
            ctx.exit(error.exit_code)
        except BrokenPipeError:
            # The reader of a pipe (head, less) has seen enough.
            sys.stderr.close()
            ctx.exit(0)


def _installed() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=_GROUP)}


@click.group("celeryscope", cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="celeryscope")
def main() -> None:
    """What happened to every Celery task: tracebacks, failure clusters, workflow timelines.

    \b
    Exit codes: 0 fine, 1 failed, 2 wrong usage or settings, 3 nothing found,
    4 a server is unreachable, 5 credentials refused, 6 wrong version.
    """
