"""The counters: one DynamoDB item per client, which a delivery adds to with one write and no read.

Attribute names are short, since an item over 1 KB costs two write units: ``k`` is the client; six characters
are a bucket's counter (`windows`); ``b`` and ``c`` are the tokens of the last deliveries that were added,
two generations of up to 24; ``g`` is the generation and ``z`` are the cuts of `Cut`, both written where an
operator unblocks; ``x`` is when DynamoDB may delete the item, in seconds since 1970.
"""

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from .rules import Counted
from .windows import DAY, SECOND, Cut

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef

KEY = "k"
EXPIRES = "x"
NAME_LENGTH = 6
RING_SIZE = 24
"""Tokens in one generation. A repeated delivery is surely recognised while fewer than this many others
touched the same client in between."""
TOKEN_BYTES = 6
MARKER = "d#"
MARKER_SECONDS = 2 * DAY // SECOND
MOST_TRIES = 8
BATCH = 100
"""Items of one BatchGetItem."""
MOST_ROUNDS = 10
ONE_WRITE_UNIT = 1024

NOT_SEEN = "NOT contains(b, :t) AND NOT contains(c, :t)"
ADDED = f"{NOT_SEEN} AND (attribute_not_exists(b) OR size(b) < :k)"
ROTATED = f"{NOT_SEEN} AND size(b) >= :k"

Item = Mapping[str, "AttributeValueTypeDef"]


class ContentionError(RuntimeError):
    """So many others wrote to the same client at once that a write did not get through; repeat it."""


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

    def is_marked(self, token: bytes) -> bool:
        """Whether a delivery was added as a whole."""

    def mark(self, token: bytes, expires: int) -> None:
        """Keep that a delivery was added as a whole."""


def token_of(event_ids: Sequence[str]) -> bytes:
    """Return what tells a delivery from others: a hash of its events' ids, in order."""
    return hashlib.blake2b("\n".join(event_ids).encode(), digest_size=TOKEN_BYTES).digest()


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
        for _ in range(MOST_TRIES):
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
                old: Item = refused.response.get("Item", {})  # type: ignore[assignment]
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
        for _ in range(MOST_ROUNDS):
            answer = self._client.batch_get_item(RequestItems=wanted)
            yield from answer["Responses"].get(self._table, [])
            wanted = answer["UnprocessedKeys"]
            if not wanted:
                return
        raise ContentionError("counters could not be read")

    def remove(self, client: str, names: Collection[str]) -> None:
        """Remove counters that count no more."""
        removed = ", ".join(f"#{index}" for index in range(len(names)))
        self._client.update_item(
            TableName=self._table,
            Key={KEY: {"S": client}},
            UpdateExpression=f"REMOVE {removed}",
            ExpressionAttributeNames={f"#{index}": name for index, name in enumerate(names)},
        )

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

    def is_marked(self, token: bytes) -> bool:
        """Whether a delivery was added as a whole."""
        answer = self._client.get_item(
            TableName=self._table, Key=_marker(token), ConsistentRead=True, ProjectionExpression=KEY
        )
        return "Item" in answer

    def mark(self, token: bytes, expires: int) -> None:
        """Keep that a delivery was added as a whole."""
        self._client.put_item(TableName=self._table, Item={**_marker(token), EXPIRES: {"N": str(expires)}})


def counted(item: Item) -> Counted:
    """Return what an item says of its client."""
    cuts = item["z"]["M"] if "z" in item else {}
    return Counted(
        counters={
            name: int(value["N"]) for name, value in item.items() if len(name) == NAME_LENGTH and "N" in value
        },
        generation=int(item["g"]["N"]) if "g" in item else 0,
        cuts={prefix: Cut(int(pair["L"][0]["N"]), int(pair["L"][1]["N"])) for prefix, pair in cuts.items()},
    )


def largest_item(counters: int) -> int:
    """Return the most bytes that an item with so many counters takes ("DynamoDB item sizes and formats").

    A number takes a byte for two digits and one more; seven digits are assumed.
    """
    client = len("2001:0db8:0000:0000::/64")
    tokens = 2 * RING_SIZE * TOKEN_BYTES
    return len(KEY) + client + counters * (NAME_LENGTH + 5) + len("bc") + tokens + len(EXPIRES) + 6


def _has_token(item: Item, token: bytes) -> bool:
    return any(token in map(bytes, item[name]["BS"]) for name in ("b", "c") if name in item)


def _marker(token: bytes) -> dict[str, "AttributeValueTypeDef"]:
    return {KEY: {"S": MARKER + token.hex()}}
