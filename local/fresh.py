"""Something that is read again and again, but not for every request."""

import asyncio
import time
from collections.abc import Callable
from typing import Generic, TypeVar

SECONDS = 1.0
"""How old a reading may be."""

Read = TypeVar("Read")


class Fresh(Generic[Read]):
    """A reading that is taken again, in a thread, when it is too old; all who ask meanwhile share it."""

    def __init__(self, read: Callable[[], Read], seconds: float = SECONDS) -> None:
        """Say how it is read; nothing is read yet."""
        self._read = read
        self._seconds = seconds
        self._since = 0.0
        self._reading: asyncio.Future[Read] | None = None

    async def get(self) -> Read:
        """Return what was read lately; where it cannot be read, that is what all are told who wait for it."""
        if self._reading is None or time.monotonic() - self._since > self._seconds:
            self._since = time.monotonic()
            self._reading = asyncio.ensure_future(asyncio.to_thread(self._read))
        mine = self._reading
        if mine.done() and not mine.exception():
            return mine.result()
        try:
            # One who stops waiting must not stop the reading for the others.
            return await asyncio.shield(mine)
        except Exception:
            if self._reading is mine:
                self._reading = None
            raise
