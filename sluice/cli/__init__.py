"""The operator's command: ``sluice``, also ``python -m sluice.cli``."""

import argparse
import sys
from collections.abc import Callable, Sequence

from . import limiter, queue, token


def main(words: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    parser = argparse.ArgumentParser(prog="sluice", description="Operate a Sluice stack.")
    groups = parser.add_subparsers(required=True, metavar="COMMAND")
    token.register(groups)
    limiter.register(groups)
    queue.register(groups)
    chosen = parser.parse_args(words)
    run: Callable[[argparse.Namespace], int] = chosen.run
    return run(chosen)


if __name__ == "__main__":
    sys.exit(main())
