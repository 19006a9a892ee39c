"""``python -m worker.tree OUT COMMAND...`` writes down the CPU seconds of a command and of all its descendants.

It is the reaper of its descendants (``PR_SET_CHILD_SUBREAPER``), so those whose parent ends first come to it too; what
``wait4`` says of a process includes what that one has waited for. So nothing that ends is missed or counted twice.
OUT gets one JSON object when all have ended: ``{"cpu": seconds, "status": wait status of the command}``. OUT with the
suffix ``.pid`` gets the command's process id at once.
"""

import ctypes
import json
import os
import signal
import sys
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36


def main(out: Path, command: list[str]) -> None:
    """Run it, pass SIGTERM on, and wait for all."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    pid = os.posix_spawnp(command[0], command, os.environ)
    signal.signal(signal.SIGTERM, lambda *_: os.kill(pid, signal.SIGTERM))
    out.with_suffix(".pid").write_text(str(pid))
    cpu, status = 0.0, 0
    while True:
        try:
            ended, its_status, usage = os.wait4(-1, 0)
        except ChildProcessError:
            break
        cpu += usage.ru_utime + usage.ru_stime
        if ended == pid:
            status = its_status
    out.write_text(json.dumps({"cpu": cpu, "status": status}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
