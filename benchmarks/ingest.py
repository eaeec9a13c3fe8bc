"""One delivery of the access log: time and memory, against the emulator's DynamoDB."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from handlers.counting import Event
from local.aws import Aws
from local.emulator import ACCESS_KEY, REGION, ROOT, Emulator
from local.say import Say
from sluice import access_log
from sluice.limiter import rules
from sluice.limiter.rules import Rules

from . import naive
from .delivery import BLOCKS, COUNTERS, NAIVE, NAIVE_BLOCKS, OURS, RECORDS, Job, Report
from .results import Result
from .traffic import Mix, Shape, events, payload, time_of

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

NAME = "ingest"
EVENTS, FEW_EVENTS = 10_000, 400
MIXES = tuple(Mix(clients, shape) for clients in (1_000, 100_000) for shape in (Shape.ZIPF, Shape.FLAT))
FEW_MIXES = (Mix(100, Shape.ZIPF),)
EVERY = 5
"""The naive way queries for one in so many records, and its queries' time counts so many times: all of them
would take minutes."""
LAG = 5_000
"""Milliseconds from the last request to its delivery."""
MICRO, MILLI = 1e6, 1e3

Keys = dict[str, str]
TABLES: dict[str, Keys] = {
    COUNTERS: {"k": "HASH"},
    BLOCKS: {"partition": "HASH", "client": "RANGE"},
    RECORDS: {naive.KEY: "HASH", naive.SORT: "RANGE"},
    NAIVE_BLOCKS: {naive.KEY: "HASH"},
}


@dataclass(frozen=True)
class Place:
    """Where a mix of clients is counted, and how."""

    made: Rules
    endpoint: str
    suffix: str
    """What the names of the tables end with."""


def run(made: Rules, say: Say, *, quick: bool) -> Iterator[Result]:
    """Measure each mix of clients, ours beside the naive way."""
    count = FEW_EVENTS if quick else EVENTS
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as folder, Emulator(Path(folder), say) as emulator:
        dynamodb = Aws(emulator.endpoint).client("dynamodb")
        for number, mix in enumerate(FEW_MIXES if quick else MIXES):
            make_tables(dynamodb, str(number))
            yield from _compare(Place(made, emulator.endpoint, str(number)), mix, count, say)


def make_tables(dynamodb: "DynamoDBClient", suffix: str) -> None:
    """Make the tables of both ways."""
    for name, keys in TABLES.items():
        dynamodb.create_table(
            TableName=f"{name}-{suffix}",
            KeySchema=[
                {"AttributeName": key, "KeyType": "HASH" if kind == "HASH" else "RANGE"}
                for key, kind in keys.items()
            ],
            AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in keys],
            BillingMode="PAY_PER_REQUEST",
        )


def _compare(place: Place, mix: Mix, count: int, say: Say) -> Iterator[Result]:
    smallest = min(window.limit for window in place.made.windows)
    stream = events(mix, count + 1, smallest)
    warmer, delivery = stream[:1], stream[1:]
    reports = {}
    for side in (OURS, NAIVE):
        job = Job(
            side=side,
            endpoint=place.endpoint,
            access_key=ACCESS_KEY,
            region=REGION,
            suffix=place.suffix,
            rules=rules.dumps(place.made),
            warmer=payload(warmer),
            payload=payload(delivery),
            events=count,
            now=time_of(count) + LAG,
            every=EVERY,
        )
        reports[side] = _measured(job)
        say.step(f"{NAME}: {mix}, {side}", reports[side].wall)
    yield from _results(mix, count, _clients(delivery), reports[OURS], reports[NAIVE])


def _clients(delivery: list[Event]) -> int:
    return len({access_log.parse(each.message).ip for each in delivery})


def _measured(job: Job) -> Report:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.delivery"],
        cwd=ROOT,
        input=json.dumps(asdict(job)),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return Report(**json.loads(done.stdout))


def _results(mix: Mix, count: int, distinct: int, ours: Report, other: Report) -> Iterator[Result]:
    case = f"{mix}: {distinct:,} in {count:,} events; naive queries for 1 in {EVERY}, scaled"
    figures = (
        ("CPU per event", "us", ours.cpu, other.cpu, MICRO / count),
        ("CPU per distinct client", "ms", ours.cpu, other.cpu, MILLI / distinct),
        ("wall per event", "us", ours.wall, other.wall, MICRO / count),
        ("wall per distinct client", "ms", ours.wall, other.wall, MILLI / distinct),
        ("peak memory of the process", "MiB", ours.peak, other.peak, 1.0),
    )
    for metric, unit, mine, others, factor in figures:
        yield Result(NAME, case, metric, unit, mine * factor, others * factor, naive.NAME)
