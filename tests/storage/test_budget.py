"""What callers of an upstream share, in Amazon's DynamoDB Local: slots, pauses and a circuit."""

import itertools
import os
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import given, settings
from hypothesis import strategies as st

from handlers.retrier.budget import (
    KEPT_SECONDS,
    LONGEST_PAUSE_MS,
    SPREAD_SECONDS,
    Admission,
    Budget,
    BudgetUnavailableError,
    Go,
    Hold,
    Reason,
)
from local.emulator import ACCESS_KEY
from sluice.retrier.rules import MS, Circuit, Pace

from . import backends

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

NOW = 1_800_000_000.0
NEVER = NOW + 1_000_000
UPSTREAM, OTHER = "https://api.example.com:443", "https://other.example.com:443"
HERE, THERE = "a", "b"
TEN = Pace(calls=10, seconds=1, burst=1)
BURSTY = Pace(calls=10, seconds=1, burst=4)
STEP = TEN.step_ms / MS
CIRCUIT = Circuit(failure_percent=50, minimum_calls=4, window_seconds=10, open_seconds=30)
REOPENS = NOW + CIRCUIT.open_seconds
CALLERS = 200
FEW_TURNS = 5
NUMBERS = itertools.count()

Item = dict[str, dict[str, Any]]


@dataclass
class Shared:
    """A table, and those who use it."""

    client: "DynamoDBClient"
    table: str

    def budget(self, circuit: Circuit | None = CIRCUIT, *, spread: float = 0.0) -> Budget:
        return Budget(self.client, self.table, circuit, lambda: spread)

    def item(self, upstream: str = UPSTREAM) -> Item:
        found: Any = self.client.get_item(
            TableName=self.table, Key={"id": {"S": upstream}}, ConsistentRead=True
        ).get("Item", {})
        return dict(found)


@pytest.fixture(scope="session")
def budgets_client(dynamodb_local_url: str) -> "Iterator[DynamoDBClient]":
    with closing(backends.client_of(dynamodb_local_url, ACCESS_KEY)) as client:
        yield client


@pytest.fixture
def shared(budgets_client: "DynamoDBClient") -> Iterator[Shared]:
    name = backends._create(budgets_client, f"budgets-{os.getpid()}-{next(NUMBERS)}", {"id": "HASH"})
    yield Shared(budgets_client, name)
    budgets_client.delete_table(TableName=name)


def admit(  # noqa: PLR0913 - whatever a test is about
    budget: Budget,
    now: float = NOW,
    *,
    pace: Pace | None = TEN,
    latest: float = NEVER,
    egress: str = HERE,
    upstream: str = UPSTREAM,
) -> Admission:
    return budget.admit(upstream, egress, pace, now, latest)


def evenly(*numbers: int) -> list[float]:
    """Return after how many seconds slots come that are so many steps away."""
    return [round(number * STEP, 3) for number in numbers]


def after(time: float, found: Sequence[Admission]) -> list[float]:
    """Return how long after a time calls may be made."""
    return [round(each.at - time, 3) for each in found if isinstance(each, Go)]


def slots(budget: Budget, count: int, pace: Pace = TEN) -> list[float]:
    """Return after how many seconds so many calls may be made that all come now."""
    return after(NOW, [admit(budget, pace=pace) for _ in range(count)])


def fail(budget: Budget, times: int, now: float = NOW) -> list[bool]:
    return [budget.report(UPSTREAM, now, failed=True) for _ in range(times)]


def open_circuit(budget: Budget) -> None:
    assert fail(budget, CIRCUIT.minimum_calls)[-1]


def most_in_a_window(times: Sequence[float], seconds: float) -> int:
    """Return how many times at most lie in any window of a length, both its ends among it."""
    return max(sum(begin <= each <= begin + seconds for each in times) for begin in times)


def at_once(do: Callable[[int], Any], count: int) -> list[Any]:
    """Do something in so many threads, which begin together."""
    barrier = threading.Barrier(count)

    def begin(number: int) -> Any:
        barrier.wait(30)
        return do(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(begin, range(count)))


def test_slots_of_one_pace_are_evenly_spaced(shared: Shared) -> None:
    assert slots(shared.budget(), 12) == evenly(*range(12))


def test_a_burst_comes_at_once_and_what_follows_is_evenly_spaced(shared: Shared) -> None:
    assert slots(shared.budget(), 8, BURSTY) == evenly(0, 0, 0, 0, 1, 2, 3, 4)


def test_a_burst_is_there_again_after_a_quiet_time_and_is_not_saved_up(shared: Shared) -> None:
    budget = shared.budget()
    slots(budget, 8, BURSTY)

    later = NOW + 3600
    found = [admit(budget, later, pace=BURSTY) for _ in range(6)]
    assert after(later, found) == evenly(0, 0, 0, 0, 1, 2)


def test_half_a_quiet_time_gives_half_a_burst_back(shared: Shared) -> None:
    budget = shared.budget()
    slots(budget, 4, BURSTY)

    later = NOW + 2 * STEP
    assert after(later, [admit(budget, later, pace=BURSTY) for _ in range(3)]) == evenly(0, 0, 1)


def test_without_a_pace_every_call_may_be_made_now_and_no_slot_is_kept(shared: Shared) -> None:
    budget = shared.budget()
    assert [admit(budget, pace=None) for _ in range(5)] == [Go(NOW)] * 5
    assert shared.item() == {}


def test_upstreams_have_budgets_of_their_own(shared: Shared) -> None:
    budget = shared.budget()
    assert [admit(budget), admit(budget, upstream=OTHER)] == [Go(NOW), Go(NOW)]


def test_egresses_share_one_budget(shared: Shared) -> None:
    budget = shared.budget()
    assert [admit(budget, egress=HERE), admit(budget, egress=THERE)] == [Go(NOW), Go(NOW + STEP)]


def test_of_two_hundred_at_once_no_two_share_a_slot_and_nobody_takes_many_turns(shared: Shared) -> None:
    turns: Counter[int] = Counter()

    class Counted(Budget):
        def _look(self, upstream: str) -> Any:
            turns[threading.get_ident()] += 1
            return super()._look(upstream)

    budget = Counted(shared.client, shared.table, CIRCUIT)
    found = at_once(lambda _: admit(budget), CALLERS)

    assert sorted(after(NOW, found)) == evenly(*range(CALLERS))
    assert len(turns) == CALLERS
    assert max(turns.values()) <= FEW_TURNS


def test_of_many_at_once_by_clocks_that_differ_no_window_holds_more_than_is_allowed(shared: Shared) -> None:
    budget = shared.budget()
    found = at_once(lambda number: admit(budget, NOW + number % 7 * 0.03, pace=BURSTY), 60)

    times = [each.at for each in found]
    assert most_in_a_window(times, BURSTY.seconds) <= BURSTY.calls + BURSTY.burst
    assert all(each.at >= NOW + number % 7 * 0.03 for number, each in enumerate(found))


def test_no_slot_is_taken_after_the_last_moment(shared: Shared) -> None:
    budget = shared.budget()
    slots(budget, 5)
    before = shared.item()

    fifth = NOW + evenly(5)[0]
    assert admit(budget, latest=fifth - 0.001) == Hold(fifth, Reason.BUDGET)
    assert shared.item() == before, "nothing was taken"
    assert admit(budget, latest=fifth) == Go(fifth), "the very last moment is not after it"


def test_a_burst_counts_for_the_last_moment_too(shared: Shared) -> None:
    budget = shared.budget()
    assert [admit(budget, pace=BURSTY, latest=NOW) for _ in range(5)] == [
        *[Go(NOW)] * 4,
        Hold(NOW + STEP, Reason.BUDGET),
    ]


def test_of_many_at_once_only_those_whose_slot_is_early_enough_get_one(shared: Shared) -> None:
    budget = shared.budget()
    found = at_once(lambda _: admit(budget, latest=NOW + 19.5 * STEP), 50)

    twentieth = NOW + evenly(20)[0]
    assert sorted(after(NOW, found)) == evenly(*range(20))
    assert {each for each in found if isinstance(each, Hold)} == {Hold(twentieth, Reason.BUDGET)}
    assert admit(budget) == Go(twentieth), "who was refused has taken nothing"


def modelled(pace: Pace, free: int | None, at: int, last: int) -> tuple[int | None, int | None]:
    """Return the slot of a call, or none, and the next free one then (GCRA, all in milliseconds)."""
    arrival = max(at, free if free is not None else at)
    slot = max(at, arrival - pace.tolerance_ms)
    return (None, free) if slot > last else (slot, arrival + pace.step_ms)


@settings(max_examples=20)
@given(
    st.builds(Pace, st.integers(1, 20), st.integers(1, 3), st.integers(1, 5)),
    st.lists(st.tuples(st.integers(-50, 400), st.integers(0, 1500)), min_size=1, max_size=14),
)
def test_slots_are_those_of_the_algorithm_and_no_window_holds_more_than_is_allowed(
    budgets_client: "DynamoDBClient", pace: Pace, arrivals: list[tuple[int, int]]
) -> None:
    name = backends._create(budgets_client, f"budgets-{os.getpid()}-{next(NUMBERS)}", {"id": "HASH"})
    budget = Budget(budgets_client, name, None, lambda: 0.0)
    at, free, taken = int(NOW * MS), None, []
    try:
        for passed, patience in arrivals:
            at += passed
            slot, free = modelled(pace, free, at, at + patience)
            found = admit(budget, at / MS, pace=pace, latest=(at + patience) / MS)
            assert (round(found.at * MS) if isinstance(found, Go) else None) == slot
            taken += [found.at] if isinstance(found, Go) else []
    finally:
        budgets_client.delete_table(TableName=name)
    if taken:
        assert most_in_a_window([round(each * MS) for each in taken], pace.seconds * MS) <= (
            pace.calls + pace.burst
        )


def test_a_pause_of_one_egress_leaves_the_others_alone(shared: Shared) -> None:
    budget = shared.budget()
    budget.pause(UPSTREAM, HERE, NOW + 5, NOW)

    held = admit(budget, egress=HERE)
    assert isinstance(held, Hold)
    assert (held.reason, held.everywhere) == (Reason.PAUSE, False)
    assert NOW + 5 <= held.until <= NOW + 5.01
    assert admit(budget, egress=THERE) == Go(NOW)
    assert admit(budget, upstream=OTHER) == Go(NOW)


def test_a_pause_everywhere_holds_every_egress(shared: Shared) -> None:
    budget = shared.budget()
    budget.pause(UPSTREAM, None, NOW + 5, NOW)

    for egress in (HERE, THERE):
        held = admit(budget, egress=egress)
        assert isinstance(held, Hold)
        assert (held.reason, held.everywhere) == (Reason.PAUSE, True)
        assert held.until >= NOW + 5
        assert budget.standing(UPSTREAM, egress, NOW) == held


def test_a_pause_holds_calls_without_a_pace_too(shared: Shared) -> None:
    budget = shared.budget()
    budget.pause(UPSTREAM, HERE, NOW + 5, NOW)
    assert isinstance(admit(budget, pace=None), Hold)


def test_no_name_of_an_egress_stands_for_all(shared: Shared) -> None:
    budget = shared.budget()
    budget.pause(UPSTREAM, "everywhere", NOW + 9, NOW)
    assert budget.standing(UPSTREAM, "another", NOW) is None


@pytest.mark.parametrize(("here", "everywhere"), [(9, 5), (5, 9)])
def test_of_two_pauses_the_longer_counts(shared: Shared, here: int, everywhere: int) -> None:
    budget = shared.budget()
    budget.pause(UPSTREAM, HERE, NOW + here, NOW)
    budget.pause(UPSTREAM, None, NOW + everywhere, NOW)

    held = admit(budget, egress=HERE)
    assert isinstance(held, Hold)
    assert NOW + 9 <= held.until <= NOW + 9.01
    assert held.everywhere == (everywhere > here)


def test_a_pause_is_never_shortened_and_can_be_lengthened(shared: Shared) -> None:
    budget = shared.budget()
    for seconds, then in ((5, 5), (2, 5), (5, 5), (8, 8)):
        budget.pause(UPSTREAM, HERE, NOW + seconds, NOW)
        held = admit(budget)
        assert isinstance(held, Hold)
        assert NOW + then <= held.until <= NOW + then + 0.01


def test_many_pauses_at_once_leave_the_longest(shared: Shared) -> None:
    budget = shared.budget()
    at_once(lambda number: budget.pause(UPSTREAM, HERE, NOW + 1 + number, NOW), 20)

    held = admit(budget)
    assert isinstance(held, Hold)
    assert NOW + 20 <= held.until <= NOW + 20.01


def test_a_pause_ends_by_itself_and_never_early(shared: Shared) -> None:
    budget = shared.budget()
    budget.pause(UPSTREAM, HERE, NOW + 5.0004, NOW)

    assert isinstance(admit(budget, NOW + 5), Hold)
    assert budget.standing(UPSTREAM, HERE, NOW + 5) is not None
    assert admit(budget, NOW + 5.002) == Go(NOW + 5.002)
    assert budget.standing(UPSTREAM, HERE, NOW + 5.002) is None


def test_a_pause_takes_no_slot_and_moves_none(shared: Shared) -> None:
    budget = shared.budget()
    slots(budget, 3)
    budget.pause(UPSTREAM, HERE, NOW + 0.1, NOW)
    assert isinstance(admit(budget), Hold)
    assert admit(budget, NOW + 0.2) == Go(NOW + evenly(3)[0])


def test_who_waits_for_the_end_of_a_pause_is_spread_behind_it(shared: Shared) -> None:
    shared.budget().pause(UPSTREAM, None, NOW + 5, NOW)
    untils = [admit(shared.budget(spread=each)) for each in (0.0, 0.5, 1.0)]
    waits = [each.until - NOW - 5 for each in untils if isinstance(each, Hold)]
    assert waits == pytest.approx([0.0, SPREAD_SECONDS / 2, SPREAD_SECONDS], abs=0.005)


@pytest.mark.parametrize("seconds", [2 * LONGEST_PAUSE_MS / MS, 1e12, 1e300])
def test_a_pause_of_absurd_length_ends_after_a_day(shared: Shared, seconds: float) -> None:
    budget = shared.budget()
    budget.pause(UPSTREAM, HERE, NOW + seconds, NOW)
    assert isinstance(admit(budget, NOW + LONGEST_PAUSE_MS / MS - 1), Hold)
    assert admit(budget, NOW + LONGEST_PAUSE_MS / MS) == Go(NOW + LONGEST_PAUSE_MS / MS)


def test_a_pause_that_comes_between_a_look_and_a_slot_is_seen(shared: Shared) -> None:
    class Interrupted(Budget):
        def _slot(self, *given: Any) -> Admission | None:
            shared.budget().pause(UPSTREAM, HERE, NOW + 5, NOW)
            return super()._slot(*given)

    assert isinstance(admit(Interrupted(shared.client, shared.table, CIRCUIT)), Hold)
    assert "next" not in shared.item()


def test_a_circuit_that_opens_between_a_look_and_a_slot_is_seen(shared: Shared) -> None:
    class Interrupted(Budget):
        def _slot(self, *given: Any) -> Admission | None:
            open_circuit(shared.budget())
            return super()._slot(*given)

    held = admit(Interrupted(shared.client, shared.table, CIRCUIT))
    assert isinstance(held, Hold)
    assert held.reason is Reason.CIRCUIT
    assert "next" not in shared.item()


def test_a_circuit_opens_at_the_share_of_failures_and_tells_who_opened_it(shared: Shared) -> None:
    budget = shared.budget()
    results = [budget.report(UPSTREAM, NOW, failed=failed) for failed in (False, False, True, True)]
    assert results == [False, False, False, True]
    assert isinstance(admit(budget), Hold)


def test_a_circuit_stays_closed_below_the_share(shared: Shared) -> None:
    budget = shared.budget()
    results = [budget.report(UPSTREAM, NOW, failed=number % 5 > 2) for number in range(20)]
    assert not any(results)
    assert admit(budget) == Go(NOW)


def test_a_circuit_stays_closed_below_the_minimum_of_calls(shared: Shared) -> None:
    budget = shared.budget()
    assert fail(budget, CIRCUIT.minimum_calls - 1) == [False] * (CIRCUIT.minimum_calls - 1)
    assert admit(budget) == Go(NOW)
    assert fail(budget, 1) == [True]


def test_a_success_opens_nothing(shared: Shared) -> None:
    budget = shared.budget()
    fail(budget, CIRCUIT.minimum_calls - 1)
    assert budget.report(UPSTREAM, NOW, failed=False) is False
    assert admit(budget) == Go(NOW)


def test_a_circuit_counts_in_its_window_only(shared: Shared) -> None:
    budget = shared.budget()
    fail(budget, CIRCUIT.minimum_calls - 1)
    assert fail(budget, 1, NOW + CIRCUIT.window_seconds) == [False], "the first of another window"
    assert admit(budget) == Go(NOW)


def test_a_failure_whose_window_is_over_is_not_counted_in_the_one_that_is(shared: Shared) -> None:
    budget = shared.budget()
    fail(budget, CIRCUIT.minimum_calls - 1, NOW + CIRCUIT.window_seconds)
    assert fail(budget, 5) == [False] * 5
    assert fail(budget, 1, NOW + CIRCUIT.window_seconds) == [True]


def test_circuits_of_upstreams_are_apart(shared: Shared) -> None:
    budget = shared.budget()
    open_circuit(budget)
    assert admit(budget, upstream=OTHER) == Go(NOW)


def test_of_many_who_fail_at_once_exactly_one_opens_the_circuit(shared: Shared) -> None:
    budget = shared.budget()
    results = at_once(lambda _: budget.report(UPSTREAM, NOW, failed=True), 40)
    assert results.count(True) == 1
    assert shared.item()["failures"] == {"N": "40"}, "and none was forgotten"


def test_an_open_circuit_holds_every_egress_until_its_time_is_over(shared: Shared) -> None:
    budget = shared.budget()
    open_circuit(budget)
    for egress in (HERE, THERE):
        for now in (NOW, REOPENS - 0.001):
            assert admit(budget, now, egress=egress) == Hold(REOPENS, Reason.CIRCUIT)
            assert budget.standing(UPSTREAM, egress, now) == Hold(REOPENS, Reason.CIRCUIT)


def test_failures_of_calls_still_under_way_do_not_keep_a_circuit_open_for_longer(shared: Shared) -> None:
    budget = shared.budget()
    open_circuit(budget)
    assert fail(budget, 10, NOW + 5) == [False] * 10
    assert admit(budget) == Hold(REOPENS, Reason.CIRCUIT)


def test_after_its_time_exactly_one_of_many_may_probe_and_the_others_wait(shared: Shared) -> None:
    budget = shared.budget(spread=0.5)
    open_circuit(budget)
    found = at_once(lambda _: admit(budget, REOPENS), 40)

    assert [each for each in found if isinstance(each, Go)] == [Go(REOPENS, probe=True)]
    held = [each for each in found if isinstance(each, Hold)]
    assert len(held) == 39
    assert {each.reason for each in held} == {Reason.CIRCUIT}
    assert all(REOPENS < each.until <= REOPENS + CIRCUIT.open_seconds for each in held)


def test_who_has_a_slot_when_the_time_is_over_does_not_call_beside_the_probe(shared: Shared) -> None:
    budget = shared.budget()
    open_circuit(budget)
    assert budget.standing(UPSTREAM, HERE, REOPENS) == Hold(REOPENS, Reason.CIRCUIT)


def test_a_probe_that_goes_well_closes_the_circuit_which_counts_from_zero(shared: Shared) -> None:
    budget = shared.budget()
    open_circuit(budget)
    admit(budget, REOPENS)

    assert budget.report(UPSTREAM, REOPENS, failed=False, probe=True) is False
    assert admit(budget, REOPENS) == Go(REOPENS)
    assert not {"open_until", "probe_until", "window", "calls", "failures"} & shared.item().keys()
    assert fail(budget, CIRCUIT.minimum_calls - 1, NOW) == [False] * (CIRCUIT.minimum_calls - 1)


def test_a_probe_that_fails_opens_the_circuit_again_and_another_may_probe_later(shared: Shared) -> None:
    budget = shared.budget()
    open_circuit(budget)
    admit(budget, REOPENS)

    assert budget.report(UPSTREAM, REOPENS + 1, failed=True, probe=True) is True
    again = REOPENS + 1 + CIRCUIT.open_seconds
    assert admit(budget, REOPENS + 2) == Hold(again, Reason.CIRCUIT)
    assert admit(budget, again) == Go(again, probe=True)


def test_a_probe_that_dies_loses_its_lease_and_exactly_one_other_probes(shared: Shared) -> None:
    budget = shared.budget()
    open_circuit(budget)
    admit(budget, REOPENS)
    over = REOPENS + CIRCUIT.open_seconds

    assert isinstance(admit(budget, over - 0.001), Hold)
    found = at_once(lambda _: admit(budget, over), 20)
    assert [each for each in found if isinstance(each, Go)] == [Go(over, probe=True)]


@pytest.mark.parametrize(("probe_seconds", "lease"), [(0, 30), (10, 30), (45, 45)])
def test_a_probes_lease_lasts_as_long_as_it_may_take(shared: Shared, probe_seconds: int, lease: int) -> None:
    budget = shared.budget(replace(CIRCUIT, probe_seconds=probe_seconds))
    open_circuit(budget)
    admit(budget, REOPENS)
    over = REOPENS + lease

    assert isinstance(admit(budget, over - 0.001), Hold)
    assert admit(budget, over) == Go(over, probe=True)


@pytest.mark.parametrize(("passed", "wait"), [(0, 15), (10, 10), (26, 2), (28.5, 1), (29.9, 1)])
def test_who_waits_for_a_probe_looks_again_after_half_of_what_is_left(
    shared: Shared, passed: float, wait: float
) -> None:
    open_circuit(shared.budget())
    admit(shared.budget(), REOPENS)
    for spread in (0.0, 0.5):
        held = admit(shared.budget(spread=spread), REOPENS + passed)
        assert isinstance(held, Hold)
        assert held.reason is Reason.CIRCUIT
        assert held.until - REOPENS == pytest.approx(passed + wait + spread)


def test_a_probe_that_has_shown_nothing_leaves_it_to_exactly_one_other(shared: Shared) -> None:
    budget = shared.budget()
    open_circuit(budget)
    admit(budget, REOPENS)
    budget.release(UPSTREAM)

    found = at_once(lambda _: admit(budget, REOPENS + 1), 20)
    assert [each for each in found if isinstance(each, Go)] == [Go(REOPENS + 1, probe=True)]


def test_what_is_released_without_a_probe_changes_nothing(shared: Shared) -> None:
    budget = shared.budget()
    budget.release(UPSTREAM)
    assert shared.item() == {}
    open_circuit(budget)
    before = shared.item()
    budget.release(UPSTREAM)
    assert shared.item() == before


def test_a_probe_that_comes_back_after_the_circuit_was_closed_opens_nothing(shared: Shared) -> None:
    budget = shared.budget()
    open_circuit(budget)
    admit(budget, REOPENS)
    admit(budget, REOPENS + CIRCUIT.open_seconds)
    budget.report(UPSTREAM, REOPENS + CIRCUIT.open_seconds, failed=False, probe=True)

    assert budget.report(UPSTREAM, REOPENS + 40, failed=True, probe=True) is False
    assert admit(budget, REOPENS + 40) == Go(REOPENS + 40)


def test_a_probe_waits_for_a_pause_too(shared: Shared) -> None:
    budget = shared.budget()
    open_circuit(budget)
    budget.pause(UPSTREAM, HERE, REOPENS + 5, NOW)

    held = admit(budget, REOPENS)
    assert isinstance(held, Hold)
    assert (held.reason, held.everywhere) == (Reason.PAUSE, False)
    assert admit(budget, REOPENS, egress=THERE) == Go(REOPENS, probe=True)


@pytest.mark.parametrize("pace", [None, TEN], ids=["without a pace", "with a pace"])
def test_a_circuit_that_was_open_when_it_was_disabled_is_ignored(shared: Shared, pace: Pace | None) -> None:
    open_circuit(shared.budget())
    without = shared.budget(None)

    assert without.report(UPSTREAM, NOW, failed=True) is False
    assert without.standing(UPSTREAM, HERE, NOW) is None
    assert admit(without, pace=pace) == Go(NOW)


def test_whatever_is_written_goes_by_itself_and_not_before_it_is_over(shared: Shared) -> None:
    budget = shared.budget()

    def expires() -> int:
        return int(shared.item()["expires"]["N"])

    admit(budget)
    assert expires() == NOW + KEPT_SECONDS
    fail(budget, CIRCUIT.minimum_calls, NOW + 10)
    assert expires() == NOW + 10 + KEPT_SECONDS
    budget.report(UPSTREAM, NOW + 50, failed=True, probe=True)
    assert expires() == NOW + 50 + KEPT_SECONDS
    budget.pause(UPSTREAM, HERE, NOW + 3600, NOW)
    assert expires() == NOW + 3600 + KEPT_SECONDS
    assert expires() > NOW + LONGEST_PAUSE_MS / MS


CALLS: dict[str, Callable[[Budget], object]] = {
    "admit": admit,
    "standing": lambda budget: budget.standing(UPSTREAM, HERE, NOW),
    "pause": lambda budget: budget.pause(UPSTREAM, HERE, NOW + 1, NOW),
    "report": lambda budget: budget.report(UPSTREAM, NOW, failed=True),
    "release": lambda budget: budget.release(UPSTREAM),
    "report a probe's failure": lambda budget: budget.report(UPSTREAM, NOW, failed=True, probe=True),
    "report a probe's success": lambda budget: budget.report(UPSTREAM, NOW, failed=False, probe=True),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_table_that_is_not_there_is_a_budget_that_is_unavailable(
    budgets_client: "DynamoDBClient", call: Callable[[Budget], object]
) -> None:
    with pytest.raises(BudgetUnavailableError, match="ResourceNotFoundException"):
        call(Budget(budgets_client, "no-such-table", CIRCUIT))


@pytest.fixture(scope="module")
def unanswered_client() -> "Iterator[DynamoDBClient]":
    """A client of a port that is taken, and on which nobody listens."""
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        with closing(backends.client_of(f"http://127.0.0.1:{taken.getsockname()[1]}", ACCESS_KEY)) as client:
            yield client


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_dynamodb_that_does_not_answer_is_a_budget_that_is_unavailable(
    unanswered_client: "DynamoDBClient", call: Callable[[Budget], object]
) -> None:
    with pytest.raises(BudgetUnavailableError, match="EndpointConnectionError"):
        call(Budget(unanswered_client, "budgets", CIRCUIT))


@pytest.mark.parametrize("code", ["ThrottlingException", "ProvisionedThroughputExceededException"])
@pytest.mark.parametrize("operation", ["GetItem", "UpdateItem"])
def test_a_dynamodb_that_refuses_is_a_budget_that_is_unavailable(
    shared: Shared, dynamodb_local_url: str, operation: str, code: str
) -> None:
    def refuse(**_: object) -> None:
        raise ClientError({"Error": {"Code": code, "Message": "no"}}, operation)

    with closing(backends.client_of(dynamodb_local_url, ACCESS_KEY)) as client:
        client.meta.events.register(f"before-call.dynamodb.{operation}", refuse)
        with pytest.raises(BudgetUnavailableError, match=code):
            admit(Budget(client, shared.table, CIRCUIT))


def test_others_that_are_faster_for_ever_are_a_budget_that_is_unavailable(shared: Shared) -> None:
    class Late(Budget):
        def _slot(self, *given: Any) -> Admission | None:
            return None

    with pytest.raises(BudgetUnavailableError, match="faster"):
        admit(Late(shared.client, shared.table, CIRCUIT))
