"""When Python looks for cyclic garbage; what a request leaves behind has no cycles and is freed at once without it.

A decoded request is tens of thousands of young dicts. By Python's defaults each of them makes it look, some dozens of
times at what the request holds so far and now and then at all that the process holds: half of a request's CPU.
"""

import gc
from typing import Final

_MORE_CONTAINERS: Final = 100_000
"""So many more containers than were freed since the last look make Python look again; about twenty megabytes."""


def look_for_garbage_rarely() -> None:
    """Called once, when all that stays for the life of the process is there: that is not looked at again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_MORE_CONTAINERS)
