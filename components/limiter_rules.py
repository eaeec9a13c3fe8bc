"""The limiter's arguments as rules: what windows, limits and addresses mean, and what is wrong with them."""

import importlib.resources
import ipaddress
import itertools
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NotRequired, TypedDict, cast
from zoneinfo import ZoneInfo

from sluice.limiter import clients, rules
from sluice.limiter.blocks import OPERATOR
from sluice.limiter.clients import Identity
from sluice.limiter.rules import Counting, Override, Rules
from sluice.limiter.sets import CAPACITY
from sluice.limiter.windows import DAY, SECOND, Buckets, Calendar, Rolling, Window, WindowKind, WindowPeriod

from . import arguments
from .arguments import Problem

MOST_WINDOWS = 5
SHORTEST_SECONDS = 15 * 60
"""Of a window on AWS, where the log is delivered "usually" within three minutes ("Real-time processing of log
data with subscriptions", CloudWatch Logs guide)."""
LONGEST_SECONDS = 366 * DAY // SECOND
MOST_REQUESTS = 1_000_000_000
MOST_WEIGHT = 1000
MOST_OVERRIDES = 1000
UTC = "UTC"
WINDOW_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")
STATUS = re.compile(r"[1-5](\d\d|xx)")
METHOD = re.compile(r"[A-Z]{1,32}")
ROUTE = re.compile(r"/\S{0,53}")
ROUTE_ALLOWED = "the path of a route, with the / in front"
ZONES = Path(str(importlib.resources.files("tzdata")))


class WindowArgs(TypedDict):
    """One limit over one stretch of time."""

    name: str
    """What the window is called in blocks and tables: lower-case letters, digits and -."""
    limit: int
    """Requests that a client may make in it, 1 to 1,000,000,000; with the last of them it is blocked."""
    kind: NotRequired[WindowKind]
    """``rolling`` always reaches back by its length, ``calendar`` begins anew with each local day or month.
    Default: ``rolling``."""
    length_seconds: NotRequired[int]
    """For ``rolling``: how far it reaches back, in seconds, 900 to 31,622,400. It is counted in up to 24
    buckets, in 30 from 30 days on, and reaches back by up to one bucket more. Default: none."""
    period: NotRequired[WindowPeriod]
    """For ``calendar``: ``day`` or ``month``. Default: none."""
    time_zone: NotRequired[str]
    """For ``calendar``: the IANA time zone whose midnight it begins at. Default: ``UTC``."""


class OverrideArgs(TypedDict):
    """Limits of their own for the clients of one network."""

    network: str
    """A CIDR; for IPv6 with a prefix no longer than a client's."""
    limits: dict[str, int]
    """Requests by the window's name; windows that are not named keep their limit."""


class RuleArgs(TypedDict, total=False):
    """The arguments of a limiter that its rules are made of."""

    windows: list[WindowArgs]
    ipv6_prefix: int
    ipv6_site_prefix: int
    ipv6_site_limits: dict[str, int]
    uncounted_statuses: list[str]
    uncounted_methods: list[str]
    uncounted_routes: list[str]
    weights: dict[str, int]
    allow: list[str]
    overrides: list[OverrideArgs]
    allow_short_windows: bool


WINDOWS: list[WindowArgs] = [
    {"name": "day", "limit": 1_000, "length_seconds": DAY // SECOND},
    {"name": "month", "limit": 10_000, "length_seconds": 30 * DAY // SECOND},
]


def make(args: RuleArgs) -> Rules:
    """Return the rules that arguments without problems mean."""
    return Rules(
        windows=tuple(
            Window(
                each["name"],
                each["limit"],
                _buckets(cast(WindowArgs, arguments.present(cast(Mapping[str, object], each)))),
            )
            for each in args.get("windows", WINDOWS)
        ),
        identity=Identity(args.get("ipv6_prefix", clients.IPV6_PREFIX), args.get("ipv6_site_prefix")),
        counting=Counting(
            uncounted_statuses=tuple(args.get("uncounted_statuses", rules.UNCOUNTED_STATUSES)),
            uncounted_methods=tuple(args.get("uncounted_methods", rules.UNCOUNTED_METHODS)),
            uncounted_routes=tuple(args.get("uncounted_routes", rules.UNCOUNTED_ROUTES)),
            weights=dict(args.get("weights", {})),
        ),
        site_limits=dict(args.get("ipv6_site_limits", {})),
        overrides=tuple(
            Override(clients.canonical(each["network"]), dict(each["limits"]))
            for each in args.get("overrides", [])
        ),
        allow=tuple(map(clients.canonical, args.get("allow", []))),
    )


def zone_files(made: Rules) -> dict[str, Path]:
    """Return what a function needs to know the rules' time zones, by its path in the archive.

    Lambda's Python has no time zones of its own; Python looks for them in a package ``tzdata``.
    """
    zones = {window.buckets.zone for window in made.windows if isinstance(window.buckets, Calendar)}
    needed = {Path("__init__.py"), Path("zoneinfo", "__init__.py")} if zones else set[Path]()
    for zone in zones:
        file = Path("zoneinfo", *zone.split("/"))
        packages = [parent for parent in file.parents if len(parent.parts) > 1]
        needed |= {file, *(parent / "__init__.py" for parent in packages)}
    return {f"tzdata/{each.as_posix()}": ZONES / each for each in sorted(needed)}


def problems(args: RuleArgs) -> list[Problem]:
    """Return everything that is wrong with the arguments."""
    given: Mapping[str, object] = {**args}
    found = [*_window_list_problems(args)]
    names = _names(args)
    found += arguments.between(given, "ipv6_prefix", 32, 128, "bits")
    found += arguments.between(given, "ipv6_site_prefix", 16, 127, "bits")
    found += _site_problems(args, names)
    found += arguments.texts(given, "uncounted_statuses", STATUS, "a status, 429, or a class of them, 5xx")
    found += arguments.texts(given, "uncounted_methods", METHOD, "a method in capitals")
    found += arguments.texts(given, "uncounted_routes", ROUTE, ROUTE_ALLOWED)
    found += arguments.counts(given, "weights", MOST_WEIGHT, ROUTE, ROUTE_ALLOWED)
    found += _allow_problems(given.get("allow", []))
    found += _override_problems(args, names)
    found += arguments.flag(given, "allow_short_windows")
    # What is wrong in itself need not be compared as well.
    return found or _order_problems(args)


def _buckets(window: WindowArgs) -> Buckets:
    if window.get("kind", WindowKind.ROLLING) == WindowKind.ROLLING:
        return Rolling(window["length_seconds"] * SECOND)
    return Calendar(WindowPeriod(window["period"]), window.get("time_zone", UTC))


def _prefix(window: Mapping[str, object]) -> str:
    """Return what the names of a window's counters begin with; two definitions may have the same."""
    return Window("", 1, _buckets(cast(WindowArgs, window))).prefix


def _names(args: RuleArgs) -> list[str]:
    given = args.get("windows", WINDOWS)
    if not isinstance(given, list):
        return []
    return [str(each["name"]) for each in given if isinstance(each, dict) and "name" in each]


def _window_list_problems(args: RuleArgs) -> Iterable[Problem]:
    given: object = args.get("windows", WINDOWS)
    if not isinstance(given, list) or not 1 <= len(given) <= MOST_WINDOWS:
        yield Problem("windows", given, f"a list of 1 to {MOST_WINDOWS} windows")
        return
    shortest = 1 if args.get("allow_short_windows") is True else SHORTEST_SECONDS
    known: dict[str, str] = {}
    stretches: dict[str, str] = {}
    for index, window in enumerate(given):
        place = f"windows[{index}]"
        if not isinstance(window, dict):
            yield Problem(place, window, "a map with name, limit and length_seconds or period")
            continue
        given_keys = arguments.present(window)
        wrong = [*_window_problems(given_keys, shortest)]
        yield from (each.under(f"{place}.") for each in wrong)
        name = given_keys.get("name")
        if isinstance(name, str) and known.setdefault(name, place) != place:
            yield Problem(f"{place}.name", name, f"a name of its own; {known[name]} has the same")
        if wrong:
            continue
        prefix = _prefix(given_keys)
        if stretches.setdefault(prefix, place) != place:
            length = given_keys.get("length_seconds", given_keys.get("period"))
            yield Problem(
                place, length, f"a stretch of time of its own; {stretches[prefix]} has the same counters"
            )


def _window_problems(window: Mapping[str, object], shortest: int) -> Iterable[Problem]:
    known = WindowArgs.__annotations__
    for key in sorted(window.keys() - known.keys()):
        yield Problem(key, window[key], "no such key", f"use one of: {', '.join(known)}")
    for key in ("name", "limit"):
        if window.get(key) is None:
            yield Problem(key, None, "a value: it is required")
    allowed = f"1 to 32 lower-case letters, digits and -, a letter first, and not {OPERATOR}"
    yield from arguments.matching(window, "name", WINDOW_NAME, allowed)
    if window.get("name") == OPERATOR:
        yield Problem("name", OPERATOR, allowed)
    yield from arguments.between(window, "limit", 1, MOST_REQUESTS, "requests")
    wrong_kind = [*arguments.one_of(window, "kind", WindowKind)]
    if wrong_kind:
        # What else it needs depends on its kind.
        yield from wrong_kind
        return
    rolling = window.get("kind", WindowKind.ROLLING) == WindowKind.ROLLING
    needed, foreign = (
        ("length_seconds", ("period", "time_zone")) if rolling else ("period", ("length_seconds",))
    )
    if window.get(needed) is None:
        kind = WindowKind.ROLLING if rolling else WindowKind.CALENDAR
        yield Problem(needed, None, f"a value: a {kind} window needs it")
    for key in foreign:
        if window.get(key) is not None:
            other = WindowKind.CALENDAR if rolling else WindowKind.ROLLING
            yield Problem(key, window[key], f"nothing, unless kind is {other}", "remove it, or change kind")
    if rolling:
        yield from arguments.between(window, "length_seconds", shortest, LONGEST_SECONDS, "seconds")
    else:
        yield from arguments.one_of(window, "period", WindowPeriod)
        yield from _zone_problems(window.get("time_zone"))


def _zone_problems(zone: object) -> Iterable[Problem]:
    if zone is None:
        return
    try:
        if isinstance(zone, str) and (ZONES / "zoneinfo" / zone).is_file() and ZoneInfo(zone):
            return
    except (ValueError, OSError):
        pass
    yield Problem("time_zone", zone, "an IANA time zone, like Europe/Berlin")


def _site_problems(args: RuleArgs, names: list[str]) -> Iterable[Problem]:
    prefix, limits = args.get("ipv6_site_prefix"), args.get("ipv6_site_limits")
    if (prefix is None) != (limits is None):
        missing = "ipv6_site_prefix" if prefix is None else "ipv6_site_limits"
        yield Problem(missing, None, "a value: ipv6_site_prefix and ipv6_site_limits need each other")
    client_prefix = args.get("ipv6_prefix", clients.IPV6_PREFIX)
    if isinstance(prefix, int) and isinstance(client_prefix, int) and prefix >= client_prefix:
        yield Problem("ipv6_site_prefix", prefix, f"less than a client's prefix, {client_prefix}")
    if limits is not None:
        yield from _limit_problems({"ipv6_site_limits": limits}, "ipv6_site_limits", names)


def _limit_problems(given: Mapping[str, object], key: str, names: list[str]) -> Iterable[Problem]:
    known = re.compile("|".join(map(re.escape, names)) or "(?!)")
    allowed = f"the name of a window: {', '.join(names)}"
    yield from arguments.counts(given, key, MOST_REQUESTS, known, allowed)
    if given[key] == {}:
        yield Problem(key, {}, "a limit for at least one window")


def _allow_problems(given: object) -> Iterable[Problem]:
    if not isinstance(given, list):
        yield Problem("allow", given, "a list of CIDRs")
        return
    networks: dict[str, int] = {}
    for index, each in enumerate(given):
        place = f"allow[{index}]"
        wrong = _network_problem(place, each)
        if wrong:
            yield wrong
        elif (name := clients.canonical(each)) in networks:
            yield Problem(place, each, f"a CIDR of its own; allow[{networks[name]}] is the same")
        else:
            networks[name] = index
    for family in clients.FAMILIES:
        count = sum(clients.family(each) == family for each in networks)
        if count > CAPACITY:
            yield Problem("allow", f"{count} of IPv{family}", f"at most {CAPACITY} CIDRs of a family")


def _network_problem(place: str, given: object) -> Problem | None:
    allowed = "a CIDR without bits beyond its prefix, and not everybody"
    if not isinstance(given, str):
        return Problem(place, given, allowed)
    try:
        network = ipaddress.ip_network(given, strict=False)
        near = clients.canonical(str(network))
    except ValueError:
        return Problem(place, given, allowed)
    if isinstance(network, ipaddress.IPv6Network) and (mapped := network.network_address.ipv4_mapped):
        return Problem(place, given, "a CIDR of IPv4, which such addresses are taken for", f"{mapped}/...")
    if "/" in given and int(network.network_address) == int(ipaddress.ip_interface(given).ip):
        return None
    return Problem(place, given, allowed, f"did you mean {near}?")


def _override_problems(args: RuleArgs, names: list[str]) -> Iterable[Problem]:
    given: object = args.get("overrides", [])
    if not isinstance(given, list) or len(given) > MOST_OVERRIDES:
        shown = given if not isinstance(given, list) else f"{len(given)} overrides"
        yield Problem("overrides", shown, f"a list of at most {MOST_OVERRIDES} maps with network and limits")
        return
    known: dict[str, int] = {}
    prefix = args.get("ipv6_prefix", clients.IPV6_PREFIX)
    for index, override in enumerate(given):
        place = f"overrides[{index}]"
        if not isinstance(override, dict) or override.keys() != OverrideArgs.__annotations__.keys():
            yield Problem(place, override, "a map with network and limits, and nothing else")
            continue
        network = override["network"]
        wrong = _network_problem(f"{place}.network", network)
        if wrong:
            yield wrong
        elif ":" in network and isinstance(prefix, int) and ipaddress.ip_network(network).prefixlen > prefix:
            yield Problem(f"{place}.network", network, f"a prefix of at most {prefix} bits: a client's")
        elif known.setdefault(clients.canonical(network), index) != index:
            first = known[clients.canonical(network)]
            yield Problem(
                f"{place}.network", network, f"a network of its own; overrides[{first}] has the same"
            )
        yield from (each.under(f"{place}.") for each in _limit_problems(override, "limits", names))


def _order_problems(args: RuleArgs) -> list[Problem]:
    """Report each longer window with a smaller limit than a shorter one, which would never be reached."""
    made = make(args)
    by_name = {window.name: window for window in made.windows}
    plain = {window.name: window.limit for window in made.windows}
    sets = {"windows": plain}
    if made.site_limits:
        sets["ipv6_site_limits"] = dict(made.site_limits)
    for index, override in enumerate(made.overrides):
        sets[f"overrides[{index}].limits"] = {**plain, **override.limits}
    found = []
    for place, limits in sets.items():
        ordered = sorted((by_name[name].buckets.longest, limit, name) for name, limit in limits.items())
        for (_, less, shorter), (_, limit, longer) in itertools.pairwise(ordered):
            if limit < less:
                where = f"{place}[{list(by_name).index(longer)}].limit" if place == "windows" else place
                found.append(Problem(where, limit, f"at least {less}, the limit of the shorter {shorter}"))
    for name, limit in made.site_limits.items():
        if limit < plain[name]:
            allowed = f"at least {plain[name]}, the limit of one client"
            found.append(Problem(f"ipv6_site_limits.{name}", limit, allowed))
    return found
