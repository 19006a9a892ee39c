"""``celeryscope dead-letter``: see what could not be indexed, and put it back."""

import re
from collections.abc import Callable
from contextlib import closing
from datetime import datetime
from functools import wraps
from typing import Any

import click
import orjson
from rich.text import Text

from celeryscope.errors import NotFound
from celeryscope.service.kafka import KafkaSettings
from celeryscope_pipelines.dead_letters import DeadLetters, StoredLetter, read_dead_letters
from celeryscope_pipelines.decode import KIND_OF_TOPIC
from celeryscope_pipelines.views.options import json_option, since_option
from celeryscope_pipelines.views.terminal import Terminal, plain_table, show_json, verbatim

_POSITION = re.compile(r"\d+:\d+")


def _positions(ctx: click.Context, param: click.Parameter, value: tuple[str, ...] | str) -> tuple[str, ...] | str:
    for position in (value,) if isinstance(value, str) else value:
        if not _POSITION.fullmatch(position):
            raise click.BadParameter(
                f"{position!r} is no position; `celeryscope dead-letter list` has them.", ctx, param
            )
    return value


def _kafka_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--kafka``; the command gets the connection's settings as its first argument."""

    @click.option("--kafka", "bootstrap_servers", metavar="HOST:PORT", help="Kafka brokers.  [127.0.0.1:9092]")
    @wraps(command)
    def with_kafka(*args: Any, bootstrap_servers: str | None, **options: Any) -> Any:
        return command(KafkaSettings.load(bootstrap_servers=bootstrap_servers), *args, **options)

    return with_kafka


@click.group()
def dead_letter() -> None:
    """Records that could not be indexed, with the reason.

    The indexer puts a record aside when it can't be understood or Elasticsearch refuses it for good. When the cause is
    gone, `replay` puts such records back on their topic. A record that was indexed meanwhile is not doubled.
    """


@dead_letter.command("list")
@since_option(None)
@click.option("--reason", metavar="NAME", help="Only letters with this reason.")
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True, help="The latest letters.")
@json_option
@_kafka_option
def list_letters(kafka: KafkaSettings, since: datetime | None, reason: str | None, limit: int, as_json: bool) -> None:
    """The dead letters, the oldest first; exit code 3 when there are none."""
    letters = [letter for letter in read_dead_letters(kafka, since) if reason in {None, letter.reason}]
    if not letters:
        raise NotFound("There are no dead letters" + (f" with the reason {reason!r}." if reason else "."))
    shown = letters[-limit:]
    if as_json:
        show_json({"total": len(letters), "letters": [_as_dict(letter) for letter in shown]})
        return
    table = plain_table("position", "time", "reason", "kind", "from", "error")
    for letter in shown:
        table.add_row(
            letter.position,
            f"{letter.time.astimezone():%Y-%m-%d %H:%M:%S}",
            letter.reason,
            letter.kind,
            _source(letter),
            letter.error,
        )
    Terminal().show(table, Text(f"\n{len(shown)} of {len(letters)} dead letters"))


@dead_letter.command()
@click.argument("position", callback=_positions)
@json_option
@_kafka_option
def show(kafka: KafkaSettings, position: str, as_json: bool) -> None:
    """One dead letter with its record; POSITION as `list` shows it."""
    letter = _selected(kafka, (position,))[0]
    if as_json:
        show_json({**_as_dict(letter), "record": _record(letter)})
        return
    table = plain_table("", "")
    table.show_header = False
    for name, content in _as_dict(letter).items():
        table.add_row(Text(name, "dim"), str(content))
    Terminal().show(table, Text(), verbatim(_pretty(letter)))


@dead_letter.command()
@click.argument("positions", metavar="[POSITION]...", nargs=-1, callback=_positions)
@click.option("--all", "everything", is_flag=True, help="All dead letters.")
@click.option("--reason", metavar="NAME", help="All with this reason.")
@since_option(None)
@json_option
@_kafka_option
def replay(
    kafka: KafkaSettings,
    positions: tuple[str, ...],
    everything: bool,
    reason: str | None,
    since: datetime | None,
    as_json: bool,
) -> None:
    """Put records back on the topic they came from, for the indexer to try again.

    The letters stay listed; replaying one twice does no harm.

    \b
    Examples:
      celeryscope dead-letter replay 0:17 0:18
      celeryscope dead-letter replay --reason refused_by_elasticsearch --since 1h
    """
    if bool(positions) + everything + bool(reason) != 1:
        raise click.UsageError("Say which letters: their positions, --reason NAME, or --all.")
    letters = _selected(kafka, positions) if positions else _matching(kafka, reason, since)
    unknown = [letter.position for letter in letters if letter.topic not in KIND_OF_TOPIC]
    with closing(DeadLetters(kafka)) as dead_letters:
        for letter in letters:
            if letter.topic in KIND_OF_TOPIC:
                dead_letters.replay(letter)
    if as_json:
        show_json({"replayed": len(letters) - len(unknown), "skipped": unknown})
        return
    replayed = len(letters) - len(unknown)
    click.echo("1 record put back on its topic" if replayed == 1 else f"{replayed} records put back on their topics")
    if unknown:
        click.echo(f"left where they are, since they name no topic of ours: {', '.join(unknown)}", err=True)


def _selected(kafka: KafkaSettings, positions: tuple[str, ...]) -> list[StoredLetter]:
    """The letters at these positions, in the order of the topic. Raises NotFound naming those that aren't there."""
    wanted = set(positions)
    found = [letter for letter in read_dead_letters(kafka) if letter.position in wanted]
    if missing := wanted - {letter.position for letter in found}:
        raise NotFound(f"No dead letter at {', '.join(sorted(missing))}. `celeryscope dead-letter list` has them.")
    return found


def _matching(kafka: KafkaSettings, reason: str | None, since: datetime | None) -> list[StoredLetter]:
    found = [letter for letter in read_dead_letters(kafka, since) if reason in {None, letter.reason}]
    if not found:
        raise NotFound("No dead letter matches. `celeryscope dead-letter list` has them.")
    return found


def _source(letter: StoredLetter) -> str:
    return f"{letter.topic} {letter.partition}:{letter.offset}"


def _as_dict(letter: StoredLetter) -> dict[str, Any]:
    return {
        "position": letter.position,
        "time": letter.time.isoformat(),
        "reason": letter.reason,
        "error": letter.error,
        "kind": letter.kind,
        "topic": letter.topic,
        "partition": letter.partition,
        "offset": letter.offset,
        "bytes": len(letter.value),
    }


def _record(letter: StoredLetter) -> Any:
    """The record as JSON; what is none, as text with escapes (a terminal must not obey what somebody sent)."""
    try:
        return orjson.loads(letter.value)
    except orjson.JSONDecodeError:
        return repr(letter.value)[2:-1]


def _pretty(letter: StoredLetter) -> str:
    record = _record(letter)
    return record if isinstance(record, str) else orjson.dumps(record, option=orjson.OPT_INDENT_2).decode()
