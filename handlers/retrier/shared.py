"""What all callers share of upstreams, as one attempt asks and tells of it: turns, pauses, circuits."""

import asyncio

from sluice.retrier.targets import Target

from .budget import BudgetUnavailableError, Go, Hold
from .world import World


class Shared:
    """One attempt's dealings with what all callers share."""

    def __init__(self, world: World, egress: str) -> None:
        """Say from which address the attempt is made."""
        self._world = world
        self._egress = egress
        self._probing = set[str]()
        """Of which upstreams this attempt finds out whether they are well again."""

    async def admit(self, target: Target, latest: float) -> Go | Hold:
        """Return whether an upstream may be called now or later, and take that turn.

        Raises:
            BudgetUnavailableError: if nobody knows.
        """
        now = self._world.now()
        if target.origin in self._probing:
            # A redirect within it: it is this attempt that finds out.
            return Go(now, probe=True)
        admission = await asyncio.to_thread(
            self._world.budget.admit, target.origin, self._egress, target.upstream.pace, now, latest
        )
        if isinstance(admission, Go) and admission.probe:
            self._probing.add(target.origin)
        return admission

    async def standing(self, upstream: str) -> Hold | None:
        """Return why an upstream may not be called after all by who has a turn; nothing where it may.

        Raises:
            BudgetUnavailableError: if nobody knows.
        """
        return await asyncio.to_thread(self._world.budget.standing, upstream, self._egress, self._world.now())

    async def answered(self, upstream: str, *, failed: bool | None) -> None:
        """Report how the last upstream has answered; ``None`` where that says nothing of its health.

        Those before it that were to be found out have answered well: they redirected.
        """
        for each in self._probing - {upstream}:
            await self._report(each, failed=False, probe=True)
        await self._report(upstream, failed=failed, probe=upstream in self._probing)

    async def not_called(self) -> None:
        """Let others find out what this attempt was to find out."""
        for each in self._probing:
            await self._report(each, failed=None, probe=True)

    async def pause(self, upstream: str, seconds: float, *, everywhere: bool) -> None:
        """Let nobody call an upstream for a time, from this attempt's address or from any."""
        now = self._world.now()
        whose = None if everywhere else self._egress
        try:
            await asyncio.to_thread(self._world.budget.pause, upstream, whose, now + seconds, now)
        except BudgetUnavailableError as error:
            self._world.diary.troubled("other callers were not told of a pause", error)

    async def _report(self, upstream: str, *, failed: bool | None, probe: bool) -> None:
        """Count the call for the circuit; what cannot be counted is no reason to lose an answer."""
        budget, opened = self._world.budget, False
        try:
            if failed is not None:
                opened = await asyncio.to_thread(
                    budget.report, upstream, self._world.now(), failed=failed, probe=probe
                )
            elif probe:
                await asyncio.to_thread(budget.release, upstream)
        except BudgetUnavailableError as error:
            self._world.diary.troubled("the circuit was not told", error)
        else:
            if opened:
                self._world.diary.opened(upstream)
