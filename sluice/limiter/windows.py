"""Windows: over how long a client's requests count, in which buckets, and when there is room again.

A bucket is a stretch of time with a number, and a window is the current bucket and the whole ones before it.
So a rolling window of H whole buckets never counts less than its length, and never more than its length and
one bucket.
"""

import functools
import hashlib
import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

SECOND = 1000
"""Milliseconds, the unit of all times here."""
MINUTE = 60 * SECOND
DAY = 24 * 60 * MINUTE
MOST_BUCKETS = 24
MOST_BUCKETS_OF_A_MONTH = 30
MONTH_DAYS = 30
CALENDAR_STEP = 15 * MINUTE
"""Every local midnight falls on a quarter of an hour of UTC."""
DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
NAME_DIGITS = 3
NAMES: int = len(DIGITS) ** NAME_DIGITS
"""After so many buckets the names come again."""


class WindowKind(StrEnum):
    """How a window moves."""

    ROLLING = "rolling"
    """It always reaches back by its length."""
    CALENDAR = "calendar"
    """It begins anew with each local day or month."""


class WindowPeriod(StrEnum):
    """What a calendar window is."""

    DAY = "day"
    """From midnight to midnight."""
    MONTH = "month"
    """28 to 31 days."""


@dataclass(frozen=True)
class Rolling:
    """Buckets of one length, counted since 1970."""

    length: int
    """Milliseconds that the window reaches back at least."""

    @functools.cached_property
    def older(self) -> int:
        """How many whole buckets count besides the current one: hours of a day, days of 30 days."""
        most = MOST_BUCKETS_OF_A_MONTH if self.length >= MONTH_DAYS * DAY else MOST_BUCKETS
        return next(each for each in range(most, 0, -1) if self.length % each == 0)

    @functools.cached_property
    def bucket(self) -> int:
        """The length of a bucket in milliseconds."""
        return self.length // self.older

    @property
    def step(self) -> int:
        """All times of one multiple of this many milliseconds are in one bucket."""
        return self.bucket

    @property
    def longest(self) -> int:
        """The most milliseconds that a request counts."""
        return self.length + self.bucket

    @property
    def definition(self) -> str:
        """What tells these buckets from others."""
        return f"{WindowKind.ROLLING}:{self.length}:{self.older}"

    def index(self, time: int) -> int:
        """Return the number of the bucket that a time is in."""
        return time // self.bucket

    def start(self, index: int) -> int:
        """Return when a bucket begins."""
        return index * self.bucket


@dataclass(frozen=True)
class Calendar:
    """Local days or months, of whatever length they are."""

    period: WindowPeriod
    zone: str
    """An IANA time zone."""
    older: int = 0
    """Only the current one counts."""

    @property
    def step(self) -> int:
        """All times of one multiple of this many milliseconds are in one bucket."""
        return CALENDAR_STEP

    @property
    def longest(self) -> int:
        """The most milliseconds that a request counts: an hour more than the days, for the clocks' change."""
        return (31 if self.period is WindowPeriod.MONTH else 1) * DAY + 60 * MINUTE

    @property
    def definition(self) -> str:
        """What tells these buckets from others."""
        return f"{WindowKind.CALENDAR}:{self.period}:{self.zone}"

    def index(self, time: int) -> int:
        """Return the number of the local day or month that a time is in."""
        return self._index_of(datetime.fromtimestamp(time / SECOND, ZoneInfo(self.zone)).date())

    def start(self, index: int) -> int:
        """Return when a local day or month begins, which need not be at midnight where clocks change."""
        midnight = datetime.combine(self._first_day(index), datetime.min.time(), ZoneInfo(self.zone))
        first, second = (
            round(midnight.replace(fold=fold).astimezone(UTC).timestamp() * SECOND) for fold in (0, 1)
        )
        # Where clocks go back over midnight, the first midnight is followed by the old day once more.
        return second if second > first and self.index(second - 1) < index else first

    def _index_of(self, day: date) -> int:
        return day.toordinal() if self.period is WindowPeriod.DAY else day.year * 12 + day.month - 1

    def _first_day(self, index: int) -> date:
        if self.period is WindowPeriod.DAY:
            return date.min + timedelta(days=index - 1)
        return date(index // 12, index % 12 + 1, 1)


Buckets = Rolling | Calendar


@dataclass(frozen=True)
class Cut:
    """From where a client's requests count again, after an operator unblocked it."""

    index: int
    """The bucket in which that was; earlier ones do not count."""
    count: int
    """What was in that bucket, which does not count either."""


@dataclass(frozen=True)
class Window:
    """A limit, and the buckets that it holds for."""

    name: str
    limit: int
    """Requests; with the last of them a client is blocked."""
    buckets: Buckets

    @functools.cached_property
    def prefix(self) -> str:
        """What the names of this window's counters begin with, so that other buckets are never misread."""
        digest = hashlib.blake2b(self.buckets.definition.encode(), digest_size=8).digest()
        return _digits(int.from_bytes(digest))

    def counter(self, index: int) -> str:
        """Return the name of a bucket's counter: six characters, unique for `NAMES` buckets in a row."""
        return self.prefix + _digits(index)

    def live(self, now: int) -> range:
        """Return the numbers of the buckets that count now."""
        current = self.buckets.index(now)
        return range(current - self.buckets.older, current + 1)

    def counts(self, counters: Mapping[str, int], now: int, cut: Cut | None = None) -> dict[int, int]:
        """Return what is in each bucket that counts now, by number; empty ones are left out."""
        found: dict[int, int] = {}
        for index in self.live(now):
            value = counters.get(self.counter(index), 0)
            if cut and index <= cut.index:
                value = value - cut.count if index == cut.index else 0
            if value > 0:
                found[index] = value
        return found

    def room_at(self, counts: Mapping[int, int], limit: int, now: int) -> int:
        """Return when the window next holds less than ``limit``, if nothing is added."""
        current, older = self.buckets.index(now), self.buckets.older
        left = sum(counts.values())
        index = current
        while left >= limit:
            index += 1
            left -= counts.get(index - 1 - older, 0)
        return now if index == current else self.buckets.start(index)


class CounterNames:
    """The names of the counters that a request adds to, for many requests seen at one moment."""

    def __init__(self, windows: Iterable[Window], now: int) -> None:
        """Look from a moment, in milliseconds since 1970."""
        self.now = now
        self._windows = [(window, window.live(now)) for window in windows]
        self._step = math.gcd(*(window.buckets.step for window, _ in self._windows))
        self._known: dict[int, tuple[str, ...]] = {}

    def stale(self, counters: Collection[str]) -> list[str]:
        """Return the counters that will never count again: of times gone by, or of windows that are no more.

        One of a time to come is no such: another clock, or a run that took longer, may be there already.
        """
        return [name for name in counters if name not in self.alive and self._is_past(name)]

    @functools.cached_property
    def alive(self) -> frozenset[str]:
        """The names of all counters that count."""
        return frozenset(window.counter(index) for window, live in self._windows for index in live)

    @functools.cached_property
    def _current(self) -> dict[str, int]:
        return {window.prefix: live[-1] for window, live in self._windows}

    def _is_past(self, name: str) -> bool:
        current = self._current.get(name[:NAME_DIGITS])
        if current is None:
            return True
        behind: int = (current - int(name[NAME_DIGITS:], len(DIGITS))) % NAMES
        return behind < NAMES // 2

    def at(self, time: int) -> tuple[str, ...]:
        """Return the counters of a request of this time: none for windows that it is too old for.

        A time that is still to come, by a clock that is ahead, counts as now.
        """
        moment = min(time, self.now)
        key = moment // self._step
        names = self._known.get(key)
        if names is None:
            names = self._known[key] = tuple(self._names(moment))
        return names

    def _names(self, moment: int) -> Iterator[str]:
        for window, live in self._windows:
            index = window.buckets.index(moment)
            if index in live:
                yield window.counter(index)


def _digits(number: int) -> str:
    """Return the last three digits of a number in base 36."""
    text = ""
    for _ in range(NAME_DIGITS):
        number, digit = divmod(number, len(DIGITS))
        text = DIGITS[digit] + text
    return text
