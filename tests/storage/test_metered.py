"""The benchmarks' meter: it counts DynamoDB's units as DynamoDB does."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks import ingest, units
from benchmarks.delivery import BLOCKS, COUNTERS, NAIVE_BLOCKS, RECORDS
from benchmarks.metered import MeteredDynamoDB, UnknownRequestError, size
from benchmarks.traffic import Mix, Shape, events
from components import limiter_rules
from handlers.counting import Event
from sluice.limiter.blocks import Allowance, BlockTable
from sluice.limiter.rules import Rules
from sluice.limiter.windows import DAY, SECOND

from . import backends

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

MIX = Mix(4, Shape.ZIPF)
RULES = limiter_rules.make(
    {
        "windows": [
            {"name": "day", "limit": 120, "length_seconds": DAY // SECOND},
            {"name": "month", "limit": 200, "length_seconds": 30 * DAY // SECOND},
        ]
    }
)
WRITES = {"PutItem", "UpdateItem", "BatchWriteItem"}
Count = Callable[[Sequence[Event], int, Rules, "DynamoDBClient"], None]


@pytest.fixture
def dynamodb(dynamodb_local_url: str) -> Iterator["DynamoDBClient"]:
    with closing(backends.client_of(dynamodb_local_url, "benchmarks")) as client:
        yield client


def told_units(client: "DynamoDBClient", suffix: str, count: Callable[[], None]) -> dict[str, float]:
    """Return the units that DynamoDB says that it was asked for, of written and read, while counting."""
    told = {"written": 0.0, "read": 0.0}

    def ask(params: dict[str, Any], **_: object) -> None:
        params["ReturnConsumedCapacity"] = "TOTAL"
        params.update({"TableName": params["TableName"] + suffix} if "TableName" in params else {})
        if "RequestItems" in params:
            params["RequestItems"] = {name + suffix: each for name, each in params["RequestItems"].items()}

    def add(model: Any, parsed: dict[str, Any], **_: object) -> None:
        consumed = parsed.get("ConsumedCapacity", [])
        for each in consumed if isinstance(consumed, list) else [consumed]:
            told["written" if model.name in WRITES else "read"] += each["CapacityUnits"]

    ingest.make_tables(client, suffix.removeprefix("-"))
    client.meta.events.register("provide-client-params.dynamodb.*", ask)
    client.meta.events.register("after-call.dynamodb.*", add)
    try:
        count()
    finally:
        client.meta.events.unregister("provide-client-params.dynamodb.*", ask)
        client.meta.events.unregister("after-call.dynamodb.*", add)
    return told


@pytest.mark.parametrize(("per_delivery"), [1, 33])
@pytest.mark.parametrize("count", [units.count_ours, units.count_naively])
def test_units_are_what_dynamodb_says_itself(
    dynamodb: "DynamoDBClient", count: Count, per_delivery: int
) -> None:
    stream = events(MIX, 330, 120)
    metered = MeteredDynamoDB(ingest.TABLES)

    def run(client: "DynamoDBClient") -> None:
        # A query that finds nothing is a whole unit here, and free of charge in DynamoDB Local.
        BlockTable(client, BLOCKS).allow(Allowance("192.0.2.0/24", 0))
        count(stream, per_delivery, RULES, client)

    run(metered.as_client())
    told = told_units(dynamodb, f"-{count.__name__}-{per_delivery}", lambda: run(dynamodb))

    # It does not tell of what conditions refuse, which AWS does charge.
    assert told == {"written": metered.units.written - metered.units.refused, "read": metered.units.read}


def test_each_full_ring_of_tokens_costs_a_refused_write() -> None:
    metered = MeteredDynamoDB(ingest.TABLES)
    units.count_ours(events(Mix(1, Shape.FLAT), 100, 1_000), 1, RULES, metered.as_client())
    # After 24, 48, 72 and 96 deliveries.
    assert metered.units.refused == 4
    assert metered.units.written == 100 + 4


def test_the_naive_way_writes_each_request_and_reads_what_its_client_has() -> None:
    metered = MeteredDynamoDB(ingest.TABLES)
    stream = events(Mix(1, Shape.FLAT), 120, 120)
    units.count_naively(stream, 1, RULES, metered.as_client())

    item = metered.tables[RECORDS].partitions["100.64.0.0"].items[0]
    pages = [-(-number * size(item) // 4096) for number in range(1, 121)]
    # The last one is at the day's limit: its day is read too, and its block written.
    assert metered.units.written == len(stream) + 1
    assert metered.units.read == (sum(pages) + pages[-1]) / 2
    assert list(metered.tables[NAIVE_BLOCKS].partitions) == ["100.64.0.0"]


def test_both_ways_block_the_same_clients() -> None:
    ours, others = MeteredDynamoDB(ingest.TABLES), MeteredDynamoDB(ingest.TABLES)
    stream = events(MIX, 330, 120)
    units.count_ours(stream, 33, RULES, ours.as_client())
    units.count_naively(stream, 33, RULES, others.as_client())

    partitions = ours.tables[BLOCKS].partitions
    blocked = {client for partition in partitions.values() for client in partition.sorts}
    naively = others.tables[NAIVE_BLOCKS].partitions
    assert blocked == {client for client, partition in naively.items() if partition.items}
    assert 0 < len(blocked) < MIX.clients


def test_an_expression_that_the_meter_does_not_know_is_refused() -> None:
    metered = MeteredDynamoDB(ingest.TABLES)
    with pytest.raises(UnknownRequestError):
        metered.put_item(TableName=COUNTERS, Item={"k": {"S": "a"}}, ConditionExpression="k = :k")
    with pytest.raises(UnknownRequestError):
        metered.update_item(TableName=COUNTERS, Key={"k": {"S": "a"}}, UpdateExpression="SET a = b + c")
