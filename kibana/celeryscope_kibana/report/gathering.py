"""What belongs in a report: the lists of the time range, and all that one can open from them, up to a size."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote

from celeryscope import semconv
from celeryscope_kibana.report.context import Context
from celeryscope_kibana.report.store import Store
from celeryscope_kibana.vega.clusters import cluster_table
from celeryscope_kibana.vega.source import Spec
from celeryscope_kibana.vega.timeline import timeline

MOST_BYTES: Final = 16 * 1024 * 1024
"""Size of the timelines in a report, as JSON; when it is reached, the rest of the listed workflows stay out."""
_MOST_TEXT: Final = 8 * 1024 * 1024
"""Size of the tracebacks, likewise."""
_DETAILS: Final = (
    semconv.ARGS,
    semconv.KWARGS,
    semconv.QUEUE_TIME,
    semconv.PREFETCH_TIME,
    semconv.RUNTIME,
    semconv.HOST_NAME,
    semconv.SERVICE_NAME,
    semconv.SERVICE_VERSION,
    semconv.FAILURE_KIND,
    semconv.FINGERPRINT,
    semconv.REDELIVERED,
    semconv.OWNER_TEAM,
    semconv.OWNER_RUNBOOK,
    "trace_id",
)
"""What the page shows of an attempt beyond what the timeline asks for."""
_SAMPLE_TASKS: Final = 10


@dataclass(frozen=True, slots=True)
class Selection:
    """What to report on: a time range, and what to open first, whether or not it is in the lists."""

    start: datetime
    end: datetime
    workflow: str | None = None
    """The id of a workflow, or of one of its tasks."""
    failure: str | None = None
    """The first characters of a fingerprint."""


@dataclass(slots=True)
class Report:
    """All that the page needs; it is written into the page as JSON, so the names are the script's too."""

    timeline: Spec
    """The specification, with its requests; ``listed`` and ``workflows`` hold what they found."""
    clusters: Spec
    """The specification, with what its requests found."""
    listed: Spec
    """What the timeline's request for the list of workflows found."""
    workflows_in_range: int = 0
    workflows: dict[str, list[Spec]] = field(default_factory=dict)
    """By root id the documents of attempts, as hits."""
    attempts_in: dict[str, int] = field(default_factory=dict)
    """By root id how many attempts there are, of those workflows of which not all are here."""
    left_out: list[str] = field(default_factory=list)
    """Root ids that are listed, and whose timelines found no room."""
    tracebacks: list[str] = field(default_factory=list)
    """Each different text once."""
    traceback_of: dict[str, int | None] = field(default_factory=dict)
    """By attempt the number of its text in ``tracebacks``; None when it found no room."""
    failures: dict[str, list[Spec]] = field(default_factory=dict)
    """By fingerprint the latest failures, of which one has the number of its ``traceback``."""
    opened: str = ""
    """The part of the address behind # with which the page begins."""


def gather(store: Store, selection: Selection) -> Report:
    """Ask for everything. Raises NotFound when there is no such workflow or failure, and the errors of ``Store``."""
    context = Context(selection.start, selection.end)
    failure = store.fingerprint_of(selection.failure, context) if selection.failure else None
    named = store.workflow_of(selection.workflow) if selection.workflow else None
    specification = _as_of(selection.end, timeline())
    listed = store.answer(_requests(specification)["found"], context)
    # Where there is no index at all, Elasticsearch leaves them out.
    listed.setdefault("aggregations", {})
    report = Report(specification, _clusters(store, context, failure), listed, store.workflows_within(context))
    texts = _Texts(report.tracebacks)
    for bucket in _values(report.clusters, "buckets")["aggregations"]["clusters"]["buckets"]:
        found = store.failures_of(bucket["key"], context, _SAMPLE_TASKS)
        report.failures[bucket["key"]] = texts.taken_from_first(found)
    if named:
        root, first, last = named
        _add_workflow(report, store, Context(first, last, (_of(root),)), root, texts)
        report.opened = f"workflow={quote(root)}"
    _add_listed(report, store, context, texts)
    if failure:
        report.opened = f"failure={quote(failure)}"
    return report


class _Texts:
    """Tracebacks, each different one once: in a group of hundreds all are often the same."""

    def __init__(self, texts: list[str]) -> None:
        self._texts = texts
        self._numbers: dict[str, int] = {}
        self._bytes = 0

    def number(self, text: str) -> int | None:
        """The place of the text in the list; None when it is new and there is no room."""
        if text not in self._numbers:
            if self._bytes + len(text) > _MOST_TEXT:
                return None
            self._bytes += len(text)
            self._numbers[text] = len(self._texts)
            self._texts.append(text)
        return self._numbers[text]

    def taken_from_first(self, failures: list[Spec]) -> list[Spec]:
        """The failures without their texts; the first that has one with its number as ``traceback``."""
        name = semconv.EXCEPTION_STACKTRACE
        rest = [{key: value for key, value in failure.items() if key != name} for failure in failures]
        for place, failure in enumerate(failures):
            if failure.get(name):
                rest[place]["traceback"] = self.number(failure[name])
                break
        return rest


def _add_listed(report: Report, store: Store, context: Context, texts: _Texts) -> None:
    """The workflows of the list in its order, as long as there is room."""
    size = sum(len(json.dumps(hits)) for hits in report.workflows.values())
    for root in _roots(report.listed):
        if root in report.workflows:
            continue
        if size >= MOST_BYTES:
            report.left_out.append(root)
            continue
        of_workflow = Context(context.start, context.end, (_of(root),))
        size += _add_workflow(report, store, of_workflow, root, texts)


def _add_workflow(report: Report, store: Store, context: Context, root: str, texts: _Texts) -> int:
    """Add the attempts of one workflow and their tracebacks; the size of the attempts in bytes."""
    request = _requests(report.timeline)["attempts"]
    found = store.answer(request, context, _source=[*request["body"]["_source"], *_DETAILS])["hits"]
    hits = [{"_source": hit["_source"]} for hit in found["hits"]]
    report.workflows[root] = hits
    if found["total"]["value"] > len(hits):
        report.attempts_in[root] = found["total"]["value"]
    if any(hit["_source"].get(semconv.EXCEPTION_TYPE) for hit in hits):
        for failure in store.tracebacks_of(root):
            attempt = f"{failure.get(semconv.TASK_ID)}:{failure.get(semconv.RETRIES) or 0}"
            report.traceback_of.setdefault(attempt, texts.number(failure[semconv.EXCEPTION_STACKTRACE]))
    return len(json.dumps(hits))


def _clusters(store: Store, context: Context, failure: str | None) -> Spec:
    """The specification of the clusters, answered; one that is asked for is there, however rare it is."""
    specification = _as_of(context.end, cluster_table())
    requests = _requests(specification)
    answers = {name: store.answer(request, context) for name, request in requests.items()}
    empty: Spec = {"clusters": {"buckets": []}}
    buckets = answers["buckets"].setdefault("aggregations", empty)["clusters"]["buckets"]
    if failure and failure not in {bucket["key"] for bucket in buckets}:
        only = {"term": {f"attributes.{semconv.FINGERPRINT}": failure}}
        alone = store.answer(requests["buckets"], Context(context.start, context.end, (only,)))
        buckets += alone["aggregations"]["clusters"]["buckets"]
    for data in specification["data"]:
        if data.pop("url", None):
            data["values"] = answers[data["name"]]
    return specification


def _as_of(moment: datetime, specification: Spec) -> Spec:
    """The specification as of that moment: what was running then does not run on while the page lies in a drawer."""
    milliseconds = str(int(moment.timestamp() * 1000))
    found: Spec = json.loads(json.dumps(specification).replace("now()", milliseconds))
    return found


def _requests(specification: Spec) -> dict[str, Spec]:
    return {data["name"]: data["url"] for data in specification["data"] if "url" in data}


def _values(specification: Spec, name: str) -> Any:
    return next(data["values"] for data in specification["data"] if data["name"] == name)


def _of(root: str) -> Spec:
    return {"term": {semconv.ROOT_ID: root}}


def _roots(listed: Spec) -> Iterator[str]:
    """Root ids of the list: every order's buckets of which something failed, ran or waited."""
    known = set()
    for order, found in listed.get("aggregations", {}).items():
        for bucket in found["buckets"]:
            counted = bucket[order].get("doc_count") or bucket[order].get("value")
            if counted and bucket["key"] not in known:
                known.add(bucket["key"])
                yield bucket["key"]
