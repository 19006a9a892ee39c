"""``celeryscope account``."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

import click
from rich.console import Console
from rich.text import Text

from celeryscope.errors import NotFound, Unbalanced
from celeryscope.service.elasticsearch import ElasticsearchSettings, connect
from celeryscope.service.kafka import KafkaSettings
from celeryscope.service.options import moment, since_option
from celeryscope.service.terminal import Terminal, plain_table, show_json
from celeryscope_pipelines.account.balance import Account, Workers
from celeryscope_pipelines.account.proof import Question, prove
from celeryscope_pipelines.settings import PipelineSettings
from celeryscope_pipelines.views.status import size

_NAMED = 5


@click.command()
@since_option(None)
@click.option("--until", callback=moment, metavar="TIME", help="Up to this time, as --since has it.  [now]")
@click.option("--tenant", help="Only this tenant's records.  [all tenants]")
@click.option(
    "--spool",
    "spools",
    multiple=True,
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="A spool on this machine; given all of them, what was shipped must match exactly.  [ask the heartbeats]",
)
@click.option(
    "--written", type=click.IntRange(min=0), help="Records that were shipped, if you know; must match exactly."
)
@click.option("--collector", "collectors", multiple=True, metavar="URL", help="Ask this collector what it dropped.")
@click.option("--wait", type=click.FloatRange(min=0), default=0.0, help="Seconds to wait until it balances.  [0]")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def account(
    since: datetime | None,
    until: datetime | None,
    tenant: str | None,
    spools: tuple[Path, ...],
    written: int | None,
    collectors: tuple[str, ...],
    wait: float,
    as_json: bool,
) -> None:
    """Prove that nothing was lost from the workers to the index: look up each record that is in Kafka.

    A record is accounted for if its document is in Elasticsearch, a later snapshot of the same attempt is, or it is a
    dead letter. What workers shipped must be in Kafka, or have been dropped by the collector. Ends with exit code 1
    when anything is missing.

    \b
    Example, ten minutes after a deployment:
        celeryscope account --since 10m
    """
    if (spools or written is not None) and (since or until):
        raise click.UsageError(
            "--spool and --written count all records there ever were; leave --since and --until out."
        )
    asked = PipelineSettings.load(collectors=",".join(collectors) or None)
    question = Question(since, until, tenant, written, spools, asked)
    with connect(ElasticsearchSettings.load()) as client, Console(stderr=True).status("Looking up every record …"):
        found = prove(KafkaSettings.load(), client, question, wait)
    if not found.distinct and not (found.workers and found.workers.shipped):
        raise NotFound("Kafka has no such records. Is --tenant right, and does --since reach back far enough?")
    if as_json:
        show_json(found.as_dict() | {"since": since and since.isoformat(), "until": until and until.isoformat()})
    else:
        _show(found)
    if not found.balanced:
        raise Unbalanced(_what_is_wrong(found))


def _show(account: Account) -> None:
    table = plain_table("", "records", right=("records",))
    rows = [*_workers(account.workers), *_collectors(account), *_index(account)]
    for name, count in rows:
        table.add_row(Text(name, "bold" if not name.startswith(" ") else ""), count)
    Terminal().show(
        table, Text(f"\nbalanced: {'yes' if account.balanced else 'NO'}", "" if account.balanced else "red")
    )


def _workers(workers: Workers | None) -> list[tuple[str, str]]:
    if workers is None:
        return [("workers: no heartbeats in this time, so nothing to compare with", "")]
    written = workers.written
    rows = [(_SOURCES[workers.source], "" if written is None else f"{written:,}")]
    if workers.source != "stated":
        rows += [("  superseded", f"{workers.superseded:,}"), *_reasons("  dropped", workers.dropped)]
    if workers.pending is not None:
        rows.append(("  pending", f"{workers.pending:,}"))
    elif workers.pending_bytes is not None:
        rows.append(("  pending", size(workers.pending_bytes)))
    return [*rows, ("  shipped", f"{workers.shipped:,}")]


_SOURCES = {
    "spools": "written to the spools",
    "heartbeats": "written by workers, as their heartbeats say",
    "stated": "shipped, as you say",
}


def _collectors(account: Account) -> list[tuple[str, str]]:
    collectors = account.collectors
    if not collectors.reached:
        return []
    return [
        ("collectors, since they started", ""),
        ("  received", f"{collectors.received:,}"),
        ("  accepted: in Kafka", f"{collectors.accepted:,}"),
        ("  left with their senders", f"{collectors.unavailable:,}"),
        *_reasons("  refused", collectors.refused),
        *_reasons("  dropped", collectors.dropped),
    ]


def _index(account: Account) -> list[tuple[str, str]]:
    return [
        ("in Kafka", ""),
        ("  distinct", f"{account.distinct:,}"),
        ("  repeated", f"{account.repeated:,}"),
        ("found in Elasticsearch", ""),
        ("  spans", f"{account.found['spans']:,}"),
        ("  log lines and failures", f"{account.found['logs']:,}"),
        ("  snapshots of attempts", f"{account.found['snapshots']:,}"),
        ("  in two indices of a data stream", f"{account.doubled:,}"),
        *(_reasons("dead letters", account.put_aside) or [("dead letters", "0")]),
        ("shipped, but not in Kafka", f"{account.unaccounted:,}"),
        ("in Kafka, but nowhere else", f"{len(account.missing):,}"),
    ]


def _reasons(what: str, counts: Mapping[str, int]) -> list[tuple[str, str]]:
    return [(f"{what}: {reason}", f"{count:,}") for reason, count in sorted(counts.items()) if count]


def _what_is_wrong(account: Account) -> str:
    problems = []
    if account.missing:
        named = ", ".join(f"{one} (in {account.missing[one]})" for one in sorted(account.missing)[:_NAMED])
        problems.append(
            f"{len(account.missing)} records of Kafka are not in Elasticsearch: {named}. Is the indexer running and "
            "done? `celeryscope status` shows its lag, --wait gives it time. Else the documents were deleted, by hand "
            "or by a retention shorter than Kafka's: an indexer with another CELERYSCOPE_INDEXER_GROUP_ID reads all of "
            "Kafka again and restores them."
        )
        if account.letters_gone:
            problems.append(
                f"{account.letters_gone} dead letters were purged or expired; their records count as missing as well."
            )
    if account.unaccounted > 0:
        senders = "".join(f" {sender}: {count}." for sender, count in sorted(account.short.items())[:_NAMED])
        problems.append(f"{account.unaccounted} records that were shipped are not in Kafka.{senders}{_asked(account)}")
    if account.unaccounted < 0:
        problems.append(f"Kafka has {-account.unaccounted} records more than were shipped (an earlier spool's?).")
    return "\n".join(problems)


def _asked(account: Account) -> str:
    if not account.collectors.unreachable:
        return ""
    unreachable = ", ".join(account.collectors.unreachable)
    return f" {unreachable} could not be asked what it dropped on purpose: name the collectors with --collector."
