"""What ``sluice limiter`` shows to a person."""

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from .clock import local_time

COUNT_ONLY = "Count only: nobody is refused. This is who would be."
PLAIN_WIDTH = 200
"""Columns where it is not shown on a terminal."""

Result = Mapping[str, Any]


def words(result: Result) -> None:
    """Show what was done."""
    print(result["words"])


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    table = Table(*columns, box=None, pad_edge=False)
    for row in rows:
        # As text: an operator's words may look like markup.
        table.add_row(*map(Text, row))
    Console(width=None if sys.stdout.isatty() else PLAIN_WIDTH, highlight=False).print(table)


def blocked(result: Result) -> None:
    """Show who is blocked."""
    if result["paused"]:
        print("Paused: the IP sets stay as they are, whatever is listed here.")
    if result["count_only"]:
        print(COUNT_ONLY)
    for problem in result["unreadable"]:
        print(f"A record cannot be read: {problem}", file=sys.stderr)
    if not result["blocked"]:
        print("Nobody is blocked.")
        return
    rows = [
        [each["client"], each["window"], local_time(each["since"]), local_time(each["until"]), each["reason"]]
        for each in result["blocked"]
    ]
    _table(["client", "window", "since", "until", "reason"], rows)


def explanation(result: Result) -> None:
    """Show how a client stands."""
    if result.get("count_only"):
        print(COUNT_ONLY)
    print(_standing_words(result))
    rows = []
    for window in result["windows"]:
        full = f"{window['count']} of {window['limit']}"
        room = f"room at {local_time(window['room_at'])}" if window["over"] else "room now"
        rows.append([window["window"], full, room])
        rows += [["", str(count), f"from {local_time(start)}"] for start, count in window["buckets"].items()]
    _table(["window", "requests", ""], rows)
    if result.get("site"):
        print()
        explanation(result["site"])


def _standing_words(result: Result) -> str:
    client, held = result["client"], result["blocked"]
    if result["allowed_by"]:
        return f"{client} is never blocked: {result['allowed_by']} is on the allow list."
    if held:
        why = f" ({held['reason']})" if held["reason"] else ""
        return f"{client} is blocked by {held['window']}{why} until {local_time(result['free_at'])}."
    if result["free_at"]:
        return f"{client} is over a limit and about to be blocked, until {local_time(result['free_at'])}."
    return f"{client} is free."


def allowed(result: Result) -> None:
    """Show the allow list, or what was changed in it."""
    if result["words"]:
        print(result["words"])
        return
    if not result["allowed"]:
        print("Nobody is on the allow list.")
        return
    rows = [
        [each["network"], each["source"], local_time(each["since"]) if each["since"] else "", each["reason"]]
        for each in result["allowed"]
    ]
    _table(["network", "from", "since", "reason"], rows)


VIEWS: Mapping[str, Callable[[Result], None]] = {
    "words": words,
    "blocked": blocked,
    "explanation": explanation,
    "allowed": allowed,
}
