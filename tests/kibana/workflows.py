"""Workflows as Elasticsearch holds them: documents of attempts, a line of code each. Times are in seconds."""

from datetime import UTC, datetime, timedelta
from typing import Any

from celeryscope import semconv

Document = dict[str, Any]
ROOT = "root"


class Workflow:
    """Documents of one workflow's attempts; its first moment is so many seconds ago."""

    def __init__(self, began_ago: float = 3600, root: str = ROOT) -> None:
        self._start = datetime.now(UTC) - timedelta(seconds=began_ago)
        self._root = root
        self.documents: list[Document] = []

    def attempt(
        self, task: str, state: str, sent: float, started: float | None = None, ended: float | None = None, **more: Any
    ) -> None:
        """An attempt of the task of that id, named ``shop.<id without digits>``."""
        retries = more.pop("retries", 0)
        known: Document = {
            semconv.TASK_ID: task,
            semconv.TASK_NAME: f"shop.{task.strip('0123456789')}",
            semconv.STATE: state,
            semconv.ROOT_ID: self._root,
            semconv.RETRIES: retries,
            semconv.SENT_AT: self._at(sent),
            semconv.WORKER: "celery@box",
            semconv.MESSAGING_DESTINATION: "orders",
            "@timestamp": self._at(sent),
        }
        if started is not None:
            known[semconv.STARTED_AT] = self._at(started)
        if ended is not None:
            known[semconv.ENDED_AT] = self._at(ended)
        if "eta" in more:
            known[semconv.ETA] = self._at(more.pop("eta"))
        known |= {getattr(semconv, name.upper()): value for name, value in more.items()}
        self.documents.append(known)

    def _at(self, seconds: float) -> str:
        return (self._start + timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")


def plan(*steps: str, after: list[str] | None = None) -> dict[str, Any]:
    """The attributes of a plan: steps to come, each of which waits for the one before, or for those of ``after``."""
    named = {"chain_ids": list(steps), "chain_names": [f"shop.{step.strip('0123456789')}" for step in steps]}
    return named | ({"chain_after": after} if after else {})


def chain() -> Workflow:
    """Three steps that succeed."""
    flow = Workflow()
    flow.attempt("validate", "SUCCESS", 0, 0.5, 1, **plan("pay", "ship"))
    flow.attempt("pay", "SUCCESS", 1, 1.2, 2, parent_id="validate", **plan("ship"))
    flow.attempt("ship", "SUCCESS", 2, 2.4, 4, parent_id="pay")
    return flow


def failed_chain() -> Workflow:
    """The second of four steps fails; the others are never reached."""
    flow = Workflow()
    error = {"exception_type": "shop.gateway.PaymentError", "exception_message": "declined"}
    flow.attempt("validate", "SUCCESS", 0, 0.5, 1, **plan("pay", "ship", "mail"))
    flow.attempt("pay", "FAILURE", 1, 1.2, 2, parent_id="validate", **plan("ship", "mail"), **error)
    return flow


def group() -> Workflow:
    """A task calls four others at once; they are received in another order."""
    flow = Workflow()
    flow.attempt("wave", "SUCCESS", 0, 0.1, 1)
    for index, ended in enumerate((5, 3, 4, 2)):
        member = {"group_id": "g", "group_index": index, "parent_id": "wave"}
        flow.attempt(f"parcel{index}", "SUCCESS", 0.9 - index * 0.001, 1.1, ended, **member)
    return flow


def chord_in_a_chain() -> Workflow:
    """``chain(open, group(pack0, chain(weigh, pack1)), total, mail)``; the second member is a chain."""
    flow = Workflow()
    whole = plan("pack0", "weigh", "pack1", "total", "mail", after=["0", "0", "2", "1,3", "4"])
    header = {"group_id": "g", "chord_id": "total", "chord_name": "shop.total"}
    flow.attempt("open", "SUCCESS", 0, 0.1, 1, **whole)
    flow.attempt("pack0", "SUCCESS", 1, 1.1, 6, parent_id="open", group_index=0, **header, **plan("total", "mail"))
    flow.attempt("weigh", "SUCCESS", 1, 1.2, 2, parent_id="open", **plan("pack1", "total", "mail"))
    flow.attempt("pack1", "SUCCESS", 2, 2.1, 3, parent_id="weigh", group_index=1, **header, **plan("total", "mail"))
    # Celery's parent is whichever member it took for the last one.
    flow.attempt("total", "SUCCESS", 6, 6.5, 7, parent_id="pack1", **plan("mail"))
    flow.attempt("mail", "SUCCESS", 7, 7.1, 8, parent_id="total")
    return flow


def retried() -> Workflow:
    """Two attempts that are retried, with a countdown, and a third that succeeds."""
    flow = Workflow()
    away = {"exception_type": "OSError", "exception_message": "away"}
    flow.attempt("notify", "RETRY", 0, 0.1, 1, **away)
    flow.attempt("notify", "RETRY", 1, 3.2, 4, retries=1, eta=3, **away)
    flow.attempt("notify", "SUCCESS", 4, 8.5, 9, retries=2, eta=8)
    return flow


def under_way() -> Workflow:
    """A chain of which the first step runs, beside a task that no worker has received."""
    flow = Workflow(began_ago=10)
    flow.attempt("import", "STARTED", 0, 2, **plan("clean"))
    flow.attempt("audit", "SENT", 4, parent_id="import")
    return flow


def large(members: int) -> Workflow:
    """A task and a group of so many; of ten one fails, of ten one is retried and succeeds then."""
    flow = Workflow()
    flow.attempt("wave", "SUCCESS", 0, 0.1, 1, **plan(*(f"parcel{index}" for index in range(16)), after=["0"] * 16))
    for index in range(members):
        member = {"group_id": "g", "group_index": index, "parent_id": "wave"}
        began = 1 + index * 0.05
        if index % 10 == 3:
            flow.attempt(f"parcel{index}", "FAILURE", 1, began, began + 1, exception_type="OSError", **member)
        elif index % 10 == 7:
            flow.attempt(f"parcel{index}", "RETRY", 1, began, began + 1, exception_type="OSError", **member)
            flow.attempt(f"parcel{index}", "SUCCESS", began + 1, began + 2, began + 3, retries=1, **member)
        else:
            flow.attempt(f"parcel{index}", "SUCCESS", 1, began, began + 1, **member)
    return flow
