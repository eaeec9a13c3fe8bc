"""DynamoDB's units, counted by the rules of AWS on every call, in memory.

The emulator answers with other units than AWS for a query that counts, and takes milliseconds a call. This
knows the few calls and expressions that the two ways make, and refuses everything else.

The rules ("DynamoDB read and write operations", "DynamoDB item sizes and formats"): a write takes a unit
per started KB of the item as it was or as it becomes, whichever is larger, also where its condition refuses
it; a read takes a unit per started 4 KB of everything it looks at together, or half of that where it may be
eventually consistent; what is not there counts as the smallest item, and a query that finds nothing as
well (DynamoDB Local lets that one pass for nothing).
"""

import bisect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypedDict, Unpack, cast

from botocore.exceptions import ClientError

from sluice.limiter import blocks, counters
from sluice.limiter.blocks import State

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

WRITE_BYTES, READ_BYTES = 1024, 4096
PAGE_BYTES = 2**20
EVENTUALLY = 0.5
CLAUSE = re.compile(r"\b(SET|ADD|REMOVE) ")

Item = dict[str, Any]
Values = Mapping[str, Any]


class Asked(TypedDict, total=False):
    """What calls take."""

    TableName: str
    Key: Item
    Item: Item
    RequestItems: Mapping[str, Sequence[Mapping[str, Any]]]
    Select: str
    ConsistentRead: bool
    ProjectionExpression: str
    KeyConditionExpression: str
    UpdateExpression: str
    ConditionExpression: str
    ExpressionAttributeNames: Mapping[str, str]
    ExpressionAttributeValues: Values
    ReturnValues: str
    ReturnValuesOnConditionCheckFailure: str


class UnknownRequestError(NotImplementedError):
    """A call or an expression that this does not know."""


class ConditionalCheckFailedException(ClientError):  # noqa: N818 - botocore's name
    """A condition that was not met."""


class Exceptions:
    """Where botocore has a client's errors."""

    ConditionalCheckFailedException = ConditionalCheckFailedException


@dataclass
class Units:
    """What was consumed."""

    written: float = 0.0
    read: float = 0.0
    refused: float = 0.0
    """The part of what was written that conditions refused."""


@dataclass
class Partition:
    """The items of one partition key, in the order of their sort keys."""

    sorts: list[str] = field(default_factory=list)
    items: list[Item] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)

    def put(self, sort: str, item: Item) -> None:
        """Put an item in its place."""
        place = bisect.bisect_left(self.sorts, sort)
        if self.sorts[place : place + 1] == [sort]:
            self.items[place], self.sizes[place] = item, size(item)
        else:
            self.sorts.insert(place, sort)
            self.items.insert(place, item)
            self.sizes.insert(place, size(item))

    def get(self, sort: str) -> Item:
        """Return an item, empty if there is none."""
        place = bisect.bisect_left(self.sorts, sort)
        return self.items[place] if self.sorts[place : place + 1] == [sort] else {}


@dataclass
class Table:
    """A table's items by their partition keys."""

    keys: Sequence[str]
    partitions: dict[str, Partition] = field(default_factory=dict)

    def partition(self, key: Item) -> Partition:
        """Return where an item is or would be."""
        return self.partitions.setdefault(key[self.keys[0]]["S"], Partition())

    def sort(self, key: Item) -> str:
        """Return an item's sort key, which is empty where the table has none."""
        return key[self.keys[1]]["S"] if len(self.keys) > 1 else ""

    def get(self, key: Item) -> Item:
        """Return an item, empty if there is none."""
        return self.partition(key).get(self.sort(key))

    def put(self, item: Item) -> None:
        """Put an item in its place."""
        self.partition(item).put(self.sort(item), item)


class MeteredDynamoDB:
    """As much of a client of DynamoDB as the benchmarks need."""

    exceptions = Exceptions

    def __init__(self, tables: Mapping[str, Mapping[str, str]]) -> None:
        """Make tables, each with the names of its keys."""
        self.tables = {name: Table(tuple(keys)) for name, keys in tables.items()}
        self.units = Units()

    def as_client(self) -> "DynamoDBClient":
        """Return this, for what is written for the whole client."""
        return cast("DynamoDBClient", self)

    def get_item(self, **asked: Unpack[Asked]) -> dict[str, Any]:
        """Read one item."""
        item = self.tables[asked["TableName"]].get(asked["Key"])
        self._read(size(item), consistent=asked.get("ConsistentRead", False))
        return {"Item": item} if item else {}

    def put_item(self, **asked: Unpack[Asked]) -> dict[str, Any]:
        """Write one item."""
        table = self.tables[asked["TableName"]]
        self._write(table, table.get(asked["Item"]), asked["Item"], asked)
        return {}

    def update_item(self, **asked: Unpack[Asked]) -> dict[str, Any]:
        """Change one item."""
        table = self.tables[asked["TableName"]]
        old = table.get(asked["Key"])
        new = updated(
            old or dict(asked["Key"]),
            asked["UpdateExpression"],
            asked.get("ExpressionAttributeNames", {}),
            asked.get("ExpressionAttributeValues", {}),
        )
        self._write(table, old, new, asked)
        return {"Attributes": new} if asked.get("ReturnValues") == "ALL_NEW" else {}

    def batch_write_item(self, **asked: Unpack[Asked]) -> dict[str, Any]:
        """Write many items."""
        for name, requests in asked["RequestItems"].items():
            for each in requests:
                self.put_item(TableName=name, Item=each["PutRequest"]["Item"])
        return {"UnprocessedItems": {}}

    def get_paginator(self, operation: str) -> "MeteredDynamoDB":
        """Return what gives the pages of a query."""
        if operation != "query":
            raise UnknownRequestError(operation)
        return self

    def paginate(self, **asked: Unpack[Asked]) -> Iterator[dict[str, Any]]:
        """Query a partition, from a sort key on: all in one page."""
        values = asked["ExpressionAttributeValues"]
        bounds = re.fullmatch(r"#\w+ = (:\w+)(?: AND #\w+ >= (:\w+))?", asked["KeyConditionExpression"])
        if bounds is None:
            raise UnknownRequestError(asked["KeyConditionExpression"])
        first = values[bounds[2]]["S"] if bounds[2] else ""
        table = self.tables[asked["TableName"]]
        held = table.partitions.get(values[bounds[1]]["S"], Partition())
        place = bisect.bisect_left(held.sorts, first)
        total = sum(held.sizes[place:])
        if total > PAGE_BYTES:
            raise UnknownRequestError("a query of several pages")
        self._read(total, consistent=asked.get("ConsistentRead", False))
        items = [] if asked.get("Select") == "COUNT" else held.items[place:]
        yield {"Count": len(held.items) - place, "Items": items}

    def _read(self, total: int, *, consistent: bool) -> None:
        self.units.read += max(1, -(-total // READ_BYTES)) * (1 if consistent else EVENTUALLY)

    def _write(self, table: Table, old: Item, new: Item, asked: Asked) -> None:
        condition = asked.get("ConditionExpression")
        if condition is not None and not _condition(condition)(
            old, asked.get("ExpressionAttributeValues", {})
        ):
            units = _write_units(old)
            self.units.written += units
            self.units.refused += units
            raise ConditionalCheckFailedException(
                {"Error": {"Code": "ConditionalCheckFailedException"}, "Item": old},  # type: ignore[typeddict-unknown-key]
                "Write",
            )
        self.units.written += max(_write_units(old), _write_units(new))
        table.put(new)


def size(item: Mapping[str, Any]) -> int:
    """Return an item's bytes as DynamoDB counts them."""
    return sum(len(name.encode()) + _value_size(value) for name, value in item.items())


def _value_size(value: Values) -> int:
    ((kind, held),) = value.items()
    if kind == "S":
        return len(held.encode())
    if kind == "N":
        digits = str(held).lstrip("-").replace(".", "").strip("0")
        return (len(digits) + 1) // 2 + 1
    if kind == "BS":
        return sum(map(len, held))
    raise UnknownRequestError(f"a value of the type {kind}")


def _write_units(item: Item) -> int:
    return max(1, -(-size(item) // WRITE_BYTES))


def updated(item: Item, expression: str, names: Mapping[str, str], values: Values) -> Item:
    """Return an item after an update; every operand is the item as it was."""
    new = dict(item)
    _, *parts = CLAUSE.split(expression)
    for clause, assignments in zip(parts[::2], parts[1::2], strict=True):
        for assignment in assignments.split(","):
            words = [names.get(word, word) for word in assignment.split()]
            match clause, words:
                case "SET", [target, "=", operand]:
                    new[target] = values[operand] if operand.startswith(":") else item[operand]
                case "ADD", [target, operand]:
                    new[target] = _sum(item.get(target), values[operand])
                case "REMOVE", [target]:
                    new.pop(target, None)
                case _:
                    raise UnknownRequestError(expression)
    return new


def _sum(old: Values | None, added: Values) -> Values:
    if old is None:
        return added
    if "N" in added:
        return {"N": str(Decimal(old["N"]) + Decimal(added["N"]))}
    return {"BS": [*old["BS"], *(each for each in added["BS"] if each not in old["BS"])]}


def _fresh(item: Item, values: Values) -> bool:
    token = values[":t"]["B"]
    return not any(token in item.get(name, {"BS": []})["BS"] for name in ("b", "c"))


def _added(item: Item, values: Values) -> bool:
    return _fresh(item, values) and ("b" not in item or len(item["b"]["BS"]) < int(values[":k"]["N"]))


def _rotated(item: Item, values: Values) -> bool:
    return _fresh(item, values) and "b" in item and len(item["b"]["BS"]) >= int(values[":k"]["N"])


def _starts(item: Item, values: Values) -> bool:
    if not item:
        return True
    held, given = int(item["generation"]["N"]), int(values[":g"]["N"])
    return held < given or (held == given and item["state"]["S"] == State.OFF)


CONDITIONS: dict[str, Callable[[Item, Values], bool]] = {
    counters.ADDED: _added,
    counters.ROTATED: _rotated,
    blocks.STARTS: _starts,
}


def _condition(expression: str) -> Callable[[Item, Values], bool]:
    try:
        return CONDITIONS[expression]
    except KeyError:
        raise UnknownRequestError(expression) from None
