"""The demo itself: every step with its duration, the product's own views, and the account at the end."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from demo.stack import Stack
from servers.process import say
from shop.expected import Expected

_SHOWN_FAILURE = "an exception from another"
_SHOWN_WORKFLOW = "a chain that stops"
_ACCOUNT_WAIT = 120


class Demo:
    """Brings a stack up, lets the shop work, and shows what the product makes of it, on the console."""

    def __init__(self, stack: Stack, console: Console) -> None:
        self._stack = stack
        self._console = console

    def start(self) -> None:
        """Start all processes. Raises CeleryscopeError with the log of the one that fails."""
        with self._step("Kafka, Elasticsearch and Redis"):
            self._stack.start_servers()
        with self._step("topics, templates, indices, token"):
            self._stack.set_up()
        with self._step("collector, indexer, worker and beat"):
            self._stack.start_services()

    def load(self, tasks: int, seed: int) -> list[Expected]:
        """Publish the load and wait until each workflow is searchable in its expected final state."""
        with self._step("the shop's orders are published"):
            expected = self._stack.publish(tasks, seed)
        attempts = sum(part.count for item in expected for part in item.attempts)
        with self._step(f"{len(expected)} workflows with {attempts} attempts are searchable, each in its final state"):
            with self._progress() as progress:
                bar = progress.add_task("workflows in their final state", total=len(expected))
                self._stack.wait_for(expected, report=lambda done: progress.update(bar, completed=done))
        return expected

    def stop_shop(self) -> None:
        """Stop beat and worker, so that nothing more is written and the spool becomes empty."""
        with self._step("beat and worker have stopped and shipped their spool"):
            self._stack.stop_shop()

    def views(self, expected: list[Expected]) -> None:
        """Failure clusters, one failure with its traceback, two workflows, all states: the product's own commands."""
        for arguments in commands(expected, self._stack):
            self._console.print()
            self._console.rule(f"[bold]celeryscope {' '.join(arguments)}", align="left")
            self._stack.show(*arguments)

    def account(self) -> None:
        """Compare what the workers wrote with what is in Elasticsearch. Raises StepError when it differs."""
        self._console.print()
        arguments = ["account", "--spool", str(self._stack.spool)]
        self._console.rule(f"[bold]celeryscope {' '.join(arguments)}", align="left")
        self._stack.show(*arguments, "--wait", str(_ACCOUNT_WAIT))

    @contextmanager
    def _step(self, title: str) -> Iterator[None]:
        begin = time.monotonic()
        say(f"{title} …")
        yield
        say("")
        self._console.print(f"[green]✓[/] {title}  [dim]{time.monotonic() - begin:.1f} s[/]", highlight=False)

    def _progress(self) -> Progress:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        return Progress(*columns, console=self._console, transient=True, disable=not self._console.is_terminal)


def commands(expected: list[Expected], stack: Stack) -> list[list[str]]:
    """The product's commands that show this load best, with ids that exist."""
    return [
        ["failures"],
        ["task", _failed_task(expected, stack)],
        ["workflow", _root(expected, _SHOWN_WORKFLOW)],
        ["workflow", _root(expected, "a flaky task")],
        ["logs", "--workflow", _root(expected, _SHOWN_WORKFLOW), "--level", "info"],
        ["status"],
    ]


def _root(expected: list[Expected], scenario: str) -> str:
    return next(item.root_id for item in expected if item.scenario == scenario)


def _failed_task(expected: list[Expected], stack: Stack) -> str:
    root = _root(expected, _SHOWN_FAILURE)
    return next(attempt.task_id for attempt in stack.attempts([root]) if attempt.state == "FAILURE")
