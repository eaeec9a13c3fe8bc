"""The blocks: who is kept out until when, beside the allow list and the enforcers' lease.

A table of its own, so that its stream tells of crossings and of nothing else. Its partition key is
``partition``, its sort key ``client``:

- ``p0`` to ``p7``: one block per client, spread by a hash of the client;
- ``allow``: one allowance per CIDR, made by an operator;
- ``control``: the lease (``lease``) and whether the enforcers stand still (``pause``).
"""

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

from .clients import canonical, cidr
from .windows import DAY, SECOND

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef

PARTITION = "partition"
CLIENT = "client"
EXPIRES = "expires"
PARTITIONS = 8
"""A partition key takes 1,000 writes a second."""
ALLOW = "allow"
CONTROL = "control"
LEASE = {PARTITION: {"S": CONTROL}, CLIENT: {"S": "lease"}}
PAUSE = {PARTITION: {"S": CONTROL}, CLIENT: {"S": "pause"}}
OPERATOR = "operator"
"""The window of a block that an operator made."""
KEPT = DAY
"""How long DynamoDB keeps a record after its end, in milliseconds."""
MOST_TRIES = 5
LONGEST_REASON = 256

STARTS = """attribute_not_exists(client)
    OR NOT attribute_type(generation, :number) OR NOT attribute_type(#until, :number)
    OR generation < :g OR (generation = :g AND #state = :off)"""

Item = Mapping[str, "AttributeValueTypeDef"]


class State(StrEnum):
    """What a record says of its client."""

    ON = "on"
    """It is blocked, until its time."""
    OFF = "off"
    """An operator unblocked it: blocks of earlier generations do not count."""
    ALLOWED = "allow"
    """It is on the allow list."""


class Change(StrEnum):
    """What putting a block changed."""

    STARTED = "started"
    EXTENDED = "extended"
    NOTHING = "nothing"


class UnreadableRecordError(ValueError):
    """A record of the table that is not one of ours; the message names the wrong field."""


@dataclass(frozen=True)
class Block:
    """A client that is kept out."""

    client: str
    window: str
    """The window whose limit is used up, or ``operator``."""
    since: int
    """Milliseconds since 1970, like every time here."""
    until: int
    generation: int = 0
    """The client's, when this was decided: what was decided before an unblocking does not count after it."""
    reason: str = ""
    """An operator's words."""


@dataclass(frozen=True)
class Allowance:
    """A CIDR that is never counted and never blocked."""

    network: str
    since: int
    reason: str = ""


@dataclass(frozen=True)
class Snapshot:
    """The table as it is at one moment."""

    blocks: tuple[Block, ...] = ()
    allowances: tuple[Allowance, ...] = ()
    paused: bool = False
    unreadable: tuple[str, ...] = ()
    """What is wrong with the records that are not ours, without what they hold."""


@dataclass(frozen=True)
class Lease:
    """The right to work, for a while."""

    holder: str
    asked: int = 0
    """How often others asked for work, when this was looked at."""


class Blocks(Protocol):
    """Where blocks are kept."""

    def put(self, block: Block) -> Change:
        """Start a block, or extend the one that there is; never shorten it."""

    def read(self) -> Snapshot:
        """Return everything, as it is now."""

    def allowances(self) -> list[Allowance]:
        """Return the allow list."""

    def release(self, block: Block) -> bool:
        """Delete a block, unless it has changed; return whether it is gone."""

    def acquire(self, holder: str, now: int, until: int) -> Lease | None:
        """Take the lease, or ask its holder to work once more and return nothing."""

    def renew(self, lease: Lease, until: int) -> Lease:
        """Hold the lease for longer, and look how often others have asked."""

    def finish(self, lease: Lease) -> bool:
        """Give the lease back, unless others asked for work since it was last looked at."""

    def drop(self, lease: Lease) -> None:
        """Give the lease back, whoever asks."""


class BlockTable:
    """The blocks in DynamoDB."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        """Use a table with the keys that the module describes."""
        self._client = client
        self._table = table

    def put(self, block: Block) -> Change:
        """Start a block, or extend the one that there is; never shorten it.

        A block starts where there is none, where the record belongs to an earlier generation or cannot be
        read, and where an operator unblocked the client in this generation.
        """
        for _ in range(MOST_TRIES):
            try:
                self._client.put_item(
                    TableName=self._table,
                    Item=_as_item(block),
                    ConditionExpression=STARTS,
                    ExpressionAttributeNames={"#state": "state", "#until": "until"},
                    ExpressionAttributeValues={
                        ":g": {"N": str(block.generation)},
                        ":off": {"S": State.OFF.value},
                        ":number": {"S": "N"},
                    },
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                )
            except self._client.exceptions.ConditionalCheckFailedException as refused:
                old: Item = refused.response.get("Item", {})  # type: ignore[assignment]
                if _generation(old) > block.generation or _ends(old) >= block.until:
                    return Change.NOTHING
                if self._extend(block):
                    return Change.EXTENDED
            else:
                return Change.STARTED
        return Change.NOTHING

    def _extend(self, block: Block) -> bool:
        try:
            self._client.update_item(
                TableName=self._table,
                Key=_key(block.client),
                UpdateExpression="SET #until = :until, #window = :w, reason = :reason, expires = :expires",
                ConditionExpression="generation = :g AND #state = :on AND #until < :until",
                ExpressionAttributeNames={"#until": "until", "#window": "window", "#state": "state"},
                ExpressionAttributeValues={
                    ":until": {"N": str(block.until)},
                    ":w": {"S": block.window},
                    ":reason": {"S": block.reason},
                    ":expires": {"N": str(_expires(block.until))},
                    ":g": {"N": str(block.generation)},
                    ":on": {"S": State.ON.value},
                },
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return False
        return True

    def read(self) -> Snapshot:
        """Return everything, as it is now; records that are not ours stop nothing."""
        blocks: list[Block] = []
        allowances: list[Allowance] = []
        unreadable: list[str] = []
        for partition in (*map(_partition_name, range(PARTITIONS)), ALLOW):
            for item in self._query(partition):
                try:
                    if partition == ALLOW:
                        allowances.append(_allowance(item))
                    elif _text(item, "state") == State.ON:
                        blocks.append(_block(item))
                except UnreadableRecordError as error:
                    unreadable.append(str(error))
        return Snapshot(tuple(blocks), tuple(allowances), self.is_paused(), tuple(unreadable))

    def get(self, client: str) -> Block | None:
        """Return a client's block, whether or not its time is over.

        Raises:
            UnreadableRecordError: if the record is not ours.
        """
        item = self._client.get_item(TableName=self._table, Key=_key(client), ConsistentRead=True).get("Item")
        return _block(item) if item and _text(item, "state") == State.ON else None

    def allowances(self) -> list[Allowance]:
        """Return the allow list; records that are not ours are left out."""
        found = []
        for item in self._query(ALLOW):
            try:
                found.append(_allowance(item))
            except UnreadableRecordError:
                # The enforcer, which reads them too, counts and names them.
                continue
        return found

    def release(self, block: Block) -> bool:
        """Delete a block, unless it has changed; return whether it is gone."""
        try:
            self._client.delete_item(
                TableName=self._table,
                Key=_key(block.client),
                ConditionExpression="#until = :until AND generation = :g AND #state = :on",
                ExpressionAttributeNames={"#until": "until", "#state": "state"},
                ExpressionAttributeValues={
                    ":until": {"N": str(block.until)},
                    ":g": {"N": str(block.generation)},
                    ":on": {"S": State.ON.value},
                },
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return False
        return True

    def unblock(self, client: str, generation: int, now: int) -> None:
        """End a client's block, and let what was decided before this generation count no more."""
        self._client.put_item(
            TableName=self._table,
            Item={
                **_key(client),
                "state": {"S": State.OFF.value},
                "since": {"N": str(now)},
                "until": {"N": str(now)},
                "generation": {"N": str(generation)},
                EXPIRES: {"N": str(_expires(now))},
            },
        )

    def allow(self, allowance: Allowance) -> None:
        """Put a CIDR on the allow list."""
        self._client.put_item(
            TableName=self._table,
            Item={
                PARTITION: {"S": ALLOW},
                CLIENT: {"S": allowance.network},
                "state": {"S": State.ALLOWED.value},
                "since": {"N": str(allowance.since)},
                "reason": {"S": allowance.reason},
            },
        )

    def disallow(self, network: str) -> bool:
        """Take a CIDR off the allow list; return whether it was on it."""
        answer = self._client.delete_item(
            TableName=self._table,
            Key={PARTITION: {"S": ALLOW}, CLIENT: {"S": network}},
            ReturnValues="ALL_OLD",
        )
        return "Attributes" in answer

    def is_paused(self) -> bool:
        """Whether the enforcers are to write nothing."""
        return "Item" in self._client.get_item(TableName=self._table, Key=PAUSE, ConsistentRead=True)

    def pause(self, now: int) -> None:
        """Let the enforcers write nothing until `resume`."""
        self._client.put_item(TableName=self._table, Item={**PAUSE, "since": {"N": str(now)}})

    def resume(self) -> None:
        """Let the enforcers work again."""
        self._client.delete_item(TableName=self._table, Key=PAUSE)

    def is_held(self, now: int) -> bool:
        """Whether an enforcer works at the moment."""
        item = self._client.get_item(TableName=self._table, Key=LEASE, ConsistentRead=True).get("Item", {})
        return "held_until" in item and int(item["held_until"]["N"]) >= now

    def acquire(self, holder: str, now: int, until: int) -> Lease | None:
        """Take the lease, or ask its holder to work once more and return nothing.

        Whoever asks is heard: by the holder when it is to finish, or here, where the lease came free in
        between.
        """
        for _ in range(MOST_TRIES):
            try:
                item = self._update_lease(
                    "SET holder = :h, held_until = :until",
                    "attribute_not_exists(held_until) OR held_until < :now",
                    {":h": {"S": holder}, ":until": {"N": str(until)}, ":now": {"N": str(now)}},
                )
            except self._client.exceptions.ConditionalCheckFailedException:
                item = self._update_lease("ADD asked :one", None, {":one": {"N": "1"}})
                if "held_until" in item and int(item["held_until"]["N"]) >= now:
                    return None
            else:
                return Lease(holder, _asked(item))
        return None

    def renew(self, lease: Lease, until: int) -> Lease:
        """Hold the lease for longer, and look how often others have asked."""
        item = self._update_lease(
            "SET holder = :h, held_until = :until",
            None,
            {":h": {"S": lease.holder}, ":until": {"N": str(until)}},
        )
        return Lease(lease.holder, _asked(item))

    def finish(self, lease: Lease) -> bool:
        """Give the lease back, unless others asked for work since it was last looked at.

        Where somebody else holds it by now, there is nothing to give back.
        """
        try:
            self._update_lease(
                "REMOVE held_until, holder",
                "holder = :h AND (attribute_not_exists(asked) OR asked = :asked)",
                {":h": {"S": lease.holder}, ":asked": {"N": str(lease.asked)}},
            )
        except self._client.exceptions.ConditionalCheckFailedException as refused:
            old: Item = refused.response.get("Item", {})  # type: ignore[assignment]
            return old.get("holder", {}).get("S") != lease.holder
        return True

    def drop(self, lease: Lease) -> None:
        """Give the lease back, whoever asks: what is asked for is then done by the next run."""
        try:
            self._update_lease("REMOVE held_until, holder", "holder = :h", {":h": {"S": lease.holder}})
        except self._client.exceptions.ConditionalCheckFailedException:
            # Somebody else holds it by now, so there is nothing to give back.
            return

    def _update_lease(
        self, expression: str, condition: str | None, values: "dict[str, AttributeValueTypeDef]"
    ) -> Item:
        guarded: Any = {"ConditionExpression": condition} if condition else {}
        return self._client.update_item(
            TableName=self._table,
            Key=LEASE,
            UpdateExpression=expression,
            ExpressionAttributeValues=values,
            ReturnValues="ALL_NEW",
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
            **guarded,
        )["Attributes"]

    def _query(self, partition: str) -> Iterator[Item]:
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table,
            KeyConditionExpression="#p = :p",
            ExpressionAttributeNames={"#p": PARTITION},
            ExpressionAttributeValues={":p": {"S": partition}},
            ConsistentRead=True,
        )
        for page in pages:
            yield from page["Items"]


def spread(client: str, over: int) -> int:
    """Return a number below ``over`` that is always the same for a client, and even over many of them."""
    return zlib.crc32(client.encode()) % over


def _partition_name(number: int) -> str:
    return f"p{number}"


def _key(client: str) -> dict[str, "AttributeValueTypeDef"]:
    return {PARTITION: {"S": _partition_name(spread(client, PARTITIONS))}, CLIENT: {"S": client}}


def _expires(until: int) -> int:
    return (until + KEPT) // SECOND


def _as_item(block: Block) -> dict[str, "AttributeValueTypeDef"]:
    return {
        **_key(block.client),
        "state": {"S": State.ON.value},
        "window": {"S": block.window},
        "reason": {"S": block.reason},
        "since": {"N": str(block.since)},
        "until": {"N": str(block.until)},
        "generation": {"N": str(block.generation)},
        EXPIRES: {"N": str(_expires(block.until))},
    }


def _block(item: Item) -> Block:
    client = _text(item, CLIENT)
    try:
        known = canonical(cidr(client))
    except ValueError as error:
        raise UnreadableRecordError("client: no address") from error
    if known != cidr(client):
        # The set would never hold it as it is written here.
        raise UnreadableRecordError("client: an address that is written in another way")
    return Block(
        client=client,
        window=_text(item, "window"),
        since=_whole(item, "since"),
        until=_whole(item, "until"),
        generation=_whole(item, "generation"),
        reason=_text(item, "reason"),
    )


def _allowance(item: Item) -> Allowance:
    network = _text(item, CLIENT)
    try:
        return Allowance(canonical(network), _whole(item, "since"), _text(item, "reason"))
    except ValueError as error:
        raise UnreadableRecordError("client: no CIDR") from error


def _text(item: Item, name: str) -> str:
    value = item.get(name, {}).get("S")
    if not isinstance(value, str):
        raise UnreadableRecordError(f"{name}: no text")
    return value


def _whole(item: Item, name: str) -> int:
    value = item.get(name, {}).get("N")
    if not isinstance(value, str) or not value.isdecimal():
        raise UnreadableRecordError(f"{name}: no whole number")
    return int(value)


def _generation(item: Item) -> int:
    value = item.get("generation", {}).get("N", "0")
    return int(value) if value.isdecimal() else 0


def _ends(item: Item) -> int:
    """Return when the block of a record ends; a record without a block has ended."""
    value = item.get("until", {}).get("N", "0")
    return int(value) if item.get("state", {}).get("S") == State.ON and value.isdecimal() else 0


def _asked(item: Item) -> int:
    return int(item["asked"]["N"]) if "asked" in item else 0
