"""Deliveries of a log to a function, one after the other.

CloudWatch Logs delivers side by side as well. But the emulator starts a process for each delivery that comes
while another runs, and some dozen cold starts at once leave nothing of a small machine for anything else.

This runs inside the emulator.
"""

import threading
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from ministack.services import lambda_svc

Data = dict[str, Any]
Deliver = Callable[[Data, Data], Data]


def in_turn(deliver: Deliver) -> Deliver:
    """Return what delivers, but to each function one delivery at a time."""
    turns: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def delivered(function: Data, event: Data) -> Data:
        if "awslogs" not in event:
            return deliver(function, event)
        with turns[function["config"]["FunctionArn"]]:
            return deliver(function, event)

    return delivered


def install() -> None:
    """Put this in the place of the emulator's own."""
    # There is no other way in than the emulator's private name.
    lambda_svc._execute_function_with_config_scope = in_turn(  # noqa: SLF001
        lambda_svc._execute_function_with_config_scope  # noqa: SLF001
    )
