"""How right the alerts are: ``python -m alerts --help``; ``make bench-alerts`` runs all scenarios.

A world is simulated, a service a scenario, side by side in one simulated clock. What our instrumentation would tell of
it goes to a real collector, through real Kafka and a real indexer into a real Elasticsearch; after each step of
simulated time the real watcher evaluates all rules as of that moment. Its alerts are compared with the labels.
"""

import argparse
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import session
from alerts import scenario, table
from alerts.pipeline import Pipeline
from alerts.run import Run
from alerts.scoring import judge, score
from figures import Figure

_OUTPUT = Path(__file__).parents[3] / "build" / "bench" / "alerts.json"


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when all was measured, whether the goals hold or not; 1 when something could not be."""
    options = _options(arguments)

    @contextmanager
    def measuring(folder: Path) -> Iterator[Iterator[Figure]]:
        with Pipeline(folder) as pipeline:
            yield _figures(pipeline, options)

    return session.run("alerts", options.output, measuring)


def _figures(pipeline: Pipeline, options: argparse.Namespace) -> Iterator[Figure]:
    # What people decide meanwhile has the real time.
    run = Run(pipeline, options.only, time.time() // 60 * 60, options.seed)
    alerts = run.watch(options.history * 3600, options.hours * 3600, options.step)
    effects = {name: service.effects for name, service in run.simulation.services.items()}
    begun = [one for one in options.only if run.has_begun(one)]
    verdicts, strangers = judge(begun, [alert for alert in alerts if not alert.silent], effects)
    table.show(verdicts, strangers)
    result = score(verdicts, strangers)
    quiet = [verdict for verdict in verdicts if not verdict.scenario.incidents]
    yield Figure("scenarios", len(verdicts), "scenarios", 40, at_least=True)
    yield Figure("precision: right alerts / alerts", result.precision, "share", 0.95, at_least=True)
    yield Figure("recall: incidents told / incidents", result.recall, "share", 0.98, at_least=True)
    yield Figure("time from fault to alert, median", result.median, "s", 60)
    yield Figure("time from fault to alert, 95th percentile", result.p95, "s", 120)
    yield Figure("alerts", result.alerts, "alerts")
    yield Figure("incidents", result.incidents, "incidents")
    yield Figure("quiet scenarios", len(quiet), "scenarios")
    yield Figure("quiet scenarios with an alert", sum(bool(verdict.wrong) for verdict in quiet), "scenarios")
    messages = run.watching.person.messages
    yield Figure("messages to the person on call", len(messages), "messages")
    over = sum(message.kind == "success" for message in messages)
    yield Figure("of these, that something is over", over, "messages")
    yield Figure("real time of a look of the watcher, median", median(run.watching.looks), "s")
    yield Figure("records through the pipeline", pipeline.records, "records")


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m alerts", description=__doc__)
    parser.add_argument("--only", default="", help="names of scenarios, or parts of them, comma-separated")
    parser.add_argument("--quick", action="store_true", help="every third scenario, looks half as often")
    parser.add_argument("--seed", type=int, default=1, help="of all chance in the world [1]")
    parser.add_argument(
        "--step", type=float, default=15, help="simulated seconds between two looks of the watcher [15]"
    )
    parser.add_argument("--hours", type=float, default=3, help="simulated hours in which the watcher runs [3]")
    parser.add_argument("--history", type=float, default=1, help="simulated hours of the world before that [1]")
    parser.add_argument("--output", type=Path, default=_OUTPUT, help="the figures' file")
    options = parser.parse_args(arguments)
    known = scenario.load()
    parts = options.only.split(",")
    options.only = [one for one in known if any(part in one.name for part in parts)]
    if not options.only:
        parser.error(f"no scenario is named so; there are {', '.join(one.name for one in known)}")
    if options.quick:
        options.only, options.step = options.only[::3], 30
    return options


if __name__ == "__main__":
    # Servers are stopped in good order, as with Ctrl-C.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    sys.exit(main())
