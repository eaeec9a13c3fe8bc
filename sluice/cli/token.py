"""``sluice token``: tokens for the built-in authorizer."""

import argparse
import json
import sys

from sluice import tokens


def register(groups: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the parser."""
    group = groups.add_parser("token", help="tokens for the built-in authorizer")
    commands = group.add_subparsers(required=True, metavar="COMMAND")
    new = commands.add_parser("new", help="make a token and the digest that makes it known")
    new.add_argument("name", help="who will hold it; it becomes the caller's principal")
    new.add_argument("--json", action="store_true", help="print one JSON object")
    new.set_defaults(run=create)


def create(chosen: argparse.Namespace) -> int:
    """Print a new token, once, and the command that makes it known to a stack."""
    name: str = chosen.name
    if not tokens.NAME.fullmatch(name):
        print(f"sluice token new: {name!r} is no name for a token: {tokens.NAME_ALLOWED}.", file=sys.stderr)
        return 1
    token = tokens.mint()
    digest = tokens.digest(token)
    if chosen.json:
        print(json.dumps({"name": name, "token": token, "sha256": digest}))
        return 0
    print(f"token:   {token}")
    print(f"sha256:  {digest}")
    print()
    print("Give the token to its holder now: it is stored nowhere. To make it known to the stack:")
    print(f"pulumi config set --path 'sluice:authorizer.tokens.{name}' {digest}")
    return 0
