"""Reads what a process of ours tells on /metrics."""

import ssl
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any

import urllib3
from prometheus_client.parser import text_string_to_metric_families

from celeryscope.errors import Unavailable
from celeryscope_pipelines.addresses import Process

_TIMEOUT = urllib3.Timeout(connect=1.0, read=5.0)


@dataclass(frozen=True, slots=True)
class Sample:
    """One value of a metric."""

    name: str
    labels: Mapping[str, str]
    value: float


class Exposition:
    """The samples of one process."""

    def __init__(self, samples: list[Sample]) -> None:
        self._samples = samples

    def total(self, name: str) -> float:
        """Sum over all labels; 0 when there is no such metric."""
        return sum(sample.value for sample in self._samples if sample.name == name)

    def by(self, name: str, label: str) -> Counter[str]:
        """Sums above zero by one label, of a metric that counts whole things."""
        sums = Counter[str]()
        for sample in self._samples:
            if sample.name == name and sample.value:
                sums[sample.labels.get(label, "")] += int(sample.value)
        return sums


def read_exposition(process: Process, tls: ssl.SSLContext) -> Exposition:
    """What a process tells now. Raises Unavailable when it doesn't."""
    url = process.url
    named: dict[str, Any] = {"server_hostname": process.name} if process.name else {}
    try:
        with urllib3.PoolManager(ssl_context=tls, timeout=_TIMEOUT, retries=False, **named) as pool:
            answer = pool.request("GET", f"{url.rstrip('/')}/metrics")
        if answer.status != 200:
            raise Unavailable(f"{url}/metrics answers {answer.status}.")
        families = list(text_string_to_metric_families(answer.data.decode()))
    except (urllib3.exceptions.HTTPError, ValueError) as error:
        # What is wrong with a certificate can be mended only by who is told.
        why = f": {error}" if isinstance(error, urllib3.exceptions.SSLError) else ""
        raise Unavailable(f"{url}/metrics tells nothing ({type(error).__name__}{why}).") from error
    return Exposition(
        [
            Sample(sample.name, sample.labels, sample.value)
            for family in families
            for sample in family.samples
            if isfinite(sample.value)
        ]
    )
