"""Puts what is given up into the dead-letter queue, with the reason beside it."""

import base64
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from sluice.dead_letters import ATTRIBUTE, Reason
from sluice.sqs import FIFO_SUFFIX, MOST_ATTRIBUTES, TRACE

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import MessageAttributeValueTypeDef

    from .journal import Journal

TOO_LARGE = {"InvalidParameterValue", "InvalidMessageContents"}
"""The codes of a message that is no good as it is ("SendMessage", Amazon SQS API reference)."""


class DeadLetters:
    """A dead-letter queue, as the consumer sees it."""

    def __init__(self, sqs: "SQSClient", queue_url: str, journal: "Journal") -> None:
        self._sqs = sqs
        self._queue_url = queue_url
        self._journal = journal

    def take(self, record: Mapping[str, Any], reason: Reason) -> bool:
        """Put a record into the queue, and return whether it is there.

        Where it is not, SQS gives it up by itself once its receives are used up, without the reason. So it
        does after a crash between this and the answer to Lambda: the message is there twice then.
        """
        message = copy_of(record, self._queue_url)
        attributes = message.get("MessageAttributes", {})
        with_reason = {**attributes, ATTRIBUTE: {"DataType": "String", "StringValue": reason.dumps()}}
        try:
            if len(with_reason) <= MOST_ATTRIBUTES and self._fits(
                {**message, "MessageAttributes": with_reason}
            ):
                return True
            # No room for the reason: the log alone has it.
            self._sqs.send_message(**message)
        except (BotoCoreError, ClientError) as error:
            self._journal.troubled("giving up failed", error, record)
            return False
        return True

    def _fits(self, message: dict[str, Any]) -> bool:
        """Send a message, and return whether SQS takes one of that size.

        Any other refusal is raised: SQS may have taken it all the same, or may take it later.
        """
        try:
            self._sqs.send_message(**message)
        except ClientError as error:
            if error.response["Error"]["Code"] not in TOO_LARGE:
                raise
            return False
        return True


def copy_of(record: Mapping[str, Any], queue_url: str) -> dict[str, Any]:
    """Return a record as the same message for another queue, without a reason of an earlier time."""
    known = record["attributes"]
    message: dict[str, Any] = {"QueueUrl": queue_url, "MessageBody": record["body"]}
    given = {name: _attribute(each) for name, each in record["messageAttributes"].items()}
    given.pop(ATTRIBUTE, None)
    if given:
        message["MessageAttributes"] = given
    if TRACE in known:
        trace = {"DataType": "String", "StringValue": known[TRACE]}
        message["MessageSystemAttributes"] = {TRACE: trace}
    if "MessageGroupId" in known:
        message["MessageGroupId"] = known["MessageGroupId"]
    if queue_url.endswith(FIFO_SUFFIX):
        # Not the message's own: SQS would take it for a repeat if it came here before, within 5 minutes.
        message["MessageDeduplicationId"] = record["messageId"]
    return message


def _attribute(given: Mapping[str, Any]) -> "MessageAttributeValueTypeDef":
    """Return a message attribute as SQS takes it, of one as Lambda hands it over."""
    if given.get("binaryValue") is not None:
        return {"DataType": given["dataType"], "BinaryValue": base64.b64decode(given["binaryValue"])}
    return {"DataType": given["dataType"], "StringValue": given["stringValue"]}
