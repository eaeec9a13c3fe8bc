"""The limiter's storage, three times: in memory, in the emulator and in Amazon's DynamoDB Local."""

import itertools
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config

from sluice.limiter.blocks import BlockTable
from sluice.limiter.counters import CounterTable
from tests.limiter_fakes import MemoryBlocks, MemoryCounters

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

KINDS = ("memory", "emulator", "dynamodb_local")
NUMBERS = itertools.count()
COUNTERS = {"k": "HASH"}
BLOCKS = {"partition": "HASH", "client": "RANGE"}


@dataclass
class Storage:
    """One backend, with tables of its own."""

    counters: CounterTable | MemoryCounters
    blocks: BlockTable | MemoryBlocks
    write_block: Callable[[str, str, Mapping[str, str | float]], None]
    """Writes any record into the blocks: partition, client, and its other values."""
    before: Callable[[Callable[[], None]], None]
    """Lets something happen before each write, and before each read of a single item."""


def client_of(url: str, key: str) -> "DynamoDBClient":
    """Return a client that repeats nothing."""
    session = boto3.Session(key, key, region_name="us-east-1")
    config = Config(proxies={}, retries={"total_max_attempts": 1}, max_pool_connections=32)
    return session.client("dynamodb", endpoint_url=url, config=config)


def memory() -> Storage:
    """Return storage in memory."""
    hooks: list[Callable[[], None]] = []

    def step(name: str) -> None:
        if not name.endswith(" done"):
            for hook in hooks:
                hook()

    counters, blocks = MemoryCounters(step), MemoryBlocks(step)
    return Storage(
        counters,
        blocks,
        lambda place, client, record: blocks.write(place, client, dict(record)),
        hooks.append,
    )


@contextmanager
def tables(client: "DynamoDBClient") -> Iterator[Storage]:
    """Yield storage in new tables, without a TTL: a DynamoDB Local deletes at once what has expired."""
    number = f"{os.getpid()}-{next(NUMBERS)}"
    counters = _create(client, f"counters-{number}", COUNTERS)
    blocks = _create(client, f"blocks-{number}", BLOCKS)
    hooks: list[Callable[..., None]] = []

    def write(place: str, name: str, record: Mapping[str, str | float]) -> None:
        client.put_item(TableName=blocks, Item=_plain({"partition": place, "client": name}) | _plain(record))

    def before(hook: Callable[[], None]) -> None:
        hooks.append(lambda **_: hook())
        client.meta.events.register("before-call.dynamodb", hooks[-1])

    yield Storage(CounterTable(client, counters), BlockTable(client, blocks), write, before)
    for hook in hooks:
        client.meta.events.unregister("before-call.dynamodb", hook)
    for name in (counters, blocks):
        client.delete_table(TableName=name)


def _create(client: "DynamoDBClient", name: str, keys: Mapping[str, Any]) -> str:
    client.create_table(
        TableName=name,
        AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in keys],
        KeySchema=[{"AttributeName": key, "KeyType": kind} for key, kind in keys.items()],
        BillingMode="PAY_PER_REQUEST",
    )
    return name


def _plain(values: Mapping[str, str | float]) -> Any:
    return {
        name: {"S": value} if isinstance(value, str) else {"N": str(value)} for name, value in values.items()
    }
