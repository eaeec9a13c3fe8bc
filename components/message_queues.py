"""A queue with its dead-letter queue: encrypted, TLS only, and the second takes from the first alone."""

import json
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from . import policies

LONGEST_RETENTION_SECONDS = 14 * 24 * 60 * 60
"""SQS's own limit, and how long a dead-letter queue keeps what it got."""
LARGEST_MESSAGE_SIZE = 1024 * 1024
"""SQS's own limit, in bytes ("Amazon SQS message quotas")."""
LONGEST_VISIBILITY_SECONDS = 12 * 60 * 60
"""SQS's own limit of a visibility timeout, and so of a wait before another try."""


@dataclass(frozen=True)
class QueueSpec:
    """What a pair of queues is made of."""

    max_message_size: int
    visibility_timeout_seconds: int
    message_retention_seconds: int
    max_receive_count: int
    kms_key_arn: pulumi.Input[str] | None
    fifo: bool = False
    content_based_deduplication: bool = False
    """Whether equal bodies within 5 minutes are one message of a FIFO queue."""
    high_throughput: bool = False
    """Whether order and deduplication of a FIFO queue hold per group only."""


@dataclass(frozen=True)
class QueuePair:
    """The resources of a queue."""

    queue: aws.sqs.Queue
    dead_letters: aws.sqs.Queue


def create_queues(
    name: str, spec: QueueSpec, parent: pulumi.Resource, formerly: str | None = None
) -> QueuePair:
    """Make a queue that gives up on a message after some receives, and the queue where it then waits.

    The children are ``<name>-queue``, ``<name>-queue-policy``, ``<name>-dead-letters``,
    ``<name>-dead-letters-policy`` and ``<name>-dead-letters-redrive``; ``formerly`` is what they were called
    before, if anything, so that they are kept.
    """

    def opts(role: str) -> pulumi.ResourceOptions:
        aliases = [pulumi.Alias(name=f"{formerly}-{role}")] if formerly else None
        return pulumi.ResourceOptions(parent=parent, aliases=aliases)

    # A customer key or SQS's own: SQS refuses both at once.
    own_key = None if spec.kms_key_arn else True
    # A FIFO queue gives up messages to a FIFO queue alone ("Using dead-letter queues in Amazon SQS").
    fifo = spec.fifo or None
    dead_letters = aws.sqs.Queue(
        f"{name}-dead-letters",
        fifo_queue=fifo,
        # The largest message has its place there, and the reason beside it.
        max_message_size=LARGEST_MESSAGE_SIZE,
        message_retention_seconds=LONGEST_RETENTION_SECONDS,
        kms_master_key_id=spec.kms_key_arn,
        sqs_managed_sse_enabled=own_key,
        opts=opts("dead-letters"),
    )
    queue = aws.sqs.Queue(
        f"{name}-queue",
        fifo_queue=fifo,
        content_based_deduplication=spec.content_based_deduplication or None,
        deduplication_scope="messageGroup" if spec.high_throughput else None,
        fifo_throughput_limit="perMessageGroupId" if spec.high_throughput else None,
        max_message_size=spec.max_message_size,
        message_retention_seconds=spec.message_retention_seconds,
        visibility_timeout_seconds=spec.visibility_timeout_seconds,
        kms_master_key_id=spec.kms_key_arn,
        sqs_managed_sse_enabled=own_key,
        redrive_policy=dead_letters.arn.apply(
            lambda arn: json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": spec.max_receive_count})
        ),
        opts=opts("queue"),
    )
    aws.sqs.RedriveAllowPolicy(
        f"{name}-dead-letters-redrive",
        queue_url=dead_letters.url,
        redrive_allow_policy=queue.arn.apply(
            lambda arn: json.dumps({"redrivePermission": "byQueue", "sourceQueueArns": [arn]})
        ),
        opts=opts("dead-letters-redrive"),
    )
    for role, each in (("queue", queue), ("dead-letters", dead_letters)):
        aws.sqs.QueuePolicy(
            f"{name}-{role}-policy",
            queue_url=each.url,
            policy=each.arn.apply(policies.tls_only),
            opts=opts(f"{role}-policy"),
        )
    return QueuePair(queue, dead_letters)
