"""What the limiter works with, in memory: counters, blocks and IP sets that behave as the real ones do.

Each atomic operation of the real ones is one here too. ``step`` is called before and after each, and is the
place where a test lets something else happen in between, or lets the process die.
"""

import ipaddress
import itertools
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError

from handlers.ip_sets import Content, StaleTokenError
from sluice.limiter.blocks import (
    ALLOW,
    CONTROL,
    KEPT,
    LATE,
    LATEST,
    LONGEST_LEASE,
    MOST_TRIES,
    OPERATOR,
    PARTITIONS,
    SHORTEST_PREFIXES,
    Allowance,
    Block,
    Change,
    Lease,
    Snapshot,
    State,
    UnreadableRecordError,
    spread,
)
from sluice.limiter.clients import canonical, cidr, family
from sluice.limiter.counters import BATCH, RING_SIZE
from sluice.limiter.counters import MOST_TRIES as MOST_TRIES_TO_ADD
from sluice.limiter.dynamodb import ContentionError
from sluice.limiter.rules import Counted
from sluice.limiter.sets import BLOCK, CAPACITY, SetName
from sluice.limiter.windows import SECOND, Cut

SETS = tuple(
    SetName(role, family, f"{role}-{family}-{number}", f"id-{role}-{family}-{number}")
    for role in (BLOCK, ALLOW)
    for family in (4, 6)
    for number in (range(2) if role == BLOCK else range(1))
)
STREAMED = {State.ON, State.OFF, State.ALLOWED}
"""What the enforcer's stream mapping lets through."""

Step = Callable[[str], None]
Record = dict[str, Any]


def no_step(_name: str) -> None:
    """Let nothing else happen."""


class Stepping:
    """Operations one at a time, and a step before and after each."""

    def __init__(self, step: Step) -> None:
        self.step = step
        self._lock = threading.Lock()

    @contextmanager
    def _atomic(self, name: str) -> Iterator[None]:
        self.step(name)
        with self._lock:
            yield
        self.step(f"{name} done")


@dataclass
class Item:
    """A client's counters."""

    counters: dict[str, int] = field(default_factory=dict)
    newer: set[bytes] = field(default_factory=set)
    older: set[bytes] = field(default_factory=set)
    generation: int = 0
    cuts: dict[str, Cut] = field(default_factory=dict)
    expires: int | None = None

    @property
    def counted(self) -> Counted:
        return Counted(dict(self.counters), self.generation, dict(self.cuts))


class MemoryCounters(Stepping):
    """`CounterTable` in memory."""

    def __init__(self, step: Step = no_step, ring: int = RING_SIZE) -> None:
        """Let a generation hold ``ring`` tokens."""
        super().__init__(step)
        self.items: dict[str, Item] = {}
        self.markers: dict[bytes, int] = {}
        self._ring = ring

    def add(self, client: str, amounts: Mapping[str, int], token: bytes, expires: int) -> Counted:
        rotate = False
        for _ in range(MOST_TRIES_TO_ADD):
            with self._atomic("counters.add"):
                item = self.items.get(client, Item())
                if token in item.newer or token in item.older:
                    return item.counted
                if (len(item.newer) >= self._ring) == rotate:
                    self.items[client] = item
                    if rotate:
                        item.older, item.newer = item.newer, set()
                    item.newer.add(token)
                    item.expires = expires
                    for name, amount in amounts.items():
                        item.counters[name] = item.counters.get(name, 0) + amount
                    return item.counted
            rotate = not rotate
        raise ContentionError("refused again and again")

    def read(self, clients: Iterable[str]) -> dict[str, Counted]:
        found: dict[str, Counted] = {}
        wanted = list(clients)
        for first in range(0, len(wanted), BATCH):
            batch = wanted[first : first + BATCH]
            if len(set(batch)) < len(batch):
                raise ValueError("BatchGetItem takes no key twice")
            with self._atomic("counters.read"):
                found |= {each: self.items[each].counted for each in batch if each in self.items}
        return found

    def remove(self, client: str, names: Collection[str]) -> None:
        with self._atomic("counters.remove"):
            if client in self.items:
                for name in names:
                    self.items[client].counters.pop(name, None)

    def forget(self, client: str, names: Collection[str], expires: int) -> int:
        with self._atomic("counters.forget"):
            item = self.items.setdefault(client, Item())
            for name in names:
                item.counters.pop(name, None)
            item.cuts = {}
            item.expires = expires
            item.generation += 1
            return item.generation

    def cut(self, client: str, cuts: Mapping[str, Cut], expires: int) -> int:
        with self._atomic("counters.cut"):
            item = self.items.setdefault(client, Item())
            item.cuts = dict(cuts)
            item.expires = expires
            item.generation += 1
            return item.generation

    def is_marked(self, marker: bytes) -> bool:
        with self._atomic("counters.is_marked"):
            return marker in self.markers

    def mark(self, marker: bytes, expires: int) -> None:
        with self._atomic("counters.mark"):
            self.markers[marker] = expires

    def delete_expired(self, now: int) -> None:
        """Do what DynamoDB does some time after items expire."""
        self.items = {
            client: item
            for client, item in self.items.items()
            if item.expires is None or item.expires * SECOND > now
        }
        self.markers = {marker: end for marker, end in self.markers.items() if end * SECOND > now}


class MemoryBlocks(Stepping):
    """`BlockTable` in memory. A record is what the table holds: any of its values may be missing or wrong."""

    def __init__(self, step: Step = no_step) -> None:
        super().__init__(step)
        self.partitions: dict[str, dict[str, Record]] = {}
        self.stream: list[Record] = []
        """Records as they were written, as far as they wake the enforcer."""

    def put(self, block: Block) -> Change:
        for _ in range(MOST_TRIES):
            with self._atomic("blocks.put"):
                old = dict(self._partition(block.client).get(block.client, {}))
                if self._starts(old, block):
                    self._write(_place(block.client), block.client, _record(block))
                    return Change.STARTED
            if old["generation"] > block.generation or old["until"] >= block.until:
                return Change.NOTHING
            over = old["until"] <= block.since
            with self._atomic("blocks.extend"):
                record = self._partition(block.client).get(block.client, {})
                if (
                    record.get("generation") == block.generation
                    and record.get("state") == State.ON
                    and isinstance(record.get("until"), int)
                    and record["until"] < block.until
                ):
                    fresh = _record(block)
                    changed = {name: fresh[name] for name in ("until", "window", "reason", "expires")}
                    changed["since"] = block.since if over else old["since"]
                    self._write(_place(block.client), block.client, record | changed)
                    return Change.STARTED if over else Change.EXTENDED
        raise ContentionError("refused again and again")

    @staticmethod
    def _starts(old: Record, block: Block) -> bool:
        if not _is_readable(block.client, old):
            return True
        generation, off = old["generation"], old["state"] == State.OFF
        same_or_late = generation == block.generation or old["until"] < block.since - LATE
        return bool(generation < block.generation or (off and same_or_late))

    def read(self) -> Snapshot:
        blocks: list[Block] = []
        allowances: list[Allowance] = []
        unreadable: list[str] = []
        for place in (*(f"p{number}" for number in range(PARTITIONS)), ALLOW):
            for client, record in self._query(place):
                try:
                    if place == ALLOW:
                        allowances.append(_allowance(client, record))
                    elif _state(record) is State.ON:
                        blocks.append(_block(place, client, record))
                except UnreadableRecordError as error:
                    unreadable.append(str(error))
        return Snapshot(tuple(blocks), tuple(allowances), self.is_paused(), tuple(unreadable))

    def get(self, client: str) -> Block | None:
        with self._atomic("blocks.get"):
            record = self._partition(client).get(client)
        if record is None or _state(record) is not State.ON:
            return None
        return _block(_place(client), client, record)

    def allowances(self) -> list[Allowance]:
        found = []
        for network, record in self._query(ALLOW):
            try:
                found.append(_allowance(network, record))
            except UnreadableRecordError:
                continue
        return found

    def release(self, block: Block) -> bool:
        with self._atomic("blocks.release"):
            record = self._partition(block.client).get(block.client, {})
            seen = (record.get("until"), record.get("generation"), record.get("state"))
            if seen != (block.until, block.generation, State.ON):
                return False
            del self._partition(block.client)[block.client]
            return True

    def unblock(self, client: str, generation: int, now: int) -> None:
        record = _record(Block(client, OPERATOR, now, now, generation)) | {"state": State.OFF}
        with self._atomic("blocks.unblock"):
            self._write(_place(client), client, record | {"expires": (now + KEPT) // SECOND})

    def allow(self, allowance: Allowance) -> None:
        record = {"state": State.ALLOWED, "since": allowance.since, "reason": allowance.reason}
        with self._atomic("blocks.allow"):
            self._write(ALLOW, allowance.network, record)

    def disallow(self, network: str) -> bool:
        with self._atomic("blocks.disallow"):
            return self.partitions.setdefault(ALLOW, {}).pop(network, None) is not None

    def is_paused(self) -> bool:
        with self._atomic("blocks.is_paused"):
            return "pause" in self._control

    def pause(self, now: int) -> None:
        with self._atomic("blocks.pause"):
            self._control["pause"] = {"since": now}

    def resume(self) -> None:
        with self._atomic("blocks.resume"):
            self._control.pop("pause", None)

    def is_held(self, now: int) -> bool:
        with self._atomic("blocks.is_held"):
            return self._is_held(now)

    def acquire(self, holder: str, now: int, until: int, *, wakes: bool) -> Lease | None:
        for _ in range(MOST_TRIES):
            with self._atomic("blocks.acquire"):
                if not self._is_held(now):
                    self._lease.update(asked=0, asked_to_wake=0)
                    return self._hold(holder, until)
            with self._atomic("blocks.ask"):
                self._lease["asked"] = self._lease.get("asked", 0) + 1
                if wakes:
                    self._lease["asked_to_wake"] = self._lease.get("asked_to_wake", 0) + 1
                if self._is_held(now):
                    return None
        return None

    def renew(self, lease: Lease, until: int) -> Lease | None:
        with self._atomic("blocks.renew"):
            return self._hold(lease.holder, until) if self._lease.get("holder") == lease.holder else None

    def finish(self, lease: Lease) -> bool:
        with self._atomic("blocks.finish"):
            held = self._lease
            if held.get("holder") != lease.holder or held.get("asked", lease.asked) != lease.asked:
                return False
            self._give_back()
            return True

    def drop(self, lease: Lease) -> None:
        with self._atomic("blocks.drop"):
            if self._lease.get("holder") == lease.holder:
                self._give_back()

    def write(self, place: str, client: str, record: Record) -> None:
        """Write any record, as somebody could who has the table's name."""
        self._write(place, client, record)

    def delete_expired(self, now: int) -> None:
        """Do what DynamoDB does some time after records expire."""
        for place, records in self.partitions.items():
            self.partitions[place] = {
                client: record
                for client, record in records.items()
                if "expires" not in record or record["expires"] * SECOND > now
            }

    @property
    def _control(self) -> dict[str, Record]:
        return self.partitions.setdefault(CONTROL, {})

    @property
    def _lease(self) -> Record:
        return self._control.setdefault("lease", {})

    def _is_held(self, now: int) -> bool:
        held_until = self._lease.get("held_until")
        return isinstance(held_until, int) and now <= held_until <= now + LONGEST_LEASE

    def _hold(self, holder: str, until: int) -> Lease:
        self._lease.update(holder=holder, held_until=until)
        return Lease(holder, self._lease.get("asked", 0), self._lease.get("asked_to_wake", 0))

    def _give_back(self) -> None:
        del self._lease["holder"]
        self._lease.pop("held_until", None)

    def _partition(self, client: str) -> dict[str, Record]:
        return self.partitions.setdefault(_place(client), {})

    def _query(self, place: str) -> list[tuple[str, Record]]:
        with self._atomic(f"blocks.query {place}"):
            return sorted(self.partitions.get(place, {}).items())

    def _write(self, place: str, client: str, record: Record) -> None:
        self.partitions.setdefault(place, {})[client] = record
        if record.get("state") in STREAMED:
            self.stream.append(record)


class MemoryIpSets(Stepping):
    """WAF's IP sets in memory."""

    def __init__(self, names: Sequence[SetName] = SETS, step: Step = no_step) -> None:
        super().__init__(step)
        self.names = names
        self.writes = 0
        self._tokens = map(str, itertools.count())
        self._held = {name: Content(frozenset(), next(self._tokens)) for name in names}

    def read(self, each: SetName) -> Content:
        with self._atomic("sets.read"):
            return self._held[each]

    def write(self, each: SetName, addresses: Collection[str], token: str) -> None:
        with self._atomic("sets.write"):
            _check_addresses(each, addresses)
            if token != self._held[each].token:
                raise StaleTokenError(each.name)
            self._set(each, addresses)

    def edit(self, each: SetName, *, add: Collection[str] = (), remove: Collection[str] = ()) -> None:
        """Change a set by hand."""
        addresses = (self._held[each].addresses | set(add)) - set(remove)
        _check_addresses(each, addresses)
        self._set(each, addresses)

    def held(self, role: str) -> frozenset[str]:
        """Return what all sets of a role hold."""
        return frozenset().union(
            *(content.addresses for name, content in self._held.items() if name.role == role)
        )

    def _set(self, each: SetName, addresses: Collection[str]) -> None:
        self.writes += 1
        self._held[each] = Content(frozenset(addresses), next(self._tokens))


def _check_addresses(each: SetName, addresses: Collection[str]) -> None:
    """Refuse what WAF refuses."""
    for address in addresses:
        network = ipaddress.ip_network(address)
        if "/" not in address or network.version != each.family or network.prefixlen == 0:
            raise _refusal("WAFInvalidParameterException")
    if len(addresses) > CAPACITY:
        raise _refusal("WAFLimitsExceededException")


def _refusal(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": code}}, "UpdateIPSet")


def _place(client: str) -> str:
    return f"p{spread(client, PARTITIONS)}"


def _record(block: Block) -> Record:
    return {
        "state": State.ON,
        "window": block.window,
        "reason": block.reason,
        "since": block.since,
        "until": block.until,
        "generation": block.generation,
        "expires": (block.until + KEPT) // SECOND,
    }


def _block(place: str, client: str, record: Record) -> Block:
    try:
        known = canonical(cidr(client))
    except ValueError as error:
        raise UnreadableRecordError("client: no address") from error
    if known != cidr(client):
        raise UnreadableRecordError("client: an address that is written in another way")
    if int(known.partition("/")[2]) < SHORTEST_PREFIXES[family(client)]:
        raise UnreadableRecordError("client: a network that is far more than a client")
    if place != _place(client):
        raise UnreadableRecordError("partition: another client's")
    since, until = _whole(record, "since"), _whole(record, "until")
    if max(since, until) > LATEST:
        raise UnreadableRecordError("since, until: after the year 9999")
    return Block(
        client=client,
        window=_text(record, "window"),
        since=since,
        until=until,
        generation=_whole(record, "generation"),
        reason=_text(record, "reason"),
    )


def _allowance(network: str, record: Record) -> Allowance:
    try:
        return Allowance(canonical(network), _whole(record, "since"), _text(record, "reason"))
    except ValueError as error:
        raise UnreadableRecordError("client: no CIDR") from error


def _state(record: Record) -> State:
    state = _text(record, "state")
    if state not in (State.ON, State.OFF):
        raise UnreadableRecordError("state: neither on nor off")
    return State(state)


def _is_readable(client: str, record: Record) -> bool:
    try:
        _state(record)
        _block(_place(client), client, record)
    except UnreadableRecordError:
        return False
    return True


def _text(record: Record, name: str) -> str:
    value = record.get(name)
    if not isinstance(value, str):
        raise UnreadableRecordError(f"{name}: no text")
    return value


def _whole(record: Record, name: str) -> int:
    value = record.get(name)
    if not isinstance(value, int) or value < 0:
        raise UnreadableRecordError(f"{name}: no whole number")
    return value
