import itertools
from collections.abc import Collection, Sequence

import pytest

from handlers import enforcement
from handlers.enforcement import HORIZON, LEASE, LONGEST_RUN, MOST_PASSES, Enforcer, Report
from sluice.limiter.blocks import CONTROL, LATEST, LONGEST_LEASE, OPERATOR, Allowance, Block, Change, spread
from sluice.limiter.rules import Rules
from sluice.limiter.sets import ALLOW, BLOCK, CAPACITY, SetName
from sluice.limiter.windows import MINUTE, SECOND, Rolling, Window
from tests.limiter_fakes import MemoryBlocks, MemoryCounters, MemoryIpSets, Step

NOW = 1_750_000_000_000
SHORT = Window("short", 3, Rolling(20_000))
ANN, BOB, EVE, SIX = "192.0.2.7", "198.51.100.8", "203.0.113.9", "2001:db8:1:2::/64"
ALLOW4, ALLOW6 = SetName(ALLOW, 4, "allow-4", "a4"), SetName(ALLOW, 6, "allow-6", "a6")
FEW = (SetName(BLOCK, 4, "block-4", "b4"), SetName(BLOCK, 6, "block-6", "b6"), ALLOW4, ALLOW6)
HOLDERS = map(str, itertools.count())


class Limiter:
    """The enforcing half with everything that it works with in memory."""

    def __init__(self, names: Sequence[SetName] = FEW, rules: Rules | None = None) -> None:
        self.now = NOW
        self.counters = MemoryCounters()
        self.blocks = MemoryBlocks()
        self.sets = MemoryIpSets(names)
        self.rules = rules or Rules((SHORT,))
        self.woken: list[list[int]] = []
        self.queue_fails = False
        self.enforcer = self.another()

    def another(self) -> Enforcer:
        """Return another function that enforces the same."""
        return Enforcer(
            self.rules, self.counters, self.blocks, self.sets, self.wake, lambda: self.now, workers=1
        )

    def wake(self, times: Sequence[int]) -> None:
        if self.queue_fails:
            raise RuntimeError("queue")
        self.woken.append(list(times))

    def block(self, client: str, seconds: float = 60, window: str = "short") -> Block:
        """Put a block that ends so many seconds from now."""
        made = Block(client, window, self.now, self.now + round(seconds * SECOND))
        self.blocks.put(made)
        return made

    def count(self, client: str, amount: int) -> None:
        """Let a client have made requests now."""
        name = SHORT.counter(SHORT.buckets.index(self.now))
        token = next(HOLDERS).encode()
        self.counters.add(client, {name: amount}, token, self.rules.expires(self.now))

    def run(self, *, wakes: bool = False) -> Report:
        return self.enforcer.run(next(HOLDERS), wakes=wakes)

    def held(self, role: str = BLOCK) -> frozenset[str]:
        return self.sets.held(role)

    def free(self) -> bool:
        """Whether nobody holds the lease."""
        return not self.blocks.is_held(self.now)


def test_the_sets_become_what_the_table_says() -> None:
    limiter = Limiter()
    for each in (ANN, BOB, SIX):
        limiter.block(each)
    report = limiter.run()
    assert limiter.held() == {f"{ANN}/32", f"{BOB}/32", SIX}
    assert (report.live, report.written, report.passes, report.released) == (3, 2, 1, 0)
    assert limiter.free()


def test_what_is_right_already_is_not_written() -> None:
    limiter = Limiter()
    limiter.block(ANN)
    limiter.run()
    limiter.now += SECOND
    assert limiter.run().written == 0
    limiter.block(SIX)
    assert limiter.run().written == 1, "only the set that differs"


def test_a_hand_edit_heals() -> None:
    limiter = Limiter()
    limiter.block(ANN)
    limiter.run()
    limiter.sets.edit(FEW[0], add=["203.0.113.0/24"], remove=[f"{ANN}/32"])
    limiter.sets.edit(FEW[3], add=["2001:db8::/32"])
    report = limiter.run()
    assert limiter.held() == {f"{ANN}/32"}
    assert limiter.held(ALLOW) == set()
    assert report.written == 2


def test_a_client_is_released_when_its_time_has_come_and_not_before() -> None:
    limiter = Limiter()
    block = limiter.block(ANN, 30)
    limiter.run()
    limiter.now = block.until - 1
    assert limiter.run().released == 0
    assert limiter.held()
    limiter.now = block.until
    report = limiter.run()
    assert (report.released, report.live, report.written) == (1, 0, 1)
    assert limiter.held() == set()
    assert limiter.blocks.get(ANN) is None


def test_a_client_that_is_over_its_limit_all_the_same_is_not_released() -> None:
    limiter = Limiter()
    limiter.block(ANN, 30)
    limiter.run()
    limiter.now += 30 * SECOND
    limiter.count(ANN, 3)
    report = limiter.run()
    assert (report.extended, report.released, report.live) == (1, 0, 1)
    assert limiter.held() == {f"{ANN}/32"}
    extended = limiter.blocks.get(ANN)
    assert extended is not None
    assert limiter.now < extended.until <= limiter.now + 21 * SECOND
    assert extended.since == NOW
    limiter.now = extended.until
    assert limiter.run().released == 1


def test_an_operator_s_block_ends_when_it_says() -> None:
    limiter = Limiter()
    limiter.block(ANN, 7200, OPERATOR)
    limiter.now += 7200 * SECOND
    assert limiter.run().released == 1


def test_a_set_is_written_before_its_blocks_are_deleted() -> None:
    limiter = Limiter()
    limiter.block(ANN, 10)
    limiter.run()
    limiter.now += 10 * SECOND
    limiter.sets.step = _failing("sets.write")
    with pytest.raises(RuntimeError, match=r"sets\.write"):
        limiter.run()
    assert limiter.blocks.get(ANN) is not None, "or nobody would know any more that it is to be released"
    limiter.sets.step = _nothing
    limiter.run()
    assert limiter.held() == set()


def _failing(name: str) -> Step:
    def step(at: str) -> None:
        if at == name:
            raise RuntimeError(name)

    return step


def _nothing(_at: str) -> None:
    """Do nothing."""


def test_a_block_that_is_extended_while_it_is_released_holds_again() -> None:
    limiter = Limiter()
    block = limiter.block(ANN, 10)
    limiter.run()
    limiter.now += 10 * SECOND
    extended: list[Change] = []

    def step(at: str) -> None:
        if at == "blocks.release" and not extended:
            extended.append(limiter.blocks.put(Block(ANN, "short", NOW, block.until + 9 * SECOND)))

    limiter.blocks.step = step
    report = limiter.run()
    assert (report.passes, report.released) == (2, 0)
    assert limiter.held() == {f"{ANN}/32"}


@pytest.mark.parametrize("client", [ANN, SIX])
def test_clients_are_spread_over_the_sets_of_their_family(client: str) -> None:
    names = [SetName(BLOCK, family, f"b{family}-{n}", f"{family}{n}") for family in (4, 6) for n in range(3)]
    limiter = Limiter([*names, ALLOW4, ALLOW6])
    limiter.block(client)
    limiter.run()
    family = 6 if ":" in client else 4
    mine = [each for each in names if each.family == family]
    holding = [each for each in names if limiter.sets.read(each).addresses]
    assert holding == [mine[spread(client, 3)]]


@pytest.mark.uncovered
def test_twenty_five_thousand_blocks_fit_into_three_sets() -> None:
    names = [SetName(BLOCK, 4, f"b4-{number}", str(number)) for number in range(3)]
    limiter = Limiter([*names, SetName(BLOCK, 6, "b6", "6"), ALLOW4, ALLOW6])
    clients = [f"10.{n // 65536}.{n // 256 % 256}.{n % 256}" for n in range(25_000)]
    for each in clients:
        limiter.block(each)
    report = limiter.run()
    assert limiter.held() == {f"{each}/32" for each in clients}
    sizes = [len(limiter.sets.read(each).addresses) for each in names]
    assert max(sizes) < CAPACITY
    assert min(sizes) > 8_000, "even over many"
    assert report.evicted == 0
    assert report.fill == 100 * max(sizes) / CAPACITY


FEW_ADDRESSES = 100


@pytest.fixture
def _small_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let fewer addresses fill a set."""
    monkeypatch.setattr(enforcement, "CAPACITY", FEW_ADDRESSES)


@pytest.mark.usefixtures("_small_sets")
def test_where_a_set_is_full_the_block_with_the_earliest_end_goes() -> None:
    limiter = Limiter()
    clients = [f"10.0.0.{number}" for number in range(FEW_ADDRESSES + 2)]
    for number, each in enumerate(clients):
        limiter.block(each, 100 + (number * 7919) % (FEW_ADDRESSES + 2))
    report = limiter.run()
    assert (report.live, report.evicted, report.fill) == (FEW_ADDRESSES + 2, 2, 102.0)
    earliest = sorted(limiter.blocks.read().blocks, key=lambda block: block.until)[:2]
    assert limiter.held() == {f"{each}/32" for each in clients} - {f"{block.client}/32" for block in earliest}
    assert limiter.run().written == 0, "and the same ones at each run"
    limiter.now += 102 * SECOND
    report = limiter.run()
    assert (report.evicted, report.live, report.released) == (0, FEW_ADDRESSES - 1, 3)


@pytest.mark.usefixtures("_small_sets")
def test_a_full_set_keeps_the_same_ones_of_blocks_that_end_together() -> None:
    limiter = Limiter()
    for number in range(FEW_ADDRESSES + 1):
        limiter.block(f"10.0.0.{number}")
    limiter.run()
    before = limiter.held()
    assert len(before) == FEW_ADDRESSES
    assert limiter.run().written == 0
    assert limiter.held() == before


def test_the_allow_list_is_that_of_the_rules_and_the_operator_s() -> None:
    limiter = Limiter(rules=Rules((SHORT,), allow=("192.0.2.0/24", "2001:db8::/32")))
    limiter.blocks.allow(Allowance("198.51.100.0/24", NOW, "a partner"))
    limiter.blocks.allow(Allowance("192.0.2.0/24", NOW, "twice"))
    limiter.run()
    assert limiter.sets.read(ALLOW4).addresses == {"192.0.2.0/24", "198.51.100.0/24"}
    assert limiter.sets.read(ALLOW6).addresses == {"2001:db8::/32"}
    limiter.blocks.disallow("198.51.100.0/24")
    limiter.run()
    assert limiter.sets.read(ALLOW4).addresses == {"192.0.2.0/24"}


@pytest.mark.usefixtures("_small_sets")
def test_an_allow_list_that_is_too_long_keeps_the_rules_and_the_oldest() -> None:
    limiter = Limiter(rules=Rules((SHORT,), allow=("192.0.2.0/24",)))
    for number in range(FEW_ADDRESSES):
        limiter.blocks.allow(Allowance(f"10.0.0.{number}/32", NOW + number))
    limiter.run()
    held = limiter.sets.read(ALLOW4).addresses
    assert len(held) == FEW_ADDRESSES
    assert "192.0.2.0/24" in held
    assert f"10.0.0.{FEW_ADDRESSES - 1}/32" not in held


def test_a_record_that_cannot_be_read_stops_nothing_and_is_told() -> None:
    limiter = Limiter()
    limiter.block(ANN)
    good = dict(limiter.blocks.partitions[f"p{spread(ANN, 8)}"][ANN])
    limiter.blocks.write("p3", "not an address", good)
    limiter.blocks.write("p3", "203.0.113.1", {**good, "until": "soon"})
    limiter.blocks.write("p3", "203.0.113.2", {"state": "on"})
    limiter.blocks.write("p3", "203.0.113.3", {})
    limiter.blocks.write("p3", "0.0.0.0/0", good)
    for client, wrong in (
        ("203.0.113.0/24", {}),
        ("2001:DB8::/64", {}),
        ("203.0.113.4", {"until": LATEST + 1}),
        ("203.0.113.5", {"state": "blocked"}),
        ("fe80::1%eth0", {}),
    ):
        limiter.blocks.write(f"p{spread(client, 8)}", client, {**good, **wrong})
    limiter.blocks.write(f"p{(spread(BOB, 8) + 1) % 8}", BOB, good)
    report = limiter.run()
    assert limiter.held() == {f"{ANN}/32"}
    assert len(report.unreadable) == 11
    assert "203.0.113" not in "".join(report.unreadable), "a log is no place for who was blocked"


def test_nothing_is_written_while_it_is_paused() -> None:
    limiter = Limiter()
    limiter.block(ANN, 1)
    limiter.blocks.pause(NOW)
    limiter.now += MINUTE
    report = limiter.run(wakes=True)
    assert (report.paused, report.written, report.released, limiter.woken) == (True, 0, 0, [])
    assert limiter.held() == set()
    assert limiter.free()
    limiter.block(BOB)
    limiter.blocks.resume()
    report = limiter.run()
    assert (report.paused, report.released) == (False, 1)
    assert limiter.held() == {f"{BOB}/32"}


def test_the_lags_are_those_of_what_changed() -> None:
    limiter = Limiter()
    limiter.block(ANN, 10)
    limiter.now += 2 * SECOND
    limiter.block(BOB, 60)
    limiter.now += 3 * SECOND
    report = limiter.run()
    assert (report.block_lag, report.release_lag) == (5 * SECOND, None)
    limiter.now += SECOND
    report = limiter.run()
    assert (report.block_lag, report.release_lag) == (None, None)
    limiter.now += 7 * SECOND
    report = limiter.run()
    assert (report.block_lag, report.release_lag) == (None, 3 * SECOND)


@pytest.mark.usefixtures("_small_sets")
def test_a_block_that_no_set_has_room_for_is_no_late_one() -> None:
    limiter = Limiter()
    for number in range(FEW_ADDRESSES):
        limiter.block(f"10.0.0.{number}", 600)
    limiter.run()
    limiter.block(ANN, 1)
    limiter.now += 500
    report = limiter.run()
    assert (report.evicted, report.block_lag) == (1, None)


def test_what_was_extended_was_no_late_release() -> None:
    limiter = Limiter()
    limiter.block(ANN, 10)
    limiter.run()
    limiter.now += 15 * SECOND
    limiter.count(ANN, 3)
    report = limiter.run()
    assert (report.block_lag, report.release_lag, report.extended) == (None, None, 1)


def test_a_run_is_woken_for_each_second_ahead_in_which_a_block_ends() -> None:
    limiter = Limiter()
    limiter.now = NOW + 400
    for client, seconds in ((ANN, 10), (BOB, 10.5), (EVE, 10.7), ("192.0.2.8", 64), ("192.0.2.9", 66)):
        limiter.block(client, seconds)
    limiter.run(wakes=True)
    # The second of two in one second of the clock serves both.
    assert limiter.woken == [[NOW + 10_900, NOW + 11_100, NOW + 64_400]]
    ends = [block.until for block in limiter.blocks.read().blocks if block.until <= limiter.now + HORIZON]
    assert all(any(0 <= wake - end < SECOND for wake in limiter.woken[0]) for end in ends), "never too early"


def test_a_time_is_woken_for_once() -> None:
    limiter = Limiter()
    limiter.block(ANN, 10)
    limiter.run(wakes=True)
    limiter.now += SECOND
    limiter.block(BOB, 10)
    limiter.run(wakes=True)
    limiter.run(wakes=True)
    assert limiter.woken == [[NOW + 10_000], [NOW + 11_000]]


def test_a_release_far_ahead_is_woken_for_when_it_is_near() -> None:
    limiter = Limiter()
    limiter.block(ANN, 100)
    limiter.run(wakes=True)
    assert limiter.woken == []
    limiter.now += MINUTE
    limiter.run(wakes=True)
    assert limiter.woken == [[NOW + 100_000]]


def test_a_run_that_was_woken_for_a_release_wakes_none() -> None:
    limiter = Limiter()
    limiter.block(ANN, 10)
    limiter.run(wakes=False)
    assert limiter.woken == []


def test_an_extended_block_is_woken_for_at_its_new_end() -> None:
    limiter = Limiter()
    limiter.block(ANN, 10)
    limiter.run(wakes=True)
    limiter.now += 10 * SECOND
    limiter.count(ANN, 3)
    limiter.run(wakes=True)
    extended = limiter.blocks.get(ANN)
    assert extended is not None
    assert limiter.woken[1:] == [[-(-extended.until // SECOND) * SECOND]]


def test_a_wake_up_that_failed_is_asked_for_again() -> None:
    limiter = Limiter()
    limiter.block(ANN, 10)
    limiter.queue_fails = True
    with pytest.raises(RuntimeError, match="queue"):
        limiter.run(wakes=True)
    assert limiter.free()
    assert limiter.held() == {f"{ANN}/32"}, "who is blocked does not wait for that"
    limiter.queue_fails = False
    limiter.run(wakes=True)
    assert limiter.woken == [[NOW + 10_000]]


class RacedSets(MemoryIpSets):
    """IP sets that somebody else writes to just before some of our writes."""

    races = 0

    def write(self, each: SetName, addresses: Collection[str], token: str) -> None:
        if self.races:
            self.races -= 1
            self.edit(each, add=["203.0.113.99/32" if each.family == 4 else "2001:db8:99::/64"])
        super().write(each, addresses, token)


def raced(races: int) -> Limiter:
    limiter = Limiter()
    limiter.sets = RacedSets(FEW)
    limiter.sets.races = races
    limiter.enforcer = limiter.another()
    return limiter


@pytest.mark.parametrize("races", [1, 3, MOST_PASSES - 1])
def test_whoever_writes_to_a_set_meanwhile_makes_it_start_over(races: int) -> None:
    limiter = raced(races)
    limiter.block(ANN)
    report = limiter.run()
    assert limiter.held() == {f"{ANN}/32"}
    assert (report.conflicts, report.passes) == (races, races + 1)
    assert limiter.free()


def test_what_was_blocked_meanwhile_is_written_by_the_pass_that_starts_over() -> None:
    limiter = raced(1)
    limiter.block(ANN)

    def step(at: str) -> None:
        if at == "sets.write":
            limiter.block(BOB)

    limiter.sets.step = step
    limiter.run()
    assert limiter.held() == {f"{ANN}/32", f"{BOB}/32"}


def test_conflicts_without_end_are_left_to_the_next_run() -> None:
    limiter = raced(10**6)
    limiter.block(ANN)
    report = limiter.run()
    assert (report.conflicts, report.passes) == (MOST_PASSES, MOST_PASSES)
    assert limiter.free()
    assert isinstance(limiter.sets, RacedSets)
    limiter.sets.races = 0
    limiter.run()
    assert limiter.held() == {f"{ANN}/32"}


@pytest.mark.parametrize(
    "step", ["sets.read", "sets.write", "counters.read", "blocks.query p3", "blocks.release"]
)
def test_an_enforcer_that_fails_gives_the_lease_back(step: str) -> None:
    limiter = Limiter()
    limiter.block(EVE, 1)
    limiter.run()
    limiter.now += 2 * SECOND
    limiter.block(ANN)
    for each in (limiter.sets, limiter.counters, limiter.blocks):
        each.step = _failing(step)
    with pytest.raises(RuntimeError, match=step):
        limiter.run()
    for each in (limiter.sets, limiter.counters, limiter.blocks):
        each.step = _nothing
    assert limiter.free()
    limiter.run()
    assert limiter.held() == {f"{ANN}/32"}


def test_who_comes_while_another_works_asks_it_to_look_again() -> None:
    limiter = Limiter()
    limiter.block(ANN)
    other = limiter.another()
    busy: list[Report] = []

    def step(at: str) -> None:
        if at == "sets.write done" and not busy:
            limiter.block(BOB)
            busy.append(other.run("other", wakes=False))

    limiter.sets.step = step
    report = limiter.run()
    assert [each.busy for each in busy] == [True]
    assert report.passes == 2
    assert limiter.held() == {f"{ANN}/32", f"{BOB}/32"}
    assert limiter.free()


@pytest.mark.parametrize("wakes", [True, False])
def test_a_run_that_others_asked_for_wakes_for_those_that_would(wakes: bool) -> None:
    limiter = Limiter()
    limiter.block(ANN, 10)
    other = limiter.another()
    busy: list[Report] = []

    def step(at: str) -> None:
        if at == "sets.write done" and not busy:
            busy.append(other.run("other", wakes=wakes))

    limiter.sets.step = step
    assert limiter.run(wakes=False).passes == 2
    assert limiter.woken == ([[NOW + 10_000]] if wakes else []), "whoever asked had no pass of its own"


def test_a_woken_run_that_starts_over_for_a_conflict_wakes_none() -> None:
    limiter = raced(3)
    limiter.block(ANN, 10)
    assert limiter.run(wakes=False).passes == 4
    assert limiter.woken == [], "Lambda would stop the circle"


def test_a_woken_run_that_starts_over_wakes_for_who_asked_meanwhile() -> None:
    limiter = raced(1)
    limiter.block(ANN, 10)
    other = limiter.another()
    asked: list[Report] = []

    def step(at: str) -> None:
        if at == "sets.write" and not asked:
            asked.append(other.run("other", wakes=True))

    limiter.sets.step = step
    limiter.run(wakes=False)
    assert limiter.woken == [[NOW + 10_000]]


def test_a_run_that_lost_its_lease_writes_nothing_over_what_a_newer_look_wrote() -> None:
    limiter = Limiter()
    limiter.block(ANN)
    another = limiter.another()
    reports: list[Report] = []

    def slow(at: str) -> None:
        if at == "sets.write":
            limiter.sets.step = _nothing
            limiter.now += LEASE + 1
            limiter.block(BOB)
            reports.append(another.run("another", wakes=False))

    limiter.sets.step = slow
    report = limiter.run()
    assert [each.busy for each in reports] == [False]
    assert report.conflicts == 1
    assert limiter.held() == {f"{ANN}/32", f"{BOB}/32"}
    assert limiter.free()


@pytest.mark.parametrize("wakes", [True, False])
def test_who_lost_its_lease_leaves_the_rest_to_the_holder_and_is_heard(wakes: bool) -> None:
    limiter = Limiter()
    limiter.block(ANN)

    def step(at: str) -> None:
        if at == "sets.write done":
            limiter.now += LEASE + 1
            assert limiter.blocks.acquire("another", limiter.now, limiter.now + LEASE, wakes=False)

    limiter.sets.step = step
    assert limiter.run(wakes=wakes).passes == 1
    lease = limiter.blocks.partitions[CONTROL]["lease"]
    assert lease["holder"] == "another", "who holds it by now keeps it"
    assert (lease["asked"], lease.get("asked_to_wake", 0)) == (1, int(wakes))


def test_who_lost_a_lease_that_is_free_again_takes_it_and_looks_again() -> None:
    limiter = Limiter()
    limiter.block(ANN)
    lost: list[bool] = []

    def step(at: str) -> None:
        if at == "sets.write done" and not lost:
            lost.append(True)
            limiter.blocks.partitions[CONTROL].pop("lease")

    limiter.sets.step = step
    assert limiter.run().passes == 2
    assert limiter.free()


@pytest.mark.parametrize(
    "record", [{"held_until": "later"}, {"held_until": NOW + LONGEST_LEASE + 1}], ids=str
)
def test_a_lease_that_no_enforcer_wrote_stops_none(record: dict[str, object]) -> None:
    limiter = Limiter()
    limiter.block(ANN)
    limiter.blocks.write(CONTROL, "lease", {"holder": "nobody", **record})
    assert not limiter.run().busy
    assert limiter.held() == {f"{ANN}/32"}


def test_a_run_that_takes_too_long_leaves_what_is_asked_for_to_the_next() -> None:
    limiter = raced(10**6)
    limiter.block(ANN)

    def step(at: str) -> None:
        if at == "sets.write":
            limiter.now += LONGEST_RUN // 2

    limiter.sets.step = step
    assert limiter.run().passes == 3
    assert limiter.free()


def test_who_is_allowed_is_allowed_before_anybody_is_blocked() -> None:
    limiter = Limiter(names=(*FEW[:2], ALLOW6, ALLOW4))
    limiter.block(ANN)
    limiter.block(SIX)
    for network in (f"{ANN}/32", SIX):
        limiter.blocks.allow(Allowance(network, NOW))
    seen: list[tuple[int, int]] = []

    def step(at: str) -> None:
        if at == "sets.write done":
            seen.append((len(limiter.held(ALLOW)), len(limiter.held(BLOCK))))

    limiter.sets.step = step
    limiter.run()
    assert seen == [(1, 0), (2, 0), (2, 1), (2, 2)]


def test_blocks_are_released_before_anybody_is_woken() -> None:
    limiter = Limiter()
    limiter.block(BOB, 1)
    limiter.block(ANN, 30)
    limiter.now += SECOND
    limiter.queue_fails = True
    with pytest.raises(RuntimeError, match="queue"):
        limiter.run(wakes=True)
    assert limiter.blocks.get(BOB) is None


def test_many_blocks_are_extended_at_once_and_a_failure_stops_no_other() -> None:
    limiter = Limiter()
    clients = [f"10.0.0.{number}" for number in range(40)]
    for each in clients:
        limiter.block(each, 10)
    limiter.now += 10 * SECOND
    for each in clients:
        limiter.count(each, 3)
    refused: list[str] = []

    def put(block: Block) -> Change:
        if block.client == clients[0]:
            refused.append(block.client)
            raise RuntimeError("refused")
        return MemoryBlocks.put(limiter.blocks, block)

    vars(limiter.blocks)["put"] = put
    with pytest.raises(RuntimeError, match="refused"):
        Enforcer(
            limiter.rules, limiter.counters, limiter.blocks, limiter.sets, limiter.wake, lambda: limiter.now
        ).run("one", wakes=False)
    del vars(limiter.blocks)["put"]
    longer = {block.client for block in limiter.blocks.read().blocks if block.until > limiter.now}
    assert longer == set(clients[1:])
    assert limiter.run().extended == 1


def test_the_lease_of_an_enforcer_that_died_is_taken_after_a_while() -> None:
    limiter = Limiter()
    limiter.block(ANN)
    assert limiter.blocks.acquire("dead", NOW, NOW + LEASE, wakes=True)
    assert limiter.run().busy
    assert limiter.held() == set()
    limiter.now += LEASE + 1
    assert not limiter.run().busy
    assert limiter.held() == {f"{ANN}/32"}


def test_without_a_block_everything_is_quiet() -> None:
    report = Limiter().run(wakes=True)
    assert report == Report(passes=1)
