"""Entry of a retrier's call function: makes one attempt at the call that a state machine carries."""

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from aws_lambda_powertools import Logger
from aws_lambda_powertools.metrics import EphemeralMetrics
from botocore.config import Config

from sluice.retrier import rules

from .attempt import attempt
from .budget import Budget
from .diary import Diary
from .secret_values import SecretValues
from .upstream import Client
from .world import World

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

SOON = Config(connect_timeout=1, read_timeout=3, retries={"mode": "standard", "total_max_attempts": 3})
"""How long AWS may take, while a call waits."""


class Worker:
    """One warm function: everything that outlives an invocation, its connections before all."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        """Read what the function is told; what is missing is a broken deployment and raises."""
        service = variables["SLUICE_SERVICE"]
        self._rules = rules.loads(Path(__file__).with_name(rules.FILE).read_text("utf-8"))
        self._diary = Diary(Logger(service=service), EphemeralMetrics(service=service))
        self._loop = asyncio.new_event_loop()
        self._world = World(
            Client(self._rules),
            Budget(boto3.client("dynamodb", config=SOON), variables["SLUICE_BUDGETS"], self._rules.circuit),
            SecretValues.named(variables.get("SLUICE_SECRETS", "{}"), self._rules, SOON),
            self._diary,
        )

    def run(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Make one attempt."""
        try:
            return self._loop.run_until_complete(attempt(self._rules, self._world, event))
        finally:
            self._diary.flush()


_workers: list[Worker] = []
if "SLUICE_BUDGETS" in os.environ:
    # In Lambda: while a function starts it has more time than in its first run, and a whole processor.
    _workers.append(Worker(os.environ))


def handler(event: Mapping[str, Any], _context: "LambdaContext") -> dict[str, Any]:
    """Make one attempt, as `attempt.attempt` says.

    Raises:
        BudgetUnavailableError: if nobody knows whether the call may be made.
    """
    if not _workers:
        _workers.append(Worker(os.environ))
    return _workers[0].run(event)
