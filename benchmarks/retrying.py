"""Two hundred callers of an API that takes ten calls a second: what becomes of them, and of it."""

import asyncio
import random
import tempfile
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from aws_lambda_powertools import Logger
from aws_lambda_powertools.metrics import EphemeralMetrics
from aws_lambda_powertools.utilities.parameters import SecretsProvider

from components.retrier_args import rules_of
from handlers.retrier.attempt import attempt
from handlers.retrier.budget import ID, Budget
from handlers.retrier.diary import Diary
from handlers.retrier.secret_values import SecretValues
from handlers.retrier.upstream import Admit
from handlers.retrier.wire import Answer, Request
from handlers.retrier.world import World
from local.aws import Aws
from local.emulator import Emulator
from local.say import Say
from local.upstreams import most_within
from sluice.limiter.rules import Rules as LimiterRules
from sluice.retrier.rules import Rules

from .driving import Machine
from .results import Result

NAME = "retrier"
CALLERS, FEW_CALLERS = 200, 4
PACE = 10
"""Calls that the upstream takes in any second."""
LATENCY_SECONDS = 0.02
ARRIVAL_SECONDS = 1.0
DEADLINE_SECONDS, SOON_SECONDS = 30, 4
ATTEMPTS = 20
BASE_SECONDS, CAP_SECONDS = 1, 30
FIXED_SECONDS = 1.0
THREADS = 32
TABLE = "budgets"
ORIGIN = "https://api.example.com"
URL = f"{ORIGIN}/orders"
OK, TOO_MANY = 200, 429
NAIVE = "another try each second, up to 20 times"
BACKOFF = "exponential backoff with full jitter, base 1 s, cap 30 s, up to 20 times"

Sleep = Callable[[float], Awaitable[None]]


@dataclass
class Limited:
    """An upstream in this process that takes so many calls in any second, and answers others with 429."""

    calls: list[float] = field(default_factory=list)
    taken: deque[float] = field(default_factory=lambda: deque(maxlen=PACE))

    async def ask(self) -> int:
        """Call it."""
        now = time.time()
        self.calls.append(now)
        full = len(self.taken) == PACE and now - self.taken[0] < 1
        if not full:
            self.taken.append(now)
        await asyncio.sleep(LATENCY_SECONDS)
        return TOO_MANY if full else OK

    async def send(self, _request: Request, _timeout_seconds: float, _admit: Admit | None = None) -> Answer:
        """Call it as a retrier does."""
        status = await self.ask()
        return Answer(status, {"retry-after": "1"} if status == TOO_MANY else {}, b"")


@dataclass(frozen=True)
class Account:
    """What became of the callers of one upstream."""

    callers: int
    got_through: int
    seconds: float
    """Until the last of them got through or gave up."""
    calls: Sequence[float]

    @property
    def callers_each(self) -> float:
        """How many callers there are for each that got through: the success share, the other way round."""
        return self.callers / max(1, self.got_through)

    @property
    def calls_each(self) -> float:
        """Calls that the upstream got for each caller that got through."""
        return len(self.calls) / max(1, self.got_through)

    @property
    def fullest(self) -> int:
        """Calls that it got in its fullest second."""
        return most_within(self.calls, 1)


Caller = Callable[[Limited, float], Awaitable[bool]]
"""Calls an upstream until it answers or a moment has come, and returns whether it did."""


async def naive(upstream: Limited, deadline: float) -> bool:
    """Try again each second."""
    return await _again(upstream, deadline, lambda _: FIXED_SECONDS)


async def backing_off(upstream: Limited, deadline: float) -> bool:
    """Try again after a random wait below a bound that doubles."""

    def wait(tries: int) -> float:
        return random.uniform(0, min(CAP_SECONDS, BASE_SECONDS * 2.0**tries))  # noqa: S311 - no secret

    return await _again(upstream, deadline, wait)


async def _again(upstream: Limited, deadline: float, wait: Callable[[int], float]) -> bool:
    for tries in range(ATTEMPTS):
        if await upstream.ask() == OK:
            return True
        seconds = wait(tries)
        if time.time() + seconds > deadline:
            return False
        await asyncio.sleep(seconds)
    return False


def ours(rules: Rules, budget: Budget, upstream: Limited, _deadline: float) -> Awaitable[bool]:
    """Return a call by the retrier's own steps."""
    diary = Diary(Logger(service=NAME, level="CRITICAL"), EphemeralMetrics(namespace=NAME, service=NAME))
    world = World(upstream, budget, SecretValues(SecretsProvider, {}, rules), diary)
    machine = Machine(partial(attempt, rules, world))

    async def call() -> bool:
        outcome = await machine.run({"url": URL})
        return bool(outcome["ok"])

    return call()


async def _arrive(call: Caller, upstream: Limited, callers: int, seconds: float) -> list[bool]:
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(THREADS))

    async def one(place: int) -> bool:
        await asyncio.sleep(ARRIVAL_SECONDS * place / callers)
        return await call(upstream, time.time() + seconds)

    return await asyncio.gather(*map(one, range(callers)))


def account(call: Caller, callers: int, seconds: float) -> Account:
    """Let callers come, and return what became of them."""
    upstream, began = Limited(), time.monotonic()
    done = asyncio.run(_arrive(call, upstream, callers, seconds))
    return Account(callers, sum(done), time.monotonic() - began, upstream.calls)


def run(_made: LimiterRules, say: Say, *, quick: bool) -> Iterator[Result]:
    """Measure ours beside the two usual ways."""
    callers, seconds = (FEW_CALLERS, SOON_SECONDS) if quick else (CALLERS, DEADLINE_SECONDS)
    rules = rules_of(
        {
            "upstreams": [{"origin": ORIGIN, "calls": PACE}],
            "attempts": ATTEMPTS,
            "deadline_seconds": seconds,
            "base_seconds": BASE_SECONDS,
            "cap_seconds": CAP_SECONDS,
        }
    )
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as folder, Emulator(Path(folder), say) as emulator:
        dynamodb = Aws(emulator.endpoint).client("dynamodb")
        dynamodb.create_table(
            TableName=TABLE,
            KeySchema=[{"AttributeName": ID, "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": ID, "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        budget = Budget(dynamodb, TABLE, rules.circuit)
        mine = account(partial(ours, rules, budget), callers, seconds)
    others = {NAIVE: account(naive, callers, seconds), BACKOFF: account(backing_off, callers, seconds)}
    for name, each in {"ours": mine, **others}.items():
        say.line(f"{each.got_through} of {callers} got through with {len(each.calls)} calls: {name}")
    for name, other in others.items():
        yield from _compare(mine, other, name)


def _compare(mine: Account, other: Account, name: str) -> Iterator[Result]:
    case = f"{mine.callers} callers, an upstream that takes {PACE} calls a second"
    for metric, unit, figure in (
        ("callers for each that got through", "callers", lambda each: each.callers_each),
        ("calls upstream for each that got through", "calls", lambda each: each.calls_each),
        ("calls upstream in its fullest second", "calls", lambda each: float(each.fullest)),
        ("until the last is done", "s", lambda each: each.seconds),
    ):
        yield Result(NAME, case, metric, unit, figure(mine), figure(other), name)
