"""The time that a run of the function has left: what may still start, and what has to end."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

RESERVE_SECONDS = 1.0
RESERVE_SHARE = 0.2
"""What is kept of the time for saying what failed: a second, of short times a fifth."""


AGAIN_SECONDS = 0.1
"""How long after an interruption the next one comes, where the first was caught."""


class OutOfTimeError(Exception):
    """The function's time is nearly over, and the record that it is at work on is not done."""


class Interruption(BaseException):
    """Ends what the user's code is doing: a client that tries again after errors lets it pass."""


class Context(Protocol):
    """What Lambda tells of a run ("Using the Lambda context object", Lambda guide)."""

    def get_remaining_time_in_millis(self) -> int:
        """Return how long the function may still take."""


class Deadline:
    """When a run has to be done with its records, a moment before Lambda ends it.

    Lambda's own end would take all results with it, also of records that were handled.
    """

    def __init__(self, context: Context) -> None:
        """Look at the time that is left now."""
        left = context.get_remaining_time_in_millis() / 1000
        self.whole = left
        """Seconds from now to Lambda's own end."""
        reserve = min(RESERVE_SECONDS, left * RESERVE_SHARE)
        self._end = time.monotonic() + left - reserve
        self._last_moment = self._end + reserve / 2
        self._longest = 0.0

    @property
    def has_room(self) -> bool:
        """Whether another record may start: one as long as the longest until now would be done in time."""
        return self._end - time.monotonic() > self._longest

    @property
    def has_moment(self) -> bool:
        """Whether there is time for one more call of AWS."""
        return time.monotonic() < self._last_moment

    @contextmanager
    def limit(self) -> Iterator[None]:
        """Raise `OutOfTimeError` in the body of the ``with`` if it is still at work at the end."""
        begun = time.monotonic()
        try:
            with _interrupted_after(self._end - begun):
                yield
        except Interruption as where:
            raise OutOfTimeError("the function's time was nearly over") from where
        finally:
            self._longest = max(self._longest, time.monotonic() - begun)


@contextmanager
def _interrupted_after(seconds: float) -> Iterator[None]:
    # Only the main thread is told of signals; in Lambda it is the one that handles events.
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    over = False

    def interrupt(_number: int, _frame: object) -> None:
        # What is over is not to fail for an alarm that comes while it is taken off.
        if not over:
            raise Interruption

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        # None at all would mean never.
        signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.001), AGAIN_SECONDS)
        yield
        over = True
    finally:
        over = True
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
