"""The behaviour matrix: what a task does, and how each of its deliveries ends, pool by pool.

A scenario's ends are in the order of task name, attempt and delivery. ``otherwise`` is what happens in every pool that
isn't named; a pool (or broker) with ``None`` is left out, for the reason that stands there.
"""

from dataclasses import dataclass, field
from typing import Any

TASKS = "support.worker_app"
POOLS = ("prefork", "solo", "threads", "gevent", "eventlet")


@dataclass(frozen=True, kw_only=True)
class End:
    """How one delivery ends; what is None or empty isn't looked at."""

    state: str
    task: str | None = None
    """Where it isn't the task that the scenario is about."""
    kind: str | None = None
    type: str | None = None
    message: str | None = None
    text: tuple[str, ...] = ()
    """Stand in the traceback, in this order; the last is its end."""
    started: bool = True
    sent: bool = True
    values: dict[str, Any] = field(default_factory=dict)
    after_grace: bool = False
    """Told only when the worker's main process has had its time to tell, or ends."""


Ends = tuple[End, ...]


@dataclass(frozen=True)
class Scenario:
    name: str
    task: str
    call: str
    """An expression in ``matrix_app`` whose value has the task's id.

    PATIENCE: how long a task may wait for its end; OVER: how long one runs that has a limit of half a second, which
    ends it late in a worker under load.
    """
    otherwise: Ends | None
    pools: dict[str, Ends | None] = field(default_factory=dict)
    whole_workflow: bool = False
    """Whether the ends are those of all tasks under the task's root."""

    def ends(self, pool: str, broker: str = "redis") -> Ends | None:
        """None where the scenario isn't run."""
        return self.pools.get(broker, self.pools.get(pool, self.otherwise))


def failure(type: str, message: str | None, *text: str, kind: str = "exception", **more: Any) -> End:  # noqa: A002
    return End(state="FAILURE", kind=kind, type=type, message=message, text=text, **more)


def lost(message: str, **more: Any) -> End:
    return End(state="LOST", kind="worker_lost", message=message, **more)


SUCCESS = End(state="SUCCESS")
RETRIED = {"exception.type": "RuntimeError", "severity": "WARN"}
REVOKED = End(state="REVOKED", started=False, values={"celery.terminated": False, "celery.expired": False})
EXPIRED = End(state="REVOKED", started=False, values={"celery.terminated": False, "celery.expired": True})
TERMINATED = End(state="REVOKED", values={"celery.terminated": True, "celery.expired": False})
HARD_LIMIT = failure("billiard.exceptions.TimeLimitExceeded", "TimeLimitExceeded(0.5,)", kind="time_limit")
SOFT_LIMIT = failure(
    "billiard.exceptions.SoftTimeLimitExceeded",
    "SoftTimeLimitExceeded()",
    "in over_soft_limit",
    "SoftTimeLimitExceeded: SoftTimeLimitExceeded()",
    kind="soft_time_limit",
)
CHAINED = failure(
    "ValueError",
    "bad order",
    "KeyError: 'sku'",
    "The above exception was the direct cause of the following exception",
    "ValueError: bad order",
)
KILLED = lost("Worker exited prematurely: signal 9 (SIGKILL)", type="billiard.exceptions.WorkerLostError")
REJECT = {"state": "REJECTED", "kind": "rejected"}
REDELIVERED = {"celery.redelivered": True}

SCENARIOS = (
    Scenario("success", "succeed", "succeed.delay(7)", (End(state="SUCCESS", values={"celery.args": "(7,)"}),)),
    Scenario("log lines", "logs", "logs.delay()", (SUCCESS,)),
    Scenario("sent by name", "succeed", "stranger.send_task('support.worker_app.succeed')", (SUCCESS,)),
    # --- exceptions
    Scenario("chained exception", "fail", "fail.delay()", (CHAINED,)),
    Scenario(
        "exception that can't be pickled",
        "fail_unpicklable",
        "fail_unpicklable.delay()",
        (failure("support.worker_app.Unpicklable", "with a lock", "in fail_unpicklable", "Unpicklable: with a lock"),),
    ),
    Scenario(
        "exception whose __str__ raises",
        "fail_unspeakable",
        "fail_unspeakable.delay()",
        (
            failure(
                "support.matrix_app.Unspeakable",
                "<RuntimeError in __str__ of support.matrix_app.Unspeakable>",
                "in fail_unspeakable",
                "Unspeakable: <exception str() failed>",
            ),
        ),
    ),
    Scenario(
        "exception group",
        "fail_in_group",
        "fail_in_group.delay()",
        (failure("ExceptionGroup", "several (2 sub-exceptions)", "ValueError: one", "TypeError: two", "-----"),),
    ),
    Scenario(
        "a thousand frames",
        "fail_deeply",
        "fail_deeply.delay()",
        (
            failure(
                "ValueError", "at the bottom", "in fail_deeply", *["in descend"] * 1000, "ValueError: at the bottom"
            ),
        ),
    ),
    Scenario(
        "10 MB of text",
        "fail_hugely",
        "fail_hugely.delay()",
        (failure("ValueError", None, "ValueError: begin xxx", "bytes cut by celeryscope", "xxx end"),),
    ),
    Scenario(
        "wrong arguments",
        "succeed",
        "stranger.send_task('support.worker_app.succeed', (1, 2, 3))",
        (failure("TypeError", "succeed() takes from 0 to 1 positional arguments but 3 were given"),),
    ),
    Scenario(
        "no Exception at all",
        "cancelled",
        "cancelled.delay()",
        (failure("asyncio.exceptions.CancelledError", "by whom?", "in cancelled", "CancelledError: by whom?"),),
        {"solo": None},  # ends the worker: test_ends_of_workers.py
    ),
    Scenario(
        "sys.exit()",
        "exits",
        "exits.delay()",
        (failure("SystemExit", "3", "in exits", "sys.exit(3)", "SystemExit: 3"),),
        {"solo": None},  # ends the worker
    ),
    Scenario(
        "MemoryError",
        "fail_for_memory",
        "fail_for_memory.delay()",
        (failure("MemoryError", "no room", "in fail_for_memory", "MemoryError: no room"),),
        {"prefork": None, "solo": None},  # ends the worker
    ),
    # --- retries
    Scenario(
        "retries",
        "flaky",
        "flaky.delay()",
        (
            End(state="RETRY", values={**RETRIED, "celery.retries": 0, "celery.retry.reason": "attempt 0"}),
            End(state="RETRY", values={**RETRIED, "celery.retries": 1, "celery.retry.reason": "attempt 1"}),
            End(state="SUCCESS", values={"celery.retries": 2}),
        ),
    ),
    Scenario(
        "exhausted retries",
        "never",
        "never.delay()",
        (
            End(state="RETRY", values=RETRIED),
            failure("RuntimeError", "still broken", "in never", "RuntimeError: still broken"),
        ),
    ),
    # --- limits and deaths
    Scenario(
        "soft time limit",
        "over_soft_limit",
        "over_soft_limit.delay(OVER)",
        (SUCCESS,),
        {"prefork": (SOFT_LIMIT,)},
    ),
    Scenario(
        "hard time limit",
        "over_hard_limit",
        "over_hard_limit.delay(OVER)",
        (SUCCESS,),
        {"prefork": (HARD_LIMIT,), "gevent": (HARD_LIMIT,)},
    ),
    Scenario(
        "clean-up that fails at the hard time limit",
        "fail_to_clean_up",
        "fail_to_clean_up.delay(OVER)",
        (failure("ValueError", "can't clean up", "in fail_to_clean_up", "ValueError: can't clean up"),),
        {"prefork": (HARD_LIMIT,)},
    ),
    Scenario("SIGKILL of the process", "killed", "killed.delay()", None, {"prefork": (KILLED,)}),
    Scenario(
        "SIGKILL, then requeued",
        "killed_and_requeued",
        "killed_and_requeued.delay()",
        None,
        {
            "prefork": (
                lost("The process that ran the task died", type="celeryscope.ProcessDied", after_grace=True),
                End(state="SUCCESS", values=REDELIVERED),
            )
        },
    ),
    # --- refused, revoked, given back
    Scenario("Ignore", "ignored", "ignored.delay()", (End(state="IGNORED"),)),
    Scenario(
        "Reject",
        "rejected",
        "rejected.delay()",
        (
            End(
                **REJECT,
                type="celery.exceptions.Reject",
                message="('not for us', False)",
                text=("in rejected", "Reject: ('not for us', False)"),
            ),
        ),
    ),
    Scenario(
        "Reject and requeue",
        "requeued",
        "requeued.delay()",
        (End(**REJECT, type="celery.exceptions.Reject"), End(state="SUCCESS", values=REDELIVERED)),
    ),
    Scenario("revoked", "succeed", "revoked()", (REVOKED,)),
    Scenario(
        "expired",
        "succeed",
        "succeed.apply_async(countdown=1, expires=0.5)",
        (EXPIRED,),
        {"rabbitmq": None},  # drops what expires in its queue, and nobody receives it
    ),
    Scenario(
        "terminated with SIGTERM",
        "waits",
        "terminated(PATIENCE, 'SIGTERM')",
        (TERMINATED,),
        {"solo": (SUCCESS,), "threads": (SUCCESS,)},
    ),
    Scenario(
        "terminated with SIGKILL",
        "waits",
        "terminated(PATIENCE, 'SIGKILL')",
        (TERMINATED,),
        {"solo": (SUCCESS,), "threads": (SUCCESS,)},
    ),
    Scenario(
        "unregistered",
        "",
        "app.send_task('nobody.has_this')",
        (End(state="UNKNOWN", task="nobody.has_this", kind="unregistered", type="KeyError", started=False),),
    ),
    Scenario(
        "malformed message",
        "",
        "malformed()",
        (
            End(
                **REJECT,
                type="celery.exceptions.InvalidTaskError",
                message="The message names no task.",
                started=False,
                sent=False,
            ),
        ),
    ),
    Scenario(
        "content that isn't accepted",
        "succeed",
        "succeed.apply_async(serializer='pickle')",
        (End(**REJECT, type="kombu.exceptions.ContentDisallowed", started=False),),
    ),
    # --- workflows
    Scenario(
        "Task.replace",
        "replaced",
        "replaced.delay()",
        (End(state="IGNORED"), End(state="SUCCESS", task="succeed")),
    ),
    Scenario(
        "link",
        "succeed",
        "succeed.apply_async(link=called_back.s())",
        (End(state="SUCCESS", task="called_back"), SUCCESS),
        whole_workflow=True,
    ),
    Scenario(
        "link_error with a task id",
        "fail",
        "fail.apply_async(link_error=told_of_failure.s())",
        (End(state="SUCCESS", task="told_of_failure"), CHAINED),
        whole_workflow=True,
    ),
    Scenario(
        "link_error that Celery calls in the failed task's process",
        "fail",
        "fail.apply_async(link_error=called_back.s())",
        (CHAINED,),
        whole_workflow=True,
    ),
    Scenario("map", "celery.map", "succeed.map([1, 2]).delay()", (SUCCESS,)),
    Scenario("starmap", "celery.starmap", "succeed.starmap([(1,), (2,)]).delay()", (SUCCESS,)),
    Scenario("chunks", "celery.starmap", "succeed.chunks([(1,), (2,)], 2).delay()", (SUCCESS,), whole_workflow=True),
    Scenario(
        "stamps",
        "succeed",
        "stamped()",
        (End(state="SUCCESS", values={"celery.stamps": ["customer=c-7", "regions=north", "regions=south"]}),),
    ),
)
