"""Plays a retrier's state machine in this process: call, wait as told, call again, and end truthfully.

The steps are those of `components.retrier_machine`. What the machine carries goes through JSON here too, so
that nothing is handed on which Step Functions could not carry.
"""

import asyncio
import json
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from components.retrier_args import EGRESS
from components.retrier_machine import (
    FIRST_RETRY_SECONDS,
    LONGEST_RETRY_SECONDS,
    MOST_LOSSES,
    MOST_RETRIES,
    NOT_RUN,
)
from handlers.retrier.verdicts import Next

RECOVER_SECONDS = 1.0
"""How long it waits before the call function is told that it was lost."""

Json = dict[str, Any]


class ExecutionFailedError(Exception):
    """The state machine ended in its state Failed."""


@dataclass
class _Variables:
    """What a state machine assigns, by the names that the call function finds in its event."""

    call: Json
    began: float
    egresses: list[str]
    egress: int = 0
    progress: Json | None = None
    lost: str | None = None
    losses: int = 0
    last: Json | None = None

    def event(self) -> Json:
        names = ("call", "began", "egresses", "egress", "progress", "lost")
        return {name: getattr(self, name) for name in names}

    def take(self, verdict: Json) -> None:
        self.egress, self.progress = verdict["egress"], verdict["progress"]
        self.last = verdict["answer"] or self.last
        self.lost, self.losses = None, 0

    def lose(self, error: str) -> None:
        self.lost = error
        self.losses += error not in NOT_RUN


@dataclass(frozen=True)
class Machine:
    """A retrier's state machine, as far as a call notices it."""

    attempt: Callable[[Json], Awaitable[Json]]
    """The call function: an event, to what the machine does next."""
    now: Callable[[], float] = time.time
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    chance: Callable[[], float] = random.random

    async def run(self, call: Json, egresses: Sequence[str] = (EGRESS,)) -> Json:
        """Have a call made, and return its outcome.

        Raises:
            ExecutionFailedError: if the call function broke again and again, or could not be run.
        """
        held = _Variables(call, self.now(), list(egresses))
        while True:
            try:
                verdict = await self._retried(held.event())
            except Exception as error:  # noqa: BLE001 - as the machine has it, which then ends by itself
                await self._recover(held, error)
                continue
            held.take(verdict)
            match verdict["next"]:
                case Next.DONE:
                    return _outcome(verdict)
                case Next.FALL_BACK:
                    return _fallen_back(_outcome(verdict), held.last)
            if verdict["seconds"] > 0:
                await self.sleep(verdict["seconds"])

    async def _retried(self, event: Json) -> Json:
        """Run the call function, and again where it was certainly not at work."""
        for retry in range(MOST_RETRIES):
            try:
                return await self._carried(event)
            except Exception as error:
                if type(error).__name__ not in NOT_RUN:
                    raise
                bound = min(FIRST_RETRY_SECONDS * 2.0**retry, LONGEST_RETRY_SECONDS)
                await self.sleep(self.chance() * bound)
        return await self._carried(event)

    async def _carried(self, event: Json) -> Json:
        verdict: Json = json.loads(json.dumps(await self.attempt(json.loads(json.dumps(event)))))
        return verdict

    async def _recover(self, held: _Variables, error: Exception) -> None:
        name = type(error).__name__
        held.lose(name)
        if held.losses >= MOST_LOSSES or name in NOT_RUN:
            raise ExecutionFailedError(f"The call function ended with {name}") from error
        await self.sleep(RECOVER_SECONDS)


def _outcome(verdict: Json) -> Json:
    outcome: Json = verdict["outcome"]
    return outcome


def _fallen_back(outcome: Json, last: Json | None) -> Json:
    """Return an outcome with the last answer that there was, in place of an error of ours."""
    if last is None:
        return outcome
    return {**{key: value for key, value in outcome.items() if key != "error"}, **last}
