"""``celeryscope spool inspect``: the families, segments, records and damages of a spool on the terminal."""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import orjson

from celeryscope.errors import NotFound
from celeryscope.settings import Settings
from celeryscope.spool import counting, inspecting
from celeryscope.spool.folder import Segment, is_locked
from celeryscope.spool.inspecting import Content, Overview

_NAME_MOST = 100


@click.command()
@click.argument("names", metavar="[SEGMENT]...", nargs=-1)
@click.option("--dir", "folder", type=click.Path(path_type=Path), help="The spool [default: CELERYSCOPE_SPOOL_DIR].")
@click.option("--family", help="Show the segments of this family; the first characters of its name are enough.")
@click.option("--show", type=int, help="Print the record of this number as it is in the segment, as JSON.")
@click.option("--payload", is_flag=True, help="Print each record's JSON below it.")
@click.option("--verify", is_flag=True, help="Read all segments; end with 1 when something is corrupt.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_context
def inspect(
    context: click.Context,
    names: Sequence[str],
    folder: Path | None,
    family: str | None,
    show: int | None,
    payload: bool,
    verify: bool,
    as_json: bool,
) -> None:
    """Show the process families in the spool, the segments of one, or the records in a SEGMENT (a name or a path).

    Only reads, also from a spool in use. A segment whose end is cut belongs to a process that is writing, or was killed
    while it wrote: that is no corruption.

    \b
    celeryscope spool inspect                               the families
    celeryscope spool inspect --family 4711                 the segments of one
    celeryscope spool inspect 4712-0f3a9c1e.00000001        the records in a segment
    celeryscope spool inspect 4712-0f3a9c1e.00000001 --show 17
    celeryscope spool inspect --verify                      whether anything is corrupt
    """
    shown: dict[str, Any]
    if names:
        found = [_segment(name, folder) for name in names]
        shown = {"segments": [_segment_shown(segment, show, payload or show is not None) for segment in found]}
        if show is not None and not any(segment["records"] for segment in shown["segments"]):
            raise NotFound(f"No record {show} in {', '.join(names)}.")
    else:
        spool = existing(folder)
        shown = {"spool": str(spool), "families": list(_families_shown(spool, family, bool(family) or verify))}
    if as_json:
        click.echo(orjson.dumps(shown, option=orjson.OPT_INDENT_2).decode())
    elif show is not None and names:
        click.echo("\n".join(_pretty(record) for segment in shown["segments"] for record in segment["records"]))
    else:
        click.echo("\n".join(_segment_lines(shown) if names else _family_lines(shown)))
    if verify and _is_corrupt(shown):
        context.exit(1)


def existing(folder: Path | None) -> Path:
    """The spool to look into. Raises NotFound when there is none."""
    folder = folder or Settings.load().spool_dir
    if not folder.is_dir():
        raise NotFound(f"There is no spool at {folder}; name it with --dir or CELERYSCOPE_SPOOL_DIR.")
    return folder


def _segment(name: str, folder: Path | None) -> Segment:
    """The segment of that name in the spool, or the file of that path."""
    path = Path(name)
    if path.is_file():
        process, _, number = path.stem.rpartition(".")
        return Segment(process, int(number) if number.isdecimal() else 0, path)
    segment = inspecting.find(existing(folder), name)
    if segment is None:
        raise NotFound(f"There is no segment {name}; `celeryscope spool inspect --family ...` lists them.")
    return segment


def _families_shown(spool: Path, name: str | None, segments_too: bool) -> Iterator[dict[str, Any]]:
    found = [item for item in inspecting.overviews(spool) if name is None or item.path.name.startswith(name)]
    if name is not None and not found:
        raise NotFound(f"There is no family {name} in {spool}; without --family all are shown.")
    for item in found:
        dropped = Counter[str]()
        shown: dict[str, Any] = {
            "family": item.path.name,
            "pid": item.pid,
            "alive": item.alive,
            "shipping": item.shipped_by_somebody,
            "age_seconds": round(item.age),
            "segments": len(item.segments),
            "bytes": item.bytes,
            "pending": counting.pending(item.path, item.saved, dropped),
            **item.ledger.as_dict(),
            "position": item.position,
        }
        if segments_too:
            shown["contents"] = [_summary(item, segment) for segment in item.segments]
        yield shown


def _summary(family: Overview, segment: Segment) -> dict[str, Any]:
    content = _content(segment)
    records = [record for record in content.records if not record.carried]
    return {
        "segment": segment.path.stem,
        "alive": is_locked(segment.path),
        "bytes": content.bytes,
        "records": sum(record.count for record in records),
        "first": records[0].number - records[0].count + 1 if records else None,
        "last": records[-1].number if records else None,
        "to_ship": sum(record.count for record in records if not family.is_shipped(segment, record.number)),
        "damages": _damages(content),
    }


def _segment_shown(segment: Segment, only: int | None, payload: bool) -> dict[str, Any]:
    content = _content(segment)
    family = inspecting.overview(segment.path.parent)
    return {
        "segment": segment.path.stem,
        "path": str(segment.path),
        "alive": is_locked(segment.path),
        "bytes": content.bytes,
        "records": [
            {
                "number": record.number,
                "offset": record.offset,
                "kind": record.kind,
                "time": _time(record.time_ns),
                "name": record.name,
                "task_id": record.task_id,
                "state": record.state,
                "bytes": len(record.payload),
                "carried": record.carried,
                "to_ship": not record.carried and not family.is_shipped(segment, record.number),
                **({"payload": _decoded(record.payload)} if payload else {}),
            }
            for record in content.records
            if only is None or (record.number == only and not record.carried)
        ],
        "damages": _damages(content),
    }


def _content(segment: Segment) -> Content:
    try:
        return inspecting.content(segment.path)
    except FileNotFoundError:
        # Shipped and deleted since it was listed.
        return Content()


def _damages(content: Content) -> list[dict[str, Any]]:
    return [
        {"offset": item.offset, "end": item.end, "corrupt": not item.is_cut, "reason": item.reason}
        for item in content.damages
    ]


def _is_corrupt(shown: dict[str, Any]) -> bool:
    contents = shown.get("segments") or [item for family in shown["families"] for item in family["contents"]]
    return any(damage["corrupt"] for content in contents for damage in content["damages"])


def _time(time_ns: int | None) -> str | None:
    return None if time_ns is None else datetime.fromtimestamp(time_ns / 1e9, tz=UTC).isoformat()


def _decoded(payload: bytes) -> Any:
    try:
        return orjson.loads(payload)
    except orjson.JSONDecodeError:
        return payload.decode(errors="replace")


def _pretty(record: dict[str, Any]) -> str:
    return orjson.dumps(record["payload"], option=orjson.OPT_INDENT_2).decode()


def _family_lines(shown: dict[str, Any]) -> Iterator[str]:
    yield f"spool {shown['spool']}"
    rows = [("family", "process", "shipper", "age", "segments", "bytes", "pending", "shipped", "dropped")]
    for item in shown["families"]:
        alive = "alive" if item["alive"] else "dead"
        ships = "yes" if item["shipping"] else "none"
        rows.append(
            (
                item["family"],
                alive,
                ships,
                _age(item["age_seconds"]),
                str(item["segments"]),
                str(item["bytes"]),
                str(item["pending"]),
                str(item["shipped"]),
                str(sum(item["dropped"].values())),
            )
        )
    yield from _table(rows)
    for item in shown["families"]:
        if "contents" in item:
            yield ""
            yield f"family {item['family']}"
            yield from _content_lines(item["contents"])


def _content_lines(contents: list[dict[str, Any]]) -> Iterator[str]:
    rows = [("segment", "process", "bytes", "records", "numbers", "to ship")]
    for content in contents:
        numbers = f"{content['first']}-{content['last']}" if content["records"] else ""
        alive = "alive" if content["alive"] else ""
        counts = str(content["bytes"]), str(content["records"])
        rows.append((content["segment"], alive, *counts, numbers, str(content["to_ship"])))
    yield from _table(rows)
    for content in contents:
        yield from _damage_lines(content)


def _segment_lines(shown: dict[str, Any]) -> Iterator[str]:
    for content in shown["segments"]:
        yield f"{content['path']}  {content['bytes']} bytes, times in {datetime.now().astimezone().tzname()}"
        columns = ("number", "offset", "kind", "time", "state", "task", "bytes", "", "name")
        rows = [columns, *(_row(record) for record in content["records"])]
        lines = _table(rows)
        yield next(lines)
        for line, record in zip(lines, content["records"], strict=True):
            yield line
            if "payload" in record:
                yield _pretty(record)
        yield from _damage_lines(content)


def _row(record: dict[str, Any]) -> tuple[str, ...]:
    local = datetime.fromisoformat(record["time"]).astimezone().strftime("%m-%d %H:%M:%S.%f") if record["time"] else ""
    mark = "still open" if record["carried"] else "to ship" if record["to_ship"] else "shipped"
    told = (record["state"] or "", record["task_id"] or "", str(record["bytes"]), mark, record["name"][:_NAME_MOST])
    return str(record["number"]), str(record["offset"]), record["kind"], local, *told


def _damage_lines(content: dict[str, Any]) -> Iterator[str]:
    for item in content["damages"]:
        word = "corrupt" if item["corrupt"] else "cut"
        yield f"{word}: {content['segment']}, offset {item['offset']} to {item['end']}: {item['reason']}"


def _table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    shown = [[_printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    for row in shown:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _printable(text: str) -> str:
    """Nothing that a task wrote may steer the terminal."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def _age(seconds: int) -> str:
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
