"""What a state machine is told after an attempt."""

from enum import StrEnum
from typing import Any

Json = dict[str, Any]


class Next(StrEnum):
    """What a state machine does after an attempt."""

    WAIT = "wait"
    """Wait for ``seconds``, and come again with ``progress``, through ``egress``."""
    DONE = "done"
    """End with ``outcome``."""
    FALL_BACK = "fall back"
    """End with the last ``answer`` of an attempt before, or with ``outcome`` where there was none."""


def verdict(  # noqa: PLR0913 - a state machine finds all of it, always
    then: Next,
    *,
    seconds: int = 0,
    egress: int = 0,
    progress: Json | None = None,
    answer: Json | None = None,
    outcome: Json | None = None,
) -> Json:
    """Return what a state machine is told: an expression on what is not there would fail it."""
    return {
        "next": then.value,
        "seconds": seconds,
        "egress": egress,
        "progress": progress,
        "answer": answer,
        "outcome": outcome,
    }
