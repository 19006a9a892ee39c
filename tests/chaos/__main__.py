"""The command line: ``python -m chaos --help``; ``make chaos`` does everything."""

import argparse
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from celeryscope.errors import CeleryscopeError
from chaos import plan, table
from chaos.faults import QUICK, Fault, Pauses, faults
from chaos.poison import Poison
from chaos.run import Outcome, finish, in_random_order, strike_all
from chaos.stack import Stack

_OUTPUT = Path(__file__).parents[2] / "build" / "bench" / "chaos.json"
_RECORDS, _RECORDS_QUICK = 100_000, 10_000
_MARGIN = 1.1


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when nothing was lost, doubled or wrong; 1 when something was; 2 when the run could not be finished."""
    options = _options(arguments)
    folder = Path(tempfile.mkdtemp(prefix="celeryscope-chaos-"))
    _tell(f"seed {options.seed}; what the processes print is in {folder}")
    try:
        outcome = _run(options, folder)
    except (CeleryscopeError, KeyboardInterrupt) as error:
        _tell(f"The run was not finished: {str(error) or 'interrupted'}")
        return 2
    found = table.figures(outcome, options.records)
    table.show_all(outcome, found, options.seed)
    table.write(outcome, found, options.seed, options.output)
    failed = any(figure.holds is False for figure in found)
    if not failed:
        shutil.rmtree(folder)
    return int(failed)


def _run(options: argparse.Namespace, folder: Path) -> Outcome:
    pauses = QUICK if options.quick else Pauses()
    # Which faults there are depends on the stack, and the load's pace on the faults; none of it is started yet.
    stack = Stack(folder, seed=options.seed, brokers_count=options.brokers)
    poison = Poison(stack.kafka.direct)
    chosen = _chosen(faults(stack, pauses, poison), options.faults)
    seconds = sum(one.seconds + pauses.between for one in chosen)
    stack.pace(_MARGIN * plan.orders_for(options.seed, options.records) / seconds)
    with stack:
        _tell("all processes run")
        begun = time.monotonic()
        struck = list(strike_all(stack, in_random_order(chosen, options.seed), pauses, _tell))
        seconds = time.monotonic() - begun
        outcome = finish(stack, options.seed, options.records, poison, _tell)
        outcome.struck, outcome.seconds = struck, seconds
        return outcome


def _chosen(all_of_them: list[Fault], wanted: list[str]) -> list[Fault]:
    chosen = [fault for fault in all_of_them if any(word.lower() in fault.name.lower() for word in wanted or [""])]
    if not chosen:
        names = "\n  ".join(fault.name for fault in all_of_them)
        raise CeleryscopeError(f"there is no such fault; these are:\n  {names}")
    return chosen


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m chaos", description=__doc__)
    parser.add_argument("--records", type=int, help=f"records of the load, at least [{_RECORDS}]")
    parser.add_argument("--seed", type=int, help="of the load and of the faults' order [a random one]")
    parser.add_argument("--faults", type=_words, default=[], help="only those whose name has one of these, by commas")
    parser.add_argument("--quick", action="store_true", help=f"{_RECORDS_QUICK} records, everything is away for less")
    parser.add_argument("--brokers", type=int, default=3, help="of the Kafka cluster [3]")
    parser.add_argument("--output", type=Path, default=_OUTPUT, help="for the list [build/bench/chaos.json]")
    options = parser.parse_args(arguments)
    options.records = options.records or (_RECORDS_QUICK if options.quick else _RECORDS)
    options.seed = random.SystemRandom().randrange(10**6) if options.seed is None else options.seed
    return options


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _tell(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    # Whoever asks us to end, all that was started ends with us.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())
