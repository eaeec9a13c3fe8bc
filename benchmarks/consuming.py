"""What a warm consumer needs for each message, by the size of its batches, with and without idempotency."""

import contextlib
import itertools
import json
import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.idempotency import (
    DynamoDBPersistenceLayer,
    IdempotencyConfig,
    idempotent_function,
)

from handlers.consumer import Environment, Worker
from local.aws import Aws
from local.emulator import ROOT, Emulator
from local.say import Say
from sluice.limiter.rules import Rules

from .results import Result

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord

NAME = "consumer"
BATCHES = (1, 10, 100)
MESSAGES, FEW_MESSAGES = 2_000, 100
NOTED, FEW_NOTED = 300, 20
"""Messages where each is noted in a table."""
ROUNDS, FEW_ROUNDS = 5, 1
PLAIN = "a loop over the records: no outcome of its own for any, no log, no metrics"
BY_THE_BOOK = "Powertools' BatchProcessor, idempotent_function, Logger and Metrics, put together by hand"
TABLE = "handled"
MICRO = 1e6
NUMBERS = itertools.count()

Handle = Callable[[dict[str, Any]], object]


@dataclass(frozen=True)
class Pair:
    """The same messages, our way and another."""

    metric: str
    ours: Handle
    other: Handle
    other_name: str


@dataclass(frozen=True)
class Context:
    """What Lambda tells of a run that has time."""

    aws_request_id: str = "run"

    def get_remaining_time_in_millis(self) -> int:
        """Return half a minute."""
        return 30_000


def handle(record: "SQSRecord") -> object:
    """Do what the user's code does: read a message."""
    return json.loads(record.body)


def run(made: Rules, say: Say, *, quick: bool) -> Iterator[Result]:
    """Measure batches of ours beside the plain way and the one by the book; no rule matters."""
    del made
    with (
        Emulator(ROOT / ".local", say) as emulator,
        _function(emulator.endpoint),
        Path(os.devnull).open("w", encoding="utf-8") as nowhere,
    ):
        _create_table(Aws(emulator.endpoint))
        # Loggers keep what is there to print to when they are made.
        with contextlib.redirect_stdout(nowhere):
            pairs = [
                Pair("handled", _ours(), _plain, PLAIN),
                Pair("handled once", _ours(SLUICE_IDEMPOTENCY_TABLE=TABLE), _by_the_book(), BY_THE_BOOK),
            ]
        for pair, (many, few) in zip(pairs, ((MESSAGES, FEW_MESSAGES), (NOTED, FEW_NOTED)), strict=True):
            for size in BATCHES:
                begun = time.perf_counter()
                with contextlib.redirect_stdout(nowhere):
                    found = _compared(pair, size, few if quick else many, FEW_ROUNDS if quick else ROUNDS)
                say.step(f"{NAME}: {pair.metric}, batches of {size}", time.perf_counter() - begun)
                yield found


def _compared(pair: Pair, size: int, count: int, rounds: int) -> Result:
    """Time batches of ours and of the other way, in turn."""
    mine, others = [], []
    for _ in range(rounds):
        mine.append(_per_message(pair.ours, size, count))
        others.append(_per_message(pair.other, size, count))
    return Result(
        NAME,
        f"batches of {size}, median of {rounds}",
        pair.metric,
        "us",
        statistics.median(mine) * MICRO,
        statistics.median(others) * MICRO,
        pair.other_name,
    )


def _per_message(way: Handle, size: int, count: int) -> float:
    """Return the seconds that one message takes; each is new."""
    batches = [{"Records": [_record() for _ in range(size)]} for _ in range(max(1, count // size))]
    begun = time.perf_counter()
    for each in batches:
        way(each)
    return (time.perf_counter() - begun) / (len(batches) * size)


def _record() -> dict[str, Any]:
    number = next(NUMBERS)
    return {
        "messageId": f"m-{number}",
        "receiptHandle": f"r-{number}",
        "body": json.dumps({"order": number, "items": [{"sku": "a-1", "count": 2}] * 5}),
        "attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": str(round(time.time() * 1000))},
        "messageAttributes": {"requestId": {"stringValue": f"q-{number}", "dataType": "String"}},
        "md5OfBody": "",
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:us-east-1:123456789012:orders",
        "awsRegion": "us-east-1",
    }


def _plain(event: dict[str, Any]) -> object:
    for record in event["Records"]:
        json.loads(record["body"])
    return None


def _ours(**more: str) -> Handle:
    variables = {
        "SLUICE_ENTRY": f"{__name__}:handle",
        "SLUICE_QUEUE_URL": "https://sqs.us-east-1.amazonaws.com/123456789012/orders",
        "SLUICE_RETRY_BASE_SECONDS": "2",
        "SLUICE_RETRY_CAP_SECONDS": "300",
        "AWS_LAMBDA_FUNCTION_NAME": f"consumer-{next(NUMBERS)}",
        "SLUICE_IDEMPOTENCY": json.dumps({"key": "messageId", "payload": "", "expires_after_seconds": 3600}),
        **more,
    }
    context: Any = Context()
    worker = Worker(Environment.read(variables))
    return lambda event: worker.run(event, context)


def _by_the_book() -> Handle:
    name = f"book-{next(NUMBERS)}"
    logger, metrics = Logger(service=name), Metrics(service=name)
    processor = BatchProcessor(event_type=EventType.SQS)
    config = IdempotencyConfig(event_key_jmespath="messageId")
    context: Any = Context()

    def once(record: "SQSRecord") -> None:
        json.loads(record.body)
        metrics.add_metric("RecordsHandled", MetricUnit.Count, 1)
        logger.info("handled", message_id=record.message_id)

    handle_record: Callable[..., None] = idempotent_function(
        once, data_keyword_argument="record", config=config, persistence_store=DynamoDBPersistenceLayer(TABLE)
    )

    def way(event: dict[str, Any]) -> Mapping[str, Any]:
        config.register_lambda_context(context)
        answer = process_partial_response(event, handle_record, processor, context)
        # It writes by itself what is a hundred, and would warn of nothing more to write.
        if metrics.metric_set:
            metrics.flush_metrics()
        return answer

    return way


@contextlib.contextmanager
def _function(endpoint: str) -> Iterator[None]:
    """Give clients the environment that a function of the local AWS has."""
    variables = {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "POWERTOOLS_METRICS_NAMESPACE": "Benchmark",
    }
    with patch.dict(os.environ, variables):
        yield


def _create_table(aws: Aws) -> None:
    aws.client("dynamodb").create_table(
        TableName=TABLE,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
    )
