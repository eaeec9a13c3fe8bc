"""The limiter's second half: blocks in, WAF's IP sets out.

Level-triggered: each pass makes the sets what the table says, whatever they held and however it was woken. So
a lost wake-up, a crash and a hand edit are healed by the next pass. Any number of enforcers at once are
correct, since a set is read before the table and written only if nobody wrote to it since; the lease saves
them the work.
"""

import heapq
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from sluice.limiter.blocks import Allowance, Block, Blocks, Lease, Snapshot, spread
from sluice.limiter.clients import FAMILIES, cidr, family
from sluice.limiter.counters import Counters
from sluice.limiter.rules import NOTHING, Rules, worst
from sluice.limiter.sets import ALLOW, BLOCK, CAPACITY, SetName
from sluice.limiter.windows import SECOND

from .ip_sets import Content, IpSets, StaleTokenError
from .parallel import WORKERS, outcomes

LEASE = 15 * SECOND
"""How long a lease is held without being renewed; an enforcer that died is replaced after that."""
HORIZON = 65 * SECOND
"""How far ahead releases are woken for: to the schedule's next tick, and a little more."""
MOST_PASSES = 20
LONGEST_RUN = 60 * SECOND
"""After either, what is still asked for is left to the next run."""
PERCENT = 100


@dataclass
class Report:
    """What a run came to."""

    busy: bool = False
    """Another enforcer works, and has been asked to look again."""
    paused: bool = False
    passes: int = 0
    conflicts: int = 0
    """Passes that started over since somebody else wrote to a set."""
    written: int = 0
    """Sets."""
    live: int = 0
    released: int = 0
    extended: int = 0
    """Blocks whose time was over, but not their client's count."""
    evicted: int = 0
    """Blocks for which the sets have no room."""
    unreadable: tuple[str, ...] = ()
    fill: float = 0.0
    """Per cent of the capacity that the fullest set would need."""
    block_lag: int | None = None
    """The longest time from a crossing to its write, in milliseconds; none where nothing was added."""
    release_lag: int | None = None
    """The longest time from a block's end to its write, in milliseconds; none where nothing was released."""


@dataclass(frozen=True)
class Wanted:
    """What the sets are to hold."""

    contents: dict[SetName, frozenset[str]]
    evicted: int
    fill: float


@dataclass(frozen=True)
class Verdict:
    """Which blocks hold, and which are over."""

    live: list[Block]
    over: list[Block]
    extended: int


Result = TypeVar("Result")
Wake = Callable[[Sequence[int]], None]
"""Asks for runs at these times, in milliseconds since 1970."""


class Enforcer:
    """Keeps the IP sets as the table says; one for a whole execution environment."""

    def __init__(  # noqa: PLR0913, PLR0917 - each is another neighbour
        self,
        rules: Rules,
        counters: Counters,
        blocks: Blocks,
        sets: IpSets,
        wake: Wake,
        clock: Callable[[], int],
        *,
        workers: int = WORKERS,
    ) -> None:
        """Work by ``rules``, for so many blocks at once; ``clock`` tells milliseconds since 1970."""
        self._workers = workers
        self._rules = rules
        self._counters = counters
        self._blocks = blocks
        self._sets = sets
        self._wake = wake
        self._clock = clock
        self._woken: set[int] = set()

    def run(self, holder: str, *, wakes: bool) -> Report:
        """Make the sets what the table says, until nobody asks any more.

        Args:
            holder: who runs, unlike everybody else.
            wakes: whether to ask for runs at the releases ahead. A run that was asked for in this way must
                not, unless another that may has asked it to: Lambda would stop the circle of function and
                queue after some rounds ("Lambda recursive loop detection", which knows no streams of tables).
        """
        report = Report()
        began = self._clock()
        lease = self._blocks.acquire(holder, began, began + LEASE, wakes=wakes)
        if lease is None:
            report.busy = True
            return report
        try:
            while not (self._pass(lease, report, wakes=wakes) and self._blocks.finish(lease)):
                if report.passes >= MOST_PASSES or self._clock() - began > LONGEST_RUN:
                    self._blocks.drop(lease)
                    break
                now = self._clock()
                # Where the lease was lost, its holder is asked to look again: what this pass wrote may come
                # from an older look than that one's.
                renewed = self._blocks.renew(lease, now + LEASE) or self._blocks.acquire(
                    holder, now, now + LEASE, wakes=wakes
                )
                if renewed is None:
                    break
                # Who asked had no pass of its own; what it would have woken for is left to this one.
                wakes = wakes or renewed.asked_to_wake > lease.asked_to_wake
                lease = renewed
        except BaseException:
            self._blocks.drop(lease)
            raise
        return report

    def _pass(self, lease: Lease, report: Report, *, wakes: bool) -> bool:
        """Compare once, write what differs, and return whether that was all there is to do."""
        report.passes += 1
        # Before the table: a write then succeeds only if nobody wrote what a newer look at it asked for.
        held = {name: self._sets.read(name) for name in self._sets.names}
        self._hold(lease)
        snapshot = self._blocks.read()
        report.unreadable = snapshot.unreadable
        report.paused = snapshot.paused
        if snapshot.paused:
            return True
        now = self._clock()
        verdict = self._judge(snapshot.blocks, now)
        wanted = self._want(verdict.live, snapshot)
        report.live = len(verdict.live)
        report.extended += verdict.extended
        report.evicted, report.fill = wanted.evicted, wanted.fill
        try:
            self._write(held, wanted, lease, report)
        except StaleTokenError:
            report.conflicts += 1
            return False
        self._tell_lags(held, wanted, verdict, report)
        gone = self._at_once(self._blocks.release, verdict.over)
        report.released += gone.count(True)
        if wakes:
            self._wake_for(verdict.live, now)
        # One that was extended meanwhile holds again.
        return False not in gone

    def _hold(self, lease: Lease) -> None:
        """Hold the lease for longer. Where it is lost, somebody else works as well, and both are right."""
        # Not to look who has asked: this pass may have read the table already.
        self._blocks.renew(lease, self._clock() + LEASE)

    def _at_once(self, do: Callable[[Block], Result], blocks: Iterable[Block]) -> list[Result]:
        """Return what became of each block, or raise the first failure when the others are done."""
        done = []
        for each in outcomes(do, blocks, self._workers):
            if isinstance(each, Exception):
                raise each
            done.append(each)
        return done

    def _judge(self, blocks: Iterable[Block], now: int) -> Verdict:
        """Tell the blocks that hold from those that are over, asking the counters once more."""
        live: list[Block] = []
        due: list[Block] = []
        for block in blocks:
            (live if block.until > now else due).append(block)
        over: list[Block] = []
        longer: list[Block] = []
        known = self._counters.read(block.client for block in due)
        for block in due:
            counted = known.get(block.client, NOTHING)
            standing = worst(self._rules.standings(block.client, counted, now))
            if standing is None:
                over.append(block)
                continue
            longer.append(
                replace(block, window=standing.window, until=standing.room_at, generation=counted.generation)
            )
        self._at_once(self._blocks.put, longer)
        return Verdict([*live, *longer], over, extended=len(longer))

    def _want(self, live: Iterable[Block], snapshot: Snapshot) -> Wanted:
        """Spread blocks over the sets; where one is full, the blocks with the earliest end go."""
        sets = {
            (role, each): [name for name in self._sets.names if (name.role, name.family) == (role, each)]
            for role in (BLOCK, ALLOW)
            for each in FAMILIES
        }
        filed: dict[SetName, list[Block]] = {name: [] for name in self._sets.names}
        for block in live:
            candidates = sets[BLOCK, family(block.client)]
            filed[candidates[spread(block.client, len(candidates))]].append(block)
        contents, evicted, fullest = {}, 0, 0
        for name, blocks in filed.items():
            if name.role == ALLOW:
                addresses = self._allowed(snapshot.allowances, name.family)
            else:
                kept = heapq.nlargest(CAPACITY, blocks, key=lambda block: (block.until, block.client))
                addresses = [cidr(block.client) for block in kept]
                fullest = max(fullest, len(blocks))
                evicted += len(blocks) - len(kept)
            contents[name] = frozenset(addresses)
        return Wanted(contents, evicted, PERCENT * fullest / CAPACITY)

    def _allowed(self, allowances: Sequence[Allowance], wanted: int) -> list[str]:
        """Return a family's allow list: the rules' CIDRs first, then the operator's, oldest first."""
        added = [each.network for each in sorted(allowances, key=lambda each: each.since)]
        networks = dict.fromkeys([*self._rules.allow, *added])
        return [each for each in networks if family(each) == wanted][:CAPACITY]

    def _write(self, held: dict[SetName, Content], wanted: Wanted, lease: Lease, report: Report) -> None:
        # The allow list first: nobody on it is to be blocked for the second between two writes.
        for name, addresses in sorted(wanted.contents.items(), key=lambda each: each[0].role != ALLOW):
            if held[name].addresses == addresses:
                continue
            self._sets.write(name, addresses, held[name].token)
            report.written += 1
            self._hold(lease)

    def _tell_lags(
        self, held: dict[SetName, Content], wanted: Wanted, verdict: Verdict, report: Report
    ) -> None:
        """Tell how long it took from a crossing or an end to this moment, where a set changed for it."""
        now = self._clock()
        added = {
            address
            for name, addresses in wanted.contents.items()
            for address in addresses - held[name].addresses
            if name.role == BLOCK
        }
        lags = [now - block.since for block in verdict.live if cidr(block.client) in added]
        report.block_lag = _longest(report.block_lag, lags)
        report.release_lag = _longest(report.release_lag, [now - block.until for block in verdict.over])

    def _wake_for(self, live: Iterable[Block], now: int) -> None:
        """Ask for a run for each second of the near future in which a block ends, at the last of its ends."""
        self._woken = {due for due in self._woken if due > now}
        ends: dict[int, int] = {}
        for block in live:
            if block.until <= now + HORIZON:
                second = block.until // SECOND
                ends[second] = max(ends.get(second, 0), block.until)
        fresh = sorted(set(ends.values()) - self._woken)
        if fresh:
            self._wake(fresh)
            self._woken.update(fresh)


def _longest(known: int | None, lags: list[int]) -> int | None:
    return max([*lags, *([] if known is None else [known])], default=None)
