"""The command line: ``python -m rules --help``; ``make bench-rules`` measures everything."""

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import psutil
from elasticsearch import Elasticsearch as Client

import session
from celeryscope.errors import Rejected
from celeryscope.service.elasticsearch import ElasticsearchSettings, connect
from celeryscope.service.rules.adjusting import ActiveRule, activate
from celeryscope.service.rules.reading import read_rules
from celeryscope_pipelines.provisioning import Plan
from celeryscope_pipelines.provisioning.indices import provision_indices
from celeryscope_pipelines.watcher import evaluate
from figures import Figure
from measuring import cpu_now
from rules.attempts import HOURS, TASKS, index_attempts
from servers import Elasticsearch

_OUTPUT = Path(__file__).parents[3] / "build" / "bench" / "rules.json"
_HEAP_MEGABYTES = 1024


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when all was measured; 1 when something could not be."""
    options = _options(arguments)

    @contextmanager
    def measuring(folder: Path) -> Iterator[Iterator[Figure]]:
        with Elasticsearch(folder / "elasticsearch", heap_megabytes=_HEAP_MEGABYTES) as elasticsearch:
            settings = ElasticsearchSettings(url=elasticsearch.url, timeout=300)
            list(provision_indices(settings, Plan()))
            with connect(settings) as client:
                yield _measure(client, _server(elasticsearch), options.attempts, options.runs)

    return session.run("rules", options.output, measuring)


def _server(elasticsearch: Elasticsearch) -> int:
    """The pid of the server's own process, which listens; its launcher does not."""
    port = int(elasticsearch.url.rpartition(":")[2])
    known = (one for one in psutil.net_connections("tcp") if one.status == psutil.CONN_LISTEN)
    return int(next(one.pid for one in known if one.laddr.port == port))


def _measure(client: Client, server: int, attempts: int, runs: int) -> Iterator[Figure]:
    now = datetime.now(UTC)
    index_attempts(client, attempts, now)
    yield Figure(f"attempts of {TASKS} tasks within {HOURS} hours", attempts, "attempts")
    rules = sorted(activate(read_rules()), key=lambda active: active.rule.id)
    yield from _costs(client, server, rules, now, runs, "")
    whole = [replace(rule, candidates="") for rule in rules if rule.candidates]
    yield from _costs(client, server, whole, now, runs, ", the whole query")


def _costs(
    client: Client, server: int, rules: Sequence[ActiveRule], now: datetime, runs: int, suffix: str
) -> Iterator[Figure]:
    total = 0.0
    for rule in rules:
        name = f"{rule.rule.id}{suffix}"
        _evaluated(client, rule, now)
        before = cpu_now(server)
        took = median(_evaluated(client, rule, now) for _ in range(runs))
        cpu = (cpu_now(server) - before) / runs
        total += cpu
        yield Figure(f"{name}: until the answer", 1000 * took, "ms")
        yield Figure(f"{name}: CPU of Elasticsearch", 1000 * cpu, "ms")
    yield Figure(f"all rules once{suffix}: CPU of Elasticsearch", total, "s")


def _evaluated(client: Client, rule: ActiveRule, now: datetime) -> float:
    """Seconds until the answer; a rule whose index is not there costs its refusal."""
    begun = time.perf_counter()
    try:
        evaluate(client, rule, now)
    except Rejected as error:
        if "Unknown index" not in str(error):
            raise
    return time.perf_counter() - begun


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m rules", description=__doc__)
    parser.add_argument("--attempts", type=int, default=1_000_000, help="ended attempts to look through [1000000]")
    parser.add_argument("--runs", type=int, default=5, help="evaluations of each rule [5]")
    parser.add_argument("--output", type=Path, default=_OUTPUT, help="the figures' file")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
