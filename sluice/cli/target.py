"""Which stack a command is for: its outputs, as Pulumi prints them or as a local run writes them."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

LOCAL = Path(".local")
"""Where a local run keeps its files."""
LOCAL_OUTPUTS = "outputs.{}.json"
HOW = """pulumi stack output --json > outputs.json
sluice ... --outputs outputs.json"""


class TargetError(ValueError):
    """There is no such stack, or its outputs cannot be used; the message says what to do."""


class UsageError(ValueError):
    """The operator asked for what cannot be; the message says what can."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that name a stack."""
    group = parser.add_mutually_exclusive_group(required=True)
    group.add_argument(
        "--outputs", metavar="FILE", help="what `pulumi stack output --json` printed; - reads it here"
    )
    group.add_argument("--local", action="store_true", help="the stack that was deployed locally last")
    group.add_argument("--stack", metavar="NAME", help="a stack that runs locally")


def outputs(chosen: argparse.Namespace) -> dict[str, Any]:
    """Return the outputs of the stack that the options name.

    Raises:
        TargetError: if they cannot be had.
    """
    if chosen.outputs == "-":
        return _parsed(sys.stdin.read(), "standard input")
    file = Path(chosen.outputs) if chosen.outputs else _local_file(chosen.stack)
    try:
        text = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TargetError(f"{file} cannot be read: {error}") from error
    return _parsed(text, str(file))


def _local_file(stack: str | None) -> Path:
    if stack:
        file = LOCAL / LOCAL_OUTPUTS.format(stack)
        if file.exists():
            return file
        raise TargetError(f"no local stack {stack!r} wrote {file}: run this where `make demo` runs")
    written = sorted(LOCAL.glob(LOCAL_OUTPUTS.format("*")), key=lambda each: each.stat().st_mtime)
    if not written:
        raise TargetError(f"no local stack wrote {LOCAL / LOCAL_OUTPUTS.format('STACK')}: run one first")
    return written[-1]


def _parsed(text: str, source: str) -> dict[str, Any]:
    try:
        parsed = json.loads(text)
    except ValueError:
        parsed = None
    if not isinstance(parsed, dict):
        raise TargetError(f"{source} holds no outputs of a stack. Make them so:\n{HOW}")
    return parsed
