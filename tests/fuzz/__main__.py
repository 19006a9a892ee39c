"""``make fuzz``: mutated requests, guided by the coverage of our code; argument: how many seconds.

What is found is written to build/fuzz; put it into tests/fuzz/crashes, as .bin, once it is understood. The corpus there
is kept, so that the next run goes on from it.
"""

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["celeryscope", "celeryscope_collector"]):
    from fuzz.target import CRASHES, DICTIONARY, check, seeds


def main(seconds: int) -> None:
    """Fuzz so long; ends with an error at the first finding."""
    folder = Path("build/fuzz")
    corpus = folder / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds()):
        (corpus / f"seed-{number}").write_bytes(seed)
    for crash in CRASHES.glob("*.bin"):
        (corpus / crash.name).write_bytes(crash.read_bytes())
    options = [f"-max_total_time={seconds}", f"-dict={DICTIONARY}", f"-artifact_prefix={folder}/found-"]
    atheris.Setup([sys.argv[0], *options, "-max_len=6000", "-timeout=20", "-rss_limit_mb=2000", str(corpus)], check)
    atheris.Fuzz()


if __name__ == "__main__":
    main(int(sys.argv[1]))
