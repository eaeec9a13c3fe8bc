"""What attempts at calls depend on, beside the rules."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from .budget import Budget
from .diary import Diary
from .secret_values import SecretValues
from .upstream import Admit
from .wire import Answer, Failure, Request


class Sender(Protocol):
    """What sends requests, as `upstream.Client` does."""

    async def send(
        self, request: Request, timeout_seconds: float, admit: Admit | None = None
    ) -> Answer | Failure:
        """Send a request and return what came of it."""


@dataclass(frozen=True)
class World:
    """What attempts depend on."""

    client: Sender
    budget: Budget
    secrets: SecretValues
    diary: Diary
    now: Callable[[], float] = time.time
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    chance: Callable[[], float] = random.random
