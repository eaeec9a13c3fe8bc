"""``python -m benchmarks``: measure, print a table, and write ``results.json`` beside this file.

The file is written only where everything was measured, in full.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from rich.console import Console

from components import limiter_rules
from local.say import Say
from sluice.limiter.rules import Rules

from . import authorizers, cold_start, consuming, ingest, kills, retrying, units, windows
from .machine import machine, versions
from .results import Result, document, table

FILE = Path(__file__).with_name("results.json")
WIDTH = 200
"""Of the table, where there is no terminal."""


class Benchmark(Protocol):
    """Measures something."""

    def __call__(self, made: Rules, say: Say, *, quick: bool) -> Iterator[Result]:
        """Measure it by the rules of a limiter, and yield what was found."""


BENCHMARKS: dict[str, Benchmark] = {
    each.NAME.replace(" ", "-"): each.run
    for each in (windows, cold_start, authorizers, consuming, retrying, units, ingest, kills)
}


def measure(names: Sequence[str], say: Say, *, quick: bool) -> list[Result]:
    """Run benchmarks by name, with the limits that a limiter has by default."""
    made = limiter_rules.make({})
    return [result for name in names for result in BENCHMARKS[name](made, say, quick=quick)]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument(
        "--only", action="append", choices=BENCHMARKS, metavar="NAME", help=f"one of {', '.join(BENCHMARKS)}"
    )
    parser.add_argument("--quick", action="store_true", help="small sizes: whether everything runs")
    asked = parser.parse_args(arguments)
    say = Say()
    results = measure(asked.only or list(BENCHMARKS), say, quick=asked.quick)
    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDTH)
    console.print(table(results))
    if not asked.quick and not asked.only:
        text = json.dumps(document(results, machine(), versions(say)), indent=2)
        FILE.write_text(f"{text}\n", "utf-8")
        say.line(f"Written: {FILE}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
