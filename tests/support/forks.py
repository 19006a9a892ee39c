"""Children forked by a test."""

import os
import signal
import time


def exit_status(child: int, timeout: float = 60) -> int:
    """The status of a child that ends by itself; one that does not within ``timeout`` seconds is killed (-9)."""
    deadline = time.monotonic() + timeout
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
        time.sleep(0.005)
