"""A consumer that proves what arrived: it writes each message's id and the hash of its body to its table.

A body that begins with ``poison`` is refused, which shows what happens to a message that cannot be handled;
but not any more once there is an antidote in the table, which shows how one is brought back.
"""

import hashlib
import os
from functools import cache
from typing import TYPE_CHECKING

import boto3

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
    from mypy_boto3_dynamodb.service_resource import Table

POISON = "poison"
ANTIDOTE = "antidote"
"""The id of the item that makes poison harmless."""


class PoisonError(Exception):
    """The message is one that this consumer was told to refuse."""


@cache
def table() -> "Table":
    """Return the table of the function's own."""
    return boto3.resource("dynamodb").Table(os.environ["SLUICE_TABLE"])


def record_handler(record: "SQSRecord") -> None:
    """Write down one message: its id, the SHA-256 of its body, and how often it was handled."""
    body = record.body
    if body.startswith(POISON) and "Item" not in table().get_item(Key={"id": ANTIDOTE}):
        raise PoisonError(record.message_id)
    table().update_item(
        Key={"id": record.message_id},
        UpdateExpression="SET body_sha256 = :hash, body_bytes = :bytes ADD handled :one",
        ExpressionAttributeValues={
            ":hash": hashlib.sha256(body.encode()).hexdigest(),
            ":bytes": len(body.encode()),
            ":one": 1,
        },
    )
