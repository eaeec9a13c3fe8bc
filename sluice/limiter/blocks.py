"""The blocks: who is kept out until when, beside the allow list and the enforcers' lease.

A table of its own, so that its stream tells of crossings and of nothing else. Its partition key is
``partition``, its sort key ``client``:

- ``p0`` to ``p7``: one block per client, spread by a hash of the client;
- ``allow``: one allowance per CIDR, made by an operator;
- ``control``: the lease (``lease``) and whether the enforcers stand still (``pause``).
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

from .clients import V4, V6, canonical, cidr, family
from .dynamodb import ContentionError, Item, refused_item
from .windows import DAY, MINUTE, SECOND

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
LONGEST_LEASE = 10 * MINUTE
LATE = 60 * MINUTE
"""How long after an unblocking something may still be decided by what was before it: far longer than a
function runs. Later its record means nothing: the client's counters may be gone, and their generation too."""
SHORTEST_PREFIXES = {V4: 32, V6: 16}
"""Of what can be one client, with whatever settings."""
LATEST = 253_402_300_799_000
"""The end of the year 9999: no block ends later."""
MOST_TRIES = 5
LONGEST_REASON = 256

STARTS = """attribute_not_exists(client)
    OR NOT attribute_type(generation, :number) OR NOT attribute_type(since, :number)
    OR NOT attribute_type(#until, :number) OR #until > :latest
    OR NOT attribute_type(#window, :text) OR NOT attribute_type(reason, :text)
    OR NOT #state IN (:on, :off)
    OR generation < :g OR (#state = :off AND (generation = :g OR #until < :late))"""
"""Where a block starts: where there is no record or none that can be read, and where the record is of an
earlier generation, or of an unblocking in this one or long ago."""


FREE = """attribute_not_exists(held_until) OR NOT attribute_type(held_until, :number)
    OR held_until < :now OR held_until > :far"""
"""Where nobody has the lease, or where it is none of ours: no enforcer holds it for so long."""


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
    asked_to_wake: int = 0
    """How often these were such as wake for the releases ahead."""


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

    def acquire(self, holder: str, now: int, until: int, *, wakes: bool) -> Lease | None:
        """Take the lease, or ask its holder to work once more and return nothing."""

    def renew(self, lease: Lease, until: int) -> Lease | None:
        """Hold the lease for longer, and look how often others have asked; nothing where it is lost."""

    def finish(self, lease: Lease) -> bool:
        """Give the lease back, unless others asked for work since it was last looked at, or it is lost."""

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

        Raises:
            ContentionError: if others wrote to the record again and again meanwhile.
        """
        for _ in range(MOST_TRIES):
            try:
                self._client.put_item(
                    TableName=self._table,
                    Item=_as_item(block),
                    ConditionExpression=STARTS,
                    ExpressionAttributeNames={"#state": "state", "#until": "until", "#window": "window"},
                    ExpressionAttributeValues={
                        ":g": {"N": str(block.generation)},
                        ":on": {"S": State.ON.value},
                        ":off": {"S": State.OFF.value},
                        ":late": {"N": str(block.since - LATE)},
                        ":latest": {"N": str(LATEST)},
                        ":number": {"S": "N"},
                        ":text": {"S": "S"},
                    },
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                )
            except self._client.exceptions.ConditionalCheckFailedException as refused:
                try:
                    old = _block(refused_item(refused))
                except UnreadableRecordError:
                    # What no condition can tell, like a fraction of a millisecond.
                    self._client.put_item(TableName=self._table, Item=_as_item(block))
                    return Change.STARTED
                if old.generation > block.generation or old.until >= block.until:
                    return Change.NOTHING
                # One whose time was over when this was decided only waits for its release.
                over = old.until <= block.since
                if self._extend(block, block.since if over else old.since):
                    return Change.STARTED if over else Change.EXTENDED
            else:
                return Change.STARTED
        raise ContentionError(f"a client's block was refused {MOST_TRIES} times")

    def _extend(self, block: Block, since: int) -> bool:
        try:
            self._client.update_item(
                TableName=self._table,
                Key=_key(block.client),
                UpdateExpression="SET #until = :until, #window = :w, reason = :reason, expires = :expires,"
                " since = :since",
                ConditionExpression="generation = :g AND #state = :on AND #until < :until",
                ExpressionAttributeNames={"#until": "until", "#window": "window", "#state": "state"},
                ExpressionAttributeValues={
                    ":until": {"N": str(block.until)},
                    ":w": {"S": block.window},
                    ":reason": {"S": block.reason},
                    ":since": {"N": str(since)},
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
                    elif _state(item) is State.ON:
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
        return _block(item) if item and _state(item) is State.ON else None

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
                "window": {"S": OPERATOR},
                "reason": {"S": ""},
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
        return now <= _held_until(item) <= now + LONGEST_LEASE

    def acquire(self, holder: str, now: int, until: int, *, wakes: bool) -> Lease | None:
        """Take the lease, or ask its holder to work once more and return nothing.

        Whoever asks is heard: by the holder when it is to finish, or here, where the lease came free in
        between.

        Args:
            holder: who asks, unlike everybody else.
            now: the time.
            until: until when to hold it.
            wakes: whether who asks would wake for the releases ahead; then the holder is to do that.
        """
        asking = "ADD asked :one, asked_to_wake :one" if wakes else "ADD asked :one"
        for _ in range(MOST_TRIES):
            try:
                item = self._update_lease(
                    # Whoever asked before this is heard by the look at the table that follows.
                    "SET holder = :h, held_until = :until, asked = :zero, asked_to_wake = :zero",
                    FREE,
                    {
                        ":h": {"S": holder},
                        ":zero": {"N": "0"},
                        ":until": {"N": str(until)},
                        ":now": {"N": str(now)},
                        ":far": {"N": str(now + LONGEST_LEASE)},
                        ":number": {"S": "N"},
                    },
                )
            except self._client.exceptions.ConditionalCheckFailedException:
                item = self._update_lease(asking, None, {":one": {"N": "1"}})
                if now <= _held_until(item) <= now + LONGEST_LEASE:
                    return None
            else:
                return _lease(item)
        return None

    def renew(self, lease: Lease, until: int) -> Lease | None:
        """Hold the lease for longer, and look how often others have asked; nothing where it is lost."""
        try:
            item = self._update_lease(
                "SET held_until = :until",
                "holder = :h",
                {":h": {"S": lease.holder}, ":until": {"N": str(until)}},
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return None
        return _lease(item)

    def finish(self, lease: Lease) -> bool:
        """Give the lease back, unless others asked for work since it was last looked at, or it is lost."""
        try:
            self._update_lease(
                "REMOVE held_until, holder",
                "holder = :h AND asked = :asked",
                {":h": {"S": lease.holder}, ":asked": {"N": str(lease.asked)}},
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return False
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
    if int(known.partition("/")[2]) < SHORTEST_PREFIXES[family(client)]:
        raise UnreadableRecordError("client: a network that is far more than a client")
    if item[PARTITION] != _key(client)[PARTITION]:
        raise UnreadableRecordError("partition: another client's")
    since, until = _whole(item, "since"), _whole(item, "until")
    if max(since, until) > LATEST:
        raise UnreadableRecordError("since, until: after the year 9999")
    return Block(
        client=client,
        window=_text(item, "window"),
        since=since,
        until=until,
        generation=_whole(item, "generation"),
        reason=_text(item, "reason"),
    )


def _allowance(item: Item) -> Allowance:
    network = _text(item, CLIENT)
    try:
        known = canonical(network)
    except ValueError as error:
        raise UnreadableRecordError("client: no CIDR") from error
    return Allowance(known, _whole(item, "since"), _text(item, "reason"))


def _state(item: Item) -> State:
    state = _text(item, "state")
    if state not in (State.ON, State.OFF):
        raise UnreadableRecordError("state: neither on nor off")
    return State(state)


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


def _held_until(item: Item) -> int:
    return int(Decimal(item.get("held_until", {}).get("N", "0")))


def _lease(item: Item) -> Lease:
    return Lease(item["holder"]["S"], int(item["asked"]["N"]), int(item["asked_to_wake"]["N"]))
