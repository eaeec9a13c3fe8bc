"""What Step Functions refuses, and how long it waits and runs: its rules, without the emulator.

("Step Functions service quotas", "Handling errors in Step Functions workflows" and "Choosing workflow type"
in the Step Functions guide; "StartExecution" in its API reference)
"""

import json
import random
import re
from collections.abc import Mapping, Sequence
from typing import Any

MOST_BYTES = 262_144
"""Of an input, of an output, and of the arguments of a state."""
LONGEST_NAME = 80
FORBIDDEN = re.compile(r'[\s<>{}\[\]?*"#%\\^|~`$&,;:/\x00-\x1f\x7f-\x9f]')
EXPRESS_SECONDS = 300.0
"""How long an Express workflow runs at most."""
EXPRESS = "EXPRESS"
TOO_LARGE = "States.DataLimitExceeded"
TERMINAL = {TOO_LARGE, "States.Runtime"}
"""Errors that neither ``States.ALL`` nor ``States.TaskFailed`` stands for."""
METRICS = {
    "SUCCEEDED": "ExecutionsSucceeded",
    "FAILED": "ExecutionsFailed",
    "TIMED_OUT": "ExecutionsTimedOut",
    "ABORTED": "ExecutionsAborted",
}
"""What counts executions, by how they ended."""

Data = Mapping[str, Any]


class RefusalError(Exception):
    """A call that is refused."""

    def __init__(self, code: str, message: str) -> None:
        """Say why."""
        super().__init__(message)
        self.code = code
        self.message = message


def size(value: object) -> int:
    """Return how many bytes a value takes as JSON."""
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())


def check_start(data: Data) -> None:
    """Refuse an execution with a name or an input that Step Functions does not take.

    Raises:
        RefusalError: if it does not.
    """
    name, given = data.get("name"), data.get("input", "{}")
    if name is not None:
        check_name(name)
    if len(given.encode()) > MOST_BYTES:
        raise _invalid("input", f"length less than or equal to {MOST_BYTES}")
    try:
        json.loads(given)
    except ValueError as error:
        wrong = f"Invalid State Machine Execution Input: '{error}'"
        raise RefusalError("InvalidExecutionInput", wrong) from error


def check_name(name: str) -> None:
    """Refuse a name that no execution can have.

    Raises:
        RefusalError: if none can.
    """
    if len(name) > LONGEST_NAME:
        raise _invalid("name", f"length less than or equal to {LONGEST_NAME}")
    if not name:
        raise _invalid("name", "length greater than or equal to 1")
    if FORBIDDEN.search(name):
        raise RefusalError("InvalidName", f"Invalid Name: '{name}'")


def _invalid(parameter: str, constraint: str) -> RefusalError:
    return RefusalError(
        "ValidationException",
        f"1 validation error detected: Value at '{parameter}' failed to satisfy constraint: "
        f"Member must have {constraint}",
    )


def stands_for(names: Sequence[str], error: str) -> bool:
    """Whether a Retry or a Catch with these names is for an error."""
    if error in names:
        return True
    if error in TERMINAL:
        return False
    return "States.ALL" in names or ("States.TaskFailed" in names and error != "States.Timeout")


def delay(retrier: Data, retries: int) -> float:
    """Return how many seconds to wait before another try, after so many that were retries."""
    longest = retrier.get("MaxDelaySeconds", float("inf"))
    seconds = min(retrier.get("IntervalSeconds", 1) * retrier.get("BackoffRate", 2.0) ** retries, longest)
    # It only has to be spread.
    return random.uniform(0, seconds) if retrier.get("JitterStrategy") == "FULL" else seconds  # noqa: S311


def longest_run(definition: Data, kind: str) -> float | None:
    """Return after how many seconds an execution times out; nothing where it never does."""
    limits = [EXPRESS_SECONDS] if kind == EXPRESS else []
    if "TimeoutSeconds" in definition:
        limits.append(float(definition["TimeoutSeconds"]))
    return min(limits, default=None)
