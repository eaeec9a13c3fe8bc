"""The limiter's rules: what counts, for whom, over which windows, and up to which limits."""

import functools
import ipaddress
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from sluice.access_log import Line

from .clients import FAMILIES, Identity, Networks, cidr, family
from .windows import SECOND, Calendar, Cut, Rolling, Window, WindowPeriod

WAF_BLOCK = "WAF_BLOCK"
"""What the access log says of a request that WAF stopped ("$context.wafResponseCode")."""
UNCOUNTED_STATUSES = ("429", "5xx")
"""Refusals for too many requests, and failures of ours."""
UNCOUNTED_METHODS = ("OPTIONS",)
UNCOUNTED_ROUTES = ("/health",)
FILE = "limiter_rules.json"
"""Where an archive carries the rules, beside the handlers."""
STATUS_CLASSES = 100


@dataclass(frozen=True)
class Counting:
    """Which requests count, and how much."""

    uncounted_statuses: tuple[str, ...] = UNCOUNTED_STATUSES
    """A status, ``429``, or a class of them, ``5xx``."""
    uncounted_methods: tuple[str, ...] = UNCOUNTED_METHODS
    uncounted_routes: tuple[str, ...] = UNCOUNTED_ROUTES
    weights: Mapping[str, int] = field(default_factory=dict)
    """What a request of a route counts instead of 1."""

    def weight(self, line: Line) -> int:
        """Return what a request counts; nothing if WAF stopped it, or a blocked client would stay so."""
        if (
            line.waf == WAF_BLOCK
            or line.method in self.uncounted_methods
            or line.route in self.uncounted_routes
            or str(line.status) in self.uncounted_statuses
            or f"{line.status // STATUS_CLASSES}xx" in self.uncounted_statuses
        ):
            return 0
        return self.weights.get(line.route, 1)


@dataclass(frozen=True)
class Override:
    """Limits of their own for the clients in a network."""

    network: str
    limits: Mapping[str, int]
    """By the window's name; windows that are not named keep theirs."""


@dataclass(frozen=True)
class Counted:
    """What is known of a client."""

    counters: Mapping[str, int] = field(default_factory=dict)
    """By name."""
    generation: int = 0
    """How often an operator unblocked it."""
    cuts: Mapping[str, Cut] = field(default_factory=dict)
    """By the window's prefix."""


NOTHING = Counted()
"""What is known of a client that never came."""


@dataclass(frozen=True)
class Standing:
    """How a client stands in one window."""

    window: str
    count: int
    limit: int
    buckets: Mapping[int, int]
    """What is in each bucket that counts, by when the bucket began."""
    room_at: int
    """When there is room: now, or the first moment at which the window holds less than its limit."""

    @property
    def over(self) -> bool:
        """Whether the limit is used up."""
        return self.count >= self.limit


@dataclass(frozen=True)
class Rules:
    """Everything that decides what is counted and who is blocked."""

    windows: tuple[Window, ...]
    identity: Identity = field(default_factory=Identity)
    counting: Counting = field(default_factory=Counting)
    site_limits: Mapping[str, int] = field(default_factory=dict)
    """By the window's name, for the shorter IPv6 prefix; a window that is not named does not limit it."""
    overrides: tuple[Override, ...] = ()
    allow: tuple[str, ...] = ()
    """CIDRs that are never counted and never blocked."""

    @functools.cached_property
    def allowed(self) -> Networks:
        """The allow list, to look addresses up in."""
        return Networks(self.allow)

    @functools.cached_property
    def longest(self) -> int:
        """The most milliseconds that a request counts in any window."""
        return max(window.buckets.longest for window in self.windows)

    @functools.cached_property
    def most_counters(self) -> int:
        """How many counters of one client may count at once."""
        return sum(window.buckets.older + 1 for window in self.windows)

    def limits(self, client: str) -> Mapping[str, int]:
        """Return a client's limits by window; the smallest network that has an override decides."""
        if self._is_site(client):
            return self.site_limits
        if not self.overrides:
            return self._plain_limits
        number = int(ipaddress.ip_network(cidr(client)).network_address)
        for shift, networks in self._overridden[family(client)]:
            if override := networks.get(number >> shift):
                return override
        return self._plain_limits

    @functools.cached_property
    def _plain_limits(self) -> Mapping[str, int]:
        return {window.name: window.limit for window in self.windows}

    @functools.cached_property
    def _overridden(self) -> Mapping[int, list[tuple[int, dict[int, Mapping[str, int]]]]]:
        """The limits of networks by family, bits behind the prefix, and prefix; the smallest first."""
        found: dict[int, dict[int, dict[int, Mapping[str, int]]]] = {each: {} for each in FAMILIES}
        for each in self.overrides:
            network = ipaddress.ip_network(each.network)
            shift = network.max_prefixlen - network.prefixlen
            limits = {**self._plain_limits, **each.limits}
            found[network.version].setdefault(shift, {})[int(network.network_address) >> shift] = limits
        return {version: sorted(networks.items()) for version, networks in found.items()}

    def expires(self, now: int) -> int:
        """Return when a client that came now may be forgotten, in seconds since 1970.

        That is twice as long as its request counts: the enforcer may look at it a little later.
        """
        return (now + 2 * self.longest) // SECOND

    def standings(self, client: str, known: Counted, now: int) -> list[Standing]:
        """Return how a client stands in each window that limits it."""
        limits = self.limits(client)
        found = []
        for window in self.windows:
            limit = limits.get(window.name)
            if limit is None:
                continue
            counts = window.counts(known.counters, now, known.cuts.get(window.prefix))
            found.append(
                Standing(
                    window=window.name,
                    count=sum(counts.values()),
                    limit=limit,
                    buckets={window.buckets.start(index): count for index, count in counts.items()},
                    room_at=window.room_at(counts, limit, now),
                )
            )
        return found

    def cuts(self, known: Counted, now: int) -> dict[str, Cut]:
        """Return, by the windows' prefixes, what must not count any more for a client to be free now."""
        return {
            window.prefix: Cut(index, known.counters.get(window.counter(index), 0))
            for window in self.windows
            for index in [window.buckets.index(now)]
        }

    def _is_site(self, client: str) -> bool:
        prefix = self.identity.ipv6_site_prefix
        return prefix is not None and client.endswith(f"/{prefix}")


def worst(standings: list[Standing]) -> Standing | None:
    """Return the window that keeps a client out for longest, if any does."""
    over = [each for each in standings if each.over]
    return max(over, key=lambda each: each.room_at) if over else None


def dumps(rules: Rules) -> str:
    """Return rules as JSON, the same for the same rules."""
    plain = asdict(rules)
    plain["windows"] = [_window_as_plain(window) for window in rules.windows]
    return json.dumps(plain, sort_keys=True)


def loads(text: str) -> Rules:
    """Return the rules that `dumps` wrote."""
    plain: dict[str, Any] = json.loads(text)
    counting = plain["counting"]
    return Rules(
        windows=tuple(map(_window, plain["windows"])),
        identity=Identity(**plain["identity"]),
        counting=Counting(
            uncounted_statuses=tuple(counting["uncounted_statuses"]),
            uncounted_methods=tuple(counting["uncounted_methods"]),
            uncounted_routes=tuple(counting["uncounted_routes"]),
            weights=counting["weights"],
        ),
        site_limits=plain["site_limits"],
        overrides=tuple(Override(**each) for each in plain["overrides"]),
        allow=tuple(plain["allow"]),
    )


def _window_as_plain(window: Window) -> dict[str, object]:
    return {"name": window.name, "limit": window.limit, "buckets": asdict(window.buckets)}


def _window(plain: Mapping[str, Any]) -> Window:
    buckets = plain["buckets"]
    if "zone" in buckets:
        return Window(
            plain["name"], plain["limit"], Calendar(WindowPeriod(buckets["period"]), buckets["zone"])
        )
    return Window(plain["name"], plain["limit"], Rolling(buckets["length"]))
