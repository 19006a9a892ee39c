"""Threads of the operating system, also where gevent or eventlet has put greenlets in their place."""

import sys
import threading
import time
from collections.abc import Callable
from typing import Any


def start(target: Callable[[Callable[[float], None]], None]) -> None:
    """Run ``target`` in a real daemon thread; it gets the ``sleep`` that puts only this thread to sleep."""
    sleep: Callable[[float], None] = _original("time", "sleep") or time.sleep
    begin = _original("_thread", "start_new_thread")
    if begin is None:
        threading.Thread(target=target, args=(sleep,), name="celeryscope-hub-watch", daemon=True).start()
    else:
        begin(target, (sleep,))


def _original(module: str, name: str) -> Any:
    """What was there before monkey patching; None when nothing was patched."""
    if (monkey := sys.modules.get("gevent.monkey")) and monkey.is_module_patched(module):
        return monkey.get_original(module, name)
    if (patcher := sys.modules.get("eventlet.patcher")) and patcher.is_monkey_patched(module.lstrip("_")):
        return getattr(patcher.original(module), name)
    return None
