"""The simulated time of day in a process that finds this folder in PYTHONPATH: for the stamps on messages in Kafka."""

import os
import time
from pathlib import Path

if _told_in := os.environ.get("ALERTS_CLOCK"):
    time.time = lambda: float(Path(_told_in).read_text())
