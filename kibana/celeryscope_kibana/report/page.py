"""The page: one file of HTML with everything in it, which asks no network for anything.

What a report holds is hostile: messages, arguments and tracebacks are whatever an application was sent. It stands in
the page as JSON in which no character can end its element, and the script puts it on the screen as text only. A policy
names the hashes of the two scripts, so nothing else in the page would run; Vega interprets its expressions instead of
making functions of them.
"""

import base64
import hashlib
import json
from dataclasses import asdict
from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import Any, Final

import vl_convert

from celeryscope import semconv
from celeryscope.__about__ import __version__
from celeryscope_kibana.report.gathering import Report
from celeryscope_kibana.states import LOOKS
from celeryscope_kibana.vega.timeline.attempts import PICKED

_SCRIPTS: Final = ("elements.js", "views.js", "lists.js", "workflow.js", "failure.js", "begin.js")
"""In this order they are one script."""
_VEGA: Final = "window.vegaEmbed = vegaEmbed;"
_NAMES: Final = {
    "task": semconv.TASK_ID,
    "task_name": semconv.TASK_NAME,
    "root": semconv.ROOT_ID,
    "parent": semconv.PARENT_ID,
    "retries": semconv.RETRIES,
    "state": semconv.STATE,
    "worker": semconv.WORKER,
    "queue": semconv.MESSAGING_DESTINATION,
    "host": semconv.HOST_NAME,
    "service": semconv.SERVICE_NAME,
    "release": semconv.SERVICE_VERSION,
    "sent": semconv.SENT_AT,
    "received": semconv.RECEIVED_AT,
    "started": semconv.STARTED_AT,
    "ended": semconv.ENDED_AT,
    "eta": semconv.ETA,
    "queue_time": semconv.QUEUE_TIME,
    "prefetch_time": semconv.PREFETCH_TIME,
    "runtime": semconv.RUNTIME,
    "args": semconv.ARGS,
    "kwargs": semconv.KWARGS,
    "exception": semconv.EXCEPTION_TYPE,
    "message": semconv.EXCEPTION_MESSAGE,
    "reason": semconv.RETRY_REASON,
    "kind": semconv.FAILURE_KIND,
    "fingerprint": semconv.FINGERPRINT,
    "redelivered": semconv.REDELIVERED,
    "trace": "trace_id",
    "team": semconv.OWNER_TEAM,
    "runbook": semconv.OWNER_RUNBOOK,
}
"""The names of fields, by the script's names for them."""


def page_of(report: Report, tenant: str, start: datetime, end: datetime) -> str:
    """The page of a report on the tenant's time range."""
    about = {"tenant": tenant, "start": start.isoformat(), "end": end.isoformat(), "version": __version__}
    looks = {state: {"label": look.label, "colour": look.colour} for state, look in LOOKS.items()}
    data = {**asdict(report), "about": about, "names": _NAMES, "looks": looks, "picked": PICKED}
    style, vega, script = _part("page.css"), _vega(), _script()
    return "".join(
        (
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n',
            f'<meta http-equiv="Content-Security-Policy" content="{_policy(style, vega, script)}">\n',
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>Celery report</title>\n',
            f"<style>{style}</style>\n</head>\n",
            _part("page.html"),
            f'<script type="application/json" id="report">{_data(data)}</script>\n',
            f"<script>{vega}</script>\n<script>{script}</script>\n</body>\n</html>\n",
        )
    )


def _part(name: str) -> str:
    return (files("celeryscope_kibana.report") / "assets" / name).read_text("utf-8")


@cache
def _vega() -> str:
    """Vega with all that it needs, in a form that can stand in an element; making it takes seconds.

    Both texts that are replaced mean the same in a string or a pattern afterwards.
    """
    code: str = vl_convert.javascript_bundle(_VEGA)
    return code.replace("</script", "<\\/script").replace("<!--", "<\\!--")


def _script() -> str:
    """The page's own script, whose names are no one else's."""
    return "".join(["(() => {\n'use strict';\n", *(_part(name) for name in _SCRIPTS), "})();\n"])


def _policy(style: str, *scripts: str) -> str:
    """Only these scripts and this style, and nothing from anywhere."""
    sources = " ".join(_hash(script) for script in scripts)
    return f"default-src 'none'; script-src {sources}; style-src {_hash(style)}; base-uri 'none'; form-action 'none'"


def _hash(content: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


def _data(data: dict[str, Any]) -> str:
    """JSON without any character that means something in HTML; ASCII, so half a surrogate pair is no error either."""
    text = json.dumps(data)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
