"""Makers for SQS."""

import json
from typing import TYPE_CHECKING

from sluice.sqs import FIFO_SUFFIX

from .compute import LocalSetupError
from .registry import Inputs, Outputs, Workshop, auto_name, makes

if TYPE_CHECKING:
    from mypy_boto3_sqs.literals import QueueAttributeNameType

ATTRIBUTES: "dict[str, QueueAttributeNameType]" = {
    "maxMessageSize": "MaximumMessageSize",
    "visibilityTimeoutSeconds": "VisibilityTimeout",
    "messageRetentionSeconds": "MessageRetentionPeriod",
    "redrivePolicy": "RedrivePolicy",
    "sqsManagedSseEnabled": "SqsManagedSseEnabled",
    "kmsMasterKeyId": "KmsMasterKeyId",
    "contentBasedDeduplication": "ContentBasedDeduplication",
    "deduplicationScope": "DeduplicationScope",
    "fifoThroughputLimit": "FifoThroughputLimit",
}


@makes("aws:sqs/queue:Queue")
def queue(workshop: Workshop, name: str, inputs: Inputs) -> tuple[str, Outputs]:
    """Make a queue."""
    sqs = workshop.aws.client("sqs")
    attributes = {attribute: _text(inputs[key]) for key, attribute in ATTRIBUTES.items() if key in inputs}
    fifo = bool(inputs.get("fifoQueue"))
    physical: str = inputs.get("name") or f"{auto_name(name)}{FIFO_SUFFIX if fifo else ''}"
    if physical.endswith(FIFO_SUFFIX) != fifo:
        raise LocalSetupError(f"a queue is FIFO and its name ends in {FIFO_SUFFIX}, or neither: {physical}")
    if fifo:
        attributes["FifoQueue"] = "true"
    _check_dead_letters(inputs.get("redrivePolicy"), fifo=fifo)
    url = sqs.create_queue(QueueName=physical, Attributes=attributes)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    return url, {"url": url, "arn": arn, "name": physical}


def _check_dead_letters(redrive_policy: str | None, *, fifo: bool) -> None:
    """Refuse a dead-letter queue of the other kind."""
    if redrive_policy is None:
        return
    target: str = json.loads(redrive_policy)["deadLetterTargetArn"]
    if target.endswith(FIFO_SUFFIX) != fifo:
        raise LocalSetupError("Dead-letter queue must be same type of queue as the source.")


@makes("aws:sqs/queuePolicy:QueuePolicy")
def queue_policy(workshop: Workshop, _name: str, inputs: Inputs) -> tuple[str, Outputs]:
    """Attach a queue's policy."""
    return _attribute(workshop, inputs, "Policy", inputs["policy"])


@makes("aws:sqs/redriveAllowPolicy:RedriveAllowPolicy")
def redrive_allow_policy(workshop: Workshop, _name: str, inputs: Inputs) -> tuple[str, Outputs]:
    """Say which queues may give up messages to this one."""
    return _attribute(workshop, inputs, "RedriveAllowPolicy", inputs["redriveAllowPolicy"])


def _attribute(
    workshop: Workshop, inputs: Inputs, name: "QueueAttributeNameType", value: str
) -> tuple[str, Outputs]:
    url: str = inputs["queueUrl"]
    workshop.aws.client("sqs").set_queue_attributes(QueueUrl=url, Attributes={name: value})
    return url, {}


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
