"""Entry of the consumer: a batch of messages in, the ones that are to come again out."""

import importlib
import inspect
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import boto3
from aws_lambda_powertools import Logger
from aws_lambda_powertools.metrics import EphemeralMetrics
from aws_lambda_powertools.utilities.batch import process_partial_response
from botocore.config import Config

from .batches import EntryError, RecordProcessor, Retrying
from .deadline import Deadline
from .giving_up import DeadLetters
from .journal import Journal

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
    from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
    from aws_lambda_powertools.utilities.typing import LambdaContext

    from .once import Once

SOON = Config(connect_timeout=1, read_timeout=3, retries={"mode": "standard", "total_max_attempts": 2})
"""How long AWS may take: its answers are waited for after the user's code was interrupted, too."""
RecordHandler = Callable[["SQSRecord"], object]


@dataclass(frozen=True)
class Environment:
    """What the function is told by its environment."""

    entry: str
    function_name: str
    retrying: Retrying
    dead_letter_queue_url: str | None
    idempotency_table: str | None
    sameness: str
    """What makes two messages the same, as JSON; empty where nothing does."""

    @classmethod
    def read(cls, variables: Mapping[str, str]) -> "Environment":
        """Return the environment; a variable that is missing is a broken deployment and raises."""
        receives = variables.get("SLUICE_MAX_RECEIVES")
        return cls(
            entry=variables["SLUICE_ENTRY"],
            function_name=variables["AWS_LAMBDA_FUNCTION_NAME"],
            retrying=Retrying(
                queue_url=variables["SLUICE_QUEUE_URL"],
                base_seconds=int(variables["SLUICE_RETRY_BASE_SECONDS"]),
                cap_seconds=int(variables["SLUICE_RETRY_CAP_SECONDS"]),
                max_receives=int(receives) if receives else None,
                poison_errors=frozenset(filter(None, variables.get("SLUICE_POISON_ERRORS", "").split(","))),
            ),
            dead_letter_queue_url=variables.get("SLUICE_DEAD_LETTER_QUEUE_URL"),
            idempotency_table=variables.get("SLUICE_IDEMPOTENCY_TABLE"),
            sameness=variables.get("SLUICE_IDEMPOTENCY", ""),
        )


def load(entry: str) -> RecordHandler:
    """Return the user's function, named as ``module:function``."""
    module, _, name = entry.partition(":")
    function: RecordHandler = getattr(importlib.import_module(module), name)
    for kind in (inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction):
        if kind(function):
            raise EntryError(f"{entry} is async or a generator: calling it would handle nothing")
    return function


class Worker:
    """One warm function: everything that outlives an invocation."""

    _deadline: Deadline
    _record: "SQSRecord"
    """The one that is being handled."""

    def __init__(self, environment: Environment) -> None:
        name = environment.function_name
        self._journal = Journal(Logger(service=name), EphemeralMetrics(service=name), time.time)
        self._handle = load(environment.entry)
        self._once = self._create_once(environment)
        sqs = boto3.client("sqs", config=SOON)
        given_up_to = environment.dead_letter_queue_url
        self._processor = RecordProcessor(
            environment.retrying,
            sqs,
            DeadLetters(sqs, given_up_to, self._journal) if given_up_to else None,
            self._journal,
        )

    def run(self, event: dict[str, object], context: "LambdaContext") -> "PartialItemFailureResponse":
        """Handle a batch."""
        self._deadline = Deadline(context)
        self._processor.begin(self._deadline)
        if self._once:
            self._once.begin(context)
        try:
            return process_partial_response(event, self._handle_record, self._processor, context)
        finally:
            self._journal.flush()

    def _create_once(self, environment: Environment) -> "Once | None":
        if environment.idempotency_table is None:
            return None
        # Here, since other consumers do without it.
        from .once import Once, Sameness  # noqa: PLC0415

        sameness = Sameness.loads(environment.sameness)
        return Once(
            self._handle_in_time,
            environment.idempotency_table,
            SOON,
            sameness,
            lambda: self._journal.interrupted(self._record),
        )

    def _handle_record(self, record: "SQSRecord") -> bool:
        """Handle a record, and return whether it was to be done."""
        self._record = record
        if self._once:
            return self._once(record)
        self._handle_in_time(record)
        return True

    def _handle_in_time(self, record: "SQSRecord") -> None:
        # Around the user's code alone: what is written down of it is not to be cut off.
        returned = self._deadline.run(lambda: self._handle(record))
        if inspect.isawaitable(returned) or inspect.isgenerator(returned) or inspect.isasyncgen(returned):
            raise EntryError(
                f"it returned a {type(returned).__name__}, which nobody runs: nothing was handled"
            )


_workers: list[Worker] = []
if "SLUICE_ENTRY" in os.environ:
    # In Lambda: while a function starts it has more time than in its first run, and a whole processor.
    # What goes wrong goes wrong again in the first run, and is in its log then.
    with suppress(Exception):
        _workers.append(Worker(Environment.read(os.environ)))


def handler(event: dict[str, object], context: "LambdaContext") -> "PartialItemFailureResponse":
    """Answer Lambda's event source mapping with the ids of the records that are to come again."""
    if not _workers:
        _workers.append(Worker(Environment.read(os.environ)))
    return _workers[0].run(event, context)
