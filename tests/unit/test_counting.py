import itertools
import json
from collections.abc import Callable, Collection, Sequence
from typing import Any

import pytest

from handlers.counting import (
    ALLOWANCES_SECONDS,
    WRITTEN_SECONDS,
    Event,
    IncompleteDeliveryError,
    Ingest,
    Tally,
)
from sluice.limiter import counters
from sluice.limiter.blocks import LATE, PARTITIONS, Allowance, Block, spread
from sluice.limiter.clients import Identity
from sluice.limiter.operator import Operator
from sluice.limiter.rules import Counting, Override, Rules, worst
from sluice.limiter.windows import MINUTE, SECOND, Rolling, Window
from tests.limiter_fakes import MemoryBlocks, MemoryCounters, no_step

from .log_lines import log_line

NOW = 1_750_000_000_000
SHORT = Window("short", 3, Rolling(20_000))
LONG = Window("long", 10, Rolling(120_000))
ANN, BOB, EVE = "192.0.2.7", "198.51.100.8", "203.0.113.9"
IDS = map(str, itertools.count())
HUGE = 64 * 1024


def event(ip: str = ANN, time: int = NOW, **values: str) -> Event:
    return Event(next(IDS), log_line(ip, time, **values))


def raw(message: str) -> Event:
    return Event(next(IDS), message)


class Limiter:
    """The counting half with everything that it works with in memory."""

    def __init__(
        self,
        rules: Rules | None = None,
        keep: Callable[[str, Sequence[str]], None] | None = None,
        workers: int = 1,
    ) -> None:
        self.now = NOW
        self.rules = rules or Rules((SHORT, LONG))
        self.counters = MemoryCounters()
        self.blocks = MemoryBlocks()
        self.kept: list[tuple[str, list[str]]] = []
        self.ingest = Ingest(
            self.rules, self.counters, self.blocks, keep or self.keep, lambda: self.now, workers=workers
        )

    def another(self) -> Ingest:
        """Return another function that counts the same."""
        return Ingest(self.rules, self.counters, self.blocks, self.keep, lambda: self.now, workers=1)

    def keep(self, name: str, lines: Sequence[str]) -> None:
        self.kept.append((name, list(lines)))

    def run(self, *events: Event) -> Tally:
        return self.ingest.run(events)

    def count(self, client: str, window: Window = LONG) -> int:
        """Return a client's count in a window."""
        known = self.counters.read([client]).get(client)
        return sum(window.counts(known.counters, self.now).values()) if known else 0

    def counted(self) -> dict[str, int]:
        return {client: self.count(client) for client in sorted(self.counters.items)}

    def blocked(self) -> dict[str, Block]:
        return {block.client: block for block in self.blocks.read().blocks}


def test_requests_are_counted_for_their_clients() -> None:
    limiter = Limiter()
    tally = limiter.run(event(ANN), event(BOB), event(ANN), event("2001:db8::1"), event("2001:db8::2"))
    assert limiter.counted() == {ANN: 2, BOB: 1, "2001:db8::/64": 2}
    assert tally == Tally(events=5, requests=5, counted=5, clients=3)
    assert limiter.blocked() == {}


def test_a_delivery_is_one_write_for_each_client() -> None:
    limiter = Limiter()
    steps: list[str] = []
    limiter.counters.step = steps.append
    limiter.run(*(event(each) for each in (ANN, BOB) * 20))
    assert steps.count("counters.add") == 2


def test_an_empty_delivery_counts_nothing() -> None:
    limiter = Limiter()
    assert limiter.run() == Tally()
    assert limiter.counters.items == {}
    assert limiter.counters.markers == {}


def test_a_request_counts_when_it_was_made_and_not_when_it_is_told() -> None:
    limiter = Limiter()
    tally = limiter.run(event(time=NOW - 30_000), event(time=NOW - 1_000), event(time=NOW + 60_000))
    assert (limiter.count(ANN, SHORT), limiter.count(ANN, LONG)) == (2, 3)
    assert tally.lag == 30_000
    limiter.now += 15_000
    assert limiter.count(ANN, SHORT) == 2, "a clock that is ahead gives no more time"
    limiter.now += 10_000
    assert limiter.count(ANN, SHORT) == 0


def test_a_request_that_is_too_old_for_every_window_counts_nowhere() -> None:
    limiter = Limiter()
    tally = limiter.run(event(time=NOW - 10 * MINUTE), event(BOB))
    assert limiter.counted() == {BOB: 1}
    assert (tally.requests, tally.counted, tally.clients, tally.lag) == (2, 1, 1, 10 * MINUTE)


def test_what_waf_blocked_is_neither_seen_nor_counted() -> None:
    # WAF counts it itself, and a blocked client would stay so.
    limiter = Limiter()
    blocked = [event(waf="WAF_BLOCK", status=each) for each in ("403", "429", "202") * 9]
    tally = limiter.run(*blocked, event(BOB))
    assert (tally.events, tally.requests, tally.counted, tally.clients) == (28, 1, 1, 1)
    assert limiter.counted() == {BOB: 1}
    assert limiter.blocked() == {}


UNCOUNTED: list[dict[str, Any]] = [
    {"status": "429"},
    {"status": "503"},
    {"method": "OPTIONS"},
    {"route": "/health"},
]


@pytest.mark.parametrize("values", UNCOUNTED, ids=str)
def test_what_does_not_count_is_seen_and_nothing_else(values: dict[str, Any]) -> None:
    limiter = Limiter()
    tally = limiter.run(*(event(**values) for _ in range(50)))
    assert (tally.requests, tally.counted, tally.clients) == (50, 0, 0)
    assert limiter.counters.items == {}
    assert limiter.blocked() == {}


NOWHERE = "-"
"""The address of a request that was refused before anybody looked at where it came from."""


def test_a_request_of_which_nobody_knows_the_address_counts_for_nobody() -> None:
    limiter = Limiter()
    tally = limiter.run(*(event(NOWHERE, status="403") for _ in range(50)), event(BOB))
    assert tally == Tally(events=51, requests=51, counted=1, unattributed=50, clients=1)
    assert limiter.counted() == {BOB: 1}
    assert limiter.blocked() == {}
    assert limiter.kept == [], "it is a line of the access log like any other"


def test_a_delivery_of_requests_without_an_address_touches_no_client() -> None:
    limiter = Limiter()
    tally = limiter.run(event(NOWHERE, NOW - 7_000), event(NOWHERE))
    assert (tally.unattributed, tally.clients, tally.lag) == (2, 0, 7_000)
    assert limiter.counters.items == {}
    assert limiter.counters.markers == {}


@pytest.mark.parametrize("values", [*UNCOUNTED, {"waf": "WAF_BLOCK"}], ids=str)
def test_what_would_not_count_anyway_needs_no_address(values: dict[str, Any]) -> None:
    limiter = Limiter()
    tally = limiter.run(*(event(NOWHERE, **values) for _ in range(50)))
    assert (tally.events, tally.unattributed, tally.malformed) == (50, 0, [])
    assert limiter.kept == []


def test_a_request_without_an_address_is_one_however_much_its_route_weighs() -> None:
    limiter = Limiter(Rules((LONG,), counting=Counting(weights={"/export": 4, "/free": 0})))
    tally = limiter.run(event(NOWHERE, route="/export"), event(NOWHERE, route="/free"))
    assert tally.unattributed == 1


@pytest.mark.parametrize("allow", ["192.0.2.0/24", "0.0.0.0/0"])
def test_a_client_that_is_allowed_is_not_one_whose_address_is_not_known(allow: str) -> None:
    tally = Limiter(Rules((SHORT,), allow=(allow,))).run(event(ANN), event(NOWHERE))
    assert (tally.requests, tally.counted, tally.unattributed) == (2, 0, 1)


def test_a_request_counts_as_much_as_its_route_weighs() -> None:
    limiter = Limiter(Rules((LONG,), counting=Counting(weights={"/export": 4})))
    tally = limiter.run(event(route="/export"), event())
    assert limiter.count(ANN) == 5
    assert tally.counted == 2


def test_with_its_last_request_a_client_is_blocked_until_there_is_room() -> None:
    limiter = Limiter()
    assert limiter.run(event(), event(BOB), event()).started == 0
    tally = limiter.run(event(), event(BOB))
    assert (tally.started, tally.extended) == (1, 0)
    (block,) = limiter.blocked().values()
    known = limiter.counters.read([ANN])[ANN]
    (short, _) = limiter.rules.standings(ANN, known, NOW)
    assert block == Block(ANN, "short", NOW, short.room_at, 0)
    assert NOW < block.until <= NOW + 21_000


def test_the_window_that_lasts_longest_is_the_reason() -> None:
    limiter = Limiter()
    limiter.run(*(event(time=NOW - 2_000 * each) for each in range(12)))
    (block,) = limiter.blocked().values()
    found = worst(limiter.rules.standings(ANN, limiter.counters.read([ANN])[ANN], NOW))
    assert found is not None
    assert (block.window, block.until) == ("long", found.room_at)


def test_requests_after_the_crossing_move_the_end() -> None:
    limiter = Limiter()
    limiter.run(*(event() for _ in range(3)))
    (first,) = limiter.blocked().values()
    limiter.now += 6_000
    tally = limiter.run(*(event(time=limiter.now) for _ in range(3)))
    (second,) = limiter.blocked().values()
    assert (tally.started, tally.extended) == (0, 1)
    assert second.until > first.until
    assert second.since == first.since == NOW, "the crossing alone says since when"


def test_a_block_that_says_it_already_is_not_written_again_and_again() -> None:
    limiter = Limiter(Rules((SHORT,)))
    limiter.run(*(event() for _ in range(3)))
    steps: list[str] = []
    limiter.blocks.step = steps.append
    for _ in range(20):
        limiter.run(event(time=NOW))
    assert "blocks.put" not in steps
    limiter.now += WRITTEN_SECONDS * SECOND
    limiter.run(*(event(time=limiter.now) for _ in range(3)))
    assert "blocks.put" in steps


def test_a_block_that_somebody_deleted_comes_back_within_a_minute() -> None:
    limiter = Limiter(Rules((Window("hours", 3, Rolling(7_200_000)),)))
    limiter.run(*(event() for _ in range(3)))
    (block,) = limiter.blocked().values()
    assert limiter.blocks.release(block)
    limiter.run(event())
    assert limiter.blocked() == {}, "what this function wrote it believes for a while"
    limiter.now += WRITTEN_SECONDS * SECOND
    limiter.run(event())
    assert limiter.blocked()[ANN].until == block.until


def test_an_unblocked_client_is_blocked_again_only_by_what_comes_then() -> None:
    limiter = Limiter()
    limiter.run(*(event() for _ in range(5)))
    known = limiter.counters.read([ANN])[ANN]
    generation = limiter.counters.cut(ANN, limiter.rules.cuts(known, NOW), limiter.rules.expires(NOW))
    limiter.blocks.unblock(ANN, generation, NOW)
    assert limiter.blocked() == {}
    limiter.run(event(), event())
    assert limiter.blocked() == {}
    assert limiter.run(event()).started == 1
    assert limiter.blocked()[ANN].generation == generation


def test_a_repeated_delivery_counts_nothing_again() -> None:
    limiter = Limiter()
    delivery = [event(ANN), event(BOB), event(ANN)]
    limiter.run(*delivery)
    for _ in range(3):
        assert limiter.run(*delivery).repeated == 3
    assert limiter.counted() == {ANN: 2, BOB: 1}


def test_a_repeated_delivery_of_one_client_counts_nothing_again() -> None:
    limiter = Limiter()
    delivery = [event(), event()]
    for _ in range(3):
        limiter.run(*delivery)
    assert limiter.counted() == {ANN: 2}
    assert limiter.counters.markers == {}, "its own tokens tell"


def test_an_event_that_a_delivery_holds_twice_counts_once() -> None:
    limiter = Limiter()
    one, other = event(), event()
    tally = limiter.run(one, other, one, one)
    assert (tally.events, tally.repeated, tally.requests, tally.counted) == (4, 2, 2, 2)
    assert limiter.counted() == {ANN: 2}


def test_a_marked_delivery_is_not_counted_even_where_its_tokens_are_gone() -> None:
    limiter = Limiter()
    delivery = [event(ANN), event(BOB)]
    limiter.run(*delivery)
    for _ in range(3 * counters.RING_SIZE):
        limiter.run(event(ANN))
    before = limiter.count(ANN)
    assert limiter.run(*delivery).repeated == 2
    assert limiter.count(ANN) == before


def test_a_delivery_is_marked_only_when_all_of_it_is_counted() -> None:
    limiter = Limiter()
    refuse(limiter, [BOB])
    delivery = [event(ANN), event(BOB), event(EVE)]
    with pytest.raises(IncompleteDeliveryError):
        limiter.run(*delivery)
    assert limiter.counters.markers == {}
    refuse(limiter, [])
    assert limiter.run(*delivery).repeated == 0
    assert limiter.counted() == {ANN: 1, BOB: 1, EVE: 1}
    (expires,) = limiter.counters.markers.values()
    assert expires == NOW // SECOND + counters.MARKER_SECONDS


def refuse(limiter: Limiter, clients: Collection[str]) -> None:
    """Let every addition for these clients fail."""

    def adding(client: str, *given: Any) -> Any:
        if client in clients:
            raise RuntimeError("refused")
        return MemoryCounters.add(limiter.counters, client, *given)

    vars(limiter.counters)["add"] = adding


@pytest.mark.parametrize("workers", [1, 4])
def test_a_client_that_cannot_be_counted_stops_no_other(workers: int) -> None:
    limiter = Limiter(workers=workers)
    refuse(limiter, [ANN, EVE])
    delivery = [*(event(each) for each in (ANN, BOB, EVE) for _ in range(3)), raw("broken")]
    with pytest.raises(IncompleteDeliveryError, match="2 of 3 clients") as failed:
        limiter.run(*delivery)
    assert isinstance(failed.value.__cause__, RuntimeError)
    assert limiter.counted() == {BOB: 3}
    assert limiter.blocked().keys() == {BOB}
    refuse(limiter, [])
    limiter.run(*delivery)
    assert limiter.counted() == {ANN: 3, BOB: 3, EVE: 3}
    assert [lines for _, lines in limiter.kept] == [["broken"]]


MALFORMED = [
    "",
    "-",
    "not JSON",
    "null",
    "[]",
    "{}",
    "5",
    log_line()[:-1],
    log_line() + "x",
    log_line().replace('"ip":"192.0.2.7"', '"ip":"192.0.2.7" "'),
    log_line().replace('"ip":"192.0.2.7"', '"ip":"192.0.2.7","ip":"198.51.100.8"'),
    log_line().replace('"route":"/messages"', '"route":"/a","ip":"198.51.100.8"'),
    log_line().replace('"ip":"192.0.2.7"', '"ip":192'),
    log_line().replace('"ip":"192.0.2.7",', ""),
    log_line()[:-1] + ',"more":"x"}',
    log_line(ip=""),
    log_line(ip="--"),
    log_line(ip="192.0.2.256"),
    log_line(ip="192.0.2.7, 198.51.100.8"),
    log_line(ip="fe80::1%eth0"),
    log_line(ip="192.0.2.7/32"),
    log_line(time="-"),
    log_line(time="-5"),
    log_line(time="1.5e9"),
    log_line(time="9" * 19),
    log_line(status="4x"),
    "x" * HUGE,
    "[" * HUGE,
    log_line(route="/" + '\\"' * HUGE) + "}",
    json.dumps({"ip": "192.0.2.7"} | {str(number): "x" for number in range(5_000)}),
]


@pytest.mark.parametrize("line", MALFORMED, ids=lambda line: line[:60])
def test_a_line_that_is_none_is_kept_once_and_harms_nobody(line: str) -> None:
    limiter = Limiter()
    delivery = [event(BOB), raw(line), event(EVE)]
    tally = limiter.run(*delivery)
    assert limiter.counted() == {BOB: 1, EVE: 1}
    assert len(tally.malformed) == 1
    assert (tally.requests, tally.counted) == (2, 2)
    assert [lines for _, lines in limiter.kept] == [[line]]
    limiter.run(*delivery)
    assert len(limiter.kept) == 1
    assert limiter.counted() == {BOB: 1, EVE: 1}


def test_a_reason_says_nothing_of_the_line() -> None:
    tally = Limiter().run(*(raw(line) for line in MALFORMED))
    reasons = "".join(tally.malformed)
    assert len(tally.malformed) == len(MALFORMED)
    assert not any(part in reasons for part in ("192", "198", "xxx", "[[", "eth0"))


def test_lines_that_are_none_are_kept_under_the_name_of_their_delivery() -> None:
    limiter = Limiter()
    delivery = [raw("a"), event(), raw("b")]
    limiter.run(*delivery)
    limiter.run(*delivery)
    names = {name for name, _ in limiter.kept}
    assert names == {counters.marker_of([each.id for each in delivery]).hex()}, (
        "to keep them twice is one object"
    )
    assert {tuple(lines) for _, lines in limiter.kept} == {("a", "b")}


def test_lines_alone_that_are_none_are_kept_without_counting_anybody() -> None:
    limiter = Limiter()
    tally = limiter.run(raw("a"))
    assert (tally.events, tally.requests, tally.malformed) == (1, 0, ["not JSON"])
    assert limiter.counters.items == {}
    assert [lines for _, lines in limiter.kept] == [["a"]]


def test_lines_that_could_not_be_kept_bring_the_delivery_back_with_nothing_counted_twice() -> None:
    failing = [True]
    kept: list[str] = []

    def keep(name: str, lines: Sequence[str]) -> None:
        if failing[0]:
            raise OSError("bucket")
        kept.extend(lines)

    limiter = Limiter(keep=keep)
    delivery = [event(ANN), event(BOB), raw("a")]
    with pytest.raises(OSError, match="bucket"):
        limiter.run(*delivery)
    failing.clear()
    failing.append(False)
    limiter.run(*delivery)
    assert kept == ["a"]
    assert limiter.counted() == {ANN: 1, BOB: 1}


def test_a_network_that_the_rules_allow_is_never_counted() -> None:
    limiter = Limiter(Rules((SHORT,), allow=("192.0.2.0/24", "2001:db8::/32")))
    tally = limiter.run(*(event(each) for each in (ANN, "2001:db8::1", "::ffff:192.0.2.9", BOB) * 9))
    assert limiter.counters.items.keys() == {BOB}
    assert limiter.blocked().keys() == {BOB}
    assert (tally.requests, tally.counted) == (36, 9)


def test_a_network_that_an_operator_allows_is_not_counted_from_half_a_minute_on() -> None:
    limiter = Limiter()
    limiter.run(event(ANN))
    limiter.blocks.allow(Allowance("192.0.2.0/24", NOW, "a partner"))
    limiter.now += ALLOWANCES_SECONDS * SECOND
    limiter.run(event(ANN, limiter.now))
    assert limiter.count(ANN) == 2
    limiter.now += 1
    limiter.run(event(ANN, limiter.now))
    assert limiter.count(ANN) == 2
    limiter.blocks.disallow("192.0.2.0/24")
    limiter.now += ALLOWANCES_SECONDS * SECOND + 1
    limiter.run(event(ANN, limiter.now))
    assert limiter.count(ANN) == 3


def test_an_allowed_address_counts_for_its_site_no_more_than_for_itself() -> None:
    rules = Rules((SHORT,), identity=Identity(64, 48), site_limits={"short": 9}, allow=("2001:db8:1:2::/64",))
    limiter = Limiter(rules)
    limiter.run(event("2001:db8:1:2::1"), event("2001:db8:1:3::1"))
    assert {client: limiter.count(client, SHORT) for client in limiter.counters.items} == {
        "2001:db8:1:3::/64": 1,
        "2001:db8:1::/48": 1,
    }


def test_a_site_is_blocked_by_its_own_limit() -> None:
    limiter = Limiter(Rules((SHORT,), identity=Identity(64, 48), site_limits={"short": 5}))
    limiter.run(*(event(f"2001:db8:1:{number}::1") for number in range(5)))
    assert limiter.blocked().keys() == {"2001:db8:1::/48"}
    assert limiter.blocked()["2001:db8:1::/48"].window == "short"


def test_a_network_with_limits_of_its_own_is_held_to_them() -> None:
    limiter = Limiter(Rules((SHORT,), overrides=(Override("192.0.2.0/24", {"short": 5}),)))
    limiter.run(*(event(each) for each in (ANN, BOB) * 4))
    assert limiter.blocked().keys() == {BOB}
    limiter.run(event(ANN))
    assert limiter.blocked().keys() == {ANN, BOB}


def test_counters_that_count_no_more_are_removed_when_there_are_many() -> None:
    limiter = Limiter()
    sizes = []
    for _ in range(200):
        limiter.run(event(time=limiter.now))
        sizes.append(len(limiter.counters.items[ANN].counters))
        limiter.now += 1_000
    live = sum(window.buckets.older + 1 for window in limiter.rules.windows)
    assert max(sizes) < live + counters.MOST_STALE
    assert max(sizes) > live - 5, "and not at each write"


def test_nothing_that_counts_is_removed_with_what_does_not() -> None:
    limiter = Limiter()
    for _ in range(60):
        limiter.run(event(time=limiter.now))
        limiter.now += 5_000
    assert limiter.count(ANN, SHORT) == 4
    assert limiter.count(ANN, LONG) == 24


def test_a_slow_delivery_removes_nothing_that_another_counted_meanwhile() -> None:
    """It began a bucket ago, and by then there were old counters to remove."""
    limiter = Limiter(Rules((SHORT,)))
    bucket = SHORT.buckets.step
    for _ in range(counters.MOST_STALE - 1):
        limiter.run(event(time=limiter.now))
        limiter.now += bucket
    limiter.now += 2 * SHORT.buckets.longest
    fast = limiter.another()

    def step(at: str) -> None:
        if at == "counters.add":
            limiter.counters.step = no_step
            limiter.now += bucket
            fast.run([event(time=limiter.now), event(time=limiter.now)])

    began = limiter.now
    limiter.counters.step = step
    limiter.run(event(time=began))
    assert limiter.count(ANN, SHORT) == 3
    assert limiter.blocked().keys() == {ANN}


def test_a_crossing_over_a_bucket_s_end_is_seen_by_the_delivery_that_began_before_it() -> None:
    limiter = Limiter(Rules((SHORT,)))
    fast = limiter.another()

    def step(at: str) -> None:
        if at == "counters.add":
            limiter.counters.step = no_step
            limiter.now += SHORT.buckets.step
            fast.run([event(time=limiter.now)])

    began = limiter.now
    limiter.counters.step = step
    # The other finds too little yet, and this one adds the rest, to a bucket that is not its last any more.
    tally = limiter.run(event(time=began), event(time=began))
    assert tally.started == 1
    assert limiter.blocked()[ANN].since == began + SHORT.buckets.step


def test_a_clock_that_goes_back_takes_nothing_away() -> None:
    limiter = Limiter(Rules((SHORT,)))

    def step(at: str) -> None:
        if at == "counters.add":
            limiter.now -= MINUTE

    limiter.counters.step = step
    assert limiter.run(*(event() for _ in range(3))).started == 1
    assert limiter.blocked()[ANN].since == NOW


def operator(limiter: Limiter) -> Operator:
    held: Any = limiter.counters
    blocks: Any = limiter.blocks
    return Operator(limiter.rules, held, blocks, lambda: limiter.now)


def test_a_client_that_was_reset_is_blocked_by_as_many_requests_as_any_other() -> None:
    limiter = Limiter()
    limiter.run(*(event() for _ in range(2 * SHORT.limit)))
    operator(limiter).reset(ANN)
    assert limiter.blocked() == {}
    assert limiter.count(ANN, SHORT) == limiter.count(ANN) == 0

    limiter.run(*(event() for _ in range(SHORT.limit - 1)))
    assert limiter.blocked() == {}
    assert limiter.run(event()).started == 1, "in the same bucket"
    assert limiter.blocked()[ANN].generation == 1


@pytest.mark.parametrize("first", ["unblock", "reset"])
def test_a_client_that_was_reset_after_another_act_is_blocked_all_the_same(first: str) -> None:
    limiter = Limiter()
    limiter.run(*(event() for _ in range(2 * SHORT.limit)))
    getattr(operator(limiter), first)(ANN)
    limiter.run(event(), event())
    operator(limiter).reset(ANN)
    assert limiter.run(*(event() for _ in range(SHORT.limit))).started == 1


@pytest.mark.parametrize("act", ["unblock", "reset"])
def test_a_client_whose_counters_expired_after_an_unblocking_is_blocked_again(act: str) -> None:
    """What was unblocked stays longer than the counters, whose generation begins anew."""
    limiter = Limiter(Rules((SHORT,)))
    for _ in range(3):
        limiter.run(*(event() for _ in range(SHORT.limit)))
        getattr(operator(limiter), act)(ANN)
    limiter.now += LATE + 1
    limiter.counters.delete_expired(limiter.now)
    limiter.blocks.delete_expired(limiter.now)
    assert limiter.counters.items == {}
    assert list(limiter.blocks.partitions[f"p{spread(ANN, PARTITIONS)}"]) == [ANN], "of the unblocking"

    assert limiter.run(*(event(time=limiter.now) for _ in range(SHORT.limit))).started == 1
    assert limiter.blocked()[ANN].generation == 0


def test_a_client_is_kept_for_as_long_as_it_may_count() -> None:
    limiter = Limiter()
    limiter.run(event())
    assert limiter.counters.items[ANN].expires == limiter.rules.expires(NOW)


def test_many_clients_at_once_are_each_counted_once() -> None:
    limiter = Limiter(Rules((Window("day", 1_000, Rolling(86_400_000)),)), workers=8)
    clients = [f"10.0.{number // 250}.{number % 250}" for number in range(1_000)]
    tally = limiter.run(*(event(each) for each in clients * 3))
    assert tally.clients == 1_000
    assert {item.counters[name] for item in limiter.counters.items.values() for name in item.counters} == {3}
