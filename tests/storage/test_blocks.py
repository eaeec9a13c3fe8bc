"""The blocks, the allow list and the lease, wherever they are kept."""

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from sluice.limiter.blocks import (
    LATE,
    LATEST,
    LONGEST_LEASE,
    PARTITIONS,
    Allowance,
    Block,
    Change,
    Lease,
    Snapshot,
    UnreadableRecordError,
    spread,
)
from sluice.limiter.dynamodb import ContentionError

from .backends import Storage

NOW = 1_800_000_000_000
UNTIL = NOW + 60_000
CLIENT = "203.0.113.7"
BLOCK = Block(CLIENT, "day", NOW, UNTIL, 3, "reason")
PLACE = f"p{spread(CLIENT, PARTITIONS)}"
RECORD: dict[str, str | float] = {
    "state": "on",
    "window": "day",
    "reason": "",
    "since": NOW,
    "until": UNTIL,
    "generation": 3,
    "expires": UNTIL // 1000,
}
LEASE = 15_000
THREADS = 8
PATIENCE = 30


def without(name: str) -> dict[str, str | float]:
    return {key: value for key, value in RECORD.items() if key != name}


def acquire(storage: Storage, holder: str, now: int, until: int, *, wakes: bool = False) -> Lease | None:
    return storage.blocks.acquire(holder, now, until, wakes=wakes)


def at_the(call: int, do: Callable[[], object]) -> Callable[[], None]:
    """Return what does it at a call, counted from 1, and nothing at others."""
    seen = iter(range(1, 1000))

    def hook() -> None:
        if next(seen) == call:
            do()

    return hook


def test_an_empty_table_holds_nothing(storage: Storage) -> None:
    assert storage.blocks.read() == Snapshot()
    assert storage.blocks.get(CLIENT) is None
    assert storage.blocks.allowances() == []


@pytest.mark.parametrize("client", [CLIENT, "2001:db8:0:7::/64"])
def test_the_first_block_starts(storage: Storage, client: str) -> None:
    block = replace(BLOCK, client=client)
    assert storage.blocks.put(block) == Change.STARTED
    assert storage.blocks.get(client) == block
    assert storage.blocks.read() == Snapshot((block,))


def test_a_later_end_extends_and_keeps_when_it_began(storage: Storage) -> None:
    later = Block(CLIENT, "month", NOW + 5, UNTIL + 1, 3, "other")
    storage.blocks.put(BLOCK)

    assert storage.blocks.put(later) == Change.EXTENDED
    assert storage.blocks.get(CLIENT) == replace(later, since=NOW)


@pytest.mark.parametrize("until", [UNTIL, UNTIL - 1, NOW - 1])
def test_an_end_that_is_not_later_changes_nothing(storage: Storage, until: int) -> None:
    storage.blocks.put(BLOCK)
    assert storage.blocks.put(replace(BLOCK, until=until, window="other")) == Change.NOTHING
    assert storage.blocks.get(CLIENT) == BLOCK


@pytest.mark.parametrize("until", [UNTIL - 1, UNTIL, UNTIL + 1])
def test_a_block_of_an_earlier_generation_changes_nothing(storage: Storage, until: int) -> None:
    storage.blocks.put(BLOCK)
    assert storage.blocks.put(replace(BLOCK, until=until, generation=2)) == Change.NOTHING
    assert storage.blocks.get(CLIENT) == BLOCK


@pytest.mark.parametrize("until", [UNTIL - 1, UNTIL, UNTIL + 1])
def test_a_block_of_a_later_generation_starts_anew(storage: Storage, until: int) -> None:
    newer = replace(BLOCK, until=until, generation=4, since=NOW + 5)
    storage.blocks.put(BLOCK)

    assert storage.blocks.put(newer) == Change.STARTED
    assert storage.blocks.get(CLIENT) == newer


def test_unblocking_ends_a_block_and_those_that_were_decided_before(storage: Storage) -> None:
    storage.blocks.put(BLOCK)
    storage.blocks.unblock(CLIENT, 4, NOW + 1)

    assert storage.blocks.get(CLIENT) is None
    assert storage.blocks.read() == Snapshot()
    assert storage.blocks.put(replace(BLOCK, until=UNTIL + 1)) == Change.NOTHING
    assert storage.blocks.read() == Snapshot()


@pytest.mark.parametrize("generation", [4, 5])
def test_what_was_decided_after_an_unblocking_counts(storage: Storage, generation: int) -> None:
    later = replace(BLOCK, until=NOW + 2, generation=generation)
    storage.blocks.unblock(CLIENT, 4, NOW + 1)

    assert storage.blocks.put(later) == Change.STARTED
    assert storage.blocks.get(CLIENT) == later


@pytest.mark.parametrize(("later", "change"), [(LATE, Change.NOTHING), (LATE + 1, Change.STARTED)])
def test_an_unblocking_of_long_ago_means_nothing_any_more(
    storage: Storage, later: int, change: Change
) -> None:
    # The client's counters, with its generation, may have been deleted since.
    storage.blocks.unblock(CLIENT, 4, NOW)
    block = Block(CLIENT, "day", NOW + later, NOW + later + 60_000)

    assert storage.blocks.put(block) == change
    assert storage.blocks.get(CLIENT) == (block if change is Change.STARTED else None)


@pytest.mark.parametrize(
    ("since", "change", "began"),
    [
        (UNTIL - 1, Change.EXTENDED, NOW),
        (UNTIL, Change.STARTED, UNTIL),
        (UNTIL + 5, Change.STARTED, UNTIL + 5),
    ],
)
def test_a_block_that_only_waited_for_its_release_starts_anew(
    storage: Storage, since: int, change: Change, began: int
) -> None:
    later = Block(CLIENT, "month", since, UNTIL + 60_000, 3)
    storage.blocks.put(BLOCK)

    assert storage.blocks.put(later) == change
    assert storage.blocks.get(CLIENT) == replace(later, since=began)


def test_a_block_that_others_overtake_for_ever_gives_up(storage: Storage) -> None:
    # Found to be there before each write that starts it, and gone before each that extends it.
    turns = iter(range(1000))
    busy = [False]

    def overtake() -> None:
        if busy[0]:
            return
        busy[0] = True
        if next(turns) % 2 == 0:
            storage.blocks.put(BLOCK)
        else:
            storage.blocks.release(BLOCK)
        busy[0] = False

    storage.before(overtake)
    with pytest.raises(ContentionError):
        storage.blocks.put(replace(BLOCK, until=UNTIL + 1))


def test_an_unblocking_between_two_looks_of_an_extension_wins(storage: Storage) -> None:
    storage.blocks.put(BLOCK)
    storage.before(at_the(2, lambda: storage.blocks.unblock(CLIENT, 4, NOW + 1)))

    assert storage.blocks.put(replace(BLOCK, until=UNTIL + 1)) == Change.NOTHING
    assert storage.blocks.read() == Snapshot()


def test_a_block_that_is_released_while_it_is_extended_starts_anew(storage: Storage) -> None:
    later = replace(BLOCK, until=UNTIL + 1, since=NOW + 5)
    storage.blocks.put(BLOCK)
    storage.before(at_the(2, lambda: storage.blocks.release(BLOCK)))

    assert storage.blocks.put(later) == Change.STARTED
    assert storage.blocks.get(CLIENT) == later


def test_of_many_ends_at_once_the_latest_stays(storage: Storage) -> None:
    with ThreadPoolExecutor(THREADS) as pool:
        changes = list(
            pool.map(lambda more: storage.blocks.put(replace(BLOCK, until=UNTIL + more)), range(40))
        )

    assert storage.blocks.get(CLIENT) == replace(BLOCK, until=UNTIL + 39)
    assert changes.count(Change.STARTED) == 1


POISON = 10**30
"""DynamoDB takes numbers of 38 digits."""


@pytest.mark.parametrize(
    ("record", "problem"),
    [
        (RECORD | {"until": "tomorrow"}, "until: no whole number"),
        (without("until"), "until: no whole number"),
        (RECORD | {"until": POISON}, "since, until: after the year 9999"),
        (RECORD | {"until": LATEST + 1}, "since, until: after the year 9999"),
        (RECORD | {"generation": "first"}, "generation: no whole number"),
        (RECORD | {"generation": -1}, "generation: no whole number"),
        (RECORD | {"generation": 3.5}, "generation: no whole number"),
        (RECORD | {"until": UNTIL + 0.5}, "until: no whole number"),
        (RECORD | {"until": -1}, "until: no whole number"),
        (RECORD | {"since": NOW + 0.5}, "since: no whole number"),
        (RECORD | {"since": POISON}, "since, until: after the year 9999"),
        (without("generation"), "generation: no whole number"),
        (without("state"), "state: no text"),
        (RECORD | {"state": 1}, "state: no text"),
        (RECORD | {"state": "On"}, "state: neither on nor off"),
        (RECORD | {"state": "allow"}, "state: neither on nor off"),
        (without("since"), "since: no whole number"),
        (RECORD | {"since": "yesterday"}, "since: no whole number"),
        (without("window"), "window: no text"),
        (RECORD | {"window": 7}, "window: no text"),
        (without("reason"), "reason: no text"),
        (RECORD | {"reason": 1}, "reason: no text"),
        ({}, "state: no text"),
    ],
    ids=lambda each: None if isinstance(each, str) else "",
)
def test_a_record_that_is_not_ours_is_told_and_a_block_replaces_it(
    storage: Storage, record: Mapping[str, str | float], problem: str
) -> None:
    block, other = replace(BLOCK, until=UNTIL - 1), replace(BLOCK, client="203.0.113.8")
    storage.write_block(PLACE, CLIENT, record)
    storage.blocks.put(other)

    assert storage.blocks.read() == Snapshot((other,), unreadable=(problem,))
    with pytest.raises(UnreadableRecordError, match=problem):
        storage.blocks.get(CLIENT)
    assert storage.blocks.put(block) == Change.STARTED
    assert storage.blocks.get(CLIENT) == block


@pytest.mark.parametrize(
    ("client", "problem"),
    [
        ("everybody", "no address"),
        ("0.0.0.0/0", "no address"),
        ("2001:db8::1/64", "no address"),
        ("203.0.113.7\n", "no address"),
        ("fe80::1%eth0", "no address"),
        ("fe80::1%eth0/128", "no address"),
        ("2001:DB8:0:7::/64", "an address that is written in another way"),
        ("2001:0db8::/64", "an address that is written in another way"),
        ("203.0.113.0/24", "a network that is far more than a client"),
        ("128.0.0.0/1", "a network that is far more than a client"),
        ("2000::/15", "a network that is far more than a client"),
    ],
)
def test_a_record_of_no_client_is_told_and_stops_nothing(storage: Storage, client: str, problem: str) -> None:
    storage.write_block(f"p{spread(client, PARTITIONS)}", client, RECORD)
    storage.blocks.put(BLOCK)

    assert storage.blocks.read() == Snapshot((BLOCK,), unreadable=(f"client: {problem}",))


def test_a_record_in_another_client_s_partition_is_told_and_blocks_nobody(storage: Storage) -> None:
    # Nobody would find it there to extend or to end it.
    others = f"p{(spread(CLIENT, PARTITIONS) + 1) % PARTITIONS}"
    storage.write_block(others, CLIENT, RECORD)

    assert storage.blocks.read() == Snapshot(unreadable=("partition: another client's",))
    assert storage.blocks.get(CLIENT) is None
    assert storage.blocks.put(BLOCK) == Change.STARTED


@pytest.mark.parametrize(
    ("more", "found"),
    [
        ({"until": LATEST}, replace(BLOCK, reason="", until=LATEST)),
        ({"since": 0, "generation": 0}, replace(BLOCK, reason="", since=0, generation=0)),
    ],
)
def test_a_strange_record_that_can_be_read_is_one(
    storage: Storage, more: Mapping[str, int], found: Block
) -> None:
    storage.write_block(PLACE, CLIENT, RECORD | dict(more))
    assert storage.blocks.read() == Snapshot((found,))


@pytest.mark.parametrize("network", ["everybody", "0.0.0.0/0", "198.51.100.7/24"])
def test_an_allowance_of_no_network_is_told_and_stops_nothing(storage: Storage, network: str) -> None:
    allowance = Allowance("198.51.100.0/24", NOW)
    storage.write_block("allow", network, {"state": "allow", "since": NOW, "reason": ""})
    storage.blocks.allow(allowance)

    assert storage.blocks.read() == Snapshot((), (allowance,), unreadable=("client: no CIDR",))
    assert storage.blocks.allowances() == [allowance]


def test_a_block_is_released_as_it_was_seen(storage: Storage) -> None:
    storage.blocks.put(BLOCK)
    assert storage.blocks.release(BLOCK)
    assert storage.blocks.read() == Snapshot()
    assert not storage.blocks.release(BLOCK), "it is gone already"


@pytest.mark.parametrize("newer", [replace(BLOCK, until=UNTIL + 1), replace(BLOCK, generation=4)])
def test_a_block_that_changed_is_not_released(storage: Storage, newer: Block) -> None:
    storage.blocks.put(BLOCK)
    storage.blocks.put(newer)

    assert not storage.blocks.release(BLOCK)
    assert storage.blocks.read() == Snapshot((newer,))


def test_a_release_leaves_what_an_operator_wrote(storage: Storage) -> None:
    storage.blocks.put(BLOCK)
    storage.blocks.unblock(CLIENT, 3, UNTIL)

    assert not storage.blocks.release(BLOCK)
    assert storage.blocks.put(replace(BLOCK, generation=2)) == Change.NOTHING


def test_many_blocks_are_all_read(storage: Storage) -> None:
    blocks = [
        replace(BLOCK, client=f"10.0.{number // 200}.{number % 200}", reason="r" * 200)
        for number in range(400)
    ]
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(storage.blocks.put, blocks))

    found = storage.blocks.read()
    assert sorted(found.blocks, key=lambda block: block.client) == sorted(
        blocks, key=lambda block: block.client
    )


def test_an_allowance_is_put_replaced_and_taken_away(storage: Storage) -> None:
    first = Allowance("198.51.100.0/24", NOW, "partner")
    second = Allowance("2001:db8::/32", NOW + 1)
    for each in (replace(first, reason="old"), second, first):
        storage.blocks.allow(each)
    assert storage.blocks.read() == Snapshot((), (first, second))
    assert storage.blocks.allowances() == [first, second]

    assert storage.blocks.disallow(first.network)
    assert not storage.blocks.disallow(first.network)
    assert storage.blocks.allowances() == [second]


def test_a_pause_lasts_until_it_is_ended(storage: Storage) -> None:
    storage.blocks.put(BLOCK)
    storage.blocks.pause(NOW)
    storage.blocks.pause(NOW + 1)
    assert storage.blocks.is_paused()
    assert storage.blocks.read() == Snapshot((BLOCK,), paused=True)

    storage.blocks.resume()
    storage.blocks.resume()
    assert not storage.blocks.is_paused()
    assert storage.blocks.read() == Snapshot((BLOCK,))


class TestLease:
    """Who works, and who asks."""

    def test_one_holds_it_and_gives_it_back(self, storage: Storage) -> None:
        assert not storage.blocks.is_held(NOW)
        lease = acquire(storage, "one", NOW, NOW + LEASE)
        assert lease is not None
        assert lease.holder == "one"
        assert storage.blocks.is_held(NOW + LEASE)
        assert not storage.blocks.is_held(NOW + LEASE + 1)

        assert storage.blocks.finish(lease)
        assert not storage.blocks.is_held(NOW)
        assert acquire(storage, "two", NOW, NOW + LEASE)

    def test_who_comes_meanwhile_is_heard_when_the_holder_is_to_finish(self, storage: Storage) -> None:
        lease = acquire(storage, "one", NOW, NOW + LEASE)
        assert lease is not None
        assert acquire(storage, "two", NOW + 1, NOW + 1 + LEASE) is None
        assert acquire(storage, "three", NOW + LEASE, NOW + 2 * LEASE) is None

        assert not storage.blocks.finish(lease)
        assert storage.blocks.is_held(NOW), "it is still to be worked for"
        lease = storage.blocks.renew(lease, NOW + 2 * LEASE)
        assert lease is not None
        assert (lease.holder, lease.asked, lease.asked_to_wake) == ("one", 2, 0)
        assert storage.blocks.finish(lease)

    def test_who_would_wake_is_counted_apart(self, storage: Storage) -> None:
        lease = acquire(storage, "one", NOW, NOW + LEASE, wakes=True)
        assert lease == Lease("one"), "to hold it is not to ask for it"
        for holder, wakes in (("two", True), ("three", False), ("four", True)):
            assert acquire(storage, holder, NOW, NOW + LEASE, wakes=wakes) is None
        assert storage.blocks.renew(lease, NOW + LEASE) == Lease("one", asked=3, asked_to_wake=2)

    def test_who_lost_it_is_told_and_changes_nothing(self, storage: Storage) -> None:
        former = acquire(storage, "one", NOW, NOW + LEASE)
        late = NOW + LEASE + 1
        assert former is not None
        assert acquire(storage, "two", late, late + LEASE)

        assert storage.blocks.renew(former, late + 9 * LEASE) is None
        assert not storage.blocks.finish(former), "or it would take its own look for the last one"
        assert not storage.blocks.is_held(late + LEASE + 1), "and it was not held for longer"
        assert storage.blocks.is_held(late + LEASE)

    @pytest.mark.parametrize(
        "record",
        [
            {},
            {"held_until": "for ever", "holder": "x"},
            {"held_until": NOW + LONGEST_LEASE + 1, "holder": "x"},
            {"held_until": 10**30, "holder": "x"},
            {"held_until": -1, "holder": "x"},
            {"holder": "x"},
        ],
        ids=str,
    )
    def test_what_no_enforcer_wrote_holds_nothing(
        self, storage: Storage, record: Mapping[str, str | float]
    ) -> None:
        storage.write_block("control", "lease", record)
        assert not storage.blocks.is_held(NOW)
        lease = acquire(storage, "one", NOW, NOW + LEASE)
        assert lease == Lease("one")
        assert storage.blocks.is_held(NOW)
        assert storage.blocks.finish(lease)

    def test_it_is_held_for_as_long_as_an_enforcer_may(self, storage: Storage) -> None:
        assert acquire(storage, "one", NOW, NOW + LONGEST_LEASE)
        assert storage.blocks.is_held(NOW)
        assert acquire(storage, "two", NOW, NOW + LEASE) is None

    def test_renewing_it_without_looking_does_not_hide_who_asked(self, storage: Storage) -> None:
        lease = acquire(storage, "one", NOW, NOW + LEASE)
        assert lease is not None
        acquire(storage, "two", NOW + 1, NOW + LEASE)
        storage.blocks.renew(lease, NOW + 2 * LEASE)

        assert not storage.blocks.finish(lease)
        assert not storage.blocks.is_held(NOW + 2 * LEASE + 1)
        assert storage.blocks.is_held(NOW + 2 * LEASE)

    def test_what_was_asked_of_earlier_holders_does_not_keep_a_later_one(self, storage: Storage) -> None:
        first = acquire(storage, "one", NOW, NOW + LEASE)
        assert first is not None
        acquire(storage, "two", NOW, NOW + LEASE)
        storage.blocks.drop(first)
        assert not storage.blocks.is_held(NOW), "whoever asked"

        second = acquire(storage, "three", NOW, NOW + LEASE)
        assert second is not None
        assert storage.blocks.finish(second)

    def test_who_died_is_replaced_when_its_time_is_over(self, storage: Storage) -> None:
        acquire(storage, "one", NOW, NOW + LEASE)
        assert acquire(storage, "two", NOW + LEASE, NOW + 2 * LEASE) is None
        assert acquire(storage, "two", NOW + LEASE + 1, NOW + 2 * LEASE) is not None

    @pytest.mark.parametrize("how", ["finish", "drop"])
    def test_a_former_holder_takes_nothing_from_the_new_one(self, storage: Storage, how: str) -> None:
        former = acquire(storage, "one", NOW, NOW + LEASE)
        late = NOW + 2 * LEASE
        assert former is not None
        assert acquire(storage, "two", late, late + LEASE)

        assert not getattr(storage.blocks, how)(former)
        assert storage.blocks.is_held(late)
        assert acquire(storage, "three", late, late + LEASE) is None

    @pytest.mark.parametrize("how", ["finish", "drop"])
    def test_giving_it_back_twice_is_no_failure(self, storage: Storage, how: str) -> None:
        lease = acquire(storage, "one", NOW, NOW + LEASE)
        assert lease is not None
        getattr(storage.blocks, how)(lease)
        assert not getattr(storage.blocks, how)(lease)
        assert not storage.blocks.is_held(NOW)

    def test_who_asks_of_a_holder_that_has_just_finished_holds_it(self, storage: Storage) -> None:
        first = acquire(storage, "one", NOW, NOW + LEASE)
        assert first is not None
        # The second call: to ask, after the lease was found to be held.
        storage.before(at_the(2, lambda: storage.blocks.finish(first)))

        second = acquire(storage, "two", NOW + 1, NOW + 1 + LEASE)
        assert second is not None
        assert storage.blocks.finish(second), "its own question is answered"

    def test_nobody_who_asks_is_overheard(self, storage: Storage) -> None:
        """Whoever is told that somebody works came before that one's last look."""
        done: list[int] = []
        turns = iter(range(10_000))
        lock = threading.Lock()

        def work(number: int) -> int:
            """Return the turn of asking, and note that of each look."""
            with lock:
                asked = next(turns)
            lease = acquire(storage, str(number), NOW, NOW + LEASE)
            while lease is not None:
                with lock:
                    done.append(next(turns))
                if storage.blocks.finish(lease):
                    break
                lease = storage.blocks.renew(lease, NOW + LEASE)
            return asked

        with ThreadPoolExecutor(THREADS) as pool:
            asked = list(pool.map(work, range(60)))

        assert max(done) > max(asked)
        assert not storage.blocks.is_held(NOW)

    def test_it_is_held_beside_a_pause(self, storage: Storage) -> None:
        lease = acquire(storage, "one", NOW, NOW + LEASE)
        storage.blocks.pause(NOW)
        storage.blocks.resume()
        assert lease is not None
        assert storage.blocks.is_held(NOW)
        assert storage.blocks.read() == Snapshot()
