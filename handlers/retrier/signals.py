"""What an upstream's headers say about when to come again.

``Retry-After`` counts before all others (RFC 9110, 10.2.3). Then come ``RateLimit`` and ``RateLimit-Policy``
in their present form and in the two before it ("RateLimit header fields for HTTP", IETF HTTPAPI drafts 3, 7
and 10), and the ``X-RateLimit-*`` that many use, whose reset is a number of seconds or a time.
"""

import math
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

BAD_REQUEST = 400
TOO_MANY_REQUESTS = 429
SECONDS = re.compile(r"\d{1,10}(\.\d+)?")
LATER_THAN = 1e8
"""A larger number of seconds is no wait but a time: this one was in 1973."""
IN_MILLISECONDS = 1e11
BEHIND_SECONDS, AHEAD_SECONDS = 1.2, 0.2
"""As far off two clocks are the same: a ``Date`` is cut to a second, and was some time on its way."""
ITEM = re.compile(r'"(?:[^"\\]|\\.)*"|[^",;=\s]+')
PART = re.compile(r'(?:"(?:[^"\\]|\\.)*"|[^",])+')
LONGEST = 2000
"""Characters of a header that are read; limits take some hundred."""
PARAMETER = re.compile(r";\s*([a-z]+)\s*=\s*(\d{1,10})\b")
FORMER = re.compile(r"\b(limit|remaining|reset)\s*=\s*(\d{1,10})\b")
LIMITS = (
    ("ratelimit-remaining", ("ratelimit-reset",)),
    ("x-ratelimit-remaining", ("x-ratelimit-reset-after", "x-ratelimit-reset")),
    ("x-rate-limit-remaining", ("x-rate-limit-reset",)),
)
"""Of each kind of fields, what is left, and when it begins anew."""

Headers = Mapping[str, str]
"""By names in lower case."""


def told_to_wait(status: int, headers: Headers, now: float) -> float | None:
    """Return for how many seconds the upstream wants no call; none where it does not say.

    Args:
        status: the answer's; with a 429 a limit's reset counts also where it does not say that none is left.
        headers: the answer's.
        now: seconds since 1970.
    """
    # A good answer's says something else: when to ask how far a job has come.
    if status >= BAD_REQUEST and (asked := retry_after(headers, now)) is not None:
        return asked
    throttled = status == TOO_MANY_REQUESTS
    waits = [*_current(headers, throttled=throttled), *_former(headers, now, throttled=throttled)]
    return max(waits, default=None)


def retry_after(headers: Headers, now: float) -> float | None:
    """Return what ``Retry-After`` asks for, in seconds, in either of its forms; none where it is no wait."""
    value = headers.get("retry-after", "").strip()
    numbers = [each.strip() for each in value.split(",")]
    if all(map(SECONDS.fullmatch, numbers)):
        # Several come from several proxies.
        return max(map(float, numbers))
    at = _http_date(value)
    if at is None:
        return None
    return max(0.0, at - _their_time(headers, now))


def _their_time(headers: Headers, now: float) -> float:
    """Return what time it is by the upstream's clock, as far as that is another than ours."""
    date = _http_date(headers.get("date", ""))
    if date is None or -BEHIND_SECONDS <= date - now <= AHEAD_SECONDS:
        return now
    return date


def _http_date(value: str) -> float | None:
    """Return a time in any of HTTP's three forms (RFC 9110, 5.6.7), in seconds since 1970."""
    try:
        found = parsedate_to_datetime(value)
        # Of the forms, only asctime's names no zone; all are GMT.
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (TypeError, ValueError, IndexError, OverflowError):
        return None


def _current(headers: Headers, *, throttled: bool) -> Iterable[float]:
    """Yield the waits of ``RateLimit: "name";r=0;t=30``, and of a policy's window where no ``t`` is said."""
    windows = {
        name: given["w"] for name, given in _items(headers.get("ratelimit-policy", "")) if "w" in given
    }
    limits = [(name, given) for name, given in _items(headers.get("ratelimit", "")) if "r" in given]
    used_up = [(name, given) for name, given in limits if given["r"] == 0]
    for name, given in used_up or (limits if throttled else []):
        wait = given.get("t", windows.get(name))
        if wait is not None:
            yield float(wait)


def _items(value: str) -> Iterable[tuple[str, dict[str, int]]]:
    """Yield each item of a list with its whole-number parameters (RFC 9651, 3.1 and 3.3)."""
    for part in PART.findall(value[:LONGEST]):
        item = ITEM.match(part.strip())
        if item:
            yield item[0], {key: int(number) for key, number in PARAMETER.findall(part)}


def _former(headers: Headers, now: float, *, throttled: bool) -> Iterable[float]:
    """Yield the waits of the forms before: fields of their own, or ``limit=9, remaining=0, reset=30``."""
    together = dict(FORMER.findall(headers.get("ratelimit", "")[:LONGEST]))
    limits = [(together.get("remaining"), [together.get("reset")])]
    limits += [(headers.get(left), [headers.get(each) for each in resets]) for left, resets in LIMITS]
    theirs = _their_time(headers, now)
    for remaining, resets in limits:
        used_up = remaining is not None and _number(remaining) == 0
        waits = [_until(each.strip(), theirs) for each in resets if each is not None]
        if used_up or throttled:
            yield from (each for each in waits if each is not None)


def _until(value: str, now: float) -> float | None:
    """Return how long it is until a reset: a number of seconds, a time since 1970, or a date."""
    number = _number(value)
    if number is None:
        at = _http_date(value) or _iso_date(value)
        return None if at is None else max(0.0, at - now)
    if number > IN_MILLISECONDS:
        number /= 1000
    return max(0.0, number - now) if number > LATER_THAN else number


def _number(value: str) -> float | None:
    try:
        found = float(value)
    except ValueError:
        return None
    return found if math.isfinite(found) and found >= 0 else None


def _iso_date(value: str) -> float | None:
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        return None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
