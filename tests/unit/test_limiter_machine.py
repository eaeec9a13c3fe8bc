"""Everything that can happen to a limiter, in any order, beside a plain list of the requests."""

import os
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from itertools import count
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from handlers.counting import Event, IncompleteDeliveryError, Ingest
from handlers.enforcement import Enforcer
from sluice import access_log
from sluice.limiter.blocks import CONTROL, Allowance
from sluice.limiter.counters import marker_of
from sluice.limiter.operator import Operator
from sluice.limiter.rules import NOTHING, Counting, Rules, worst
from sluice.limiter.sets import ALLOW, BLOCK
from sluice.limiter.windows import Calendar, Rolling, Window, WindowPeriod
from tests.limiter_fakes import SETS, MemoryBlocks, MemoryCounters, MemoryIpSets, Record

EXAMPLES = 120
MORE = os.environ.get("SLUICE_MACHINE_EXAMPLES")
"""So many examples instead, others in each run."""
STEPS = 40
SECOND = 1000
TICK = 60 * SECOND
LEASE = 15 * SECOND
DAY = 24 * 60 * TICK
QUARTER = 15 * TICK
MIDNIGHT = 0
LATE = 5 * SECOND
NEVER = 1_000_000_000
"""A turn that is still to come."""
RING = 3
"""Small, so that tokens are forgotten within a few deliveries."""

FOUR, SIX, OTHER, FRIEND = "203.0.113.7", "2001:db8:0:7::/64", "203.0.113.8", "friend"
ADDRESSES = {
    FOUR: ["203.0.113.7", "::ffff:203.0.113.7", "::ffff:cb00:7107"],
    SIX: ["2001:db8:0:7::1", "2001:db8:0:7:ffff::", "2001:0DB8:0000:0007:0000:0000:0000:0003"],
    OTHER: ["203.0.113.8"],
    FRIEND: ["192.0.2.9"],
}
CIDRS = {FOUR: "203.0.113.7/32", SIX: "2001:db8:0:7::/64", OTHER: "203.0.113.8/32"}
CLIENTS = tuple(CIDRS)
FRIENDS = "192.0.2.0/24"
NETWORKS = ("198.51.100.0/24", "2001:db8:ffff::/48")
LIMITS = {"short": 3, "minute": 5, "day": 8}
BUCKETS = {"short": (20 * SECOND, 1 * SECOND), "minute": (60 * SECOND, 2500)}
"""Length of the window and of its buckets, in milliseconds."""
WEIGHTS = {"/orders": 1, "/heavy": 2, "/health": 0}

ZONES = {
    # Clocks go back from midnight to 23:00, so that the day ends an hour later.
    "America/Santiago": datetime(2026, 4, 5, 2, 58, 50, tzinfo=UTC),
    # The day begins at 1:00.
    "America/Havana": datetime(2026, 3, 8, 4, 58, 50, tzinfo=UTC),
    # A quarter of an hour beside whole hours, and no change.
    "Asia/Kathmandu": datetime(2026, 1, 1, 18, 13, 50, tzinfo=UTC),
}
GARBAGE = (
    "",
    "null",
    "[[[[",
    '{"ip":"203.0.113.8"}',
    access_log.line_format(),
)
POISONS: list[tuple[str, str, Record]] = [
    (CONTROL, "lease", {"holder": "nobody", "held_until": "for ever"}),
    (CONTROL, "lease", {"holder": "nobody", "held_until": 10**30}),
    ("p0", "everybody", {"state": "on"}),
    ("p1", "203.0.113.0/24", {"state": "on", "window": "x", "reason": "", "since": 0, "until": 10**13}),
]
NO_ADDRESSES = (None, '203.0.113.8","ip":"203.0.113.8', "nowhere", "203.0.113.8/32")

Done = TypeVar("Done")


class KilledError(BaseException):
    """The process is gone: nothing that it would still do is done."""


class BrokenError(Exception):
    """One call to AWS failed."""


@dataclass
class Request:
    """What the model knows of a request that counts."""

    client: str
    time: int
    weight: int
    first: int | None = None
    """The turn in which its counting began; none before."""
    last: int = 0
    """The last turn in which it may have been counted."""
    done: bool = False
    """Whether its delivery came through."""
    ghost: bool = False
    """Whether it is another's repetition, which need not have been counted."""


@dataclass
class Unblocking:
    """When an operator unblocked a client, in time and in turns."""

    time: int
    began: int
    ended: int
    forgot: bool
    """Whether it was a reset: what is told later counts, however old it is."""


@dataclass
class Delivery:
    """Events that came together."""

    events: list[Event]
    requests: list[Request]
    marked: bool = False
    """Whether it is surely known as a whole."""
    touched: dict[str, int] = field(default_factory=dict)
    """How many deliveries had touched a client when this one first did."""


class Model:
    """Requests and the moments of unblocking; nothing clever."""

    def __init__(self, zone: str) -> None:
        self.zone = ZoneInfo(zone)
        self.requests: list[Request] = []
        self.unblocked: dict[str, list[Unblocking]] = {client: [] for client in CLIENTS}

    def day(self, time: int) -> date:
        return datetime.fromtimestamp(time / SECOND, self.zone).date()

    def is_live(self, window: str, time: int, now: int) -> bool:
        """Whether a request of a time is in a bucket that counts now."""
        if window == "day":
            return self.day(time) == self.day(now)
        length, bucket = BUCKETS[window]
        return now // bucket - length // bucket <= time // bucket <= now // bucket

    def is_within(self, length: int, time: int, now: int) -> bool:
        return now - length < time <= now

    def counts_anywhere(self, time: int, now: int) -> bool:
        return any(self.is_live(window, time, now) for window in LIMITS)

    def since_unblocking(self, client: str, window: str, now: int, *, surely: bool) -> Iterator[Request]:
        """Yield a client's requests that surely count, or that may, as far as an unblocking decides."""
        last = next((each for each in reversed(self.unblocked[client]) if each.time <= now), None)
        for each in self.requests:
            if each.client != client or each.first is None:
                continue
            if surely and (each.ghost or not each.done):
                continue
            if last is not None:
                kept = last.forgot and not surely
                if not kept and not self._is_of_bucket_or_later(window, each.time, last.time):
                    continue
                if (each.first <= last.ended) if surely else (each.last < last.began):
                    continue
            yield each

    def _is_of_bucket_or_later(self, window: str, time: int, start: int) -> bool:
        if window == "day":
            return self.day(time) >= self.day(start)
        bucket = BUCKETS[window][1]
        return time // bucket >= start // bucket

    def count(self, client: str, window: str, now: int, *, surely: bool) -> int:
        """Return what is in the buckets that count."""
        return sum(
            each.weight
            for each in self.since_unblocking(client, window, now, surely=surely)
            if self.is_live(window, each.time, now)
        )

    def exact(self, client: str, window: str, now: int, *, surely: bool) -> int:
        """Return what is in the window, by each request's own time; with one bucket more unless surely."""
        length, bucket = BUCKETS[window]
        reach = length if surely else length + bucket
        return sum(
            each.weight
            for each in self.since_unblocking(client, window, now, surely=surely)
            if self.is_within(reach, each.time, now)
        )

    def is_over(self, client: str, now: int, *, surely: bool) -> bool:
        return any(
            self.count(client, window, now, surely=surely) >= limit for window, limit in LIMITS.items()
        )

    def over(self, now: int, *, surely: bool) -> set[str]:
        return {client for client in CLIENTS if self.is_over(client, now, surely=surely)}

    def release(self, client: str, now: int, *, surely: bool) -> int:
        """Return when a client has room everywhere, if nothing is added."""
        if not self.is_over(client, now, surely=surely):
            return now
        steps = [(bucket, 70) for _, bucket in BUCKETS.values()] + [(QUARTER, 110)]
        moments = sorted({(now // step + turn) * step for step, most in steps for turn in range(1, most)})
        free = bisect_left(moments, True, key=lambda moment: not self.is_over(client, moment, surely=surely))
        return moments[free]


class Interference:
    """Lets something happen in the middle of what runs: before or after one of its operations."""

    def __init__(self) -> None:
        self._plan: Plan | None = None
        self._do: Callable[[], None] | None = None
        self._left = 0
        self._dead = False
        self.happened = False

    def arm(self, plan: "Plan", do: Callable[[], None]) -> None:
        self._plan, self._do, self._left = plan, do, plan.times
        self._dead = self.happened = False

    def disarm(self) -> None:
        self._plan, self._do, self._dead = None, None, False

    def step(self, name: str) -> None:
        if self._dead:
            raise KilledError
        if self._plan is None or self._do is None or not name.startswith(self._plan.where):
            return
        self._left -= 1
        if self._left < 0:
            do, self._do = self._do, None
            self.happened = True
            do()

    def kill(self) -> None:
        self._dead = True
        raise KilledError


@dataclass(frozen=True)
class Plan:
    """What happens in the middle of a run."""

    where: str
    """What the operation's name begins with."""
    times: int
    """How many of these operations are let through before."""
    what: str
    number: int


DISTURBANCES = ["unblock"] * 3 + [
    "reset",
    "poison",
    "garbage",
    "edit",
    "cold",
    "pause",
    "resume",
    "resume",
    "allow",
    "disallow",
    "forget",
]
INTERRUPTIONS = ["kill", "fail", "same", "enforce", "rival", "unblock", "pass", "late rival"]


def plans_at(places: list[str]) -> st.SearchStrategy[Plan | None]:
    numbers = st.integers(0, 3)
    some = st.builds(Plan, st.sampled_from(places), numbers, st.sampled_from(INTERRUPTIONS), numbers)
    return st.none() | some


COUNTING = plans_at(["counters.add", "counters.", "blocks.put", "blocks.", "keep", ""])
ENFORCING = plans_at(["sets.read", "blocks.query", "counters.read", "sets.write", "blocks.", "wake", ""])
CUTTING = plans_at(["counters.", "blocks."])
picks = st.lists(st.integers(0, 30), min_size=1, max_size=8)


class LimiterMachine(RuleBasedStateMachine):
    """A limiter on fakes."""

    @initialize(zone=st.sampled_from(sorted(ZONES)), shift=st.integers(0, 60))
    def start(self, zone: str, shift: int) -> None:
        self.now = int(ZONES[zone].timestamp() + shift) * SECOND
        self.given = Rules(
            windows=(
                Window("short", LIMITS["short"], Rolling(20 * SECOND)),
                Window("minute", LIMITS["minute"], Rolling(60 * SECOND)),
                Window("day", LIMITS["day"], Calendar(WindowPeriod.DAY, zone)),
            ),
            counting=Counting(weights={"/heavy": 2}),
            allow=(FRIENDS,),
        )
        self.model = Model(zone)
        self.interference = Interference()
        step = self.interference.step
        self.counters = MemoryCounters(step, ring=RING)
        self.blocks = MemoryBlocks(step)
        self.sets = MemoryIpSets(SETS, step)
        self.kept: dict[str, list[str]] = {}
        self.numbers = count()
        self.turns = count(1)
        self.waiting: list[tuple[Event, Request | None]] = []
        """Events that were never delivered."""
        self.known: dict[str, tuple[Event, Request | None]] = {}
        self.garbage: set[str] = set()
        self.deliveries: dict[tuple[str, ...], Delivery] = {}
        self.touches: dict[str, list[tuple[str, ...]]] = {client: [] for client in CLIENTS}
        self.wakes: list[int] = []
        self.ticked = self.now // TICK * TICK
        self.troubled = self.now - 10 * TICK
        """When something last kept the enforcer from working as it was asked to."""
        self.allowed: set[str] = set()
        self.edited = False
        self.ingests = [self.new_ingest() for _ in range(2)]
        self.enforcers = [self.new_enforcer() for _ in range(2)]

    def new_ingest(self) -> Ingest:
        return Ingest(self.given, self.counters, self.blocks, self.keep, self.clock, workers=1)

    def new_enforcer(self) -> Enforcer:
        return Enforcer(self.given, self.counters, self.blocks, self.sets, self.wake, self.clock, workers=1)

    def clock(self) -> int:
        return self.now

    def keep(self, name: str, lines: Sequence[str]) -> None:
        self.interference.step("keep")
        self.kept[name] = list(lines)

    def wake(self, times: Sequence[int]) -> None:
        self.interference.step("wake")
        self.wakes.extend(times)

    # What clients do.

    @rule(client=st.sampled_from(CLIENTS), number=st.integers(1, 4), plan=COUNTING)
    def use(self, client: str, number: int, plan: Plan | None) -> None:
        """Make some requests that are delivered at once."""
        for turn in range(number):
            self.ask_once(client, turn, "/orders", through=True)
        self.take([event for event, _ in self.waiting[-number:]], number % 2, plan)

    @rule(
        client=st.sampled_from(CLIENTS),
        number=st.integers(1, 4),
        where=st.sampled_from(["blocks.put", "blocks.put done", "counters.add", "counters.add done"]),
        what=st.sampled_from(["kill", "fail"]),
    )
    def use_and_crash(self, client: str, number: int, where: str, what: str) -> None:
        """Make requests that are counted, but not wholly."""
        self.use(client=client, number=number, plan=Plan(where, 0, what, 0))

    @rule(client=st.sampled_from(CLIENTS), times=st.integers(0, 2), others=st.integers(0, RING))
    def use_twice_at_once(self, client: str, times: int, others: int) -> None:
        """Deliver requests while the same delivery, and others, are being counted."""
        self.use(client=client, number=1, plan=Plan("counters.add", times, "same", others))

    @rule(
        clients=st.lists(st.sampled_from(sorted(ADDRESSES)), min_size=1, max_size=3),
        number=st.integers(1, 4),
        route=st.sampled_from(["/orders"] * 4 + ["/heavy", "/health"]),
        through=st.booleans(),
    )
    def ask(self, clients: list[str], number: int, route: str, *, through: bool) -> None:
        """Make requests, of which WAF stops those that it knows, unless it is a little behind."""
        for turn in range(number):
            for client in clients:
                self.ask_once(client, turn, route, through=through)

    def ask_once(self, client: str, turn: int, route: str, *, through: bool) -> None:
        address = ADDRESSES[client][turn % len(ADDRESSES[client])]
        stopped = client in CIDRS and CIDRS[client] in self.sets.held(BLOCK) and not through
        weight = 0 if stopped or client == FRIEND else WEIGHTS[route]
        request = Request(client, self.now, weight) if weight else None
        self.log(self.line(address, route, "WAF_BLOCK" if stopped else "-"), request)

    def write_garbage(self, text: str, address: str | None) -> None:
        self.log(text if address is None else self.line(address, "/orders", "-"), None)
        self.garbage.add(self.waiting[-1][0].id)

    def line(self, address: str, route: str, waf: str) -> str:
        values = {
            "requestId": str(next(self.numbers)),
            "ip": address,
            "time": str(self.now),
            "method": "POST",
            "route": route,
            "status": "403" if waf != "-" else "202",
            "waf": waf,
            "latency": "12",
            "backend": "-" if waf != "-" else "200",
            "principal": "-",
        }
        text = access_log.line_format()
        for name, value in values.items():
            text = text.replace(f'"{access_log.FIELDS[name]}"', f'"{value}"')
        return text

    def log(self, message: str, request: Request | None) -> None:
        entry = Event(f"event-{next(self.numbers)}", message), request
        self.waiting.append(entry)
        self.known[entry[0].id] = entry

    # Deliveries.

    @precondition(lambda self: self.waiting)
    @rule(plan=COUNTING)
    def deliver_all(self, plan: Plan | None) -> None:
        self.take([event for event, _ in self.waiting], 0, plan)

    @precondition(lambda self: self.waiting)
    @rule(picked=picks, ingest=st.integers(0, 1), plan=COUNTING)
    def deliver(self, picked: list[int], ingest: int, plan: Plan | None) -> None:
        """Deliver some events, in any order, and some of them twice."""
        self.take(self.cut(picked), ingest, plan)

    @precondition(lambda self: self.deliveries)
    @rule(picked=st.integers(0, 10), others=st.integers(0, 2 * RING + 2), plan=COUNTING)
    def repeat(self, picked: int, others: int, plan: Plan | None) -> None:
        """Deliver the same again, some time after the first."""
        earlier = list(self.deliveries.values())
        delivery = earlier[-1 - picked % len(earlier)]
        for client in sorted({each.client for each in delivery.requests}):
            self.trickle(client, others)
        self.take(delivery.events, 0, plan)

    @precondition(lambda self: self.deliveries)
    @rule(picked=picks, plan=COUNTING)
    def cut_anew(self, picked: list[int], plan: Plan | None) -> None:
        """Deliver events that were delivered, but in another cut: nobody can tell that from new ones."""
        entries = list(self.known.values())
        self.take([entries[-1 - number % len(entries)][0] for number in picked], 0, plan)

    def trickle(self, client: str, number: int) -> None:
        """Deliver new requests one by one, so that earlier tokens are forgotten."""
        for turn in range(number):
            self.ask_once(client, turn, "/orders", through=True)
            self.take([self.waiting[-1][0]], turn % 2, None)

    def cut(self, picked: Iterable[int]) -> list[Event]:
        return [self.waiting[number % len(self.waiting)][0] for number in picked]

    def take(self, events: list[Event], ingest: int, plan: Plan | None) -> None:
        """Let a delivery be counted, and tell the model."""
        entries = {event.id: self.known[event.id] for event in events}
        self.waiting = [entry for entry in self.waiting if entry[0].id not in entries]
        key = tuple(entries)
        requests = [request for _, request in entries.values() if request]
        delivery = self.deliveries.setdefault(key, Delivery(events, requests))
        counting = self.begin(key, delivery)
        try:
            self.interrupted(plan, lambda: self.ingests[ingest].run(events))
        except (KilledError, IncompleteDeliveryError, BrokenError):
            self.ingests[ingest] = self.new_ingest()
            self.end(delivery, counting, done=False)
        else:
            self.end(delivery, counting, done=True)
            self.check_kept(list(entries))

    def begin(self, key: tuple[str, ...], delivery: Delivery) -> list[Request]:
        """Note what this may count, with the repetitions that may count again, and return it."""
        turn = next(self.turns)
        counting = [each for each in delivery.requests if self.model.counts_anywhere(each.time, self.now)]
        ghosts = []
        clients = {each.client for each in counting}
        for client in clients:
            mine = [each for each in counting if each.client == client]
            touches = self.touches[client]
            if client not in delivery.touched:
                # What others have counted is counted again: this is another cut.
                ghosts += [each for each in mine if each.first is not None]
                delivery.touched[client] = len(touches)
            else:
                others = sum(other != key for other in touches[delivery.touched[client] :])
                if others >= RING and not (delivery.marked and len(clients) > 1):
                    ghosts += mine
            touches.append(key)
        again = [replace(each, first=turn, done=False, ghost=True) for each in ghosts]
        delivery.requests += again
        counting += again
        for each in counting:
            if not each.done:
                each.last = NEVER
            if each.first in {None, turn}:
                each.first = turn
                self.model.requests.append(each)
        return counting

    def end(self, delivery: Delivery, counting: list[Request], *, done: bool) -> None:
        turn = next(self.turns)
        for each in counting:
            if not each.done:
                each.last = turn
                each.done = done
        if done and len({each.client for each in counting}) > 1:
            delivery.marked = True

    def check_kept(self, ids: list[str]) -> None:
        """Lines that are none of the log's are kept, and no others."""
        wrong = [self.known[each][0].message for each in ids if each in self.garbage]
        assert self.kept.get(marker_of(ids).hex(), []) == wrong

    # The enforcer.

    @rule(who=st.integers(0, 1), wakes=st.booleans(), plan=ENFORCING)
    def enforce(self, who: int, plan: Plan | None, *, wakes: bool) -> None:
        """Run, for whatever reason."""
        self.run_enforcer(who, plan, wakes=wakes)

    @rule(
        where=st.sampled_from(["sets.read", "blocks.query", "counters.read", "sets.write", "blocks.finish"]),
        times=st.integers(0, 12),
        what=st.sampled_from(["enforce", "rival"]),
        number=st.integers(3, 5),
    )
    def race(self, where: str, times: int, what: str, number: int) -> None:
        """Run while a client uses its limit up and another enforcer is woken for it."""
        self.run_enforcer(0, Plan(where, times, what, number))

    def run_enforcer(self, who: int = 0, plan: Plan | None = None, *, wakes: bool = True) -> None:
        """Run an enforcer, and check what it leaves."""
        began = self.now
        before = {block.client for block in self.blocks.read().blocks}
        try:
            report = self.interrupted(plan, lambda: self.enforcers[who].run(self.holder(), wakes=wakes))
        except (KilledError, BrokenError) as error:
            self.enforcers[who] = self.new_enforcer()
            self.troubled = self.now + (LEASE if isinstance(error, KilledError) else 0)
            return
        if report.busy or report.paused or self.now > began:
            # A slow one may have lost its lease, and its view is old.
            self.troubled = self.now
        elif plan is None or not self.interference.happened:
            self.check_sets()
            self.check_released(before)
            self.edited = False
        elif not self.blocks.stream and not self.edited:
            self.check_sets()

    def holder(self) -> str:
        return f"run-{next(self.numbers)}"

    def interrupted(self, plan: Plan | None, do: Callable[[], Done]) -> Done:
        """Do something, and what is planned in the middle of it."""
        if plan is None:
            return do()
        self.interference.arm(plan, lambda: self.interrupt(plan))
        try:
            return do()
        finally:
            self.interference.disarm()

    def interrupt(self, plan: Plan) -> None:
        match plan.what:
            case "kill":
                self.interference.kill()
            case "fail":
                raise BrokenError
            case "same" if self.deliveries:
                delivery = list(self.deliveries.values())[-1]
                self.take(delivery.events, 1, None)
                for client in sorted({each.client for each in delivery.requests}):
                    self.trickle(client, plan.number)
            case "enforce":
                self.come_between(plan.number)
            case "rival":
                self.lose_lease()
                self.come_between(plan.number)
            case "unblock":
                self.do_unblock(CLIENTS[plan.number % len(CLIENTS)])
            case "pass":
                self.pass_time((2 * plan.number + 1) * SECOND)
            case "late rival":
                self.pass_time(LEASE + 1)
                self.come_between(plan.number)

    def come_between(self, number: int) -> None:
        """Let requests be counted, and another enforcer be woken by what comes of them."""
        self.trickle(CLIENTS[number % len(CLIENTS)], number)
        self.blocks.stream.clear()
        self.enforcers[1].run(self.holder(), wakes=True)

    def lose_lease(self) -> None:
        """Nothing but work may depend on the lease."""
        self.blocks.partitions.get(CONTROL, {}).pop("lease", None)

    def pass_time(self, milliseconds: int) -> None:
        """Let time pass in the middle of something, so that whatever is due meanwhile comes late."""
        self.now += milliseconds
        self.troubled = self.now

    def check_released(self, before: set[str]) -> None:
        """Nobody is let in again whose counter says that its limit is used up."""
        known = self.counters.read(before)
        for client in before - {block.client for block in self.blocks.read().blocks}:
            assert worst(self.given.standings(client, known.get(client, NOTHING), self.now)) is None

    def check_sets(self) -> None:
        """After a run, the sets hold exactly who is blocked, and that is who used a limit up."""
        blocked = {block.client for block in self.blocks.read().blocks if block.until > self.now}
        assert self.sets.held(BLOCK) == {CIDRS[client] for client in blocked}
        assert self.model.over(self.now, surely=True) <= blocked
        assert blocked <= self.model.over(self.now, surely=False)
        assert self.sets.held(ALLOW) == {FRIENDS, *self.allowed}

    def edit_by_hand(self, number: int, client: str, *, take: bool) -> None:
        name = SETS[number % len(SETS)]
        foreign = {4: "100.64.0.0/24", 6: "2001:db8:1234::/48"}[name.family]
        addresses = {each for each in (CIDRS[client], foreign) if (":" in each) == (name.family == 6)}
        if take:
            self.sets.edit(name, remove=self.sets.held(name.role))
        else:
            self.sets.edit(name, add=addresses)
        self.edited = True
        self.troubled = self.now

    @rule(
        what=st.sampled_from(DISTURBANCES),
        text=st.sampled_from(GARBAGE) | st.text(max_size=20),
        address=st.sampled_from(NO_ADDRESSES),
        number=st.integers(0, 11),
        plan=CUTTING,
    )
    def disturb(self, what: str, text: str, address: str | None, number: int, plan: Plan | None) -> None:
        """Do what others do."""
        match what:
            case "garbage":
                self.write_garbage(text, address)
            case "edit":
                self.edit_by_hand(number, CLIENTS[number % len(CLIENTS)], take=number % 2 == 0)
            case "unblock" | "reset":
                self.unblock(CLIENTS[number % len(CLIENTS)], plan, forget=what == "reset")
            case "poison":
                self.poison(number)
            case "cold":
                self.ingests = [self.new_ingest() for _ in range(2)]
                self.enforcers = [self.new_enforcer() for _ in range(2)]
            case "pause":
                self.blocks.pause(self.now)
            case "resume":
                self.blocks.resume()
            case "allow" | "disallow":
                self.allow(NETWORKS[number % len(NETWORKS)], what == "allow")
            case "forget":
                self.forget_what_expired(number)

    def forget_what_expired(self, number: int) -> None:
        """Let DynamoDB delete what has expired, which it does some time later and in no order."""
        if number % 3 != 0:
            self.blocks.delete_expired(self.now)
        if number % 3 != 1:
            self.counters.delete_expired(self.now)

    def allow(self, network: str, on: bool) -> None:
        if on:
            self.allowed.add(network)
            self.blocks.allow(Allowance(network, self.now))
        else:
            self.allowed.discard(network)
            self.blocks.disallow(network)

    def poison(self, number: int) -> None:
        """Let somebody write what is none of ours."""
        place, client, record = POISONS[number % len(POISONS)]
        self.blocks.write(place, client, dict(record))

    def unblock(self, client: str, plan: Plan | None, *, forget: bool) -> None:
        if plan and plan.what in {"kill", "fail", "unblock"}:
            plan = None
        self.interrupted(plan, lambda: self.do_unblock(client, forget=forget))

    def do_unblock(self, client: str, *, forget: bool = False) -> None:
        counters: Any = self.counters
        blocks: Any = self.blocks
        operator = Operator(self.given, counters, blocks, self.clock)
        began, now = next(self.turns), self.now
        (operator.reset if forget else operator.unblock)(client)
        self.model.unblocked[client].append(Unblocking(now, began, next(self.turns), forget))

    # Time.

    @rule(
        seconds=st.sampled_from([1, 2, 3, 7, 19, 20, 21, 45, 61, 64, 90, 200, MIDNIGHT]),
        odd=st.integers(-999, 999),
        days=st.sampled_from([0] * 6 + [1, 3]),
        lost=st.sampled_from([False, False, False, True]),
    )
    def wait(self, seconds: int, odd: int, days: int, *, lost: bool) -> None:
        """Let time pass, with the runs that were asked for and the schedule's."""
        until = self.midnight(days) if seconds == MIDNIGHT else self.now + seconds * SECOND
        self.move(max(until + odd, self.now), lost=lost)

    def midnight(self, days: int) -> int:
        """Return the end of this day, or of a later one."""
        later = self.now + days * DAY
        quarters = (later // QUARTER * QUARTER + number * QUARTER for number in range(1, 110))
        return next(each for each in quarters if self.model.day(each) != self.model.day(later))

    def move(self, until: int, *, lost: bool) -> None:
        self.settle()
        while (due := min([self.next_tick(), *self.wakes])) <= until:
            self.now = max(self.now, due)
            self.nobody_is_blocked_for_too_long()
            if due in self.wakes:
                self.wakes.remove(due)
                if lost:
                    self.troubled = self.now
                else:
                    self.run_enforcer(wakes=False)
            else:
                self.ticked = due
                self.run_enforcer(wakes=True)
            self.settle()
            self.nobody_is_blocked_for_too_long()
        self.now = until
        self.ticked = until // TICK * TICK
        if self.blocks.is_paused():
            self.troubled = self.now

    def next_tick(self) -> int:
        """Return the schedule's next tick at which there is something to do."""
        following = self.ticked + TICK
        held = self.blocks.read()
        if held.paused:
            return self.now + 10 * DAY
        if self.troubled > self.now - 3 * TICK:
            return following
        first = min((block.until for block in held.blocks), default=self.now + 5 * DAY)
        return max(following, (first - 2 * TICK) // TICK * TICK)

    def settle(self) -> None:
        """Let the stream wake the enforcer, as long as there is something new in it."""
        for _ in range(10):
            if not self.blocks.stream:
                return
            self.blocks.stream.clear()
            self.run_enforcer(wakes=True)
        pytest.fail("the enforcer wakes itself for ever")

    # What always holds.

    @invariant()
    def the_counts_are_those_of_the_requests(self) -> None:
        known = self.counters.read(CLIENTS)
        for client in CLIENTS:
            for standing in self.given.standings(client, known.get(client, NOTHING), self.now):
                window, model = standing.window, self.model
                least, most = (
                    model.count(client, window, self.now, surely=surely) for surely in (True, False)
                )
                assert least <= standing.count <= most, (client, window)
                if window in BUCKETS:
                    surely = model.exact(client, window, self.now, surely=True)
                    assert surely <= standing.count, (client, window)
                    assert standing.count <= model.exact(client, window, self.now, surely=False)

    @invariant()
    def who_used_a_limit_up_has_a_block_until_there_is_room(self) -> None:
        blocks = {block.client: block for block in self.blocks.read().blocks if block.until > self.now}
        assert set(blocks) <= set(CLIENTS)
        for client in CLIENTS:
            least, most = (self.model.release(client, self.now, surely=surely) for surely in (True, False))
            until = blocks[client].until if client in blocks else self.now
            assert least <= until <= most, client

    @invariant()
    def nobody_is_blocked_for_too_long(self) -> None:
        """Late by 5 s at most, or by one tick of the schedule after trouble."""
        if self.now <= self.troubled + TICK + LATE:
            return
        held = self.sets.held(BLOCK)
        moments = range(self.now - LATE, self.now + 1, SECOND // 2)
        for client in CLIENTS:
            if any(self.now <= each.time + LATE for each in self.model.unblocked[client]):
                continue
            assert CIDRS[client] not in held or any(
                self.model.is_over(client, moment, surely=False) for moment in moments
            ), client

    @invariant()
    def nobody_else_is_counted(self) -> None:
        assert set(self.counters.items) <= set(CLIENTS)


@pytest.mark.uncovered  # other tests reach these lines too, and this one is twice as fast without
@pytest.mark.timeout(0 if MORE else 180)
def test_a_limiter_is_right_whatever_happens_in_whatever_order() -> None:
    run_state_machine_as_test(
        LimiterMachine,
        settings=settings(
            max_examples=int(MORE or EXAMPLES),
            stateful_step_count=STEPS,
            deadline=None,
            derandomize=not MORE,
            phases=set(settings().phases) - {Phase.explain},
            suppress_health_check=list(HealthCheck),
        ),
    )
