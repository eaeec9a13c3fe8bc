"""What ``sluice queue`` shows to a person."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from sluice.redrive import Tally

from .clock import local_time

PLAIN_WIDTH = 200
"""Columns where it is not shown on a terminal."""
LONGEST_EXAMPLE = 80
"""Characters of an error's words in a table."""
LINE_SECONDS = 1.0
"""Between two lines of progress, where there is no terminal."""
NO_REASON = "without a reason"
GIVEN_UP = (
    "Those without a reason were given up by SQS itself: "
    "the function timed out, was killed, or could not run."
)
LOOKED_AT = "SQS counts this look as a receive of each, but a dead-letter queue gives nothing up."
HIDDEN = "behind others of their group, or held by another receiver"

Result = Mapping[str, Any]


def follow(steps: Iterator[None], tally: Tally, now: Callable[[], float] = time.monotonic) -> None:
    """Do all the steps, and show on standard error how far they are."""
    if sys.stderr.isatty():
        _with_a_bar(steps, tally)
    else:
        _with_lines(steps, tally, now)


def _with_a_bar(steps: Iterator[None], tally: Tally) -> None:
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("dead letters", total=None)
        for _ in steps:
            progress.update(bar, total=_expected(tally) or None, completed=tally.done)


def _with_lines(steps: Iterator[None], tally: Tally, now: Callable[[], float]) -> None:
    said = now()
    for _ in steps:
        if now() - said >= LINE_SECONDS and tally.done < _expected(tally):
            said = now()
            print(f"{tally.done} of about {_expected(tally)} dead letters", file=sys.stderr, flush=True)


def _expected(tally: Tally) -> int:
    return max(tally.total, tally.found)


def show(result: Result) -> None:
    """Show what was done, or what there is."""
    print(_words(result))
    if result["unseen"]:
        print(f"SQS counts {result['unseen']} more, {HIDDEN}.")
    if not result["errors"]:
        return
    table = Table("error", "count", "oldest", "example", box=None, pad_edge=False)
    for each in result["errors"]:
        # As text: an error's words may look like markup.
        row = (
            each["error"] or NO_REASON,
            str(each["count"]),
            local_time(each["oldest"]),
            _short(each["example"]),
        )
        table.add_row(*map(Text, row))
    Console(width=None if sys.stdout.isatty() else PLAIN_WIDTH, highlight=False).print(table)
    if any(each["error"] is None for each in result["errors"]):
        print(GIVEN_UP)
    if result["dry_run"]:
        print(LOOKED_AT)


def _words(result: Result) -> str:
    found, queue = result["found"], result["queue"]
    if not found and not result["interrupted"]:
        return f"No dead letters of {queue} were found."
    if not result["dry_run"]:
        rest = f"; {result['kept']} stayed" if result["kept"] else ""
        return f"{_letters(result['moved'])} moved to {queue}{rest}."
    matching = sum(each["count"] for each in result["errors"])
    chosen = "all" if matching == found else str(matching)
    return f"{_letters(found)} looked at; {chosen} would be moved to {queue}."


def _letters(count: int) -> str:
    return "1 dead letter was" if count == 1 else f"{count} dead letters were"


def _short(words: str | None) -> str:
    """Return some of an error's words, on one line, and nothing that a terminal would do."""
    line = " ".join("".join(each if each.isprintable() else " " for each in words or "").split())
    return line if len(line) <= LONGEST_EXAMPLE else f"{line[: LONGEST_EXAMPLE - 3]}..."
