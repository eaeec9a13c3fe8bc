"""A consumer that counts how often its work on each message began and came to its end."""

import os
import time
from functools import cache
from typing import TYPE_CHECKING

import boto3

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
    from mypy_boto3_dynamodb.service_resource import Table

POISON = "poison"
FLAW = "flaw"
WORK_SECONDS = 0.01


class PoisonError(Exception):
    """No other try can mend it."""


@cache
def table() -> "Table":
    """Return the table of the function's own."""
    return boto3.resource("dynamodb").Table(os.environ["SLUICE_TABLE"])


def count(record: "SQSRecord", what: str) -> None:
    """Count one more of a message's beginnings, ends or failures."""
    table().update_item(
        Key={"id": record.message_id},
        UpdateExpression="ADD #what :one",
        ExpressionAttributeNames={"#what": what},
        ExpressionAttributeValues={":one": 1},
    )


def record_handler(record: "SQSRecord") -> None:
    """Work on one message: a poisoned one is refused at once, one with a flaw each time anew."""
    count(record, "begun")
    time.sleep(WORK_SECONDS)
    if record.body in {POISON, FLAW}:
        count(record, "failed")
        raise PoisonError(record.body) if record.body == POISON else RuntimeError(record.body)
    count(record, "ended")
