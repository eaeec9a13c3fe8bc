"""Entry of the consumer: a batch of messages in, the ones that failed out."""

import importlib
import os
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import boto3
from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:
    from types import TracebackType

    from aws_lambda_powertools.utilities.batch.base import FailureResponse, SuccessResponse
    from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
    from aws_lambda_powertools.utilities.typing import LambdaContext
    from mypy_boto3_sqs import SQSClient

RecordHandler = Callable[[SQSRecord], object]
RawRecord = dict[str, Any]
"""A record as Lambda hands it over ("Example Amazon SQS message event", Lambda guide)."""
ExceptionInfo: TypeAlias = "tuple[type[BaseException] | None, BaseException | None, TracebackType | None]"


@dataclass(frozen=True)
class Environment:
    """What the function is told by its environment."""

    entry: str
    queue_url: str
    retry_base_seconds: int
    retry_cap_seconds: int
    function_name: str

    @classmethod
    def read(cls, variables: Mapping[str, str]) -> "Environment":
        """Return the environment; a variable that is missing is a broken deployment and raises."""
        return cls(
            entry=variables["SLUICE_ENTRY"],
            queue_url=variables["SLUICE_QUEUE_URL"],
            retry_base_seconds=int(variables["SLUICE_RETRY_BASE_SECONDS"]),
            retry_cap_seconds=int(variables["SLUICE_RETRY_CAP_SECONDS"]),
            function_name=variables["AWS_LAMBDA_FUNCTION_NAME"],
        )


def load(entry: str) -> RecordHandler:
    """Return the user's function, named as ``module:function``."""
    module, _, name = entry.partition(":")
    function: RecordHandler = getattr(importlib.import_module(module), name)

    def by_position(record: SQSRecord) -> object:
        """Call the user's function whatever its argument is named: Powertools passes it by name."""
        return function(record)

    return by_position


def retry_delay(receives: int, base: int, cap: int, jitter: float) -> int:
    """Return how many seconds a record waits after its n-th failed receive.

    The wait doubles from ``base`` up to ``cap``; ``jitter``, from 0 to 1, takes away up to a half of it, so
    that records that failed together do not come back together.
    """
    # Beyond 2**32 doubling changes nothing that a visibility timeout can hold.
    longest: int = min(cap, base * 2 ** min(receives - 1, 32))
    return round(longest * (1 - jitter / 2))


class RetryingProcessor(BatchProcessor):
    """Reports failed records one by one, and shortens the wait of each to a backoff."""

    def __init__(self, environment: Environment, sqs: "SQSClient", logger: Logger, metrics: Metrics) -> None:
        super().__init__(event_type=EventType.SQS, raise_on_entire_batch_failure=False)
        self._environment = environment
        self._sqs = sqs
        self._logger = logger
        self._metrics = metrics

    def success_handler(self, record: RawRecord, result: object) -> "SuccessResponse":
        """Count a record that was handled."""
        self._metrics.add_metric("RecordsHandled", MetricUnit.Count, 1)
        self._logger.info("handled", extra=identity(record))
        return super().success_handler(record, result)

    def failure_handler(self, record: RawRecord, exception: ExceptionInfo) -> "FailureResponse":
        """Count a record that failed, and make it visible again after its backoff."""
        receives = int(record["attributes"]["ApproximateReceiveCount"])
        delay = retry_delay(
            receives,
            self._environment.retry_base_seconds,
            self._environment.retry_cap_seconds,
            random.random(),  # noqa: S311 - jitter, not a secret
        )
        self._metrics.add_metric("RecordsFailed", MetricUnit.Count, 1)
        told = {**identity(record), "receives": receives, "retry_in_seconds": delay}
        self._logger.error("failed", extra=told, exc_info=exception[1])
        self._postpone(record, delay)
        return super().failure_handler(record, exception)

    def _postpone(self, record: RawRecord, delay: int) -> None:
        try:
            self._sqs.change_message_visibility(
                QueueUrl=self._environment.queue_url,
                ReceiptHandle=record["receiptHandle"],
                VisibilityTimeout=delay,
            )
        except (BotoCoreError, ClientError):
            # The record comes back after the queue's own visibility timeout: later, but not lost.
            self._logger.exception("postponing failed", extra=identity(record))


def identity(record: RawRecord) -> dict[str, str | None]:
    """Return what a log line says of a record: its id, and the id that its caller got from a front door."""
    request = record["messageAttributes"].get("requestId") or {}
    return {"message_id": record["messageId"], "request_id": request.get("stringValue")}


class Worker:
    """One warm function: everything that outlives an invocation."""

    def __init__(self, environment: Environment) -> None:
        self._logger = Logger(service=environment.function_name)
        self._metrics = Metrics(service=environment.function_name)
        self._handle = load(environment.entry)
        self._processor = RetryingProcessor(environment, boto3.client("sqs"), self._logger, self._metrics)

    def run(self, event: dict[str, object], context: "LambdaContext") -> "PartialItemFailureResponse":
        """Handle a batch."""
        try:
            return process_partial_response(event, self._handle, self._processor, context)
        finally:
            self._metrics.flush_metrics()


_workers: list[Worker] = []


def handler(event: dict[str, object], context: "LambdaContext") -> "PartialItemFailureResponse":
    """Answer Lambda's event source mapping with the ids of the records that failed."""
    if not _workers:
        _workers.append(Worker(Environment.read(os.environ)))
    return _workers[0].run(event, context)
