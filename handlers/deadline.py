"""The time that a run of the function has left: what may still start, and what has to end."""

import signal
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

RESERVE_SECONDS = 1.0
RESERVE_SHARE = 0.2
"""What is kept of the time for saying what failed: a second, of short times a fifth."""


Result = TypeVar("Result")
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

    def run(self, work: Callable[[], Result]) -> Result:
        """Do some work, and return what it returns.

        Raises:
            OutOfTimeError: if it is still under way at the end; it is interrupted then.
        """
        begun = time.monotonic()
        try:
            # Only the main thread is told of signals; in Lambda it is the one that handles events.
            if threading.current_thread() is threading.main_thread():
                return _interrupted_after(self._end - begun, work)
            return work()
        finally:
            self._longest = max(self._longest, time.monotonic() - begun)


def _interrupted_after(seconds: float, work: Callable[[], Result]) -> Result:
    over = False

    def interrupt(_number: int, _frame: object) -> None:
        # What is over is not to fail for an alarm that comes while it is taken off.
        if not over:
            raise Interruption

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        try:
            try:
                # None at all would mean never.
                signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.001), AGAIN_SECONDS)
                result = work()
                over = True
                return result
            finally:
                over = True
                _restore(before)
        finally:
            # An alarm may have come just as the lines above began; the next one is not as near.
            over = True
            _restore(before)
    except Interruption as where:
        raise OutOfTimeError("the function's time was nearly over") from where


def _restore(before: Any) -> None:  # noqa: ANN401 - whatever was there
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)
