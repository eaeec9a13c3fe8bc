"""The units of DynamoDB that counting consumes, and what they cost."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from handlers.counting import Event, Ingest
from local.say import Say
from sluice.limiter.blocks import BlockTable
from sluice.limiter.counters import CounterTable
from sluice.limiter.rules import Rules
from sluice.limiter.windows import DAY, CounterNames

from . import naive
from .delivery import BLOCKS, COUNTERS, NAIVE_BLOCKS, RECORDS, WrongCountError
from .ingest import FEW_MIXES, LAG, MIXES, TABLES
from .metered import MeteredDynamoDB, Units
from .naive import Naive, Spent, Stopwatch
from .results import Result
from .traffic import BEGIN, Mix, Shape, address, deliveries, events, time_of

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

NAME = "units"
EVENTS, FEW_EVENTS = 20_000, 2_000
SIZES, FEW_SIZES = (1, 33, 1_000, 10_000), (1, 1_000)
"""Events of one delivery."""
THOUSAND = 1_000
MILLION = 1_000_000
WRITE_PRICE, READ_PRICE = 0.625, 0.125
"""US dollars for a million units on demand in us-east-1."""


@dataclass(frozen=True)
class Past:
    """What clients did before: each so many requests, evenly over some days."""

    mix: Mix
    requests: int
    days: int

    def times(self) -> list[int]:
        """Return the times of one client's requests."""
        return [
            BEGIN - self.days * DAY + index * self.days * DAY // self.requests
            for index in range(self.requests)
        ]


PAST, FEW_PAST = Past(Mix(50, Shape.FLAT), 5_000, 20), Past(Mix(5, Shape.FLAT), 500, 20)
LATER_EVENTS, LATER_SIZE = 1_000, 33


def run(made: Rules, say: Say, *, quick: bool) -> Iterator[Result]:
    """Count each mix of clients in deliveries of several sizes, ours beside the naive way."""
    smallest = min(window.limit for window in made.windows)
    for mix in FEW_MIXES if quick else MIXES:
        stream = events(mix, FEW_EVENTS if quick else EVENTS, smallest)
        for size in FEW_SIZES if quick else SIZES:
            spent = Spent()
            with Stopwatch(spent):
                ours, others = MeteredDynamoDB(TABLES), MeteredDynamoDB(TABLES)
                count_ours(stream, size, made, ours.as_client())
                count_naively(stream, size, made, others.as_client())
            say.step(f"{NAME}: {mix}, deliveries of {size:,}", spent.wall)
            yield from _results(f"{mix}, deliveries of {size:,}", len(stream), ours.units, others.units)
    yield from _later(made, say, FEW_PAST if quick else PAST)


def _later(made: Rules, say: Say, past: Past) -> Iterator[Result]:
    """Count on tables that are some weeks old: the naive way's queries read what is in them."""
    stream = events(past.mix, LATER_EVENTS, LATER_EVENTS)
    ours, others = MeteredDynamoDB(TABLES), MeteredDynamoDB(TABLES)
    for client in range(past.mix.clients):
        _remember(ours, others, address(client), past.times(), made)
    spent = Spent()
    with Stopwatch(spent):
        count_ours(stream, LATER_SIZE, made, ours.as_client())
        count_naively(stream, LATER_SIZE, made, others.as_client())
    case = (
        f"{past.mix}, deliveries of {LATER_SIZE}, after {past.requests:,} requests each in {past.days} days"
    )
    say.step(f"{NAME}: {case}", spent.wall)
    yield from _results(case, len(stream), ours.units, others.units)


def _remember(
    ours: MeteredDynamoDB, others: MeteredDynamoDB, ip: str, times: Sequence[int], made: Rules
) -> None:
    """Put what a client did before into both ways' tables."""
    counts: Counter[str] = Counter()
    for when in times:
        counts.update(window.counter(window.buckets.index(when)) for window in made.windows)
        others.tables[RECORDS].put(naive.record(ip, when, "12345678", made.longest))
    alive = CounterNames(made.windows, BEGIN).alive
    kept = {name: {"N": str(count)} for name, count in counts.items() if name in alive}
    ours.tables[COUNTERS].put({"k": {"S": ip}, "x": {"N": str(made.expires(BEGIN))}, **kept})


def count_ours(stream: Sequence[Event], size: int, made: Rules, client: "DynamoDBClient") -> None:
    """Count a stream in deliveries of one size, our way."""
    clock = _Clock()
    ingest = Ingest(
        made, CounterTable(client, COUNTERS), BlockTable(client, BLOCKS), _refuse, clock, workers=1
    )
    _deliver(stream, size, clock, lambda delivery: ingest.run(delivery).counted)


def count_naively(stream: Sequence[Event], size: int, made: Rules, client: "DynamoDBClient") -> None:
    """Count a stream in deliveries of one size, the naive way."""
    _deliver(stream, size, _Clock(), Naive(made, client, RECORDS, NAIVE_BLOCKS, workers=1).run)


class _Clock:
    now = 0

    def __call__(self) -> int:
        return self.now


def _deliver(
    stream: Sequence[Event], size: int, clock: _Clock, take: Callable[[Sequence[Event]], int]
) -> None:
    done = 0
    for delivery in deliveries(stream, size):
        clock.now = time_of(done + len(delivery)) + LAG
        done += take(delivery)
    if done != len(stream):
        raise WrongCountError(f"{done} of {len(stream)} requests were counted")


def _refuse(name: str, lines: Sequence[str]) -> None:
    raise WrongCountError(f"{len(lines)} malformed lines in {name}")


def price(units: Units) -> float:
    """Return US dollars."""
    return (units.written * WRITE_PRICE + units.read * READ_PRICE) / MILLION


def _results(case: str, count: int, ours: Units, other: Units) -> Iterator[Result]:
    figures = (
        ("write units per 1,000 events", "WRU", ours.written, other.written, THOUSAND / count),
        ("read units per 1,000 events", "RRU", ours.read, other.read, THOUSAND / count),
        ("price of the units per 1,000,000 events", "USD", price(ours), price(other), MILLION / count),
    )
    for metric, unit, mine, others, factor in figures:
        yield Result(NAME, case, metric, unit, mine * factor, others * factor, naive.NAME)
