"""Who tells of an attempt that ended by an exception that Celery doesn't handle where the task runs (no ``Exception``).

A prefork pool's process reports it to the main process, which fires ``task_failure``; but of a task's own
``sys.exit()`` it makes a ``WorkerLostError`` there, without the task's traceback. The other pools report nothing,
except for the greenlets they end themselves (a hard time limit, a revocation).
"""

from billiard import common
from celery.exceptions import WorkerShutdown, WorkerTerminate

from celeryscope import exceptions

_ENDS_A_GREENLET = {"greenlet.GreenletExit", "gevent.timeout.Timeout"}


def is_told_by_the_task_process(error: BaseException, in_child: bool) -> bool:
    """Whether the process in which the task ran has to tell of it; ``in_child``: that of a prefork pool."""
    if isinstance(error, WorkerShutdown | WorkerTerminate):
        return False
    if not in_child:
        return exceptions.type_name(type(error)) not in _ENDS_A_GREENLET
    # The end of the process raises SystemExit in the task too; a billiard before 4.3 can't tell one from the other.
    is_ended = getattr(common, "terminate_handler_fired", lambda: True)
    return isinstance(error, SystemExit | KeyboardInterrupt) and not is_ended()


def was_told_by_the_task_process(error: BaseException) -> bool:
    """Whether this is the ``WorkerLostError`` that Celery's main process makes of a task's own exit."""
    made_in = error.__traceback__
    return made_in is not None and made_in.tb_frame.f_code.co_name == "_worker_lost_info"
