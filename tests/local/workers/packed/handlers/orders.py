"""A consumer in a package that is called like one of ours, and that needs a package of somebody else."""

import os
from typing import TYPE_CHECKING

import boto3
import iniconfig

from . import sections

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord


def record_handler(record: "SQSRecord") -> None:
    """Read an order that is written as an INI file, and keep what it says."""
    order = iniconfig.IniConfig("order", data=record.body)[sections.ORDER]
    boto3.resource("dynamodb").Table(os.environ["SLUICE_TABLE"]).put_item(
        Item={"id": record.message_id, "customer": order["customer"]}
    )
