"""Metrics of what runs in threads of its own, put on the emulator's loop, where alarms look at them.

This runs inside the emulator.
"""

# There is no other way in than the emulator's private names.
# ruff: noqa: SLF001

import asyncio
import contextvars
import time
from collections.abc import Callable
from typing import Any

from ministack.services import cloudwatch, lambda_svc

Data = dict[str, Any]

_loop: list[asyncio.AbstractEventLoop] = []


def note_loop() -> None:
    """Note the loop that runs: nothing else does on it while alarms look at their metrics."""
    _loop[:] = [asyncio.get_running_loop()]


def put(namespace: str, name: str, value: float, unit: str, dimensions: dict[str, str]) -> None:
    """Put one value of a metric, soon."""
    _measured(cloudwatch.record_metric, namespace, name, value, unit, dimensions)


def run_function(execute: Callable[[Data, Any], Data], function: Data, event: object) -> Data:
    """Run a function, and measure it as one that a caller invokes."""
    started = time.monotonic()
    result = execute(function, event)
    milliseconds = (time.monotonic() - started) * 1000
    # What is throttled the emulator measures itself.
    if not result.get("throttle"):
        name = (function.get("config") or function)["FunctionName"]
        _measured(lambda_svc._emit_lambda_metrics, name, milliseconds, bool(result.get("error")), False)
    return result


def _measured(record: Callable[..., None], *values: object) -> None:
    def recorded() -> None:
        record(*values)
        cloudwatch._evaluate_all_alarms()

    _loop[0].call_soon_threadsafe(recorded, context=contextvars.copy_context())
