"""Options that commands which read Elasticsearch share."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import wraps
from typing import Any

import click

from celeryscope import semconv
from celeryscope.service.elasticsearch import ElasticsearchSettings, connect

_AGO = re.compile(r"(\d+)\s*(s|m|min|h|d|w)", re.IGNORECASE)
_SECONDS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400, "w": 604_800}


def moment(ctx: click.Context, param: click.Parameter, value: str | None) -> datetime | None:
    """The moment that a time before now (``15m``, ``24h``, ``7d``) or a date (ISO 8601, local time) means, in UTC.

    None stays None; what is neither is an error of usage.
    """
    if value is None:
        return None
    ago = _AGO.fullmatch(value.strip())
    try:
        if ago:
            return datetime.now(UTC) - timedelta(seconds=int(ago[1]) * _SECONDS[ago[2].lower()])
        return datetime.fromisoformat(value).astimezone(UTC)
    except (ValueError, OverflowError):
        raise click.BadParameter(
            f"{value!r} is no time; use e.g. 15m, 24h, 7d or 2026-11-21T14:00.", ctx, param
        ) from None


def connection_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of the connection; the command gets ``client`` and ``tenant`` as its first arguments."""

    @click.option(
        "--elasticsearch-url",
        metavar="URL",
        help="Elasticsearch to read from.  [env: CELERYSCOPE_ELASTICSEARCH_URL; default: http://127.0.0.1:9200]",
    )
    @click.option("--tenant", default=semconv.DEFAULT_TENANT, show_default=True, help="Whose data to show.")
    @wraps(command)
    def connected(*args: Any, elasticsearch_url: str | None, tenant: str, **options: Any) -> Any:
        settings = ElasticsearchSettings.load(url=elasticsearch_url)
        with connect(settings) as client:
            return command(client, tenant, *args, **options)

    return connected


json_option = click.option("--json", "as_json", is_flag=True, help="Write JSON instead (see docs/terminal.md).")


def since_option(default: str | None) -> Callable[[Any], Any]:
    """``--since`` with its default; None looks at all there is."""
    return click.option(
        "--since",
        callback=moment,
        default=default,
        show_default=default or "all there is",
        metavar="TIME",
        help="Look back this far: 15m, 24h, 7d, or a date such as 2026-11-21T14:00.",
    )
