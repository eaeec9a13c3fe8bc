"""``sluice limiter``: who is blocked and why, and what an operator can do about it."""

import argparse
import json
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from sluice.limiter import clients, rules
from sluice.limiter.blocks import LONGEST_REASON, Block, BlockTable, Change, UnreadableRecordError
from sluice.limiter.clients import NoClientError
from sluice.limiter.clock import now
from sluice.limiter.counters import CounterTable
from sluice.limiter.dynamodb import ContentionError
from sluice.limiter.operator import Explanation, FullError, Operator, StillWorkingError
from sluice.limiter.windows import DAY, SECOND

from . import session, target
from .clock import local_time, utc
from .target import TargetError, UsageError

DURATION = re.compile(r"([1-9]\d{0,8})(s|m|h|d)")
UNITS = {"s": SECOND, "m": 60 * SECOND, "h": 3600 * SECOND, "d": DAY}
LONGEST_BLOCK = 366 * DAY
NEEDED = ("counters", "blocks", "rules", "region")

Result = Mapping[str, Any]
"""What a command prints as JSON."""
Command = Callable[[Operator, argparse.Namespace], Result]


def register(groups: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the commands to the parser."""
    group = groups.add_parser("limiter", help="who is blocked and why; block, unblock, allow")
    commands = group.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, text: str, command: Command, view: str = "words") -> argparse.ArgumentParser:
        parser = commands.add_parser(name, help=text, description=text)
        target.add_options(parser)
        parser.add_argument("--json", action="store_true", help="print one JSON object")
        parser.set_defaults(run=lambda chosen: _run(name, chosen, command, view))
        return parser

    client = "an IPv4 address, an IPv6 address, or an IPv6 prefix as it is listed"
    add("blocked", "list who is blocked", blocked, "blocked")
    add("explain", "show a client's counts, and when it is free", explain, "explanation").add_argument(
        "client", help=client
    )
    parser = add("block", "block a client for some time", block)
    parser.add_argument("client", help=client)
    parser.add_argument("--for", dest="duration", required=True, metavar="TIME", help="30s, 15m, 2h or 7d")
    parser.add_argument("--reason", default="", help="your words, kept with the block")
    add("unblock", "free a client until it uses its limit again", unblock).add_argument("client", help=client)
    add("reset", "free a client and forget what it did", reset).add_argument("client", help=client)
    parser = add("allow", "never count and never block a CIDR; without one, list them", allow, "allowed")
    parser.add_argument("network", nargs="?", metavar="CIDR", help="203.0.113.0/24")
    parser.add_argument("--reason", default="", help="your words, kept with it")
    parser.add_argument("--remove", action="store_true", help="take it off the list again")
    add("pause", "let nothing write to the IP sets, before `pulumi destroy`", pause)
    add("resume", "let the IP sets be written again", resume)


def blocked(operator: Operator, _chosen: argparse.Namespace) -> Result:
    """Return who is blocked now."""
    found = operator.blocked()
    return {
        "blocked": [_block(each) for each in found.blocks],
        "count_only": operator.count_only,
        "paused": found.paused,
        "unreadable": list(found.unreadable),
    }


def explain(operator: Operator, chosen: argparse.Namespace) -> Result:
    """Return how a client stands."""
    client = operator.rules.identity.named(chosen.client)
    site = operator.rules.identity.site(client)
    return {
        **_explained(operator.explain(client)),
        "count_only": operator.count_only,
        "site": site and _explained(operator.explain(site)),
    }


def _explained(found: Explanation) -> Result:
    return {
        "client": found.client,
        "blocked": found.block and _block(found.block),
        "allowed_by": found.allowed_by,
        "free_at": found.free_at and utc(found.free_at),
        "windows": [
            {
                **asdict(each),
                "over": each.over,
                "room_at": utc(each.room_at),
                "buckets": {utc(start): count for start, count in sorted(each.buckets.items())},
            }
            for each in found.standings
        ],
    }


def block(operator: Operator, chosen: argparse.Namespace) -> Result:
    """Block a client."""
    client = operator.rules.identity.named(chosen.client)
    found, change = operator.block(client, _duration(chosen.duration), _reason(chosen.reason))
    until = f"until {local_time(utc(found.until))}"
    words = {
        Change.STARTED: f"{client} is blocked {until}.",
        Change.EXTENDED: f"{client} was blocked already, and is now {until}.",
        Change.NOTHING: f"{client} was blocked already, {until} ({found.window}); nothing was changed.",
    }
    allowed_by = operator.allowed_by(client)
    wins = f" But it is on the allow list, by {allowed_by}, and that wins." if allowed_by else ""
    return {**_block(found), "change": change.value, "allowed_by": allowed_by, "words": words[change] + wins}


def unblock(operator: Operator, chosen: argparse.Namespace) -> Result:
    """Unblock a client."""
    client = operator.rules.identity.named(chosen.client)
    operator.unblock(client)
    words = f"{client} is free until it uses its limit again.{_site_words(operator, client)}"
    return {"client": client, "words": words}


def reset(operator: Operator, chosen: argparse.Namespace) -> Result:
    """Forget a client's counts."""
    client = operator.rules.identity.named(chosen.client)
    operator.reset(client)
    words = f"{client} is free, and its counts are forgotten.{_site_words(operator, client)}"
    return {"client": client, "words": words}


def _site_words(operator: Operator, client: str) -> str:
    """Return what keeps a client out all the same."""
    site = operator.rules.identity.site(client)
    if site is None or operator.explain(site).free_at is None:
        return ""
    return f" But its site {site} is blocked, which has to be unblocked by itself."


def allow(operator: Operator, chosen: argparse.Namespace) -> Result:
    """Change the operator's allow list, and return all of it, with the rules' own."""
    words = ""
    if chosen.network is None and (chosen.remove or chosen.reason):
        raise UsageError("--remove and --reason need a CIDR")
    if chosen.network is not None:
        words = _change_allowed(operator, _network(chosen.network), chosen)
    listed = [
        {"network": each, "source": "settings", "since": None, "reason": ""} for each in operator.rules.allow
    ]
    listed += [
        {"network": each.network, "source": "operator", "since": utc(each.since), "reason": each.reason}
        for each in operator.blocks.allowances()
    ]
    return {"allowed": listed, "words": words}


def _change_allowed(operator: Operator, network: str, chosen: argparse.Namespace) -> str:
    if not chosen.remove:
        operator.allow(network, _reason(chosen.reason))
        return f"{network} is never counted and never blocked any more."
    if operator.disallow(network):
        return f"{network} is counted again within 30 seconds, and blocked within a minute."
    if network in operator.rules.allow:
        raise UsageError(
            f"{network} is on the allow list of the stack's settings: remove it there, and deploy"
        )
    raise UsageError(f"{network} is not on the allow list")


def pause(operator: Operator, _chosen: argparse.Namespace) -> Result:
    """Let the enforcers stand still."""
    operator.pause()
    return {"paused": True, "words": "The IP sets stay as they are, until `sluice limiter resume`."}


def resume(operator: Operator, _chosen: argparse.Namespace) -> Result:
    """Let the enforcers work."""
    operator.resume()
    return {"paused": False, "words": "The IP sets are written again, within a minute."}


def _run(name: str, chosen: argparse.Namespace, command: Command, view: str) -> int:
    """Run one command; what an operator can mend is told in a line, without a traceback."""
    # Here, since no other command needs them, and they take most of a second.
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

    try:
        result = command(_operator(target.outputs(chosen)), chosen)
    except (TargetError, UsageError, NoClientError, StillWorkingError, FullError, ContentionError) as error:
        return _failed(name, str(error))
    except UnreadableRecordError as error:
        return _failed(name, f"the client's record in the table of blocks cannot be read: {error}")
    except (BotoCoreError, ClientError) as error:
        return _failed(name, session.refusal(error))
    if chosen.json:
        print(json.dumps({key: value for key, value in result.items() if key != "words"}))
    else:
        from . import limiter_views  # noqa: PLC0415 - as above

        limiter_views.VIEWS[view](result)
    return 0


def _failed(name: str, message: str) -> int:
    print(f"sluice limiter {name}: {message}", file=sys.stderr)
    return 1


def _operator(outputs: Mapping[str, Any]) -> Operator:
    found = outputs.get("limiter")
    if not isinstance(found, dict) or any(not isinstance(found.get(key), str) for key in NEEDED):
        raise TargetError(
            "the stack has no limiter: its output `limiter` is missing. Is it deployed with one?"
        )
    try:
        known = rules.loads(found["rules"])
    except (ValueError, KeyError, TypeError) as error:
        raise TargetError(
            "the limiter's rules cannot be read: was it deployed by another version?"
        ) from error
    client = session.client("dynamodb", found["region"], outputs)
    return Operator(
        known,
        CounterTable(client, found["counters"]),
        BlockTable(client, found["blocks"]),
        now,
        count_only=found.get("mode") == "count",
    )


def _duration(text: str) -> int:
    found = DURATION.fullmatch(text)
    milliseconds = int(found[1]) * UNITS[found[2]] if found else 0
    if not 0 < milliseconds <= LONGEST_BLOCK:
        raise UsageError(f"--for {text}: a whole number and s, m, h or d, at most 366d")
    return milliseconds


def _reason(text: str) -> str:
    if len(text) > LONGEST_REASON or not text.isprintable():
        raise UsageError(f"--reason: at most {LONGEST_REASON} characters, on one line")
    return text


def _network(text: str) -> str:
    try:
        network = clients.canonical(text)
    except ValueError as error:
        raise UsageError(
            f"{text!r} is no CIDR to allow: 203.0.113.0/24 or 2001:db8::/32, not everybody"
        ) from error
    if "/" not in text:
        raise UsageError(f"{text!r} is no CIDR: did you mean {network}?")
    return network


def _block(block: Block) -> dict[str, Any]:
    return {**asdict(block), "since": utc(block.since), "until": utc(block.until)}
