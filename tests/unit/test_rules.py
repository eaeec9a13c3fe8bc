import dataclasses
import ipaddress
import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components import limiter_rules
from sluice.access_log import Line
from sluice.limiter import counters, rules
from sluice.limiter.clients import Identity, family
from sluice.limiter.rules import NOTHING, Counted, Counting, Override, Rules, Standing, worst
from sluice.limiter.windows import DAY, MINUTE, Calendar, Cut, Rolling, Window, WindowPeriod

NOW = 1_750_000_000_000
SHORT = Window("short", 3, Rolling(20_000))
LONG = Window("long", 10, Rolling(120_000))
DAYS = Window("days", 5, Calendar(WindowPeriod.DAY, "Europe/Berlin"))
DEFAULTS = limiter_rules.make({})


def line(
    status: int = 202, method: str = "POST", route: str = "/messages", waf: str | None = "WAF_ALLOW"
) -> Line:
    return Line(
        request_id="r-1", ip="192.0.2.7", time=NOW, method=method, route=route, status=status, waf=waf,
        latency=3, backend=200, principal=None,
    )  # fmt: skip


def held(window: Window, count: int, now: int = NOW) -> dict[str, int]:
    return {window.counter(window.buckets.index(now)): count}


@pytest.mark.parametrize(
    ("seen", "weight"),
    [
        (line(), 1),
        (line(waf=None), 1),
        *((line(status), 1) for status in (200, 201, 301, 400, 401, 403, 404, 413, 428, 430)),
        *((line(status), 0) for status in (429, 500, 502, 503, 504, 599)),
        (line(method="OPTIONS"), 0),
        (line(method="GET"), 1),
        (line(route="/health"), 0),
        (line(route="/health/x"), 1),
        (line(403, waf="WAF_BLOCK"), 0),
        (line(200, waf="WAF_BLOCK"), 0),
    ],
)
def test_health_checks_preflights_refusals_and_our_own_failures_do_not_count(seen: Line, weight: int) -> None:
    assert Counting().weight(seen) == weight
    assert DEFAULTS.counting.weight(seen) == weight


def test_what_counts_and_how_much_may_be_said() -> None:
    counting = Counting(("404", "3xx"), ("HEAD",), ("/ready",), {"/orders": 5, "/ready": 7})
    assert counting.weight(line(404)) == counting.weight(line(301)) == 0
    assert counting.weight(line(429)) == counting.weight(line(500)) == counting.weight(line(405)) == 1
    assert counting.weight(line(method="HEAD")) == 0
    assert counting.weight(line(method="OPTIONS")) == 1
    assert counting.weight(line(route="/health")) == 1
    assert counting.weight(line(route="/orders")) == 5
    assert counting.weight(line(route="/ready")) == 0, "not to be counted wins over a weight"
    assert counting.weight(line(route="/orders", waf="WAF_BLOCK")) == 0, "or a blocked client would stay so"


OVERRIDES = (
    Override("192.0.2.0/24", {"short": 30}),
    Override("192.0.2.128/25", {"long": 99}),
    Override("2001:db8::/32", {"short": 40}),
    Override("2001:db8:7::/48", {"short": 50, "long": 500}),
    Override("198.51.100.7/32", {"short": 1}),
)


@pytest.mark.parametrize(
    ("client", "limits"),
    [
        ("203.0.113.1", {"short": 3, "long": 10}),
        ("192.0.2.1", {"short": 30, "long": 10}),
        ("192.0.2.200", {"short": 3, "long": 99}),
        ("198.51.100.7", {"short": 1, "long": 10}),
        ("198.51.100.8", {"short": 3, "long": 10}),
        ("2001:db8:1:2::/64", {"short": 40, "long": 10}),
        ("2001:db8:7:2::/64", {"short": 50, "long": 500}),
        ("2001:db9::/64", {"short": 3, "long": 10}),
    ],
)
def test_the_smallest_network_that_has_limits_of_its_own_decides(client: str, limits: dict[str, int]) -> None:
    for overrides in itertools.permutations(OVERRIDES, 5):
        assert Rules((SHORT, LONG), overrides=overrides).limits(client) == limits


NETWORKS = st.one_of(
    st.builds(
        lambda number, bits: ipaddress.IPv4Network((number, bits), strict=False),
        st.integers(0, 2**32 - 1),
        st.integers(1, 32),
    ),
    st.builds(
        lambda number, bits: ipaddress.IPv6Network((number, bits), strict=False),
        st.integers(0, 2**128 - 1),
        st.integers(1, 64),
    ),
)
"""An IPv6 network with limits of its own is never smaller than a client."""


@given(networks=st.lists(NETWORKS, max_size=12, unique=True), data=st.data())
def test_limits_are_those_that_a_plain_look_at_every_network_finds(
    networks: list[ipaddress.IPv4Network | ipaddress.IPv6Network], data: st.DataObject
) -> None:
    # Networks inside others, and addresses at their edges.
    networks = list(
        dict.fromkeys([*networks, *(each.supernet(min(3, each.prefixlen - 1)) for each in networks)])
    )
    edges = [edge for each in networks for edge in (each.network_address, each.broadcast_address)]
    address = data.draw(st.ip_addresses() | st.sampled_from(edges) if edges else st.ip_addresses())
    overrides = tuple(
        Override(str(each), {"short": 1000 + number} if number % 2 else {"long": 1000 + number})
        for number, each in enumerate(networks)
    )
    holding = [
        (each.prefixlen, override.limits)
        for each, override in zip(networks, overrides, strict=True)
        if address in each
    ]
    plain = {"short": 3, "long": 10}
    smallest = max(holding, key=lambda each: each[0], default=(0, {}))[1]
    for client in Identity().clients(str(address)):
        if family(client) == address.version:
            assert Rules((SHORT, LONG), overrides=overrides).limits(client) == {**plain, **smallest}


def test_of_two_overrides_for_one_network_the_later_one_decides() -> None:
    both = (Override("192.0.2.0/24", {"short": 1}), Override("192.0.2.0/24", {"short": 2}))
    assert Rules((SHORT,), overrides=both).limits("192.0.2.1") == {"short": 2}


def test_a_site_has_the_limits_of_sites_alone() -> None:
    made = Rules(
        (SHORT, LONG),
        identity=Identity(64, 48),
        site_limits={"long": 70},
        overrides=(Override("2001:db8::/32", {"short": 40}),),
    )
    assert made.limits("2001:db8:7::/48") == {"long": 70}
    assert made.limits("2001:db8:7:1::/64") == {"short": 40, "long": 10}
    counts = Counted({**held(SHORT, 99), **held(LONG, 69)})
    (standing,) = made.standings("2001:db8:7::/48", counts, NOW)
    assert (standing.window, standing.count, standing.limit, standing.over) == ("long", 69, 70, False)


def test_a_prefix_is_a_site_only_where_sites_are_counted() -> None:
    made = Rules((SHORT,), identity=Identity(48))
    assert made.limits("2001:db8:7::/48") == {"short": 3}


def test_a_standing_tells_the_buckets_that_count_and_when_there_is_room() -> None:
    made = Rules((SHORT, LONG, DAYS))
    index = SHORT.buckets.index(NOW)
    counts = Counted({SHORT.counter(index): 2, SHORT.counter(index - 3): 1, SHORT.counter(index - 21): 8})
    short, long, days = made.standings("192.0.2.7", counts, NOW)
    assert (short.count, short.limit, short.over) == (3, 3, True)
    assert short.buckets == {SHORT.buckets.start(index): 2, SHORT.buckets.start(index - 3): 1}
    assert short.room_at == SHORT.buckets.start(index - 3 + 21)
    assert (long.count, long.over, long.room_at) == (0, False, NOW)
    assert (days.count, days.over, days.buckets) == (0, False, {})


def test_a_limit_is_used_up_with_its_last_request() -> None:
    made = Rules((SHORT,))
    overs = [made.standings("192.0.2.7", Counted(held(SHORT, count)), NOW)[0].over for count in (0, 2, 3, 4)]
    assert overs == [False, False, True, True]


def test_the_window_that_keeps_a_client_out_longest_is_told() -> None:
    made = Rules((SHORT, LONG, DAYS))
    assert worst(made.standings("192.0.2.7", NOTHING, NOW)) is None
    both = Counted({**held(SHORT, 9), **held(LONG, 10)})
    found = worst(made.standings("192.0.2.7", both, NOW))
    assert found is not None
    assert found.window == "long"
    one = worst([Standing("a", 9, 9, {}, 50), Standing("b", 9, 9, {}, 70), Standing("c", 1, 9, {}, 90)])
    assert one is not None
    assert one.window == "b"


def test_a_window_lets_in_more_than_another_and_blocks_all_the_same() -> None:
    made = Rules((SHORT, LONG))
    found = worst(made.standings("192.0.2.7", Counted(held(SHORT, 3)), NOW))
    assert found is not None
    assert found.window == "short"


def test_cuts_make_a_client_free_until_it_uses_up_its_limit_again() -> None:
    made = Rules((SHORT, LONG, DAYS))
    full = {**held(SHORT, 9), **held(LONG, 12), **held(DAYS, 7)}
    cuts = made.cuts(Counted(full), NOW)
    assert cuts.keys() == {each.prefix for each in made.windows}
    assert worst(made.standings("192.0.2.7", Counted(full, 1, cuts), NOW)) is None
    more = {**full, **held(SHORT, 9 + 3)}
    found = worst(made.standings("192.0.2.7", Counted(more, 1, cuts), NOW))
    assert found is not None
    assert (found.window, found.count) == ("short", 3)


def test_cuts_of_a_client_that_never_came_let_everything_count_that_comes() -> None:
    made = Rules((SHORT,))
    cuts = made.cuts(NOTHING, NOW)
    assert cuts == {SHORT.prefix: Cut(SHORT.buckets.index(NOW), 0)}
    (standing,) = made.standings("192.0.2.7", Counted(held(SHORT, 2), 1, cuts), NOW)
    assert standing.count == 2


def test_a_client_is_forgotten_after_twice_the_time_that_its_requests_count() -> None:
    made = Rules((SHORT, LONG))
    assert made.longest == 120_000 + 5_000
    assert made.expires(NOW) == NOW // 1000 + 250
    assert DEFAULTS.expires(NOW) == (NOW + 2 * 31 * DAY) // 1000


@given(
    windows=st.lists(st.sampled_from([SHORT, LONG, DAYS]), min_size=1, max_size=3), now=st.integers(0, 2**42)
)
def test_nothing_that_counts_is_ever_forgotten(windows: list[Window], now: int) -> None:
    made = Rules(tuple(windows))
    ends = [each.buckets.start(each.buckets.index(now) + each.buckets.older + 1) for each in windows]
    assert made.expires(now) * 1000 >= max(ends) - 1000


def test_the_default_limits_are_a_day_and_a_month() -> None:
    assert [(each.name, each.limit, each.buckets.longest) for each in DEFAULTS.windows] == [
        ("day", 1_000, 25 * 60 * MINUTE),
        ("month", 10_000, 31 * DAY),
    ]


def test_a_client_of_the_default_windows_costs_one_write_unit() -> None:
    live = DEFAULTS.most_counters
    assert live == sum(len(each.live(NOW)) for each in DEFAULTS.windows) == 25 + 31
    staying = counters.MOST_STALE - 1
    assert counters.largest_item(live + staying) < counters.ONE_WRITE_UNIT


def item_size(count: int) -> int:
    """Return the size of a full item, computed from the item itself ("DynamoDB item sizes and formats")."""
    tokens = [index.to_bytes(counters.TOKEN_BYTES) for index in range(counters.RING_SIZE)]
    item: dict[str, object] = {
        "k": "2001:db8:ffff:ffff::/64",
        "b": tokens,
        "c": tokens,
        "x": 1_750_000_000,
        **{f"abc{index:03}": 9_999_999 for index in range(count)},
    }
    size = 0
    for name, value in item.items():
        size += len(name)
        if isinstance(value, int):
            digits = str(value).rstrip("0")
            size += -(-len(digits) // 2) + 1
        elif isinstance(value, list):
            size += sum(map(len, value))
        else:
            size += len(str(value))
    return size


@pytest.mark.parametrize("count", [0, 1, 25, 56, 64])
def test_the_size_of_an_item_is_not_told_too_small(count: int) -> None:
    assert item_size(count) <= counters.largest_item(count) <= item_size(count) + 40


NAMES = st.from_regex(r"[a-z][a-z0-9-]{0,8}", fullmatch=True)
LIMITS = st.integers(1, 10**9)
WINDOWS = st.builds(
    Window,
    NAMES,
    LIMITS,
    st.one_of(
        st.integers(1, 10**6).map(lambda seconds: Rolling(seconds * 1000)),
        st.builds(Calendar, st.sampled_from(WindowPeriod), st.sampled_from(["UTC", "Asia/Kolkata"])),
    ),
)
TEXTS = st.lists(st.text(max_size=5), max_size=3).map(tuple)
RULES = st.builds(
    Rules,
    windows=st.lists(WINDOWS, min_size=1, max_size=5).map(tuple),
    identity=st.builds(Identity, st.integers(32, 128), st.none() | st.integers(16, 127)),
    counting=st.builds(
        Counting, TEXTS, TEXTS, TEXTS, st.dictionaries(st.text(max_size=5), LIMITS, max_size=3)
    ),
    site_limits=st.dictionaries(NAMES, LIMITS, max_size=3),
    overrides=st.lists(
        st.builds(
            Override,
            st.sampled_from(["192.0.2.0/24", "2001:db8::/48"]),
            st.dictionaries(NAMES, LIMITS, max_size=2),
        ),
        max_size=3,
    ).map(tuple),
    allow=st.lists(st.sampled_from(["192.0.2.0/24", "2001:db8::/48"]), max_size=2).map(tuple),
)


@given(given_=RULES)
def test_rules_are_the_same_after_they_were_written_and_read(given_: Rules) -> None:
    text = rules.dumps(given_)
    again = rules.loads(text)
    assert again == given_
    assert rules.dumps(again) == text
    assert [each.prefix for each in again.windows] == [each.prefix for each in given_.windows]


def test_written_rules_are_the_same_in_whatever_order_maps_were() -> None:
    one = Rules((SHORT,), counting=Counting(weights={"/a": 1, "/b": 2}), site_limits={"a": 1, "b": 2})
    other = Rules((SHORT,), counting=Counting(weights={"/b": 2, "/a": 1}), site_limits={"b": 2, "a": 1})
    assert rules.dumps(one) == rules.dumps(other), "or each deployment would ship another archive"
    assert json.loads(rules.dumps(one)).keys() == {each.name for each in dataclasses.fields(Rules)}
