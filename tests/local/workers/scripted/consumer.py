"""A consumer that does what each message tells it, and writes down in order what it began and what it did.

A body like ``{"name": "first", "tries": ["refuse", "work"]}`` names its message and says what happens at each
try; from the last one on it stays at that.
"""

import json
import os
import time
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, cast

import boto3

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
    from mypy_boto3_dynamodb.service_resource import Table

STORY = "story"
"""The id of the item that holds what was written down."""


class RefusedError(Exception):
    """The message said that it is to fail."""


class PoisonError(Exception):
    """The message said that it can never be handled."""


def record_handler(record: "SQSRecord") -> None:
    """Handle one message as it says."""
    said = json.loads(record.body)
    name, tries = said["name"], said.get("tries", ["work"])
    try_number = note(f"began {name}").count(f"began {name}")
    STEPS[tries[min(try_number, len(tries)) - 1]]()
    note(f"handled {name}")


def work() -> None:
    """Have nothing to do."""


def take_a_moment() -> None:
    """Be at work long enough for others to be seen at the same time."""
    time.sleep(0.5)


def refuse() -> None:
    """Fail."""
    raise RefusedError("as the message said")


def poison() -> None:
    """Fail for good."""
    raise PoisonError("as the message said")


def hang() -> None:
    """Take longer than any function may."""
    time.sleep(3600)


def hang_on() -> None:
    """Take longer than any function may, and do not let anybody end it."""
    while True:
        with suppress(BaseException):
            hang()


STEPS = {each.__name__: each for each in (work, take_a_moment, refuse, poison, hang, hang_on)}


@cache
def table() -> "Table":
    """Return the table of the function's own."""
    return boto3.resource("dynamodb").Table(os.environ["SLUICE_TABLE"])


def note(line: str) -> list[str]:
    """Write a line down, and return all that there are."""
    written = table().update_item(
        Key={"id": STORY},
        UpdateExpression="SET told = list_append(if_not_exists(told, :none), :lines)",
        ExpressionAttributeValues={":none": [], ":lines": [line]},
        ReturnValues="UPDATED_NEW",
    )
    return cast(list[str], written["Attributes"]["told"])
