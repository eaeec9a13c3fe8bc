"""The demo of the limiter: five clients of which two ask too often, over windows of seconds."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus

import aiohttp

from sluice.limiter import rules
from sluice.limiter.blocks import BlockTable
from sluice.limiter.rules import Rules

from .stack import LocalAws, LocalStack

QUIET_SECONDS = 1.0
"""Between two requests of a client that stays below its limit."""
BUSY_SECONDS = 0.1
WAITING_SECONDS = 0.25
"""Between two tries of a client that is blocked."""
PATIENCE_SECONDS = 45.0
AFTERWARDS_SECONDS = 2.0
"""How long the others go on when the last is free again."""


@dataclass(frozen=True)
class Visitor:
    """One client, and what it is to do."""

    name: str
    client: str
    """As the limiter counts it."""
    busy: bool
    address: Callable[[int], str]
    """Where its n-th request comes from."""
    delay: float = 0.0
    """Seconds after which it begins."""


VISITORS = (
    Visitor("too often", "198.51.100.7", busy=True, address=lambda _: "198.51.100.7"),
    Visitor(
        "too often, from all of it",
        "2001:db8:1:2::/64",
        busy=True,
        address=lambda n: f"2001:db8:1:2::{n:x}",
        # Its IP set is another one, and WAF takes one write a second.
        delay=2.0,
    ),
    Visitor("its neighbour", "198.51.100.8", busy=False, address=lambda _: "198.51.100.8"),
    Visitor("the next one", "2001:db8:1:3::/64", busy=False, address=lambda n: f"2001:db8:1:3::{n:x}"),
    Visitor("elsewhere", "203.0.113.9", busy=False, address=lambda _: "203.0.113.9"),
)


@dataclass
class Visit:
    """What became of one client; times are seconds since the beginning."""

    name: str
    client: str
    busy: bool
    requests: int = 0
    accepted: int = 0
    refused: int = 0
    """Answers of 429."""
    others: int = 0
    """Answers that are neither."""
    crossed: float | None = None
    """When the request was accepted that used up the limit."""
    first_429: float | None = None
    room_at: float | None = None
    """When the window had room again, as the block said last."""
    released: float | None = None
    """When a request was accepted again."""

    @property
    def blocked_after(self) -> float | None:
        """Seconds from the crossing to the first 429."""
        if self.crossed is None or self.first_429 is None:
            return None
        return round(self.first_429 - self.crossed, 2)

    @property
    def released_after(self) -> float | None:
        """Seconds from the time when there was room to the first request that was accepted again."""
        if self.room_at is None or self.released is None:
            return None
        return round(self.released - self.room_at, 2)

    def see(self, status: int, now: float, limit: int) -> None:
        """Take down an answer."""
        self.requests += 1
        if status == HTTPStatus.TOO_MANY_REQUESTS:
            self.refused += 1
            self.first_429 = self.first_429 or now
        elif status == HTTPStatus.ACCEPTED:
            self.accepted += 1
            self.released = self.released or (now if self.first_429 else None)
            if self.accepted == limit and self.busy:
                self.crossed = now
        else:
            self.others += 1


def visit(local: LocalAws, stack: LocalStack) -> list[Visit]:
    """Let the clients come, until those that are blocked are free again, and return what they saw."""
    return asyncio.run(_visit(local, stack))


async def _visit(local: LocalAws, stack: LocalStack) -> list[Visit]:
    started = time.monotonic()
    visits = [Visit(each.name, each.client, each.busy) for each in VISITORS]
    limit = tightest(stack)
    done = asyncio.Event()

    async def come(session: aiohttp.ClientSession, visitor: Visitor, seen: Visit) -> None:
        await asyncio.sleep(visitor.delay)
        while not done.is_set():
            headers = local.edge.as_client(visitor.address(seen.requests))
            async with session.post(stack.outputs["url"], data=b"{}", headers=headers) as answer:
                await answer.read()
            seen.see(answer.status, time.monotonic() - started, limit)
            await asyncio.sleep(pause(seen))

    async with aiohttp.ClientSession(headers={"Content-Type": "application/json"}) as session:
        coming = [
            asyncio.create_task(come(session, visitor, seen))
            for visitor, seen in zip(VISITORS, visits, strict=True)
        ]
        await _watch(local, stack, visits, started)
        await asyncio.sleep(AFTERWARDS_SECONDS)
        done.set()
        await asyncio.gather(*coming)
    return visits


async def _watch(local: LocalAws, stack: LocalStack, visits: Sequence[Visit], started: float) -> None:
    """Read the blocks' ends while they last, and return when all that were busy are free again."""
    blocks = BlockTable(local.aws.client("dynamodb"), stack.outputs["limiter"]["blocks"])
    offset = time.time() - time.monotonic()
    busy = [each for each in visits if each.busy]
    while any(each.released is None for each in busy) and time.monotonic() - started < PATIENCE_SECONDS:
        held = await asyncio.to_thread(blocks.read)
        ends = {each.client: each.until / 1000 - offset - started for each in held.blocks}
        for each in busy:
            # What is blocked anew after its release is another story.
            if each.released is None:
                each.room_at = ends.get(each.client, each.room_at)
        await asyncio.sleep(WAITING_SECONDS)


def pause(seen: Visit) -> float:
    """Return how long a client waits before its next request: a busy one slows down when it is refused."""
    if not seen.busy or seen.released is not None:
        return QUIET_SECONDS
    return BUSY_SECONDS if seen.first_429 is None else WAITING_SECONDS


def known_rules(stack: LocalStack) -> Rules:
    """Return the rules that a stack was deployed with."""
    return rules.loads(stack.outputs["limiter"]["rules"])


def tightest(stack: LocalStack) -> int:
    """Return the smallest limit of a stack."""
    return min(window.limit for window in known_rules(stack).windows)
