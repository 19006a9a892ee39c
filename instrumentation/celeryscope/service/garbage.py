"""When Python looks for cyclic garbage; what records leave behind has no cycles and is freed at once without it.

A decoded request is tens of thousands of young dicts. By Python's defaults each 700 of them make it look, now and then
at all that the process holds: half of a request's CPU in the collector.
"""

import gc


def look_for_garbage_rarely(containers: int) -> None:
    """Look again when there are so many more ``containers`` than after the last look; each has some 200 bytes.

    Called once, when all that stays for the life of the process is there: that is not looked at again.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(containers)
