"""What an operator does with a limiter: look, block, unblock, allow, and let the enforcers stand still."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from .blocks import OPERATOR, Allowance, Block, BlockTable, Change, Snapshot
from .clients import Networks, canonical, cidr, family, parse
from .counters import CounterTable
from .dynamodb import ContentionError
from .rules import NOTHING, Rules, Standing, worst
from .sets import CAPACITY

PAUSE_SECONDS = 30.0
POLL_SECONDS = 0.5


class StillWorkingError(RuntimeError):
    """An enforcer did not finish in time; the pause holds all the same."""


class FullError(ValueError):
    """There is no room for one more."""


@dataclass(frozen=True)
class Explanation:
    """How a client stands."""

    client: str
    standings: tuple[Standing, ...]
    block: Block | None
    """What keeps it out; none where nothing does, or where its time is over."""
    allowed_by: str | None
    """The CIDR of the allow list that it is in."""
    free_at: int | None
    """When it is free again, as things stand; none where it is free."""


@dataclass(frozen=True)
class Operator:
    """The operations, on one limiter."""

    rules: Rules
    counters: CounterTable
    blocks: BlockTable
    clock: Callable[[], int]
    """Milliseconds since 1970."""
    count_only: bool = False
    """Whether WAF lets in all the same who is blocked here."""

    def blocked(self) -> Snapshot:
        """Return who is blocked now, latest release first, and the allow list."""
        now = self.clock()
        held = self.blocks.read()
        live = sorted((each for each in held.blocks if each.until > now), key=lambda each: -each.until)
        return Snapshot(tuple(live), held.allowances, held.paused, held.unreadable)

    def explain(self, client: str) -> Explanation:
        """Return how a client stands in every window, and when it is free."""
        now = self.clock()
        known = self.counters.read([client]).get(client, NOTHING)
        standings = self.rules.standings(client, known, now)
        block = self.blocks.get(client)
        live = block if block and block.until > now else None
        over = worst(standings)
        ends = [each for each in (live and live.until, over and over.room_at) if each]
        allowed_by = self.allowed_by(client)
        return Explanation(
            client, tuple(standings), live, allowed_by, None if allowed_by else max(ends, default=None)
        )

    def block(self, client: str, milliseconds: int, reason: str) -> tuple[Block, Change]:
        """Block a client from now on for some time; a block that ends later stays as it is.

        Raises:
            ContentionError: if somebody unblocks the client at the same moment.
        """
        now = self.clock()
        generation = self.counters.read([client]).get(client, NOTHING).generation
        wanted = Block(client, OPERATOR, now, now + milliseconds, generation, reason)
        change = self.blocks.put(wanted)
        held = self.blocks.get(client)
        if held is None or held.until <= now:
            raise ContentionError(f"{client} is being unblocked at this moment; try again")
        return held, change

    def unblock(self, client: str) -> None:
        """Free a client until it uses its limit again: what it did until now does not count."""
        now = self.clock()
        known = self.counters.read([client]).get(client, NOTHING)
        # The generation first: what was decided before it can then no longer block.
        generation = self.counters.cut(client, self.rules.cuts(known, now), self.rules.expires(now))
        self.blocks.unblock(client, generation, now)

    def reset(self, client: str) -> None:
        """Free a client and forget what it did."""
        now = self.clock()
        known = self.counters.read([client]).get(client, NOTHING)
        generation = self.counters.forget(client, known.counters.keys(), self.rules.expires(now))
        self.blocks.unblock(client, generation, now)

    def allow(self, network: str, reason: str) -> Allowance:
        """Never count and never block the addresses of a CIDR any more.

        Raises:
            FullError: if the allow list holds as many CIDRs of the family as an IP set takes.
        """
        listed = {*self.rules.allow, *(each.network for each in self.blocks.allowances())}
        of_family = [each for each in listed if family(each) == family(network)]
        if network not in listed and len(of_family) >= CAPACITY:
            raise FullError(f"the allow list is full: {CAPACITY} CIDRs of IPv{family(network)}")
        allowance = Allowance(network, self.clock(), reason)
        self.blocks.allow(allowance)
        return allowance

    def disallow(self, network: str) -> bool:
        """Count and block a CIDR again; return whether it was on the operator's allow list."""
        return self.blocks.disallow(network)

    def pause(self) -> None:
        """Let the enforcers write nothing more, and wait until none is at work.

        Raises:
            StillWorkingError: if one is still at work after half a minute.
        """
        self.blocks.pause(self.clock())
        deadline = time.monotonic() + PAUSE_SECONDS
        while self.blocks.is_held(self.clock()):
            if time.monotonic() > deadline:
                raise StillWorkingError(f"an enforcer is still at work after {PAUSE_SECONDS:.0f} s")
            time.sleep(POLL_SECONDS)

    def resume(self) -> None:
        """Let the enforcers work again; the next minute's run catches up."""
        self.blocks.resume()

    def allowed_by(self, client: str) -> str | None:
        """Return the CIDR of the allow list that holds a whole client."""
        first = parse(cidr(client).partition("/")[0])
        length = int(cidr(client).partition("/")[2])
        for each in (*self.rules.allow, *(each.network for each in self.blocks.allowances())):
            if int(canonical(each).partition("/")[2]) <= length and first in Networks([each]):
                return each
        return None
