"""Two hundred callers of one upstream at once, over a real budget in Amazon's DynamoDB Local."""

import asyncio
import itertools
import os
import time
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks.driving import Machine
from handlers.retrier.attempt import STALE_SECONDS, attempt
from handlers.retrier.budget import Admission, Budget, Go, Hold
from handlers.retrier.wire import Answer, Request
from handlers.retrier.world import World
from local.emulator import ACCESS_KEY
from sluice.retrier.rules import MS, Pace, Rules, Upstream
from tests.unit import retrier_rules

from . import backends

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

CALLERS = 200
ARRIVING_SECONDS = 4.0
"""Over how long they come: five times as fast as they may call."""
FEWER_CALLERS = 80
PACE = Pace(calls=10, seconds=1, burst=1)
WINDOW_SECONDS = 5
BEYOND = 1.1
"""No call comes before its slot, and slots are exact. But calls come some time after: a little later than
`STALE_SECONDS` at most, whatever the table takes to answer, and what this one process, where each function
has its own, sleeps too long. In windows of five seconds, wherever they begin, a tenth more than the budget
bears half a second of both. What was slept too long beyond that is added, up to half a second."""
BORNE_SECONDS = WINDOW_SECONDS * (BEYOND - 1) - STALE_SECONDS
MOST_LATE_SECONDS = 0.5
TOO_SLOW_SECONDS = 0.5
"""An upstream asks for pauses of a second: by then all who are about to call have to know of one."""
LATENESS_SECONDS = 1.5
"""How much after its deadline somebody is told at the latest: what counts is that no call begins after it."""
NOTICED_SECONDS = 0.3
"""How soon a pause is known to a call that was about to be sent."""
LATENCY_SECONDS = 0.02
WORKERS = 32
MS_ROUNDING = 0.0005
CLOCKS_SECONDS = 0.005
NUMBERS = itertools.count()
RULES = replace(
    retrier_rules.rules(),
    upstreams=(Upstream(retrier_rules.ALLOWED, PACE),),
    attempts=20,
    deadline_seconds=8,
    cap_seconds=5,
)
OWN_WORDS = {"budget": "BudgetUsedUp", "pause": "UpstreamPaused", "deadline": "DeadlineExceeded"}

Json = dict[str, Any]


@dataclass
class Sleeper:
    """Sleeps, and knows how much too long."""

    overslept: float = 0.0
    """Seconds, at most."""

    async def sleep(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        await asyncio.sleep(seconds)
        self.overslept = max(self.overslept, time.monotonic() - end)


@dataclass
class Limiting:
    """An upstream with a token bucket, which tells everybody beyond it to come again in a second."""

    calls_a_second: float
    size: int
    seen: list[float] = field(default_factory=list)
    """When each call came, also those that it limited."""
    limited: int = 0
    _empty_at: float = 0.0

    async def send(self, _request: Request, timeout_seconds: float, _admit: object = None) -> Answer:
        assert timeout_seconds > 0
        now = time.monotonic()
        self.seen.append(now)
        limits = (self._empty_at - now) * self.calls_a_second > self.size - 1
        if limits:
            self.limited += 1
        else:
            self._empty_at = max(self._empty_at, now) + 1 / self.calls_a_second
        await asyncio.sleep(LATENCY_SECONDS)
        return Answer(429, {"retry-after": "1"}, b"") if limits else Answer(200, {}, b"done")


class Watched(Budget):
    """A budget of which it is known what slots it gave, and what pauses it knows from when on."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        super().__init__(client, table, None)
        self.slots: list[float] = []
        self.pauses: list[tuple[float, float]] = []
        self.slowest = 0.0
        """How many seconds an answer took at most, and waiting for a thread to ask."""

    def admit(self, upstream: str, egress: str, pace: Pace | None, now: float, latest: float) -> Admission:
        found = super().admit(upstream, egress, pace, now, latest)
        self.slots += [found.at] if isinstance(found, Go) else []
        self.slowest = max(self.slowest, time.time() - now)
        return found

    def standing(self, upstream: str, egress: str, now: float) -> Hold | None:
        found = super().standing(upstream, egress, now)
        self.slowest = max(self.slowest, time.time() - now)
        return found

    def pause(self, upstream: str, egress: str | None, until: float, now: float) -> None:
        end = time.monotonic() + until - now
        super().pause(upstream, egress, until, now)
        self.pauses.append((time.monotonic(), end))


@dataclass
class Ended:
    """What came of a call, and after how many seconds."""

    outcome: Json
    seconds: float

    @property
    def is_answered(self) -> bool:
        return bool(self.outcome["ok"] and self.outcome["status"] == 200)

    @property
    def is_truthful(self) -> bool:
        """Whether it says why nothing better came, and what it says is so."""
        gave_up, error = self.outcome.get("gave_up"), self.outcome.get("error")
        if error is None:
            return gave_up in OWN_WORDS and self.outcome["status"] == 429
        return bool(OWN_WORDS.get(str(gave_up)) == error["code"] and self.outcome["attempts"] == 0)


@pytest.fixture
def budget(dynamodb_local_url: str) -> Iterator[Watched]:
    with closing(backends.client_of(dynamodb_local_url, ACCESS_KEY)) as client:
        table = backends._create(client, f"swarm-{os.getpid()}-{next(NUMBERS)}", {"id": "HASH"})
        yield Watched(client, table)
        client.delete_table(TableName=table)


def swarm(  # noqa: PLR0913 - who calls whom, and how
    budget: Budget,
    upstream: Limiting,
    rules: Rules,
    sleeper: Sleeper,
    *,
    callers: int = CALLERS,
    arriving_seconds: float = ARRIVING_SECONDS,
) -> list[Ended]:
    """Make all calls, and return what came of each."""
    unread: Any = SimpleNamespace(
        **dict.fromkeys(("attempted", "held", "ended", "troubled"), lambda *_: None)
    )
    no_secrets: Any = None
    world = World(upstream, budget, no_secrets, unread, sleep=sleeper.sleep)
    machine = Machine(lambda event: attempt(rules, world, event))

    async def call(number: int) -> Ended:
        await asyncio.sleep(arriving_seconds * number / callers)
        began = time.monotonic()
        outcome = await machine.run({"url": f"https://api.example.com/{number}"})
        return Ended(outcome, time.monotonic() - began)

    async def calls() -> list[Ended]:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(WORKERS))
        return list(await asyncio.gather(*map(call, range(callers))))

    return asyncio.run(calls())


def most_in_a_window(times: Sequence[float], seconds: float) -> int:
    """Return how many times at most lie in any window of a length."""
    return max(bisect_left(times, begin + seconds) - number for number, begin in enumerate(times))


def assert_is_within_its_budget(upstream: Limiting, budget: Watched, sleeper: Sleeper) -> None:
    slots = sorted(budget.slots)
    assert all(
        later - earlier >= PACE.step_ms / MS - MS_ROUNDING for earlier, later in itertools.pairwise(slots)
    )
    # Some were given up; what was called had one of its own, which was over.
    since = time.time() - time.monotonic()
    assert all(
        seen + since >= slot - CLOCKS_SECONDS for seen, slot in zip(upstream.seen, slots, strict=False)
    )
    assert len(upstream.seen) <= len(slots)
    whole = upstream.seen[-1] - upstream.seen[0]
    assert len(upstream.seen) <= PACE.calls * whole * BEYOND
    late = max(0.0, sleeper.overslept - BORNE_SECONDS)
    assert late <= MOST_LATE_SECONDS, "the machine was too slow to show anything"
    most = most_in_a_window(upstream.seen, WINDOW_SECONDS)
    assert most <= PACE.calls * (WINDOW_SECONDS * BEYOND + late)


def test_an_upstream_that_allows_what_the_budget_says_limits_nobody_and_is_used_in_full(
    budget: Watched,
) -> None:
    upstream, sleeper = Limiting(PACE.calls, size=PACE.calls), Sleeper()
    ended = swarm(budget, upstream, RULES, sleeper)

    assert_is_within_its_budget(upstream, budget, sleeper)
    assert upstream.limited == 0
    answered = [each for each in ended if each.is_answered]
    promised = (RULES.deadline_seconds + ARRIVING_SECONDS) * MS / PACE.step_ms
    assert promised * 0.9 <= len(budget.slots) <= promised + 1
    assert len(answered) >= promised * 0.6, f"slots are missed where the table takes {budget.slowest:.1f} s"
    refused = [each for each in ended if not each.is_answered]
    assert {each.outcome.get("gave_up") for each in refused} <= {"budget", "deadline"}
    assert not [each for each in refused if not each.is_truthful]
    assert all(each.seconds <= RULES.deadline_seconds + LATENESS_SECONDS for each in ended)


def test_an_upstream_that_allows_less_than_the_budget_says_is_left_alone_as_it_asks(budget: Watched) -> None:
    upstream = Limiting(PACE.calls / 2, size=PACE.calls // 2)
    rules, sleeper = replace(RULES, deadline_seconds=4), Sleeper()
    ended = swarm(budget, upstream, rules, sleeper, callers=FEWER_CALLERS, arriving_seconds=0.8)

    assert upstream.limited > 0
    assert budget.pauses
    assert budget.slowest <= TOO_SLOW_SECONDS, "the table was too slow to show anything"
    assert not [
        (call, begin, end)
        for begin, end in budget.pauses
        for call in upstream.seen
        if begin + NOTICED_SECONDS + budget.slowest < call < end
    ], "no call of anybody's came in a pause"
    assert_is_within_its_budget(upstream, budget, sleeper)
    answered = [each for each in ended if each.is_answered]
    assert len(answered) == len(upstream.seen) - upstream.limited, "no good answer was lost or made twice"
    assert len(answered) >= PACE.calls
    assert not [each for each in ended if not (each.is_answered or each.is_truthful)]
    assert all(each.seconds <= rules.deadline_seconds + LATENESS_SECONDS for each in ended)
