"""The Java that runs Kafka and Elasticsearch."""

import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

from celeryscope.errors import ConfigError

_OLDEST = 17


@cache
def java() -> Path:
    """The program ``java``, from JAVA_HOME or the path. Raises ConfigError when it's missing or too old."""
    home = os.environ.get("JAVA_HOME")
    found = shutil.which("java", path=f"{home}/bin" if home else None)
    if found is None:
        raise ConfigError("Kafka and Elasticsearch need Java 17: install it (Debian: openjdk-17-jre-headless).")
    said = subprocess.run([found, "-version"], capture_output=True, text=True, check=True).stderr
    version = re.search(r'version "(\d+)', said)
    if version is None or int(version[1]) < _OLDEST:
        raise ConfigError(f"Kafka and Elasticsearch need Java 17 or newer; {found} is: {said.splitlines()[0]}")
    return Path(found).resolve()
