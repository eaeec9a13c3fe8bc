"""``sluice token``: tokens for the built-in authorizer."""

import argparse
import json
import re
import sys
from datetime import UTC, datetime, timedelta

from sluice import tokens

DAYS = re.compile(r"([1-9]\d{0,3})d", re.ASCII)
EXPIRY_ALLOWED = "a number of days, as 90d, or a time with its zone, as 2027-03-31T00:00:00Z"


def register(groups: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the parser."""
    group = groups.add_parser("token", help="tokens for the built-in authorizer")
    commands = group.add_subparsers(required=True, metavar="COMMAND")
    new = commands.add_parser("new", help="make a token and the digest that makes it known")
    new.add_argument("name", help="who will hold it; it becomes the caller's principal")
    new.add_argument("--expires", metavar="WHEN", help=EXPIRY_ALLOWED)
    new.add_argument(
        "--index",
        type=place,
        default=0,
        metavar="N",
        help="its place among the stack's tokens, for the printed commands: 0 (default) for the first",
    )
    new.add_argument("--json", action="store_true", help="print one JSON object")
    new.set_defaults(run=create)


def place(text: str) -> int:
    """Return a place in a list.

    Raises:
        argparse.ArgumentTypeError: if it is none.
    """
    if not (text.isascii() and text.isdecimal()):
        raise argparse.ArgumentTypeError(f"{text!r} is no place in a list: 0, 1, 2, ...")
    return int(text)


def create(chosen: argparse.Namespace) -> int:
    """Print a new token, once, and the commands that make it known to a stack."""
    try:
        known = describe(chosen.name, chosen.expires, datetime.now(UTC))
    except ValueError as error:
        print(f"sluice token new: {error}.", file=sys.stderr)
        return 1
    token = tokens.mint()
    known["sha256"] = tokens.digest(token)
    if chosen.json:
        print(json.dumps({"token": token, **known}))
        return 0
    print(f"token:   {token}")
    for key, value in known.items():
        print(f"{f'{key}:':<8} {value}")
    print()
    print("Give the token to its holder now: it is stored nowhere. To make it known to the stack:")
    for key, value in known.items():
        print(f"pulumi config set --path 'sluice:authorizer.tokens[{chosen.index}].{key}' {value}")
    return 0


def describe(name: str, expires: str | None, now: datetime) -> dict[str, str]:
    """Return what a stack's settings hold of a new token, less its digest.

    Raises:
        ValueError: if the name is none for a token, or the time is none that is to come.
    """
    if not tokens.NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name for a token: {tokens.NAME_ALLOWED}")
    return {"name": name} if expires is None else {"name": name, "expires": expiry(expires, now)}


def expiry(text: str, now: datetime) -> str:
    """Return when a token ends, as settings hold it.

    Raises:
        ValueError: if that is no time, or is past.
    """
    days = DAYS.fullmatch(text)
    try:
        found = now + timedelta(days=int(days[1])) if days else datetime.fromisoformat(text)
        ahead = found > now
        ends = found.astimezone(UTC)
    except (ValueError, TypeError, OverflowError) as error:
        raise ValueError(f"{text!r} is no time: give {EXPIRY_ALLOWED}") from error
    if not ahead:
        raise ValueError(f"{text} is past: give a time to come")
    return ends.strftime("%Y-%m-%dT%H:%M:%SZ")
