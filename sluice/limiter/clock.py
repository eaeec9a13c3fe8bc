"""The clock: milliseconds since 1970, in which all times of the limiter are told."""

import time


def now() -> int:
    """Return the time."""
    return time.time_ns() // 1_000_000
