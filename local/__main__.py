"""``python -m local``: the same program on this machine, with no AWS account."""

import argparse
import signal
import sys
from collections.abc import Callable, Sequence
from types import FrameType

import pulumi

from . import demo, watch
from .emulator import EmulatorError
from .makers.compute import LocalSetupError
from .program import DeployError, StackFileError

EXPECTED = (DeployError, EmulatorError, LocalSetupError, StackFileError, pulumi.RunError)
"""What a person can do something about: told in its own words, without a traceback."""


def main(words: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m local", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    up = commands.add_parser("up", help="deploy a stack and stay until Ctrl-C")
    up.add_argument("--stack", default="dev", help="the stack's name (default: dev)")
    up.set_defaults(run=lambda chosen: watch.up(chosen.stack))
    show = commands.add_parser("demo", help="deploy the example stacks, send requests, show what happened")
    show.add_argument("--json", action="store_true", help="print one JSON object and nothing else on stdout")
    show.set_defaults(run=lambda chosen: demo.run(as_json=chosen.json))
    chosen = parser.parse_args(words)
    run: Callable[[argparse.Namespace], int] = chosen.run
    # Also where it was started in the background, and so with interrupts ignored.
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, _interrupt)
    try:
        return run(chosen)
    except EXPECTED as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _interrupt(_sign: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
