"""What AWS WAF does with a request: a web ACL as the API describes it, and its decision.

Nothing here talks to anybody: who calls brings the API's answers, and keeps the counts of rate-based rules
between two readings of the same ACL.
"""

import functools
import ipaddress
import socket
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from types import MappingProxyType
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
IP_SET = "IPSetReferenceStatement"
FORWARDED = "IPSetForwardedIPConfig"
FORWARDED_RATE = "ForwardedIPConfig"
FORWARDED_KEY = "FORWARDED_IP"
ANY_POSITION_UNITS = 4
MOST_INSPECTED = 10
"""Of the addresses in a header, if any of them may match: the last ones."""
CLIENTS_KNOWN = 1024

Given = Mapping[str, Any]
Headers = Mapping[str, str]
"""A request's headers, by names in whatever case; one may have several values (a multidict)."""
NO_HEADERS: Headers = MappingProxyType({})


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
    headers: Headers
    sets: Mapping[str, AddressSet]
    rates: Rates

    def header(self, name: str) -> str | None:
        """Return a header; several of one name are one list."""
        if (several := getattr(self.headers, "getall", None)) is not None:
            values = several(name, [])
        else:
            values = [value for key, value in self.headers.items() if key.lower() == name.lower()]
        return ",".join(values) if values else None


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
    needs: tuple[str, ...] = ()
    """The headers that it takes addresses from: without one of them the rule is not applied at all."""

    def applies(self, seen: Seen) -> bool:
        """Whether it has what it looks at, and matches."""
        return all(seen.header(each) is not None for each in self.needs) and self.matches(seen)


@dataclass(frozen=True)
class WebAcl:
    """A web ACL that is ready to decide."""

    arn: str
    rules: tuple[Rule, ...]
    default: Action
    sets: Mapping[str, AddressSet] = field(repr=False)
    """IP sets by ARN; who made the ACL may replace them while it is in use."""
    rates: Rates = field(repr=False)

    def decide(self, client: Client, now: float | None = None, headers: Headers = NO_HEADERS) -> Decision:
        """Return what becomes of a request of a client, counting it where rules count."""
        seen = Seen(client, time.monotonic() if now is None else now, headers, self.sets, self.rates)
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
        elif rule.applies(seen):
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
    return {each["ARN"] for each in statements(kind, described)}


def statements(kind: str, described: object) -> Iterator[Given]:
    """Yield what stands under one key, however deep it is."""
    if isinstance(described, Mapping):
        for key, value in described.items():
            if key == kind:
                yield value
            yield from statements(kind, value)
    elif isinstance(described, Sequence) and not isinstance(described, str | bytes):
        for value in described:
            yield from statements(kind, value)


def capacity(rules: Iterable[Given]) -> int:
    """Return the capacity units that rules need, of the statements that are carried here.

    ("Using rule statements in AWS WAF", AWS WAF guide, says for each what it costs.)
    """
    any_position = [each for each in statements(FORWARDED, rules) if each.get("Position") == "ANY"]
    units = sum(
        cost * len(list(statements(kind, rules)))
        for kind, cost in {"ByteMatchStatement": 2, IP_SET: 1, RATE: 2}.items()
    )
    return units + ANY_POSITION_UNITS * len(any_position)


def _rule(given: Given, bodies: Given, groups: Mapping[str, Given], place: str = "") -> Rule:
    name: str = given["Name"]
    kind, statement = _only(given["Statement"], "statement")
    if kind == MANAGED:
        # What is in them is AWS's own.
        return Rule(name, lambda _seen: False, Action("Count"))
    if kind == GROUP:
        return _group(given, statement, groups)
    matches = _rate_based((place, name), statement) if kind == RATE else _statement(given["Statement"])
    return Rule(name, matches, _action(given["Action"], bodies), needs=_address_headers(given["Statement"]))


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
    _refuse_others(given, {"ARN", FORWARDED})
    arn, empty = given["ARN"], AddressSet([])
    if FORWARDED in given:
        return _forwarded(given[FORWARDED], lambda client, seen: client in seen.sets.get(arn, empty))
    return lambda seen: seen.client in seen.sets.get(arn, empty)


def _forwarded(given: Given, holds: Callable[[Client, Seen], bool]) -> Statement:
    """Return a statement about addresses that a header tells of.

    ("IPSetForwardedIPConfig", AWS WAF API reference)
    """
    _refuse_others(given, {"HeaderName", "FallbackBehavior", "Position"})
    position = given.get("Position", "FIRST")
    _carry("position", position, *POSITIONS)
    _carry("fallback behavior", given["FallbackBehavior"], "MATCH", "NO_MATCH")
    choose, header, fallback = POSITIONS[position], given["HeaderName"], given["FallbackBehavior"] == "MATCH"

    def matches(seen: Seen) -> bool:
        clients = [client for client in map(_client, choose(seen.header(header) or "")) if client]
        return any(holds(client, seen) for client in clients) if clients else fallback

    return matches


@functools.lru_cache(CLIENTS_KNOWN)
def _client(text: str) -> Client | None:
    try:
        return Client.at(text.strip())
    except ValueError:
        return None


POSITIONS: Mapping[str, Callable[[str], Sequence[str]]] = {
    "FIRST": lambda value: [value.partition(",")[0]],
    "LAST": lambda value: [value.rpartition(",")[2]],
    "ANY": lambda value: value.split(",")[-MOST_INSPECTED:],
}
"""Which of the addresses in a header are looked at."""


def _address_headers(described: Given) -> tuple[str, ...]:
    """Return the headers from which statements take addresses, however deep they are."""
    configured = [each for kind in (FORWARDED, FORWARDED_RATE) for each in statements(kind, described)]
    return tuple({each["HeaderName"].lower() for each in configured})


def _byte_match(given: Given) -> Statement:
    _refuse_others(given, {"SearchString", "FieldToMatch", "PositionalConstraint", "TextTransformations"})
    field_kind, looked_at = _only(given["FieldToMatch"], "field")
    _carry("field", field_kind, "SingleHeader")
    _carry("positional constraint", given["PositionalConstraint"], "EXACTLY")
    for each in given["TextTransformations"]:
        _carry("text transformation", each["Type"], "NONE")
    wanted, header = _text(given["SearchString"]), looked_at["Name"]
    return lambda seen: seen.header(header) == wanted


def _text(search: str | bytes) -> str:
    # The API has it in bytes; who writes rules has text.
    return search.decode("utf-8", "surrogateescape") if isinstance(search, bytes) else search


def _rate_based(rule: tuple[str, str], given: Given) -> Statement:
    """Return a statement that counts the requests within its scope, and matches while they are too many.

    AWS looks at its counts about every ten seconds and estimates, so that there a client gets past the limit
    for a while, and stays blocked for a while after it went quiet; here the count is exact and at once.
    """
    _refuse_others(
        given, {"Limit", "EvaluationWindowSec", "AggregateKeyType", "ScopeDownStatement", FORWARDED_RATE}
    )
    _carry("aggregate key type", given["AggregateKeyType"], "IP", FORWARDED_KEY)
    if (given["AggregateKeyType"] == FORWARDED_KEY) != (FORWARDED_RATE in given):
        raise UnsupportedError(f"{FORWARDED_RATE} goes with aggregate key type {FORWARDED_KEY}, and only so")
    scope = _statement(given["ScopeDownStatement"]) if "ScopeDownStatement" in given else None
    limit = int(given["Limit"])
    window = int(given.get("EvaluationWindowSec") or DEFAULT_WINDOW_SECONDS)
    key = (*rule, limit, window)

    def exceeds(client: Client, seen: Seen) -> bool:
        return seen.rates.exceeds(key, client, limit, window, seen.now)

    if FORWARDED_RATE in given:
        over = _forwarded(given[FORWARDED_RATE], exceeds)
        return lambda seen: (scope is None or scope(seen)) and over(seen)
    return lambda seen: (scope is None or scope(seen)) and exceeds(seen.client, seen)


STATEMENTS: Mapping[str, Callable[[Given], Statement]] = {
    "AndStatement": _and,
    "OrStatement": _or,
    "NotStatement": _not,
    IP_SET: _ip_set,
    "ByteMatchStatement": _byte_match,
}


def _action(given: Given, bodies: Given) -> Action:
    kind, settings = _only(given, "action")
    _carry("action", kind, "Allow", "Block", "Count")
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


def _carry(what: str, kind: str, *carried: str) -> None:
    if kind not in carried:
        raise UnsupportedError(f"{what} {kind} is not carried here")


def _refuse_others(given: Given, known: set[str]) -> None:
    if others := sorted(given.keys() - known):
        raise UnsupportedError(f"{', '.join(others)} is not carried here")
