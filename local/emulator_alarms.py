"""Alarms that look at their own metric only: the emulator takes one's name for all of its dimensions.

This runs inside the emulator, in place of its own function.
"""

# There is no other way in than the emulator's private names.
# ruff: noqa: SLF001

from collections.abc import Callable
from typing import Any

from ministack.services import cloudwatch

Evaluate = Callable[[dict[str, Any]], None]


def seeing_dimensions(evaluate: Evaluate) -> Evaluate:
    """Return what evaluates an alarm, on the values that have exactly its dimensions."""

    def evaluated(alarm: dict[str, Any]) -> None:
        every = cloudwatch._metrics
        wanted = cloudwatch._dims_key(cloudwatch._dims_from_list(alarm.get("Dimensions") or []))
        # Nothing else runs until it is put back: the emulator evaluates without waiting.
        cloudwatch._metrics = {key: points for key, points in every.items() if key[2] == wanted}
        try:
            evaluate(alarm)
        finally:
            cloudwatch._metrics = every

    return evaluated


def install() -> None:
    """Put this in the place of the emulator's own."""
    cloudwatch._evaluate_alarm = seeing_dimensions(cloudwatch._evaluate_alarm)
