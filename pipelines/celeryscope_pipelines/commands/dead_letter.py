"""``celeryscope dead-letter``: see what could not be indexed, put it back, or delete it."""

import re
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from datetime import datetime
from functools import wraps
from typing import Any

import click
import orjson
from rich.text import Text

from celeryscope.errors import CeleryscopeError, NotFound
from celeryscope.service.kafka import KafkaSettings
from celeryscope.service.options import json_option, moment, since_option
from celeryscope.service.terminal import Terminal, plain_table, show_json, verbatim
from celeryscope_pipelines.dead_letters import (
    DeadLetters,
    Selection,
    StoredLetter,
    letters_at,
    plan_purge,
    read_dead_letters,
)
from celeryscope_pipelines.decode import KIND_OF_TOPIC
from celeryscope_pipelines.views.wording import clean, one_line

_POSITION = re.compile(r"\d+:\d+")


def _positions(ctx: click.Context, param: click.Parameter, value: Any) -> Any:
    for position in (value,) if isinstance(value, str) else value or ():
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


def _selection_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--reason`` and ``--error``; the command gets them as ``selection``."""

    @click.option("--reason", metavar="NAME", help="Only letters with this reason.")
    @click.option("--error", metavar="TEXT", help="Only letters whose error has this text in it.")
    @wraps(command)
    def with_selection(*args: Any, reason: str | None, error: str | None, **options: Any) -> Any:
        return command(*args, selection=Selection(reason, error), **options)

    return with_selection


@click.group()
def dead_letter() -> None:
    """Records that could not be indexed, with the reason.

    The indexer puts a record aside when it can't be understood or Elasticsearch refuses it for good. When the cause is
    gone, `replay` puts such records back on their topic. A record that was indexed meanwhile is not doubled.
    """


@dead_letter.command("list")
@since_option(None)
@_selection_options
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True, help="The latest letters.")
@json_option
@_kafka_option
def list_letters(kafka: KafkaSettings, since: datetime | None, selection: Selection, limit: int, as_json: bool) -> None:
    """The dead letters, the oldest first; exit code 3 when there are none."""
    shown, total = deque[dict[str, Any]](maxlen=limit), 0
    for letter in _matching(kafka, selection, since):
        shown.append(_as_dict(letter))
        total += 1
    if as_json:
        show_json({"total": total, "letters": list(shown)})
        return
    table = plain_table("position", "time", "reason", "kind", "from", "error")
    for item in shown:
        source = f"{item['topic']} {item['partition']}:{item['offset']}"
        cells = (item["position"], _local(item["time"]), item["reason"], item["kind"], source, item["error"])
        table.add_row(*map(one_line, cells))
    Terminal().show(table, Text(f"\n{len(shown)} of {total} dead letters"))


@dead_letter.command()
@since_option(None)
@_selection_options
@json_option
@_kafka_option
def count(kafka: KafkaSettings, since: datetime | None, selection: Selection, as_json: bool) -> None:
    """How many dead letters there are, by reason, with the times of the first and the last one."""
    found: dict[str, dict[str, Any]] = {}
    for letter in read_dead_letters(kafka, since):
        if selection.has(letter):
            time = letter.time.isoformat()
            known = found.setdefault(letter.reason, {"count": 0, "first": time})
            known["count"] += 1
            known["last"] = time
    reasons = dict(sorted(found.items(), key=lambda item: -item[1]["count"]))
    total = sum(known["count"] for known in reasons.values())
    if as_json:
        show_json({"total": total, "reasons": reasons})
        return
    table = plain_table("count", "reason", "first", "last", right=("count",))
    for reason, known in reasons.items():
        table.add_row(f"{known['count']:,}", one_line(reason), _local(known["first"]), _local(known["last"]))
    Terminal().show(table, Text(f"\n{total:,} dead letters"))


@dead_letter.command()
@click.argument("position", callback=_positions)
@json_option
@_kafka_option
def show(kafka: KafkaSettings, position: str, as_json: bool) -> None:
    """One dead letter with its record; POSITION as `list` shows it."""
    letter = _at(kafka, (position,))[0]
    if as_json:
        show_json({**_as_dict(letter), "record": _record(letter)})
        return
    table = plain_table("", "")
    table.show_header = False
    for name, content in _as_dict(letter).items():
        table.add_row(Text(name, "dim"), one_line(str(content)))
    Terminal().show(table, Text(), verbatim(clean(_pretty(letter))))


@dead_letter.command()
@click.argument("positions", metavar="[POSITION]...", nargs=-1, callback=_positions)
@click.option("--all", "everything", is_flag=True, help="All dead letters.")
@_selection_options
@since_option(None)
@json_option
@_kafka_option
def replay(
    kafka: KafkaSettings,
    positions: tuple[str, ...],
    everything: bool,
    selection: Selection,
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
    if bool(positions) + everything + (selection != Selection()) != 1:
        raise click.UsageError("Say which letters: their positions, --reason NAME and --error TEXT, or --all.")
    if positions and since:
        raise click.UsageError("--since does not go with positions.")
    letters = _at(kafka, positions) if positions else _matching(kafka, selection, since)
    replayed, skipped = _replay(kafka, letters)
    if as_json:
        show_json({"replayed": replayed, "skipped": skipped})
        return
    click.echo("1 record put back on its topic" if replayed == 1 else f"{replayed} records put back on their topics")
    if skipped:
        click.echo(f"left where they are, since they name no topic of ours: {', '.join(skipped)}", err=True)


@dead_letter.command()
@click.option("--before", callback=moment, metavar="TIME", help="All older ones: than 30d, or than a date.")
@click.option("--to", "upto", callback=_positions, metavar="POSITION", help="All up to this one.")
@click.option("--all", "everything", is_flag=True, help="All dead letters.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@_kafka_option
def purge(
    kafka: KafkaSettings, before: datetime | None, upto: str | None, everything: bool, yes: bool, as_json: bool
) -> None:
    """Delete dead letters for good, the oldest ones up to a time or a position.

    Kafka deletes from the start of a topic only, so not by reason. Tells what goes and what stays, and asks. Records of
    these letters that were not replayed are in no index, and `celeryscope account` can't tell them from lost ones.

    \b
    Example: celeryscope dead-letter purge --before 30d
    """
    if bool(before) + bool(upto) + everything != 1:
        raise click.UsageError("Say which letters: --before TIME, --to POSITION, or --all.")
    if as_json and not yes:
        raise click.UsageError("--json needs --yes: nobody can be asked.")
    place = tuple(int(part) for part in upto.split(":")) if upto else None
    plan = plan_purge(kafka, before, (place[0], place[1]) if place else None)
    if not plan.going:
        raise NotFound(f"No dead letter is that old; {plan.staying.total()} stay.")
    if not as_json:
        click.echo(f"{plan.going.total()} go, put there from {plan.oldest} to {plan.newest}: {_reasons(plan.going)}")
        click.echo(f"{plan.staying.total()} stay: {_reasons(plan.staying)}")
    if not yes:
        click.confirm("Delete them for good?", abort=True)
    plan.carry_out(kafka)
    if as_json:
        show_json({"purged": dict(plan.going), "staying": dict(plan.staying)})
    else:
        click.echo(f"{plan.going.total()} dead letters deleted")


def _replay(kafka: KafkaSettings, letters: Iterable[StoredLetter]) -> tuple[int, list[str]]:
    """How many were put back, and the positions of those that name no topic of ours."""
    skipped: list[str] = []

    def replayable() -> Iterator[StoredLetter]:
        for letter in letters:
            if letter.topic in KIND_OF_TOPIC:
                yield letter
            else:
                skipped.append(letter.position)

    replayed = 0
    with closing(DeadLetters(kafka)) as dead_letters:
        try:
            for _ in dead_letters.replay(replayable()):
                replayed += 1
        except CeleryscopeError:
            if replayed:
                click.echo(
                    f"{replayed} records were put back before this; a second replay of them does no harm.", err=True
                )
            raise
    return replayed, skipped


def _at(kafka: KafkaSettings, positions: tuple[str, ...]) -> list[StoredLetter]:
    """The letters at these positions, as they were named. Raises NotFound naming those that aren't there."""
    found = list(letters_at(kafka, dict.fromkeys(positions)))
    if missing := set(positions) - {letter.position for letter in found}:
        raise NotFound(f"No dead letter at {', '.join(sorted(missing))}. `celeryscope dead-letter list` has them.")
    return found


def _matching(kafka: KafkaSettings, selection: Selection, since: datetime | None) -> Iterator[StoredLetter]:
    """One letter after the other. Raises NotFound at the end when there was none."""
    there_is_none = True
    for letter in filter(selection.has, read_dead_letters(kafka, since)):
        there_is_none = False
        yield letter
    if there_is_none:
        raise NotFound("There are no such dead letters." if selection != Selection() else "There are no dead letters.")


def _reasons(counts: Counter[str]) -> str:
    return ", ".join(f"{one_line(reason)} {count}" for reason, count in counts.most_common()) or "none"


def _local(time: str) -> str:
    return f"{datetime.fromisoformat(time).astimezone():%Y-%m-%d %H:%M:%S}"


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
