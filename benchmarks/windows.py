"""How long it takes to say how a client stands, once its item is read."""

import bisect
import timeit
from collections.abc import Callable, Iterator, Sequence

from local.say import Say
from sluice.limiter.rules import Counted, Rules
from sluice.limiter.windows import Rolling

from .results import Result
from .traffic import BEGIN

NAME = "windows"
CLIENT = "203.0.113.7"
TIMES = 10_000
REPEATS, FEW_REPEATS = 7, 1
CALLS, FEW_CALLS = 100, 2
MICRO = 1e6


def run(made: Rules, say: Say, *, quick: bool) -> Iterator[Result]:
    """Compare the evaluation of all windows with counting the times of a month in memory."""
    calls, repeats = (FEW_CALLS, FEW_REPEATS) if quick else (CALLS, REPEATS)
    times = times_of_a_month(made)
    lengths = [each.buckets.length for each in made.windows if isinstance(each.buckets, Rolling)]
    known = counted(made, times)

    def ours() -> object:
        return made.standings(CLIENT, known, BEGIN)

    ways: dict[str, Callable[[], object]] = {
        f"a sum over {TIMES:,} sorted times": lambda: summed(times, lengths),
        f"a bisection of {TIMES:,} sorted times, which say nothing of when there is room": lambda: bisected(
            times, lengths
        ),
    }
    mine = _seconds(ours, calls, repeats)
    for name, way in ways.items():
        other = _seconds(way, calls, repeats)
        say.step(f"{NAME}: {name}", other * calls * repeats)
        case = f"{len(lengths)} windows, every bucket in use, all limits used up"
        yield Result(NAME, case, "one evaluation", "us", mine * MICRO, other * MICRO, name)


def times_of_a_month(made: Rules) -> Sequence[int]:
    """Return the times of requests, evenly over the longest window."""
    longest = max(each.buckets.length for each in made.windows if isinstance(each.buckets, Rolling))
    return [BEGIN - longest + (index + 1) * longest // TIMES for index in range(TIMES)]


def counted(made: Rules, times: Sequence[int]) -> Counted:
    """Return what the item of a client holds that came at these times, in each window at least its limit."""
    found: dict[str, int] = {}
    for window in made.windows:
        live = window.live(BEGIN)
        for time in times:
            index = window.buckets.index(time)
            if index in live:
                found[window.counter(index)] = found.get(window.counter(index), 0) + 1
        missing = window.limit - sum(found.get(window.counter(index), 0) for index in live)
        share = -(-missing // len(live))
        if share > 0:
            for index in live:
                found[window.counter(index)] = found.get(window.counter(index), 0) + share
    return Counted(found)


def summed(times: Sequence[int], lengths: Sequence[int]) -> list[int]:
    """Count the times within each length, by looking at each."""
    return [sum(BEGIN - length < time for time in times) for length in lengths]


def bisected(times: Sequence[int], lengths: Sequence[int]) -> list[int]:
    """Count the times within each length, by where it begins."""
    return [len(times) - bisect.bisect_right(times, BEGIN - length) for length in lengths]


def _seconds(call: Callable[[], object], calls: int, repeats: int) -> float:
    """Return what a call takes where nothing disturbs it."""
    return min(timeit.repeat(call, number=calls, repeat=repeats)) / calls
