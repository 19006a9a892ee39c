"""`python -m demo run|up|down|status|load`."""

import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any, NoReturn

import click
from rich.console import Console

from celeryscope.errors import CeleryscopeError
from demo.run import Demo, commands
from demo.stack import FIXED, Stack

_STANDING = Path(".local/run")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.pass_context
def main(context: click.Context) -> None:
    """All of celeryscope on this machine, with an order shop that succeeds and fails; only loopback is used.

    \b
    Exit codes: 0 fine, 1 a step or the account failed, 4 a process did not start or has ended, 130 interrupted.
    """
    context.obj = Console(width=None if sys.stdout.isatty() else 120)
    # Whoever ends us with SIGTERM wants the same as with Ctrl-C: no process is left behind.
    signal.signal(signal.SIGTERM, _interrupt)


_tasks = click.option("--tasks", default=500, show_default=True, help="About how many tasks to publish.")
_seed = click.option("--seed", default=7, show_default=True, help="The same seed gives the same orders.")
_folder = click.option(
    "--folder",
    type=click.Path(path_type=Path),
    default=_STANDING,
    show_default=True,
    help="Where the stack that stays up keeps its files.",
)


@main.command()
@_tasks
@_seed
@click.pass_obj
def run(console: Console, tasks: int, seed: int) -> None:
    """Start everything on free ports, publish the load, show what celeryscope says of it, check the account, stop."""
    folder = Path(tempfile.mkdtemp(prefix="celeryscope-demo-"))
    stack = Stack(folder)
    demo = Demo(stack, console)
    try:
        demo.start()
        expected = demo.load(tasks, seed)
        demo.stop_shop()
        demo.views(expected)
        demo.account()
    except CeleryscopeError:
        console.print(f"[red]The demo failed.[/] All logs are in {folder}")
        raise
    except KeyboardInterrupt:
        stack.stop()
        shutil.rmtree(folder, ignore_errors=True)
        raise
    finally:
        stack.stop()
    # Only now: a process is found by the files in its folder.
    shutil.rmtree(folder, ignore_errors=True)
    _say_how_to_go_on(console)


@main.command()
@_tasks
@_seed
@_folder
@click.pass_obj
def up(console: Console, tasks: int, seed: int, folder: Path) -> None:
    """Start everything on fixed ports and publish the load; all of it stays up until `down`."""
    stack = Stack(folder, FIXED, detached=True)
    demo = Demo(stack, console)
    try:
        demo.start()
        expected = demo.load(tasks, seed)
    except (CeleryscopeError, KeyboardInterrupt):
        stack.stop()
        raise
    environment = stack.write_environment()
    console.print("\nIt stays up. In a shell, type:", highlight=False)
    console.print(f"  . {environment}", highlight=False, soft_wrap=True)
    for arguments in commands(expected, stack):
        console.print(f"  celeryscope {' '.join(arguments)}", highlight=False, soft_wrap=True)
    console.print("[bold]make down[/] stops everything and deletes its data.", highlight=False)


@main.command()
@_folder
@click.pass_obj
def down(console: Console, folder: Path) -> None:
    """Stop what `up` has started and delete its data."""
    Stack(folder, FIXED, detached=True).stop()
    shutil.rmtree(folder, ignore_errors=True)
    console.print("Everything has stopped.")


@main.command()
@_folder
@click.pass_obj
def status(console: Console, folder: Path) -> None:
    """Say which processes of the stack run; exit code 4 when one does not."""
    if not folder.is_dir():
        console.print("Nothing is up; `make up` starts it.")
        sys.exit(4)
    stack = Stack(folder, FIXED, detached=True)
    for process in stack.processes:
        console.print(f"{process.name:14} {'[green]up[/]' if process.alive else '[red]down[/]'}", highlight=False)
    if not all(process.alive for process in stack.processes):
        sys.exit(4)


@main.command()
@_tasks
@_seed
@_folder
@click.pass_obj
def load(console: Console, tasks: int, seed: int, folder: Path) -> None:
    """Publish another load to the stack that is up, and wait until it is searchable."""
    stack = Stack(folder, FIXED, detached=True)
    stack.check()
    Demo(stack, console).load(tasks, seed)


def _say_how_to_go_on(console: Console) -> None:
    console.print("\nEverything has stopped. To go on:", highlight=False)
    console.print("  make up     starts the same, leaves it running and prints commands to try, with ids that exist")
    console.print("  make down   stops it and deletes its data", highlight=False)
    console.print("\nCommands to try while it is up:", highlight=False)
    for command in ("failures", "task ID", "workflow ROOT_ID", "logs --task ID", "status", "account", "spool status"):
        console.print(f"  celeryscope {command}", highlight=False, markup=False)


def _interrupt(_signal: int, _frame: Any) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    try:
        main(prog_name="demo", standalone_mode=False)
    except CeleryscopeError as error:
        click.echo(f"demo: {error}", err=True)
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        click.echo("demo: interrupted, everything it started has been stopped", err=True)
        sys.exit(130)
