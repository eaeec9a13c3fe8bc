from datetime import UTC, datetime
from email.utils import formatdate

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from handlers.retrier.signals import retry_after, told_to_wait

NOW = datetime(2027, 1, 15, 8, 0, 0, tzinfo=UTC).timestamp()
HOUR = 3600.0
THROTTLED = 429
TEXTS = st.text(st.characters(exclude_categories=()))
NAMES = (
    "retry-after",
    "date",
    "ratelimit",
    "ratelimit-policy",
    "ratelimit-limit",
    "ratelimit-remaining",
    "ratelimit-reset",
    "x-ratelimit-remaining",
    "x-ratelimit-reset",
    "x-ratelimit-reset-after",
    "x-rate-limit-remaining",
    "x-rate-limit-reset",
)
PIECES = st.sampled_from(
    [
        '"',
        "\\",
        ";",
        "=",
        ",",
        " ",
        "r",
        "t",
        "w",
        "limit",
        "remaining",
        "reset",
        "0",
        "30",
        "-1",
        "9" * 30,
        "nan",
        "inf",
        "1e999",
        "Fri, 15 Jan 2027",
        "08:00:30",
        "GMT",
        "+9999",
        "0001-01-01",
        "T",
        "Z",
        "\ud800",
    ]
)


def at(seconds: float) -> str:
    return formatdate(NOW + seconds, usegmt=True)


def forms(seconds: float) -> list[str]:
    """Return a time in all three of HTTP's forms."""
    when = datetime.fromtimestamp(NOW + seconds, UTC)
    return [
        when.strftime("%a, %d %b %Y %H:%M:%S GMT"),
        when.strftime("%A, %d-%b-%y %H:%M:%S GMT"),
        f"{when:%a %b} {when.day:2} {when:%H:%M:%S %Y}",
    ]


@pytest.mark.parametrize(
    ("value", "wait"), [("0", 0.0), ("1", 1.0), ("120", 120.0), (" 7 ", 7.0), ("1.5", 1.5), ("007", 7.0)]
)
def test_seconds_are_as_they_are_said(value: str, wait: float) -> None:
    assert retry_after({"retry-after": value}, NOW) == wait


@pytest.mark.parametrize("value", ["30, 60", "60, 30", "60,30", "30 , 60,1.5"])
def test_of_several_waits_the_longest_counts(value: str) -> None:
    assert retry_after({"retry-after": value}, NOW) == 60.0


@given(st.integers(0, 10**9), st.floats(0, 2**33))
def test_seconds_do_not_depend_on_any_clock(seconds: int, now: float) -> None:
    assert retry_after({"retry-after": str(seconds), "date": at(-HOUR)}, now) == seconds


@pytest.mark.parametrize("form", range(3))
@pytest.mark.parametrize("seconds", [1, 30, 59, 3600, 100_000])
def test_a_date_is_waited_for_in_each_of_its_forms(seconds: int, form: int) -> None:
    assert retry_after({"retry-after": forms(seconds)[form]}, NOW) == seconds


@pytest.mark.parametrize("form", range(3))
def test_a_date_that_is_over_is_no_wait(form: int) -> None:
    assert retry_after({"retry-after": forms(-HOUR)[form]}, NOW) == 0.0


def test_the_examples_of_the_standard_are_one_time() -> None:
    examples = (
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
    )
    for each in examples:
        assert retry_after({"retry-after": each}, 784111777.0 - 9) == 9.0


@pytest.mark.parametrize("skew", [-2 * HOUR, -60.0, 60.0, 2 * HOUR])
@pytest.mark.parametrize("form", range(3))
def test_a_date_is_by_the_clock_of_whom_it_comes_from(form: int, skew: float) -> None:
    headers = {"retry-after": at(skew + 30), "date": forms(skew)[form]}
    assert retry_after(headers, NOW) == 30.0


@pytest.mark.parametrize("late", [-0.125, 0.0, 1.0, 1.125])
def test_an_answer_that_was_on_its_way_does_not_make_the_wait_longer(late: float) -> None:
    assert retry_after({"retry-after": at(30), "date": at(0)}, NOW + late) == 30 - late


@pytest.mark.parametrize("off", [-2.0, -0.25, 1.25, 2.0])
def test_a_clock_that_is_seconds_off_is_the_upstream_s_own(off: float) -> None:
    assert retry_after({"retry-after": at(30), "date": at(0)}, NOW + off) == 30.0


@pytest.mark.parametrize("date", ["", "yesterday", "0", "Fri, 99 Jan 2027 08:00:00 GMT"])
def test_a_clock_that_cannot_be_read_counts_as_ours(date: str) -> None:
    assert retry_after({"retry-after": at(30), "date": date}, NOW) == 30.0


@pytest.mark.parametrize(
    "value",
    [
        "",
        " ",
        "-1",
        "-30",
        "+5",
        "soon",
        "30s",
        "0x10",
        "1e3",
        "nan",
        "inf",
        "-inf",
        ".5",
        "1.",
        "9" * 11,
        "1 2 3",
        "Mon",
        "10:30",
        "Fri, 99 Jan 2027 08:00:30 GMT",
        "\u00bd",
        "\ud800",
        "30; 60",
        "30,",
        "30, soon",
        "30, -60",
        "1_000",
    ],
    ids=ascii,
)
def test_what_is_no_wait_says_nothing(value: str) -> None:
    assert retry_after({"retry-after": value}, NOW) is None
    assert told_to_wait(THROTTLED, {"retry-after": value}, NOW) is None


@pytest.mark.parametrize("value", ["9999999999", "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_an_absurd_wait_is_still_what_was_asked_for(value: str) -> None:
    found = retry_after({"retry-after": value}, NOW)
    assert found is not None
    assert found > 1e9


@pytest.mark.parametrize("status", [400, 403, 413, THROTTLED, 500, 502, 503, 504])
def test_a_bad_answer_s_wait_counts(status: int) -> None:
    assert told_to_wait(status, {"retry-after": "30"}, NOW) == 30.0


@pytest.mark.parametrize("status", [200, 201, 202, 204, 301, 302, 304])
def test_a_good_answer_s_wait_is_about_something_else(status: int) -> None:
    assert told_to_wait(status, {"retry-after": "30"}, NOW) is None
    assert told_to_wait(status, {"retry-after": at(30)}, NOW) is None


def test_retry_after_counts_before_all_others() -> None:
    others = {"ratelimit": '"a";r=0;t=50', "x-ratelimit-remaining": "0", "x-ratelimit-reset": "60"}
    assert told_to_wait(THROTTLED, {"retry-after": "7", **others}, NOW) == 7.0
    assert told_to_wait(THROTTLED, {"retry-after": "0", **others}, NOW) == 0.0
    assert told_to_wait(THROTTLED, {"retry-after": "soon", **others}, NOW) == 60.0
    assert told_to_wait(200, {"retry-after": "7", **others}, NOW) == 60.0


CURRENT: list[tuple[int, str, str, float | None]] = [
    (200, '"default";r=0;t=30', "", 30.0),
    (200, '"default";r=1;t=30', "", None),
    (THROTTLED, '"default";r=1;t=30', "", 30.0),
    (200, '"default" ; r=0 ; t=30', "", 30.0),
    (200, '"default";t=30;r=0', "", 30.0),
    (200, "default;r=0;t=30;pk=:cHJ6:", "", 30.0),
    (200, '"minute";r=9;t=30, "day";r=0;t=5000', "", 5000.0),
    (200, '"minute";r=0;t=30, "day";r=0;t=5000', "", 5000.0),
    (THROTTLED, '"minute";r=0;t=30, "day";r=9;t=5000', "", 30.0),
    (THROTTLED, '"minute";r=1;t=30, "day";r=9;t=5000', "", 5000.0),
    (200, '"default";r=0', '"default";q=10;w=60', 60.0),
    (200, '"default";r=0;t=5', '"default";q=10;w=60', 5.0),
    (200, '"day";r=0', '"minute";q=10;w=60, "day";q=99;w=86400', 86400.0),
    (200, '"a";r=0', '"b";q=10;w=60', None),
    (200, '"a,b;r=5";r=0;t=9, "c\\"d";r=7', "", 9.0),
    (200, '"default";r=0', "", None),
    (THROTTLED, '"default";t=30', "", None),
    (200, '"default";r=0;t=-5', "", None),
    (200, '"default";r=0;t=soon', "", None),
    (200, "", '"default";q=10;w=60', None),
    (THROTTLED, "nonsense", "", None),
]


@pytest.mark.parametrize(("status", "limit", "policy", "wait"), CURRENT)
def test_a_limit_in_the_present_form(status: int, limit: str, policy: str, wait: float | None) -> None:
    assert told_to_wait(status, {"ratelimit": limit, "ratelimit-policy": policy}, NOW) == wait


@pytest.mark.parametrize(
    ("status", "value", "wait"),
    [
        (200, "limit=100, remaining=0, reset=30", 30.0),
        (200, "limit=100,remaining=0,reset=30", 30.0),
        (200, "reset=30, remaining=0, limit=100", 30.0),
        (200, "limit=100, remaining=5, reset=30", None),
        (THROTTLED, "limit=100, remaining=5, reset=30", 30.0),
        (THROTTLED, "limit=100, remaining=0", None),
        (200, "limit=100, remaining=0, reset=-30", None),
    ],
)
def test_a_limit_in_one_header(status: int, value: str, wait: float | None) -> None:
    assert told_to_wait(status, {"ratelimit": value, "ratelimit-policy": "100;w=60"}, NOW) == wait


RESETS = [
    ("ratelimit-remaining", "ratelimit-reset"),
    ("x-ratelimit-remaining", "x-ratelimit-reset"),
    ("x-ratelimit-remaining", "x-ratelimit-reset-after"),
    ("x-rate-limit-remaining", "x-rate-limit-reset"),
]


@pytest.mark.parametrize(("remaining", "reset"), RESETS)
def test_a_limit_in_headers_of_its_own(remaining: str, reset: str) -> None:
    assert told_to_wait(200, {remaining: "0", reset: "30"}, NOW) == 30.0
    assert told_to_wait(200, {remaining: "1", reset: "30"}, NOW) is None
    assert told_to_wait(200, {reset: "30"}, NOW) is None
    assert told_to_wait(THROTTLED, {remaining: "1", reset: "30"}, NOW) == 30.0
    assert told_to_wait(THROTTLED, {reset: "30"}, NOW) == 30.0


@pytest.mark.parametrize(
    ("value", "wait"),
    [
        ("30", 30.0),
        ("0", 0.0),
        (" 2.5 ", 2.5),
        (f"{NOW + 30:.0f}", 30.0),
        (f"{NOW + 30.5}", 30.5),
        (f"{(NOW + 30) * 1000:.0f}", 30.0),
        (f"{NOW - 30:.0f}", 0.0),
        (f"{(NOW - 30) * 1000:.0f}", 0.0),
        (at(30), 30.0),
        (at(-30), 0.0),
        ("2027-01-15T08:00:30Z", 30.0),
        ("2027-01-15T09:00:30+01:00", 30.0),
        ("2027-01-15T08:00:30", 30.0),
        ("2027-01-15 08:00:30.500", 30.5),
        ("-30", None),
        ("nan", None),
        ("inf", None),
        ("1e999", None),
        ("", None),
        ("soon", None),
        ("2027-13-15T08:00:30Z", None),
    ],
)
@pytest.mark.parametrize("name", ["x-ratelimit-reset", "x-rate-limit-reset"])
def test_a_reset_is_a_wait_or_a_time(name: str, value: str, wait: float | None) -> None:
    assert told_to_wait(THROTTLED, {name: value}, NOW) == wait


@pytest.mark.parametrize("skew", [-HOUR, -60.0, 60.0, HOUR])
@pytest.mark.parametrize("name", ["ratelimit-reset", "x-ratelimit-reset", "x-rate-limit-reset"])
def test_a_reset_s_time_is_by_the_clock_of_whom_it_comes_from(name: str, skew: float) -> None:
    then = NOW + skew + 30
    for value in (f"{then:.0f}", f"{then * 1000:.0f}", at(skew + 30)):
        assert told_to_wait(THROTTLED, {name: value, "date": at(skew)}, NOW) == 30.0
    assert told_to_wait(THROTTLED, {name: "30", "date": at(skew)}, NOW) == 30.0, "no time, but a wait"


@pytest.mark.parametrize(
    "other",
    [
        {"x-ratelimit-remaining": "9", "x-ratelimit-reset": "3600"},
        {"x-ratelimit-remaining": "9", "x-ratelimit-reset-after": "3600"},
        {"x-rate-limit-remaining": "9", "x-rate-limit-reset": "3600"},
        {"x-ratelimit-reset": "3600"},
        {"ratelimit": "limit=10, remaining=9, reset=3600"},
    ],
)
def test_a_limit_that_is_used_up_says_nothing_of_another_s_reset(other: dict[str, str]) -> None:
    used_up = {"ratelimit-remaining": "0", "ratelimit-reset": "5"}
    assert told_to_wait(200, {**used_up, **other}, NOW) == 5.0
    assert told_to_wait(THROTTLED, {**used_up, **other}, NOW) == 3600.0


def test_of_several_limits_the_longest_wait_counts() -> None:
    headers = {
        "ratelimit": '"a";r=0;t=5',
        "x-ratelimit-remaining": "0",
        "x-ratelimit-reset": f"{NOW + 9:.0f}",
    }
    assert told_to_wait(200, headers, NOW) == 9.0


def test_nothing_said_is_nothing_asked() -> None:
    for status in (200, THROTTLED, 503):
        assert told_to_wait(status, {}, NOW) is None
        assert told_to_wait(status, {"content-type": "text/plain", "date": at(0)}, NOW) is None


@settings(max_examples=300)
@given(
    st.dictionaries(st.sampled_from(NAMES), TEXTS | st.lists(PIECES, max_size=12).map("".join)),
    st.sampled_from([200, THROTTLED, 503]),
    st.floats(0, 2**33),
)
@example({"retry-after": "Fri, 15 Jan 2027 08:00:30 +99999999999"}, 503, NOW)
@example({"retry-after": "Fri, 15 Jan 99999 08:00:30 GMT"}, 503, NOW)
@example({"x-ratelimit-reset": "0001-01-01T00:00:00+23:59"}, THROTTLED, NOW)
@example({"x-ratelimit-reset": "9999-12-31T23:59:59-23:59"}, THROTTLED, NOW)
@example({"x-ratelimit-reset": "9" * 400}, THROTTLED, NOW)
@example({"ratelimit": '"a";r=0;t=' + "9" * 5000}, THROTTLED, NOW)
def test_no_header_breaks_it(headers: dict[str, str], status: int, now: float) -> None:
    found = told_to_wait(status, headers, now)
    assert found is None or 0 <= found < float("inf")


@pytest.mark.timeout(10)
@pytest.mark.parametrize(
    "piece", ['"', '\\"', '"\\', '";', '"a;t=1', ";", ";a", "limit ", " ", ","], ids=ascii
)
def test_a_long_header_does_not_hold_a_function_up(piece: str) -> None:
    # As long as several headers together that a client takes.
    value = piece * (100_000 // len(piece))
    assert told_to_wait(200, {"ratelimit": value, "ratelimit-policy": value}, NOW) is None
