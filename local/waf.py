"""What AWS WAF does with a request: a web ACL as the API describes it, and its decision.

Nothing here talks to anybody: who calls brings the API's answers, and keeps the counts of rate-based rules
between two readings of the same ACL.
"""

import ipaddress
import socket
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

CONTENT_TYPES = {
    "TEXT_PLAIN": "text/plain",
    "TEXT_HTML": "text/html",
    "APPLICATION_JSON": "application/json",
}
DEFAULT_WINDOW_SECONDS = 300
WIDTHS = {4: 32, 6: 128}
GROUP = "RuleGroupReferenceStatement"
MANAGED = "ManagedRuleGroupStatement"
RATE = "RateBasedStatement"

Given = Mapping[str, Any]


class UnsupportedError(ValueError):
    """A web ACL uses something of AWS WAF that is not carried here."""


@dataclass(frozen=True)
class Client:
    """A source address, as the number that it is."""

    version: int
    number: int

    @classmethod
    def at(cls, address: str) -> "Client":
        """Return the client at an address in text.

        Raises:
            ValueError: if this is no address.
        """
        parsed = ipaddress.ip_address(address)
        return cls(parsed.version, int(parsed))


class AddressSet:
    """The addresses of an IP set: for each family and prefix length, the networks as numbers."""

    def __init__(self, addresses: Iterable[str]) -> None:
        """Take the CIDRs of an IP set, which the API has checked."""
        networks: dict[tuple[int, int], set[int]] = defaultdict(set)
        for address in addresses:
            text, _, length = address.partition("/")
            version, family = (6, socket.AF_INET6) if ":" in text else (4, socket.AF_INET)
            shift = WIDTHS[version] - int(length)
            # The module for addresses takes ten times as long, which ten thousand of them would show.
            networks[version, shift].add(int.from_bytes(socket.inet_pton(family, text), "big") >> shift)
        self._networks = tuple((version, shift, found) for (version, shift), found in networks.items())

    def __contains__(self, client: Client) -> bool:
        return any(
            version == client.version and client.number >> shift in found
            for version, shift, found in self._networks
        )


class Rates:
    """What rate-based rules have counted: the newest requests of each client, as many as decide."""

    def __init__(self) -> None:
        """Start with nothing counted."""
        self._seen: dict[tuple[object, ...], dict[Client, deque[float]]] = {}
        self._swept: dict[tuple[object, ...], float] = {}

    def exceeds(
        self, rule: tuple[object, ...], client: Client, limit: int, window: float, now: float
    ) -> bool:
        """Count a request, and say whether there are more than ``limit`` in the last ``window`` seconds."""
        clients = self._seen.setdefault(rule, {})
        if now - self._swept.setdefault(rule, now) > window:
            self._swept[rule] = now
            for idle in [each for each, times in clients.items() if times[-1] <= now - window]:
                del clients[idle]
        times = clients.setdefault(client, deque(maxlen=limit + 1))
        times.append(now)
        return len(times) > limit and times[0] > now - window


@dataclass(frozen=True)
class Response:
    """What a blocked client gets."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Decision:
    """What becomes of a request."""

    blocked: bool
    rule: str | None = None
    """The rule that ended it, where none is the ACL's default action."""
    response: Response | None = None
    """The custom response of a block, where it has one."""
    counted: tuple[str, ...] = ()
    """Rules that matched and only count."""


@dataclass(frozen=True)
class Seen:
    """All that a statement looks at."""

    client: Client
    now: float
    sets: Mapping[str, AddressSet]
    rates: Rates


Statement = Callable[[Seen], bool]


@dataclass(frozen=True)
class Action:
    """What a rule does with a request that matches it."""

    kind: str
    """Allow, Block or Count."""
    response: Response | None = None


@dataclass(frozen=True)
class Rule:
    """A rule: either a statement with an action, or a group of rules."""

    name: str
    matches: Statement
    action: Action
    group: "tuple[Rule, ...]" = ()
    """The rules of a referenced group, each of which acts for itself unless the reference only counts."""


@dataclass(frozen=True)
class WebAcl:
    """A web ACL that is ready to decide."""

    arn: str
    rules: tuple[Rule, ...]
    default: Action
    sets: Mapping[str, AddressSet] = field(repr=False)
    """IP sets by ARN; who made the ACL may replace them while it is in use."""
    rates: Rates = field(repr=False)

    def decide(self, client: Client, now: float | None = None) -> Decision:
        """Return what becomes of a request of a client, counting it where rules count."""
        seen = Seen(client, time.monotonic() if now is None else now, self.sets, self.rates)
        counted: list[str] = []
        for rule, action in acting(self.rules, seen):
            if action.kind != "Count":
                return Decision(action.kind == "Block", rule.name, action.response, tuple(counted))
            counted.append(rule.name)
        return Decision(self.default.kind == "Block", None, self.default.response, tuple(counted))


def acting(rules: Sequence[Rule], seen: Seen) -> Iterator[tuple[Rule, Action]]:
    """Yield the rules that match, in their order, with what they do; a group's stand in its place."""
    for rule in rules:
        if rule.group:
            for inner, action in acting(rule.group, seen):
                yield inner, rule.action if rule.action.kind == "Count" else action
                if action.kind != "Count":
                    # A group is over with its first rule that would end the request.
                    break
        elif rule.matches(seen):
            yield rule, rule.action


def parse(
    web_acl: Given, groups: Mapping[str, Given], sets: Mapping[str, AddressSet], rates: Rates | None = None
) -> WebAcl:
    """Return a web ACL that can decide.

    Args:
        web_acl: what GetWebACL calls ``WebACL``.
        groups: what GetRuleGroup calls ``RuleGroup``, by ARN, of every group that the ACL refers to.
        sets: the IP sets by ARN; one that is not there has no addresses.
        rates: what was counted before, where the ACL was read before.

    Raises:
        UnsupportedError: if it uses something of AWS WAF that is not carried here.
    """
    bodies = web_acl.get("CustomResponseBodies", {})
    rules = tuple(_rule(each, bodies, groups) for each in by_priority(web_acl.get("Rules", [])))
    default = _action(web_acl["DefaultAction"], bodies)
    return WebAcl(web_acl["ARN"], rules, default, sets, Rates() if rates is None else rates)


def by_priority(rules: Iterable[Given]) -> list[Given]:
    """Return rules in the order in which they are looked at."""
    return sorted(rules, key=lambda rule: int(rule["Priority"]))


def references(kind: str, described: object) -> set[str]:
    """Return the ARNs that the statements of one kind refer to, however deep they are."""
    found: set[str] = set()
    if isinstance(described, Mapping):
        for key, value in described.items():
            found |= {value["ARN"]} if key == kind else references(kind, value)
    elif isinstance(described, Sequence) and not isinstance(described, str | bytes):
        for value in described:
            found |= references(kind, value)
    return found


def _rule(given: Given, bodies: Given, groups: Mapping[str, Given], place: str = "") -> Rule:
    name: str = given["Name"]
    kind, statement = _only(given["Statement"], "statement")
    if kind == MANAGED:
        # What is in them is AWS's own.
        return Rule(name, lambda _seen: False, Action("Count"))
    if kind == GROUP:
        return _group(given, statement, groups)
    matches = _rate_based((place, name), statement) if kind == RATE else _statement(given["Statement"])
    return Rule(name, matches, _action(given["Action"], bodies))


def _group(given: Given, statement: Given, groups: Mapping[str, Given]) -> Rule:
    _refuse_others(statement, {"ARN"})
    group = groups[statement["ARN"]]
    kind = "Count" if "Count" in given.get("OverrideAction", {}) else "None"
    bodies = group.get("CustomResponseBodies", {})
    rules = tuple(_rule(each, bodies, groups, given["Name"]) for each in by_priority(group["Rules"]))
    return Rule(given["Name"], lambda _seen: False, Action(kind), rules)


def _statement(given: Given) -> Statement:
    kind, inner = _only(given, "statement")
    if kind not in STATEMENTS:
        raise UnsupportedError(f"statement {kind} is not carried here, or not in this place")
    return STATEMENTS[kind](inner)


def _and(given: Given) -> Statement:
    inner = [_statement(each) for each in given["Statements"]]
    return lambda seen: all(matches(seen) for matches in inner)


def _or(given: Given) -> Statement:
    inner = [_statement(each) for each in given["Statements"]]
    return lambda seen: any(matches(seen) for matches in inner)


def _not(given: Given) -> Statement:
    inner = _statement(given["Statement"])
    return lambda seen: not inner(seen)


def _ip_set(given: Given) -> Statement:
    _refuse_others(given, {"ARN"})
    arn, empty = given["ARN"], AddressSet([])
    return lambda seen: seen.client in seen.sets.get(arn, empty)


def _rate_based(rule: tuple[str, str], given: Given) -> Statement:
    """Return a statement that counts the requests within its scope, and matches while they are too many.

    AWS looks at its counts about every ten seconds and estimates, so that there a client gets past the limit
    for a while, and stays blocked for a while after it went quiet; here the count is exact and at once.
    """
    _refuse_others(given, {"Limit", "EvaluationWindowSec", "AggregateKeyType", "ScopeDownStatement"})
    if given["AggregateKeyType"] != "IP":
        raise UnsupportedError(f"aggregate key type {given['AggregateKeyType']} is not carried here")
    scope = _statement(given["ScopeDownStatement"]) if "ScopeDownStatement" in given else None
    limit = int(given["Limit"])
    window = int(given.get("EvaluationWindowSec") or DEFAULT_WINDOW_SECONDS)
    key = (*rule, limit, window)

    def matches(seen: Seen) -> bool:
        within = scope is None or scope(seen)
        return within and seen.rates.exceeds(key, seen.client, limit, window, seen.now)

    return matches


STATEMENTS: Mapping[str, Callable[[Given], Statement]] = {
    "AndStatement": _and,
    "OrStatement": _or,
    "NotStatement": _not,
    "IPSetReferenceStatement": _ip_set,
}


def _action(given: Given, bodies: Given) -> Action:
    kind, settings = _only(given, "action")
    if kind not in {"Allow", "Block", "Count"}:
        raise UnsupportedError(f"action {kind} is not carried here")
    custom = settings.get("CustomResponse")
    if custom is None:
        _refuse_others(settings, set())
        return Action(kind)
    headers = {each["Name"]: each["Value"] for each in custom.get("ResponseHeaders", [])}
    body = b""
    if key := custom.get("CustomResponseBodyKey"):
        headers = {"Content-Type": CONTENT_TYPES[bodies[key]["ContentType"]], **headers}
        body = str(bodies[key]["Content"]).encode()
    return Action(kind, Response(HTTPStatus(int(custom["ResponseCode"])).value, headers, body))


def _only(given: Given, what: str) -> tuple[str, Given]:
    if len(given) != 1:
        raise UnsupportedError(f"one {what} expected, not {len(given)}: {', '.join(given)}")
    kind, inner = next(iter(given.items()))
    return kind, inner


def _refuse_others(given: Given, known: set[str]) -> None:
    if others := sorted(given.keys() - known):
        raise UnsupportedError(f"{', '.join(others)} is not carried here")
