"""Makers for SQS."""

from typing import TYPE_CHECKING

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
}


@makes("aws:sqs/queue:Queue")
def queue(workshop: Workshop, name: str, inputs: Inputs) -> tuple[str, Outputs]:
    """Make a queue."""
    sqs = workshop.aws.client("sqs")
    attributes = {attribute: _text(inputs[key]) for key, attribute in ATTRIBUTES.items() if key in inputs}
    physical = auto_name(name)
    url = sqs.create_queue(QueueName=physical, Attributes=attributes)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    return url, {"url": url, "arn": arn, "name": physical}


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
