import ast
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components import limiter_rules
from components.arguments import Problem
from sluice.limiter import rules
from sluice.limiter.clients import Identity
from sluice.limiter.rules import Counting, Override, Rules
from sluice.limiter.sets import CAPACITY
from sluice.limiter.windows import DAY, Calendar, Rolling, Window, WindowPeriod

HOUR: dict[str, Any] = {"name": "hour", "limit": 100, "length_seconds": 3600}
ALIKE = 3_679_200
"""Seconds of a window whose counters are named like those of one of 28,800."""
WEEK: dict[str, Any] = {"name": "week", "limit": 900, "kind": "rolling", "length_seconds": 604_800}
LOCAL: dict[str, Any] = {
    "name": "local", "limit": 500, "kind": "calendar", "period": "day", "time_zone": "Europe/Berlin",
}  # fmt: skip
MONTH: dict[str, Any] = {"name": "month", "limit": 9_000, "kind": "calendar", "period": "month"}
SITES: dict[str, Any] = {"ipv6_site_prefix": 48, "ipv6_site_limits": {"day": 50_000}}


def problems(**args: Any) -> list[Problem]:
    given_: Any = args
    return limiter_rules.problems(given_)


def with_window(**changes: Any) -> dict[str, Any]:
    """Return one window with changes; a key that is made None is left out."""
    changed = {**HOUR, **changes}
    return {"windows": [{key: value for key, value in changed.items() if value is not None}]}


GOOD: list[dict[str, Any]] = [
    {},
    {"windows": [HOUR]},
    {"windows": [HOUR, WEEK, LOCAL, MONTH, {"name": "a1-b", "limit": 9_500, "length_seconds": 366 * 86_400}]},
    with_window(limit=1),
    with_window(limit=1_000_000_000),
    with_window(length_seconds=900),
    with_window(kind="rolling"),
    with_window(name="x" * 32),
    {**with_window(length_seconds=1), "allow_short_windows": True},
    {"windows": [{**LOCAL, "time_zone": "America/Argentina/Buenos_Aires"}]},
    {"windows": [LOCAL, {**LOCAL, "name": "other", "time_zone": "Asia/Kolkata"}]},
    {"ipv6_prefix": 32},
    {"ipv6_prefix": 128},
    SITES,
    {**SITES, "ipv6_prefix": 49},
    {**SITES, "ipv6_site_limits": {"day": 1_000, "month": 10_000}},
    {"uncounted_statuses": [], "uncounted_methods": [], "uncounted_routes": []},
    {"uncounted_statuses": ["100", "599", "1xx", "5xx"]},
    {"uncounted_methods": ["GET", "OPTIONS"], "uncounted_routes": ["/", "/a/{b}/c", "/" + "x" * 53]},
    {"weights": {"/orders": 1, "/export": 1000}},
    {"allow": ["192.0.2.0/24", "192.0.2.1/32", "2001:db8::/32"]},
    {"overrides": [{"network": "192.0.2.0/24", "limits": {"day": 2_000}}]},
    {"overrides": [{"network": "2001:db8::/64", "limits": {"day": 2, "month": 3}}]},
    {"overrides": [{"network": "2001:db8::/128", "limits": {"day": 2}}], "ipv6_prefix": 128},
    {"allow_short_windows": False},
]
NO_WINDOWS: list[Any] = [[], {}, "day", 5, [HOUR] * 6]
NO_MAPS: list[Any] = ["day", 5, [], None]
BAD: list[tuple[str, dict[str, Any]]] = [
    *[("windows", {"windows": each}) for each in NO_WINDOWS],
    *[("windows[0]", {"windows": [each]}) for each in NO_MAPS],
    *[("windows[0].name", with_window(name=each)) for each in ("", "Day", "1st", "-x", "x" * 33, "a b", 5)],
    *[("windows[0].name", with_window(name=each)) for each in (None, "a_b", "a\n", "é", "operator")],
    *[("windows[0].limit", with_window(limit=each)) for each in (None, 0, -1, 1.5, "5", True, 1_000_000_001)],
    *[
        ("windows[0].length_seconds", with_window(length_seconds=each))
        for each in (None, 0, 899, -900, 900.5, "900", True, 366 * 86_400 + 1)
    ],
    ("windows[0].length_seconds", {**with_window(length_seconds=0), "allow_short_windows": True}),
    ("windows[0].length_seconds", {**with_window(length_seconds=10), "allow_short_windows": False}),
    ("windows[0].period", with_window(period="day")),
    ("windows[0].time_zone", with_window(time_zone="UTC")),
    ("windows[0].length_seconds", {"windows": [{**LOCAL, "length_seconds": 86_400}]}),
    ("windows[0].zone", with_window(zone="UTC")),
    *[("windows[0].period", {"windows": [{**LOCAL, "period": each}]}) for each in ("week", "Day", 1, None)],
    *[
        ("windows[0].time_zone", {"windows": [{**LOCAL, "time_zone": each}]})
        for each in (
            *("", "CET+1", "Europe", "europe/berlin", "Europe/Nowhere", "../zoneinfo/UTC", "/etc/localtime"),
            *("zone.tab", "__init__.py", "x" * 5_000, "UTC\0", 5, ["UTC"], True),
        )
    ],
    ("windows[1].name", {"windows": [HOUR, {**WEEK, "name": "hour"}]}),
    ("windows[1]", {"windows": [HOUR, {**HOUR, "name": "other"}]}),
    ("windows[1]", {"windows": [MONTH, {**MONTH, "name": "other", "time_zone": "UTC"}]}),
    ("windows[1].limit", {"windows": [HOUR, {**WEEK, "limit": 99}]}),
    ("windows[0].limit", {"windows": [{**WEEK, "limit": 99}, HOUR]}),
    ("windows[1].limit", {"windows": [HOUR, {**LOCAL, "limit": 99}]}),
    ("windows[0].limit", {"windows": [{**MONTH, "limit": 499}, LOCAL]}),
    *[("ipv6_prefix", {"ipv6_prefix": each}) for each in (31, 129, 64.5, "64", True)],
    *[
        ("ipv6_site_prefix", {**SITES, "ipv6_site_prefix": each}) for each in (15, 64, 65, 127, "48", 48.5)
    ],
    ("ipv6_site_prefix", {**SITES, "ipv6_prefix": 48}),
    ("ipv6_site_prefix", {"ipv6_site_limits": {"day": 50_000}}),
    ("ipv6_site_limits", {"ipv6_site_prefix": 48}),
    ("ipv6_site_limits", {**SITES, "ipv6_site_limits": {}}),
    ("ipv6_site_limits", {**SITES, "ipv6_site_limits": {"hour": 5}}),
    ("ipv6_site_limits", {**SITES, "ipv6_site_limits": 5}),
    *[("ipv6_site_limits.day", {**SITES, "ipv6_site_limits": {"day": each}}) for each in (0, "5", 1.5, 999)],
    ("ipv6_site_limits", {**SITES, "ipv6_site_limits": {"day": 50_000, "month": 49_999}}),
    *[
        ("uncounted_statuses[0]", {"uncounted_statuses": [each]})
        for each in ("600", "42", "4XX", "xxx", "5x", 429, "", "4290", "429\n")
    ],
    ("uncounted_statuses", {"uncounted_statuses": "429"}),
    ("uncounted_statuses[1]", {"uncounted_statuses": ["429", "all"]}),
    *[("uncounted_methods[0]", {"uncounted_methods": [each]}) for each in ("get", "", 5, "A B", "X" * 33)],
    *[("uncounted_routes[0]", {"uncounted_routes": [each]}) for each in ("health", "", "/a b", 5)],
    ("uncounted_routes[0]", {"uncounted_routes": ["/" + "x" * 54]}),
    *[("weights./a", {"weights": {"/a": each}}) for each in (0, 1001, 1.5, "2", True)],
    ("weights", {"weights": {"a": 1}}),
    ("weights", {"weights": ["/a"]}),
    ("allow", {"allow": "192.0.2.0/24"}),
    *[
        ("allow[0]", {"allow": [each]})
        for each in ("192.0.2.1", "192.0.2.1/24", "0.0.0.0/0", "::/0", "2001:db8::1/64", "all", 5, None, "",
                     "::ffff:192.0.2.0/120", "::ffff:c000:207/128", "::ffff:0:0/96", "fe80::1%eth0/128")
    ],
    ("allow[1]", {"allow": ["192.0.2.0/24", "192.0.2.0/24"]}),
    ("allow[1]", {"allow": ["2001:db8::/32", "2001:0db8:0000::/32"]}),
    ("overrides", {"overrides": {"network": "192.0.2.0/24"}}),
    *[
        ("overrides[0]", {"overrides": [each]})
        for each in ("192.0.2.0/24", {}, {"network": "192.0.2.0/24"}, {"limits": {"day": 5}},
                     {"network": "192.0.2.0/24", "limits": {"day": 5}, "reason": "x"})
    ],
    *[
        ("overrides[0].network", {"overrides": [{"network": each, "limits": {"day": 5}}]})
        for each in ("192.0.2.1/24", "192.0.2.1", "0.0.0.0/0", 5, None, "2001:db8::/65", ["192.0.2.0/24"],
                     "::ffff:192.0.2.0/120")
    ],
    ("overrides[1].network", {"overrides": [{"network": "192.0.2.0/24", "limits": {"day": 5}}] * 2}),
    ("overrides[2].network", {"overrides": [
        {"network": each, "limits": {"day": 5}}
        for each in ("2001:db8::/48", "2001:db8::/32", "2001:0DB8:0::/48")
    ]}),
    ("overrides[0].limits", {"overrides": [{"network": "192.0.2.0/24", "limits": {}}]}),
    ("overrides[0].limits", {"overrides": [{"network": "192.0.2.0/24", "limits": {"hour": 5}}]}),
    ("overrides[0].limits", {"overrides": [{"network": "192.0.2.0/24", "limits": [5]}]}),
    ("overrides[0].limits.day", {"overrides": [{"network": "192.0.2.0/24", "limits": {"day": 0}}]}),
    ("overrides[0].limits", {"overrides": [{"network": "192.0.2.0/24", "limits": {"day": 10_001}}]}),
    ("overrides[0].limits", {"overrides": [{"network": "192.0.2.0/24", "limits": {"month": 999}}]}),
    *[("allow_short_windows", {"allow_short_windows": each}) for each in ("true", 1)],
]  # fmt: skip


@pytest.mark.parametrize("args", GOOD, ids=str)
def test_good_rules_have_no_problem_and_can_be_made(args: dict[str, Any]) -> None:
    assert problems(**args) == []
    given_: Any = args
    made = limiter_rules.make(given_)
    assert rules.loads(rules.dumps(made)) == made
    assert all(path.is_file() for path in limiter_rules.zone_files(made).values())


@pytest.mark.parametrize(("path", "args"), BAD, ids=str)
def test_a_bad_argument_is_told_where_it_is(path: str, args: dict[str, Any]) -> None:
    found = problems(**args)
    assert [each.path for each in found] == [path]
    assert str(found[0])


@pytest.mark.parametrize(
    ("args", "value", "allowed"),
    [
        ({"windows": []}, [], "a list of 1 to 5 windows"),
        (with_window(name="Day"), "Day",
         "1 to 32 lower-case letters, digits and -, a letter first, and not operator"),
        (with_window(limit=0), 0, "a whole number from 1 to 1000000000 (requests)"),
        (with_window(length_seconds=60), 60, "a whole number from 900 to 31622400 (seconds)"),
        ({**with_window(length_seconds=0), "allow_short_windows": True}, 0,
         "a whole number from 1 to 31622400 (seconds)"),
        (with_window(length_seconds=None), None, "a value: a rolling window needs it"),
        ({"windows": [{**LOCAL, "period": None}]}, None, "a value: a calendar window needs it"),
        (with_window(period="day"), "day", "nothing, unless kind is calendar"),
        ({"windows": [{**LOCAL, "length_seconds": 900}]}, 900, "nothing, unless kind is rolling"),
        ({"windows": [{**LOCAL, "time_zone": "Mars"}]}, "Mars", "an IANA time zone, like Europe/Berlin"),
        (with_window(zone="UTC"), "UTC", "no such key"),
        ({"windows": [HOUR, {**WEEK, "name": "hour"}]}, "hour", "a name of its own; windows[0] has the same"),
        ({"windows": [HOUR, {**HOUR, "name": "x"}]}, 3600,
         "a stretch of time of its own; windows[0] has the same counters"),
        # Other stretches whose counters have the same names, by chance.
        ({"windows": [{**HOUR, "length_seconds": 28_800}, {**HOUR, "name": "x", "length_seconds": ALIKE}]},
         ALIKE,
         "a stretch of time of its own; windows[0] has the same counters"),
        ({"windows": [HOUR, {**WEEK, "limit": 9}]}, 9, "at least 100, the limit of the shorter hour"),
        ({**SITES, "ipv6_site_limits": {"day": 9}}, 9, "at least 1000, the limit of one client"),
        ({**SITES, "ipv6_site_prefix": 64}, 64, "less than a client's prefix, 64"),
        ({**SITES, "ipv6_site_limits": {"x": 9}}, "x", "the name of a window: day, month"),
        ({**SITES, "ipv6_site_limits": {}}, {}, "a limit for at least one window"),
        ({"uncounted_statuses": ["x"]}, "x", "a status, 429, or a class of them, 5xx"),
        ({"uncounted_methods": ["x"]}, "x", "a method in capitals"),
        ({"uncounted_routes": ["x"]}, "x", "the path of a route, with the / in front"),
        ({"weights": {"/a": 0}}, 0, "a whole number from 1 to 1000 (requests)"),
        ({"allow": ["192.0.2.1/24"]}, "192.0.2.1/24",
         "a CIDR without bits beyond its prefix, and not everybody"),
        ({"allow": ["192.0.2.0/24"] * 2}, "192.0.2.0/24", "a CIDR of its own; allow[0] is the same"),
        ({"overrides": [{"network": "2001:db8::/65", "limits": {"day": 5}}]}, "2001:db8::/65",
         "a prefix of at most 64 bits: a client's"),
        ({"overrides": [5]}, 5, "a map with network and limits, and nothing else"),
        ({"allow": ["::ffff:192.0.2.0/120"]}, "::ffff:192.0.2.0/120",
         "a CIDR of IPv4, which such addresses are taken for"),
        ({"overrides": [{"network": "192.0.2.0/24", "limits": {"day": 5}}] * 2}, "192.0.2.0/24",
         "a network of its own; overrides[0] has the same"),
        ({"overrides": [{}] * 1001}, "1001 overrides", "a list of at most 1000 maps with network and limits"),
    ],
    ids=str,
)  # fmt: skip
def test_a_problem_tells_the_value_and_what_is_allowed(
    args: dict[str, Any], value: object, allowed: str
) -> None:
    (found,) = problems(**args)
    assert (found.value, found.allowed) == (value, allowed)


@pytest.mark.parametrize(
    ("args", "remedy"),
    [
        ({"allow": ["192.0.2.1/24"]}, "did you mean 192.0.2.0/24?"),
        ({"allow": ["192.0.2.1"]}, "did you mean 192.0.2.1/32?"),
        ({"allow": ["0.0.0.0/0"]}, ""),
        ({"allow": ["::ffff:192.0.2.7/128"]}, "192.0.2.7/..."),
        ({"allow": ["x"]}, ""),
        (with_window(period="day"), "remove it, or change kind"),
        (with_window(zone="UTC"), "use one of: name, limit, kind, length_seconds, period, time_zone"),
    ],
    ids=str,
)
def test_a_problem_says_what_to_do_where_that_is_known(args: dict[str, Any], remedy: str) -> None:
    (found,) = problems(**args)
    assert found.remedy == remedy


def test_a_kind_that_there_is_not_is_told_first() -> None:
    found = problems(**with_window(kind="sliding"))
    assert (found[0].path, found[0].value) == ("windows[0].kind", "sliding")
    assert found[0].allowed == "one of rolling, calendar"


def test_every_problem_is_told_at_once() -> None:
    found = problems(
        windows=[{**HOUR, "limit": 0}, {**LOCAL, "period": "year", "time_zone": "Mars"}, 5],
        ipv6_prefix=1,
        uncounted_methods=["get"],
        weights={"/a": 0},
        allow=["x"],
        overrides=[{"network": "y", "limits": {"z": 1}}],
        allow_short_windows="yes",
    )
    assert [each.path for each in found] == [
        *("windows[0].limit", "windows[1].period", "windows[1].time_zone", "windows[2]", "ipv6_prefix"),
        *("uncounted_methods[0]", "weights./a", "allow[0]", "overrides[0].network", "overrides[0].limits"),
        "allow_short_windows",
    ]


def test_limits_are_compared_in_every_place_where_they_are() -> None:
    found = problems(
        windows=[HOUR, {**WEEK, "limit": 50}],
        ipv6_site_prefix=48,
        ipv6_site_limits={"hour": 300, "week": 200},
        overrides=[{"network": "192.0.2.0/24", "limits": {"hour": 80}}],
    )
    assert [each.path for each in found] == ["windows[1].limit", "ipv6_site_limits", "overrides[0].limits"]


def test_too_many_allowed_networks_of_a_family_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert CAPACITY == 10_000, "AWS WAF quotas"
    monkeypatch.setattr(limiter_rules, "CAPACITY", 30)
    v4 = [f"10.0.{each}.0/24" for each in range(31)]
    v6 = [f"2001:db8:{each:x}::/48" for each in range(30)]
    assert problems(allow=[*v4[:-1], *v6]) == []
    (found,) = problems(allow=[*v4, *v6])
    assert (found.path, found.value) == ("allow", "31 of IPv4")
    assert found.allowed == "at most 30 CIDRs of a family"


def test_a_thousand_overrides_are_as_many_as_there_may_be() -> None:
    networks = [f"10.{each // 256}.{each % 256}.0/24" for each in range(1_000)]
    assert problems(overrides=[{"network": each, "limits": {"day": 5}} for each in networks]) == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
KEYS = sorted(limiter_rules.RuleArgs.__annotations__)
WINDOW_KEYS = sorted(limiter_rules.WindowArgs.__annotations__)


@given(
    args=st.dictionaries(st.sampled_from(KEYS), JSON, max_size=4),
    window=st.dictionaries(st.sampled_from(WINDOW_KEYS), JSON),
    override=st.fixed_dictionaries({"network": JSON, "limits": JSON}),
)
def test_whatever_is_given_is_refused_with_reasons_or_can_be_made(
    args: dict[str, Any], window: dict[str, Any], override: dict[str, Any]
) -> None:
    given_ = {key: value for key, value in args.items() if value is not None}
    for more in ({}, {"windows": [{**HOUR, **window}]}, {"overrides": [override]}):
        tried: Any = {**given_, **more}
        if not limiter_rules.problems(tried):
            made = limiter_rules.make(tried)
            assert rules.loads(rules.dumps(made)) == made
            limiter_rules.zone_files(made)


@pytest.mark.parametrize(
    ("window", "key"),
    [(HOUR, "kind"), (HOUR, "period"), (HOUR, "time_zone"), (MONTH, "time_zone"), (MONTH, "length_seconds")],
)
def test_a_key_of_a_window_that_is_none_is_not_set(window: dict[str, Any], key: str) -> None:
    with_none: Any = {"windows": [{**window, key: None}]}
    without: Any = {"windows": [window]}
    assert limiter_rules.problems(with_none) == limiter_rules.problems(without) == []
    assert limiter_rules.make(with_none) == limiter_rules.make(without)


def test_rules_are_made_of_all_arguments() -> None:
    given_: Any = {
        "windows": [HOUR, LOCAL, MONTH],
        "ipv6_prefix": 60,
        "ipv6_site_prefix": 48,
        "ipv6_site_limits": {"hour": 200},
        "uncounted_statuses": ["404"],
        "uncounted_methods": ["HEAD"],
        "uncounted_routes": ["/ready"],
        "weights": {"/orders": 5},
        "allow": ["192.0.2.0/24", "2001:0DB8::/32"],
        "overrides": [{"network": "2001:0DB8:7::/48", "limits": {"hour": 400}}],
        "allow_short_windows": True,
    }
    assert problems(**given_) == []
    assert limiter_rules.make(given_) == Rules(
        windows=(
            Window("hour", 100, Rolling(3_600_000)),
            Window("local", 500, Calendar(WindowPeriod.DAY, "Europe/Berlin")),
            Window("month", 9_000, Calendar(WindowPeriod.MONTH, "UTC")),
        ),
        identity=Identity(60, 48),
        counting=Counting(("404",), ("HEAD",), ("/ready",), {"/orders": 5}),
        site_limits={"hour": 200},
        overrides=(Override("2001:db8:7::/48", {"hour": 400}),),
        allow=("192.0.2.0/24", "2001:db8::/32"),
    )


def test_without_arguments_the_rules_are_the_defaults() -> None:
    assert limiter_rules.make({}) == Rules(
        windows=(
            Window("day", 1_000, Rolling(DAY)),
            Window("month", 10_000, Rolling(30 * DAY)),
        )
    )


def zones(*names: str) -> dict[str, Path]:
    made = Rules(
        tuple(Window(f"w{index}", 1, Calendar(WindowPeriod.DAY, name)) for index, name in enumerate(names))
    )
    return limiter_rules.zone_files(made)


@pytest.mark.parametrize(
    "names",
    [
        ["UTC"],
        ["Europe/Berlin"],
        ["America/Argentina/Buenos_Aires"],
        ["UTC", "Asia/Kolkata", "Pacific/Apia", "America/North_Dakota/New_Salem"],
    ],
    ids=str,
)
def test_a_function_finds_its_zones_without_any_of_the_system(names: list[str], tmp_path: Path) -> None:
    for inside, source in zones(*names).items():
        file = tmp_path / inside
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(source.read_bytes())
    program = (
        f"import sys, zoneinfo\nsys.path.insert(0, {str(tmp_path)!r})\nzoneinfo.reset_tzpath(to=[])\n"
        "from datetime import datetime\n"
        "summer = lambda zone: datetime(2025, 7, 1, tzinfo=zoneinfo.ZoneInfo(zone))\n"
        f"print([str(summer(each).utcoffset()) for each in {names!r}])\n"
        "try:\n    zoneinfo.ZoneInfo('Europe/Paris')\n    print('found')\n"
        "except zoneinfo.ZoneInfoNotFoundError:\n    print('not shipped')\n"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-B", "-c", program],
        env={"PATH": os.environ["PATH"], "PYTHONTZPATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    offsets = {
        "UTC": "0:00:00",
        "Europe/Berlin": "2:00:00",
        "America/Argentina/Buenos_Aires": "-1 day, 21:00:00",
        "Asia/Kolkata": "5:30:00",
        "Pacific/Apia": "13:00:00",
        "America/North_Dakota/New_Salem": "-1 day, 19:00:00",
    }
    found, others = done.stdout.splitlines()
    assert ast.literal_eval(found) == [offsets[each] for each in names]
    assert others == "not shipped"


def test_a_zone_that_two_windows_share_is_shipped_once_and_rolling_windows_need_none() -> None:
    assert zones("UTC", "UTC") == zones("UTC")
    assert zones() == limiter_rules.zone_files(limiter_rules.make({})) == {}
    assert list(zones("Europe/Berlin")) == [
        "tzdata/__init__.py",
        "tzdata/zoneinfo/Europe/Berlin",
        "tzdata/zoneinfo/Europe/__init__.py",
        "tzdata/zoneinfo/__init__.py",
    ]
