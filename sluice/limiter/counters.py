"""The counters: one DynamoDB item per client, which a delivery adds to with one write and no read.

Attribute names are short, since an item over 1 KB costs two write units: ``k`` is the client; six characters
are a bucket's counter (`windows`); ``b`` and ``c`` are the tokens of the last deliveries that were added,
two generations of up to 24; ``g`` is the generation and ``z`` are the cuts of `Cut`, both written where an
operator unblocks; ``x`` is when DynamoDB may delete the item, in seconds since 1970.
"""

import hashlib
import random
import re
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Protocol

from .dynamodb import ContentionError, Item, refused_item
from .rules import Counted
from .windows import DAY, SECOND, Cut

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef

KEY = "k"
EXPIRES = "x"
NAME = re.compile(r"[0-9a-z]{6}")
"""Of a bucket's counter."""
NAME_BYTES = 6
RING_SIZE = 24
"""Tokens in one generation. A repeated delivery is surely recognised while fewer than this many others
touched the same client in between."""
TOKEN_BYTES = 6
"""Enough to tell the last deliveries of one client apart."""
MARKER_BYTES = 16
"""Enough to tell all deliveries of two days apart."""
MARKER = "d#"
MARKER_SECONDS = 2 * DAY // SECOND
MOST_TRIES = 24
PATIENT_TRIES = 4
"""Tries without a pause; after them dozens of deliveries of one client came in the same moment."""
LONGEST_PAUSE_SECONDS = 0.05
BATCH = 100
"""Items of one BatchGetItem."""
MOST_ROUNDS = 8
PATIENCE_SECONDS = 0.05
"""The first wait for what a BatchGetItem left out; it doubles."""
ONE_WRITE_UNIT = 1024
MOST_STALE = 6
"""Counters that count no more and stay in an item; one more write removes them all."""

NOT_SEEN = "NOT contains(b, :t) AND NOT contains(c, :t)"
ADDED = f"{NOT_SEEN} AND (attribute_not_exists(b) OR size(b) < :k)"
ROTATED = f"{NOT_SEEN} AND size(b) >= :k"


class Counters(Protocol):
    """Where requests are counted."""

    def add(self, client: str, amounts: Mapping[str, int], token: bytes, expires: int) -> Counted:
        """Add to a client's counters, unless the token says that this was done, and return what they hold."""

    def read(self, clients: Iterable[str]) -> dict[str, Counted]:
        """Return what is known of clients now; those that nothing is known of are left out."""

    def remove(self, client: str, names: Collection[str]) -> None:
        """Remove counters that count no more."""

    def cut(self, client: str, cuts: Mapping[str, Cut], expires: int) -> int:
        """Set from where requests count again, and return the client's next generation."""

    def is_marked(self, marker: bytes) -> bool:
        """Whether a delivery was added as a whole."""

    def mark(self, marker: bytes, expires: int) -> None:
        """Keep that a delivery was added as a whole."""


def marker_of(event_ids: Sequence[str]) -> bytes:
    """Return what tells a delivery from all others: a hash of its events' ids, in order."""
    return hashlib.blake2b("\n".join(event_ids).encode(), digest_size=MARKER_BYTES).digest()


def token_of(marker: bytes) -> bytes:
    """Return what tells a delivery from the others of one client."""
    return marker[:TOKEN_BYTES]


class CounterTable:
    """The counters in DynamoDB."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        """Use a table whose partition key is the string ``k``."""
        self._client = client
        self._table = table

    def add(self, client: str, amounts: Mapping[str, int], token: bytes, expires: int) -> Counted:
        """Add to a client's counters, unless the token says that this was done, and return what they hold.

        A full generation of tokens becomes the older one, and only where it is full at the moment of the
        write: two deliveries that both saw it full would else drop fresh tokens.

        Raises:
            ContentionError: if other deliveries filled the generation again and again meanwhile.
        """
        names = {f"#{index}": name for index, name in enumerate(amounts)}
        added = ", ".join(f"#{index} :{index}" for index in range(len(amounts)))
        values: dict[str, Any] = {
            ":t": {"B": token},
            ":ts": {"BS": [token]},
            ":k": {"N": str(RING_SIZE)},
            ":x": {"N": str(expires)},
        } | {f":{index}": {"N": str(amount)} for index, amount in enumerate(amounts.values())}
        rotate = False
        for attempt in range(MOST_TRIES):
            if attempt >= PATIENT_TRIES:
                time.sleep(random.uniform(0, LONGEST_PAUSE_SECONDS))  # noqa: S311 - jitter, not a secret
            setting = "SET x = :x, c = b, b = :ts" if rotate else "SET x = :x"
            adding = f"ADD {added}" if rotate else f"ADD b :ts, {added}"
            try:
                answer = self._client.update_item(
                    TableName=self._table,
                    Key={KEY: {"S": client}},
                    UpdateExpression=f"{setting} {adding}",
                    ConditionExpression=ROTATED if rotate else ADDED,
                    ExpressionAttributeNames=names,
                    ExpressionAttributeValues=values,
                    ReturnValues="ALL_NEW",
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                )
            except self._client.exceptions.ConditionalCheckFailedException as refused:
                old = refused_item(refused)
                if _has_token(old, token):
                    return counted(old)
                rotate = not rotate
            else:
                return counted(answer["Attributes"])
        raise ContentionError(f"a client's item was refused {MOST_TRIES} times")

    def read(self, clients: Iterable[str]) -> dict[str, Counted]:
        """Return what is known of clients now; those that nothing is known of are left out.

        Raises:
            ContentionError: if DynamoDB leaves the same items out again and again.
        """
        found: dict[str, Counted] = {}
        wanted = list(clients)
        for first in range(0, len(wanted), BATCH):
            for item in self._read_batch(wanted[first : first + BATCH]):
                found[item[KEY]["S"]] = counted(item)
        return found

    def _read_batch(self, clients: Sequence[str]) -> Iterator[Item]:
        wanted: Any = {
            self._table: {"Keys": [{KEY: {"S": each}} for each in clients], "ConsistentRead": True}
        }
        for attempt in range(MOST_ROUNDS):
            answer = self._client.batch_get_item(RequestItems=wanted)
            yield from answer["Responses"].get(self._table, [])
            wanted = answer["UnprocessedKeys"]
            if not wanted:
                return
            time.sleep(PATIENCE_SECONDS * 2**attempt)
        raise ContentionError("counters could not be read")

    def remove(self, client: str, names: Collection[str]) -> None:
        """Remove counters that count no more."""
        removed = ", ".join(f"#{index}" for index in range(len(names)))
        try:
            self._client.update_item(
                TableName=self._table,
                Key={KEY: {"S": client}},
                UpdateExpression=f"REMOVE {removed}",
                ConditionExpression="attribute_exists(k)",
                ExpressionAttributeNames={f"#{index}": name for index, name in enumerate(names)},
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            # The whole item is gone, and with it what was to be removed.
            return

    def cut(self, client: str, cuts: Mapping[str, Cut], expires: int) -> int:
        """Set from where requests count again, and return the client's next generation."""
        plain: Any = {
            prefix: {"L": [{"N": str(cut.index)}, {"N": str(cut.count)}]} for prefix, cut in cuts.items()
        }
        answer = self._client.update_item(
            TableName=self._table,
            Key={KEY: {"S": client}},
            UpdateExpression="SET z = :z, x = :x ADD g :one",
            ExpressionAttributeValues={
                ":z": {"M": plain},
                ":x": {"N": str(expires)},
                ":one": {"N": "1"},
            },
            ReturnValues="UPDATED_NEW",
        )
        return int(answer["Attributes"]["g"]["N"])

    def forget(self, client: str, names: Collection[str], expires: int) -> int:
        """Remove a client's counters and cuts, and return its next generation."""
        removed = ["z", *(f"#{index}" for index in range(len(names)))]
        named: Any = {f"#{index}": name for index, name in enumerate(names)}
        answer = self._client.update_item(
            TableName=self._table,
            Key={KEY: {"S": client}},
            UpdateExpression=f"SET x = :x REMOVE {', '.join(removed)} ADD g :one",
            ExpressionAttributeValues={":x": {"N": str(expires)}, ":one": {"N": "1"}},
            ReturnValues="UPDATED_NEW",
            **({"ExpressionAttributeNames": named} if named else {}),
        )
        return int(answer["Attributes"]["g"]["N"])

    def is_marked(self, marker: bytes) -> bool:
        """Whether a delivery was added as a whole."""
        answer = self._client.get_item(
            TableName=self._table, Key=_marker(marker), ConsistentRead=True, ProjectionExpression=KEY
        )
        return "Item" in answer

    def mark(self, marker: bytes, expires: int) -> None:
        """Keep that a delivery was added as a whole."""
        self._client.put_item(TableName=self._table, Item={**_marker(marker), EXPIRES: {"N": str(expires)}})


def counted(item: Item) -> Counted:
    """Return what an item says of its client."""
    return Counted(
        counters={name: _number(value) for name, value in item.items() if NAME.fullmatch(name)},
        generation=_number(item.get("g", {})),
        cuts={
            prefix: Cut(_number(pair["L"][0]), _number(pair["L"][1]))
            for prefix, pair in item.get("z", {}).get("M", {}).items()
            if len(pair.get("L", [])) == len(("index", "count"))
        },
    )


def largest_item(counters: int) -> int:
    """Return the most bytes that an item with so many counters takes ("DynamoDB item sizes and formats").

    A number takes a byte for two digits and one more; seven digits are assumed.
    """
    client = len("2001:0db8:0000:0000::/64")
    tokens = 2 * RING_SIZE * TOKEN_BYTES
    return len(KEY) + client + counters * (NAME_BYTES + 5) + len("bc") + tokens + len(EXPIRES) + 6


def _number(value: "AttributeValueTypeDef") -> int:
    """Return a number; whatever else somebody put in its place is 0, so that one item stops no others."""
    return int(Decimal(value.get("N", "0")))


def _has_token(item: Item, token: bytes) -> bool:
    return any(token in map(bytes, item[name]["BS"]) for name in ("b", "c") if name in item)


def _marker(marker: bytes) -> dict[str, "AttributeValueTypeDef"]:
    return {KEY: {"S": MARKER + marker.hex()}}
