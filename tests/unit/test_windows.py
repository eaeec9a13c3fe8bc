import bisect
import calendar
import itertools
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from sluice.limiter.windows import (
    DAY,
    MINUTE,
    SECOND,
    Calendar,
    CounterNames,
    Cut,
    Rolling,
    Window,
    WindowKind,
    WindowPeriod,
)

HOUR = 60 * MINUTE
NOW = 1_750_000_000_123
ZONES = [
    "UTC",
    "Europe/Berlin",
    "America/Sao_Paulo",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Pacific/Apia",
    "Pacific/Kiritimati",
    "Africa/Cairo",
    "Australia/Lord_Howe",
    "America/New_York",
    "Asia/Beirut",
]
FIRST, LAST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2037, 12, 31, tzinfo=UTC)
MOMENTS = st.integers(round(FIRST.timestamp()) * SECOND, round(LAST.timestamp()) * SECOND)
LENGTHS = st.one_of(
    st.integers(1, 366 * 24 * 60 * 60),
    st.integers(1, 366).map(lambda days: days * 24 * 60 * 60),
    st.integers(1, 600),
).map(lambda seconds: seconds * SECOND)
ROLLING = LENGTHS.map(Rolling)
CALENDARS = st.builds(Calendar, st.sampled_from(WindowPeriod), st.sampled_from(ZONES))
BUCKETS: st.SearchStrategy[Rolling | Calendar] = st.one_of(ROLLING, CALENDARS)


def window(buckets: Rolling | Calendar, limit: int = 5, name: str = "w") -> Window:
    return Window(name, limit, buckets)


def counters_of(counted: Window, times: list[int]) -> dict[str, int]:
    """Return what requests of these times make of a client's counters."""
    held: dict[str, int] = {}
    for time in times:
        name = counted.counter(counted.buckets.index(time))
        held[name] = held.get(name, 0) + 1
    return held


def exact(times: list[int], start: int, now: int) -> int:
    """Return how many of sorted times are after ``start`` and not after ``now``."""
    return bisect.bisect_right(times, now) - bisect.bisect_right(times, start)


@st.composite
def histories(draw: st.DrawFn) -> tuple[Rolling, list[int], int]:
    """Return a rolling window, sorted times of requests up to three windows ago, and now."""
    rolling = draw(ROLLING)
    now = draw(MOMENTS)
    ages = draw(
        st.lists(st.one_of(st.integers(0, 3 * rolling.length), st.sampled_from(_edges(rolling, now))))
    )
    return rolling, sorted(now - age for age in ages), now


def _edges(rolling: Rolling, now: int) -> list[int]:
    starts = [rolling.start(rolling.index(now) - each) for each in range(rolling.older + 2)]
    ages = [now - start + near for start in starts for near in (-1, 0, 1)]
    lengths = [rolling.length, rolling.length + rolling.bucket]
    return [max(age, 0) for age in [*ages, *(each + near for each in lengths for near in (-1, 0, 1))]]


@pytest.mark.parametrize(
    ("seconds", "older"),
    [
        (1, 20), (20, 20), (60, 24), (120, 24), (900, 24), (3600, 24), (86_400, 24), (604_800, 24),
        (30 * 86_400, 30), (31 * 86_400, 30), (365 * 86_400, 30), (29 * 86_400, 24), (7, 20),
    ],
)  # fmt: skip
def test_a_window_has_as_many_buckets_as_fit_and_no_more(seconds: int, older: int) -> None:
    rolling = Rolling(seconds * SECOND)
    assert rolling.older == older
    assert rolling.bucket * older == rolling.length


@given(rolling=ROLLING)
def test_whole_buckets_make_up_the_length_of_a_window(rolling: Rolling) -> None:
    most = 30 if rolling.length >= 30 * DAY else 24
    assert rolling.older == max(each for each in range(1, most + 1) if rolling.length % each == 0)
    assert rolling.older * rolling.bucket == rolling.length
    assert rolling.longest == rolling.length + rolling.bucket
    assert rolling.bucket * 20 <= rolling.length or rolling.length < 20, "no bucket is more than 5 % of it"


@given(history=histories())
def test_a_rolling_count_is_never_below_the_window_and_never_above_it_and_a_bucket(
    history: tuple[Rolling, list[int], int],
) -> None:
    rolling, times, now = history
    ours = sum(window(rolling).counts(counters_of(window(rolling), times), now).values())
    assert exact(times, now - rolling.length, now) <= ours
    assert ours <= exact(times, now - rolling.length - rolling.bucket, now)


@given(rolling=ROLLING, now=MOMENTS)
def test_the_bounds_of_a_rolling_count_are_reached(rolling: Rolling, now: int) -> None:
    start = rolling.start(rolling.index(now) - rolling.older)
    assert now - rolling.length - rolling.bucket < start <= now - rolling.length
    inside, outside = counters_of(window(rolling), [start]), counters_of(window(rolling), [start - 1])
    assert sum(window(rolling).counts(inside, now).values()) == 1
    assert sum(window(rolling).counts(outside, now).values()) == 0


@given(history=histories(), limit=st.integers(1, 8))
def test_there_is_room_at_the_first_bucket_that_finds_less_than_the_limit(
    history: tuple[Rolling, list[int], int], limit: int
) -> None:
    rolling, times, now = history
    one = window(rolling, limit)
    held = counters_of(one, times)
    counts = one.counts(held, now)
    room = one.room_at(counts, limit, now)
    if sum(counts.values()) < limit:
        assert room == now
        return
    assert room > now, "a block that ends at once is none"
    assert room == rolling.start(rolling.index(room)), "room is made by a bucket that falls out"
    assert sum(one.counts(held, room).values()) < limit
    assert sum(one.counts(held, room - 1).values()) >= limit
    assert room <= now + rolling.longest


@given(buckets=CALENDARS, now=MOMENTS, count=st.integers(1, 9), limit=st.integers(1, 9))
def test_a_calendar_window_has_room_when_the_next_one_begins(
    buckets: Calendar, now: int, count: int, limit: int
) -> None:
    one = window(buckets, limit)
    counts = one.counts({one.counter(buckets.index(now)): count}, now)
    room = one.room_at(counts, limit, now)
    if count < limit:
        assert room == now
    else:
        assert now < room <= now + buckets.longest
        assert buckets.index(room) == buckets.index(now) + 1
        assert buckets.index(room - 1) == buckets.index(now)
        assert one.counts({one.counter(buckets.index(now)): count}, room) == {}


def local(moment: int, zone: str) -> date:
    """Return the local date of a moment, without a calendar window's help."""
    return (
        (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=moment)).astimezone(ZoneInfo(zone)).date()
    )


@given(buckets=CALENDARS, moment=MOMENTS)
def test_a_calendar_window_changes_exactly_where_it_says_that_it_begins(
    buckets: Calendar, moment: int
) -> None:
    index = buckets.index(moment)
    start = buckets.start(index)
    assert start <= moment < buckets.start(index + 1) or buckets.start(index + 1) == start
    assert buckets.index(start) == index
    assert buckets.index(start - 1) < index
    begun = local(start, buckets.zone)
    today = local(moment, buckets.zone)
    if buckets.period is WindowPeriod.DAY:
        assert begun == today
        assert index == today.toordinal()
    else:
        assert (begun.year, begun.month) == (today.year, today.month)
        assert local(start - 1, buckets.zone).month != today.month
        assert divmod(index, 12) == (today.year, today.month - 1)


@given(buckets=CALENDARS, moment=MOMENTS)
def test_no_calendar_window_lasts_longer_than_it_says(buckets: Calendar, moment: int) -> None:
    index = buckets.index(moment)
    assert buckets.start(index + 1) - buckets.start(index) <= buckets.longest


# Hundred thousands of days and names, and no line that is not reached by others.
many = pytest.mark.uncovered


@many
@pytest.mark.parametrize("zone", ZONES)
def test_every_day_of_a_zone_begins_where_its_date_does(zone: str) -> None:
    days = Calendar(WindowPeriod.DAY, zone)
    first, last = FIRST.date().toordinal(), LAST.date().toordinal()
    wrong = []
    for index in range(first, last):
        start = days.start(index)
        # A day that a zone skipped begins where the next one does.
        skipped = local(start, zone).toordinal() != index
        if skipped != (local(start - 1, zone).toordinal() == index - 1 and days.start(index + 1) == start):
            wrong.append(index)
        if not skipped and local(start - 1, zone).toordinal() >= index:
            wrong.append(index)
    assert wrong == []


@many
@pytest.mark.parametrize("zone", ZONES)
def test_every_midnight_is_on_a_step(zone: str) -> None:
    days = Calendar(WindowPeriod.DAY, zone)
    starts = range(FIRST.date().toordinal(), LAST.date().toordinal())
    assert all(days.start(each) % days.step == 0 for each in starts)


@pytest.mark.parametrize(
    ("year", "month"), [*itertools.product((2023, 2024), range(1, 13)), (2000, 2), (2036, 2)]
)
def test_a_month_is_as_long_as_it_is(year: int, month: int) -> None:
    months = Calendar(WindowPeriod.MONTH, "UTC")
    index = year * 12 + month - 1
    days = calendar.monthrange(year, month)[1]
    assert months.start(index + 1) - months.start(index) == days * DAY
    assert months.index(months.start(index)) == index


def at(zone: str, year: int, month: int, day: int, hour: int = 0) -> int:
    return round(datetime(year, month, day, hour, tzinfo=ZoneInfo(zone)).timestamp()) * SECOND


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Europe/Berlin", date(2025, 3, 30), 23),
        ("Europe/Berlin", date(2025, 10, 26), 25),
        ("Europe/Berlin", date(2025, 6, 1), 24),
        ("America/Sao_Paulo", date(2018, 11, 4), 23),
        ("America/Sao_Paulo", date(2018, 2, 17), 25),
        ("Asia/Kolkata", date(2025, 3, 30), 24),
        ("Africa/Cairo", date(2024, 4, 26), 23),
        ("Africa/Cairo", date(2024, 10, 31), 25),
        ("Australia/Lord_Howe", date(2024, 10, 6), 23.5),
        ("Pacific/Apia", date(2011, 12, 29), 24),
        ("Pacific/Apia", date(2011, 12, 30), 0),
        ("Pacific/Apia", date(2011, 12, 31), 24),
    ],
)
def test_a_day_of_changing_clocks_is_as_long_as_it_is(zone: str, day: date, hours: float) -> None:
    days = Calendar(WindowPeriod.DAY, zone)
    index = day.toordinal()
    assert days.start(index + 1) - days.start(index) == hours * HOUR


def test_a_day_without_a_midnight_begins_at_one() -> None:
    days = Calendar(WindowPeriod.DAY, "America/Sao_Paulo")
    start = days.start(date(2018, 11, 4).toordinal())
    assert start == at("America/Sao_Paulo", 2018, 11, 4, 1)
    assert datetime.fromtimestamp(start / SECOND, ZoneInfo("America/Sao_Paulo")).hour == 1


def test_a_day_after_a_midnight_that_came_twice_begins_once() -> None:
    # Clocks went from 24:00 back to 23:00, so that the old day went on for another hour.
    zone = "America/Sao_Paulo"
    days = Calendar(WindowPeriod.DAY, zone)
    new = date(2018, 2, 18).toordinal()
    start = days.start(new)
    assert [days.index(start + each) for each in (-HOUR, -1, 0)] == [new - 1, new - 1, new]


@pytest.mark.parametrize(
    ("zone", "day"), [("America/St_Johns", date(2006, 10, 29)), ("America/Havana", date(2025, 11, 2))]
)
def test_once_a_day_has_begun_it_does_not_go_back(zone: str, day: date) -> None:
    # In the first clocks went from a minute past midnight back to the old day; in the second, to midnight.
    days = Calendar(WindowPeriod.DAY, zone)
    start = days.start(day.toordinal())
    assert days.index(start - 1) == day.toordinal() - 1
    assert {days.index(start + each * MINUTE) for each in range(24 * 60)} == {day.toordinal()}


def test_an_indian_day_begins_at_half_past_six_in_the_evening_of_utc() -> None:
    start = Calendar(WindowPeriod.DAY, "Asia/Kolkata").start(date(2025, 5, 2).toordinal())
    assert datetime.fromtimestamp(start / SECOND, UTC) == datetime(2025, 5, 1, 18, 30, tzinfo=UTC)


def test_a_block_of_the_skipped_day_s_eve_ends_when_the_day_after_it_begins() -> None:
    days = Calendar(WindowPeriod.DAY, "Pacific/Apia")
    one = window(days, 1)
    now = at("Pacific/Apia", 2011, 12, 29, 22)
    room = one.room_at(one.counts({one.counter(days.index(now)): 1}, now), 1, now)
    assert room > now
    assert one.counts({one.counter(days.index(now)): 1}, room) == {}
    assert room == at("Pacific/Apia", 2011, 12, 31)


DEFINITIONS: list[Rolling | Calendar] = [
    *(Rolling(seconds * SECOND) for seconds in range(1, 20_000)),
    *(Rolling(days * DAY) for days in range(1, 367)),
    *(Calendar(period, zone) for period in WindowPeriod for zone in ZONES),
]


def test_a_definition_tells_windows_apart_and_nothing_else() -> None:
    assert Rolling(DAY).definition != Rolling(DAY + SECOND).definition
    assert len({each.definition for each in DEFINITIONS}) == len(set(DEFINITIONS))
    assert window(Rolling(DAY), 5, "a").prefix == window(Rolling(DAY), 9, "b").prefix
    kinds = {Rolling(DAY).definition.partition(":")[0], DEFINITIONS[-1].definition.partition(":")[0]}
    assert kinds == set(WindowKind)


@given(windows=st.lists(BUCKETS, min_size=2, max_size=5, unique_by=lambda each: each.definition), now=MOMENTS)
@example(windows=[Rolling(DAY), Rolling(30 * DAY)], now=NOW)
@example(windows=[Calendar(WindowPeriod.DAY, "UTC"), Calendar(WindowPeriod.MONTH, "UTC")], now=NOW)
@example(windows=[Calendar(WindowPeriod.DAY, "UTC"), Calendar(WindowPeriod.DAY, "Europe/Berlin")], now=NOW)
@example(windows=[Rolling(DAY), Calendar(WindowPeriod.DAY, "UTC"), Rolling(20 * SECOND)], now=NOW)
def test_counters_of_windows_with_other_buckets_never_meet(
    windows: list[Rolling | Calendar], now: int
) -> None:
    made = [window(each) for each in windows]
    names = [one.counter(index) for one in made for index in one.live(now)]
    # There are 46,656 prefixes, so two windows may have the same one by chance.
    assume(len({one.prefix for one in made}) == len(made))
    assert len(set(names)) == len(names)


@many
@pytest.mark.parametrize("buckets", [Rolling(DAY), Rolling(30 * DAY), Rolling(20 * SECOND), DEFINITIONS[-1]])
def test_names_are_unique_over_a_window_and_far_beyond(buckets: Rolling | Calendar) -> None:
    one = window(buckets)
    names = [one.counter(buckets.index(NOW) + each) for each in range(36**3)]
    assert len(set(names)) == len(names)
    assert {len(name) for name in names} == {6}
    assert all(name.isascii() and name.isalnum() and name.islower() | name.isdigit() for name in names[:99])
    assert one.counter(36**3) == one.counter(0)


@given(buckets=BUCKETS, now=MOMENTS)
def test_what_is_live_is_the_current_bucket_and_the_whole_ones_before_it(
    buckets: Rolling | Calendar, now: int
) -> None:
    live = window(buckets).live(now)
    assert live[-1] == buckets.index(now)
    assert len(live) == buckets.older + 1
    assert buckets.start(live[0]) <= now


def direct(windows: list[Window], time: int, now: int) -> tuple[str, ...]:
    """Return the counters of a request, found one by one."""
    moment = min(time, now)
    return tuple(
        one.counter(one.buckets.index(moment))
        for one in windows
        if one.buckets.index(moment) in one.live(now)
    )


@given(
    buckets=st.lists(BUCKETS, min_size=1, max_size=5),
    now=MOMENTS,
    ages=st.lists(st.one_of(st.integers(-DAY, 400 * DAY), st.integers(-30_000, 30_000)), max_size=30),
)
def test_the_names_of_a_request_are_those_of_its_buckets_however_many_came_before(
    buckets: list[Rolling | Calendar], now: int, ages: list[int]
) -> None:
    windows = [window(each, name=f"w{index}") for index, each in enumerate(buckets)]
    names = CounterNames(windows, now)
    for age in [*ages, *ages[::-1]]:
        assert names.at(now - age) == direct(windows, now - age, now)
        assert set(names.at(now - age)) <= names.alive
    assert names.alive == {one.counter(index) for one in windows for index in one.live(now)}


@given(buckets=BUCKETS, now=MOMENTS, near=st.integers(-3, 3))
def test_names_change_where_buckets_do(buckets: Rolling | Calendar, now: int, near: int) -> None:
    one = window(buckets)
    names = CounterNames([one], now)
    edges = [buckets.start(index) + near for index in one.live(now)]
    for _ in range(2):
        assert [names.at(edge) for edge in edges] == [direct([one], edge, now) for edge in edges]


def test_a_request_that_is_too_old_for_a_window_counts_in_the_others() -> None:
    day, month = window(Rolling(DAY), name="day"), window(Rolling(30 * DAY), name="month")
    names = CounterNames([day, month], NOW)
    assert names.at(NOW - 2 * DAY) == (month.counter(month.buckets.index(NOW - 2 * DAY)),)
    assert names.at(NOW - 40 * DAY) == ()
    assert len(names.at(NOW - HOUR)) == 2


def test_a_request_of_a_clock_that_is_ahead_counts_as_now() -> None:
    day = window(Rolling(DAY))
    names = CounterNames([day], NOW)
    assert names.at(NOW + 40 * DAY) == names.at(NOW) == (day.counter(day.buckets.index(NOW)),)
    assert names.at(10**18 - 1) == names.at(NOW)


@given(buckets=st.lists(BUCKETS, min_size=1, max_size=3), now=MOMENTS, ahead=st.integers(0, 200))
def test_what_is_to_come_is_never_stale(buckets: list[Rolling | Calendar], now: int, ahead: int) -> None:
    windows = [window(each, name=f"w{index}") for index, each in enumerate(buckets)]
    assume(len({each.prefix for each in windows}) == len({each.buckets for each in windows}))
    coming = {each.counter(each.buckets.index(now) + ahead): each for each in windows}
    assert CounterNames(windows, now).stale(coming) == []


@given(buckets=BUCKETS, now=MOMENTS, behind=st.integers(1, 10_000))
def test_what_has_gone_by_is_stale_and_what_counts_is_not(
    buckets: Rolling | Calendar, now: int, behind: int
) -> None:
    one = window(buckets)
    names = CounterNames([one], now)
    gone = one.counter(one.live(now)[0] - behind)
    assert names.stale([*names.alive, gone]) == [gone]


def test_the_counters_of_a_window_that_is_no_more_are_stale_whenever_they_were() -> None:
    day, month = window(Rolling(DAY), name="day"), window(Rolling(30 * DAY), name="month")
    former = [month.counter(month.buckets.index(NOW) + each) for each in (-40, 0, 1)]
    assert CounterNames([day], NOW).stale(former) == former


def test_the_oldest_request_that_counts_is_the_first_of_the_oldest_bucket() -> None:
    day = window(Rolling(DAY))
    names = CounterNames([day], NOW)
    first = day.buckets.start(day.live(NOW)[0])
    assert names.at(first) == (day.counter(day.live(NOW)[0]),)
    assert names.at(first - 1) == ()


@given(history=histories(), data=st.data())
def test_after_a_cut_only_what_came_since_counts(
    history: tuple[Rolling, list[int], int], data: st.DataObject
) -> None:
    rolling, times, cut_at = history
    one = window(rolling)
    held = counters_of(one, times)
    index = rolling.index(cut_at)
    cut = Cut(index, held.get(one.counter(index), 0))
    assert one.counts(held, cut_at, cut) == {}, "free at once"
    now = cut_at + data.draw(st.integers(0, 2 * rolling.length))
    later = sorted(data.draw(st.lists(st.integers(cut_at, now))))
    both = counters_of(one, [*times, *later])
    counts = one.counts(both, now, cut)
    assert exact(later, now - rolling.length, now) <= sum(counts.values())
    assert sum(counts.values()) <= exact(later, now - rolling.longest, now) + later.count(cut_at)
    assert all(each >= index for each in counts)


def test_a_cut_never_makes_a_bucket_negative() -> None:
    # An item may be deleted and begun anew after its client was unblocked.
    one = window(Rolling(DAY))
    index = one.buckets.index(NOW)
    assert one.counts({one.counter(index): 3}, NOW, Cut(index, 7)) == {}
    assert one.counts({one.counter(index): 9}, NOW, Cut(index, 7)) == {index: 2}
    assert one.counts({one.counter(index): 9}, NOW, Cut(index - 1, 7)) == {index: 9}
    assert one.counts({one.counter(index): 9, one.counter(index - 1): 9}, NOW, Cut(index - 1, 7)) == {
        index: 9,
        index - 1: 2,
    }


def test_empty_buckets_and_strange_counters_are_left_out() -> None:
    one = window(Rolling(DAY))
    index = one.buckets.index(NOW)
    held = {one.counter(index): 0, one.counter(index - 1): 2, one.counter(index - 25): 9, "zzzzzz": 9}
    assert one.counts(held, NOW) == {index - 1: 2}
