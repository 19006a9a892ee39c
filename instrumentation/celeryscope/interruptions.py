"""Who tells of an attempt whose task ended by an exception that Celery does not, or can not, handle where the task ran.

What isn't an ``Exception`` Celery doesn't handle there; and handling one fails when the result backend is away. A
prefork pool's process reports such an exception to the main process, which fires ``task_failure``, unless the backend
is away for it, too; of a task's own ``sys.exit()`` it makes a ``WorkerLostError``, without the task's traceback. The
other pools report nothing, except for the greenlets they end themselves (a hard time limit, a revocation). So the
process in which the task ran tells it, and the main process may tell it again under the same uid.
"""

from billiard import common
from celery.exceptions import WorkerShutdown, WorkerTerminate

from celeryscope import exceptions

_ENDS_A_GREENLET = {"greenlet.GreenletExit", "gevent.timeout.Timeout"}
_CELERYS_CALLER = "trace_task"
"""Celery's function around a task: the outermost frame of what was raised in or behind the task."""


def is_process_ending(in_child: bool) -> bool:
    """Whether this pool process has been told to end, by a limit or a revocation; False when it isn't known."""
    return in_child and getattr(common, "terminate_handler_fired", lambda: False)()


def is_told_by_the_task_process(error: BaseException, in_child: bool) -> bool:
    """Whether the process in which the task ran has to tell of it; ``in_child``: that of a prefork pool."""
    if isinstance(error, WorkerShutdown | WorkerTerminate) or is_process_ending(in_child):
        return False
    if not in_child:
        return exceptions.type_name(type(error)) not in _ENDS_A_GREENLET
    # A billiard before 4.3 doesn't say whether it is the end of the process that raises SystemExit in the task.
    return not isinstance(error, SystemExit) or hasattr(common, "terminate_handler_fired")


def was_told_by_the_task_process(error: BaseException) -> bool:
    """Whether this is the ``WorkerLostError`` that Celery's main process makes of a task's own exit."""
    made_in = error.__traceback__
    return made_in is not None and made_in.tb_frame.f_code.co_name == "_worker_lost_info"


def raised_by_the_task(error: BaseException) -> BaseException:
    """The task's own exception, of which ``error`` may tell only that Celery could not handle it."""
    own, current = error, error.__context__
    while current is not None:
        raised = current.__traceback__
        if raised is not None and raised.tb_frame.f_code.co_name == _CELERYS_CALLER:
            own = current
        current = current.__context__
    return own


def failure_uid(delivery: str) -> str:
    """``log.record.uid`` of the event that says a delivery failed, where two processes may say so."""
    return f"{delivery}-failed"
