"""The counters, wherever they are kept."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from sluice.limiter.counters import RING_SIZE, marker_of, token_of
from sluice.limiter.dynamodb import ContentionError
from sluice.limiter.rules import Counted
from sluice.limiter.windows import Cut

from .backends import Storage

CLIENT = "203.0.113.7"
HOUR, DAY = "abc123", "xyz001"
"""Names of counters."""
EXPIRES = 4_000_000_000
THREADS = 16
DELIVERIES = 200
REPEATS = 50
PATIENCE = 30


def token(number: int) -> bytes:
    return token_of(marker_of([f"event-{number}"]))


def add(storage: Storage, number: int, amount: int = 1, client: str = CLIENT) -> Counted:
    return storage.counters.add(client, {HOUR: amount}, token(number), EXPIRES)


def fill(storage: Storage, numbers: range) -> None:
    for number in numbers:
        add(storage, number)


def add_surely(storage: Storage, number: int, amount: int = 1) -> None:
    """Add, and repeat it where it did not get through, as a delivery is repeated."""
    for _ in range(REPEATS):
        with suppress(ContentionError):
            add(storage, number, amount)
            return
    pytest.fail("it never got through")


def count(storage: Storage) -> int:
    return storage.counters.read([CLIENT])[CLIENT].counters[HOUR]


def at_the(call: int, do: Callable[[], None]) -> Callable[[], None]:
    """Return what does it at a call, counted from 1, and nothing at others."""
    seen = iter(range(1, 1000))

    def hook() -> None:
        if next(seen) == call:
            do()

    return hook


def test_adding_returns_what_the_client_has_then(storage: Storage) -> None:
    assert storage.counters.add(CLIENT, {HOUR: 2, DAY: 3}, token(1), EXPIRES) == Counted({HOUR: 2, DAY: 3})
    assert storage.counters.add(CLIENT, {HOUR: 5}, token(2), EXPIRES) == Counted({HOUR: 7, DAY: 3})
    assert storage.counters.read([CLIENT]) == {CLIENT: Counted({HOUR: 7, DAY: 3})}


def test_clients_are_counted_apart_even_in_one_delivery(storage: Storage) -> None:
    for client in (CLIENT, "2001:db8:0:7::/64"):
        assert add(storage, 1, client=client).counters == {HOUR: 1}


def test_a_repeat_adds_nothing_and_returns_what_there_is(storage: Storage) -> None:
    add(storage, 1, amount=4)
    add(storage, 2, amount=5)

    assert add(storage, 1, amount=4) == add(storage, 2, amount=5) == Counted({HOUR: 9})
    assert count(storage) == 9


def test_a_full_generation_of_tokens_is_not_forgotten(storage: Storage) -> None:
    fill(storage, range(RING_SIZE + 1))
    assert count(storage) == RING_SIZE + 1

    fill(storage, range(RING_SIZE + 1))
    assert count(storage) == RING_SIZE + 1


def test_a_repeat_is_known_while_fewer_than_a_ring_of_others_came(storage: Storage) -> None:
    for number in range(3 * RING_SIZE):
        add(storage, number)
        assert add(storage, max(0, number - RING_SIZE + 1)).counters == {HOUR: number + 1}


def test_a_token_two_rotations_ago_is_forgotten_and_counts_again(storage: Storage) -> None:
    fill(storage, range(2 * RING_SIZE))
    assert add(storage, 0).counters == {HOUR: 2 * RING_SIZE}

    add(storage, 2 * RING_SIZE)
    assert add(storage, RING_SIZE).counters == {HOUR: 2 * RING_SIZE + 1}, "now the older generation"
    assert add(storage, 0).counters == {HOUR: 2 * RING_SIZE + 2}


def test_two_that_both_see_a_full_generation_rotate_it_once(storage: Storage) -> None:
    fill(storage, range(RING_SIZE))
    # Each has two calls to make: it is refused, and rotates; the second to rotate makes a third.
    barrier = threading.Barrier(2)
    seen: dict[int, int] = {}

    def meet() -> None:
        mine = seen[threading.get_ident()] = seen.get(threading.get_ident(), 0) + 1
        if mine <= 2 and threading.current_thread() is not threading.main_thread():
            barrier.wait(PATIENCE)

    storage.before(meet)
    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(lambda number: add(storage, number).counters[HOUR], (100, 101)))

    assert sorted(both) == [RING_SIZE + 1, RING_SIZE + 2]
    assert sorted(seen.values()) == [2, 3], "one rotates, and the other joins it"
    fill(storage, range(RING_SIZE))
    assert count(storage) == RING_SIZE + 2, "no fresh token was dropped"


def test_a_repeat_that_waits_to_rotate_finds_its_token_in_a_generation_that_is_full_again(
    storage: Storage,
) -> None:
    fill(storage, range(RING_SIZE))
    storage.before(at_the(2, lambda: fill(storage, range(RING_SIZE, 2 * RING_SIZE))))

    assert add(storage, RING_SIZE).counters == {HOUR: 2 * RING_SIZE}
    fill(storage, range(2 * RING_SIZE))
    assert count(storage) == 2 * RING_SIZE


def test_an_addition_that_others_overtake_for_ever_gives_up_and_adds_nothing(storage: Storage) -> None:
    fill(storage, range(RING_SIZE))
    fresh = iter(range(RING_SIZE, 10_000))
    busy = [False]

    def overtake() -> None:
        # Before a rotation, somebody else rotates; before an addition, somebody else fills up again.
        if busy[0]:
            return
        busy[0] = True
        if (turn := next(turns)) > 1:
            fill_some(1 if turn % 2 == 0 else RING_SIZE - 1)
        busy[0] = False

    def fill_some(number: int) -> None:
        for _ in range(number):
            add(storage, next(fresh))

    turns = iter(range(1, 100))
    storage.before(overtake)
    with pytest.raises(ContentionError):
        add(storage, 100_000)

    busy[0] = True
    assert count(storage) == next(fresh)


def test_deliveries_for_one_client_at_once_lose_nothing(storage: Storage) -> None:
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(lambda number: add_surely(storage, number, number), range(DELIVERIES)))

    assert count(storage) == sum(range(DELIVERIES))


def test_the_same_deliveries_at_once_count_once(storage: Storage) -> None:
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(lambda number: add_surely(storage, number % RING_SIZE), range(DELIVERIES)))

    assert count(storage) == RING_SIZE


def test_a_delivery_is_marked_once_it_was_marked(storage: Storage) -> None:
    one, other = (marker_of([each]) for each in ("one", "other"))
    storage.counters.mark(one, EXPIRES)
    storage.counters.mark(one, EXPIRES)

    assert storage.counters.is_marked(one)
    assert not storage.counters.is_marked(other)
    assert not storage.counters.read([CLIENT])


@pytest.mark.parametrize("asked", [0, 1, 100, 101, 250])
def test_any_number_of_clients_is_read_and_strangers_are_left_out(storage: Storage, asked: int) -> None:
    clients = [f"10.0.{number // 200}.{number % 200}" for number in range(asked)]
    known = clients[::3]
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(lambda client: add(storage, 1, client=client), known))

    assert storage.counters.read(iter(clients)) == {client: Counted({HOUR: 1}) for client in known}


def test_counters_are_removed_and_nothing_else(storage: Storage) -> None:
    storage.counters.add(CLIENT, {HOUR: 1, DAY: 2, "old000": 3}, token(1), EXPIRES)
    storage.counters.remove(CLIENT, {"old000", "never0", HOUR})

    assert storage.counters.read([CLIENT]) == {CLIENT: Counted({DAY: 2})}
    assert add(storage, 1) == Counted({DAY: 2}), "its tokens are kept"


def test_removing_makes_no_client(storage: Storage) -> None:
    storage.counters.remove(CLIENT, {HOUR})
    assert storage.counters.read([CLIENT]) == {}


def test_a_client_that_is_forgotten_keeps_its_tokens_and_gets_the_next_generation(storage: Storage) -> None:
    storage.counters.add(CLIENT, {HOUR: 7, DAY: 9, "later0": 1}, token(1), EXPIRES)
    storage.counters.cut(CLIENT, {"abc": Cut(123, 7)}, EXPIRES)

    assert storage.counters.forget(CLIENT, {HOUR, DAY, "never0"}, EXPIRES) == 2
    left = Counted({"later0": 1}, 2)
    assert storage.counters.read([CLIENT]) == {CLIENT: left}, "what came meanwhile is not known of"
    assert storage.counters.add(CLIENT, {HOUR: 7}, token(1), EXPIRES) == left, "a repeat is still known"
    assert add(storage, 2) == Counted({"later0": 1, HOUR: 1}, 2)


@pytest.mark.parametrize("names", [set(), {HOUR}])
def test_a_client_that_never_came_can_be_forgotten(storage: Storage, names: set[str]) -> None:
    assert storage.counters.forget(CLIENT, names, EXPIRES) == 1
    assert add(storage, 1) == Counted({HOUR: 1}, 1)


def test_each_cut_is_the_next_generation_and_is_kept_by_additions(storage: Storage) -> None:
    add(storage, 1, amount=7)
    cuts = {"abc": Cut(123, 7), "xyz": Cut(1, 0)}

    assert storage.counters.cut(CLIENT, {"abc": Cut(122, 6)}, EXPIRES) == 1
    assert storage.counters.cut(CLIENT, cuts, EXPIRES) == 2
    assert add(storage, 2) == Counted({HOUR: 8}, 2, cuts)
    assert add(storage, 1, amount=7) == Counted({HOUR: 8}, 2, cuts), "a repeat is still known"
    assert storage.counters.read([CLIENT]) == {CLIENT: Counted({HOUR: 8}, 2, cuts)}


def test_a_client_that_never_came_can_be_cut(storage: Storage) -> None:
    assert storage.counters.cut(CLIENT, {"abc": Cut(123, 0)}, EXPIRES) == 1
    assert add(storage, 1) == Counted({HOUR: 1}, 1, {"abc": Cut(123, 0)})


def test_additions_while_a_client_is_cut_are_not_lost(storage: Storage) -> None:
    with ThreadPoolExecutor(THREADS) as pool:
        additions = pool.map(lambda number: add_surely(storage, number), range(50))
        cuts = pool.map(lambda number: storage.counters.cut(CLIENT, {}, EXPIRES), range(10))
        assert sorted(cuts) == list(range(1, 11))
        list(additions)

    assert storage.counters.read([CLIENT]) == {CLIENT: Counted({HOUR: 50}, 10, {})}
