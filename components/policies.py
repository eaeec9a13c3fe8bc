"""IAM policy documents as values: one statement per need, on concrete ARNs."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

VERSION = "2012-10-17"

Conditions = dict[str, dict[str, str | list[str]]]


@dataclass(frozen=True)
class Statement:
    """One permission (or denial) on exactly these resources."""

    actions: Sequence[str]
    resources: Sequence[str]
    effect: str = "Allow"
    principal: Mapping[str, str | list[str]] | str | None = None
    condition: Conditions = field(default_factory=dict)

    def document(self) -> dict[str, object]:
        """Return the statement as IAM writes it."""
        written: dict[str, object] = {"Effect": self.effect, "Action": sorted(self.actions)}
        if self.principal is not None:
            written["Principal"] = self.principal
        if self.resources:
            written["Resource"] = sorted(self.resources)
        if self.condition:
            written["Condition"] = self.condition
        return written


def policy(*statements: Statement) -> str:
    """Return a policy document as JSON, the same for the same statements, with each of them once."""
    documents = [each.document() for each in statements]
    once = [each for place, each in enumerate(documents) if each not in documents[:place]]
    return json.dumps({"Version": VERSION, "Statement": once})


def trusts(service: str) -> str:
    """Return the trust policy of a role that one AWS service takes on.

    No SourceArn condition: on API Gateway's roles it is untested by AWS and breaks other APIs of the
    account (the logging role serves all of them).
    """
    return policy(Statement(["sts:AssumeRole"], [], principal={"Service": service}))


def tls_only(queue_arn: str) -> str:
    """Return the queue policy that refuses every call that did not come over TLS."""
    return policy(
        Statement(
            ["sqs:*"],
            [queue_arn],
            effect="Deny",
            principal="*",
            condition={"Bool": {"aws:SecureTransport": "false"}},
        )
    )


def send_messages(queue_arns: Sequence[str], kms_key_arn: str | None) -> str:
    """Return what API Gateway needs to put messages into queues.

    Under a customer key a sender needs both key actions ("Key management", Amazon SQS Developer Guide).
    """
    return policy(
        send_to(*queue_arns),
        *key_use(kms_key_arn, "kms:GenerateDataKey", "kms:Decrypt"),
    )


def drain_queue(queue_arn: str) -> Statement:
    """Return what a consumer needs on its queue: Lambda's poller, and shortening a failed record's wait."""
    return Statement(
        ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ChangeMessageVisibility"],
        [queue_arn],
    )


def send_to(*queue_arns: str) -> Statement:
    """Return what it takes to put messages into queues."""
    return Statement(["sqs:SendMessage"], queue_arns)


def bucket_tls_only(bucket_arn: str) -> str:
    """Return the bucket policy that refuses every call that did not come over TLS."""
    return policy(
        Statement(
            ["s3:*"],
            [bucket_arn, f"{bucket_arn}/*"],
            effect="Deny",
            principal="*",
            condition={"Bool": {"aws:SecureTransport": "false"}},
        )
    )


def keep_objects(bucket_arn: str) -> list[Statement]:
    """Return what is needed to keep objects under any name, also as Lambda's destination of failures.

    "Capturing records of Lambda asynchronous invocations" asks for both.
    """
    return [Statement(["s3:PutObject"], [f"{bucket_arn}/*"]), Statement(["s3:ListBucket"], [bucket_arn])]


def read_stream(stream_arn: str) -> Statement:
    """Return what Lambda's poller needs on a table's stream."""
    return Statement(
        [
            "dynamodb:DescribeStream",
            "dynamodb:GetRecords",
            "dynamodb:GetShardIterator",
            "dynamodb:ListStreams",
        ],
        [stream_arn],
    )


def deliver_logs(log_group_arn: str, account: str, region: str) -> str:
    """Return the policy by which WAF's logs are delivered ("Sending web ACL traffic logs", WAF guide)."""
    return policy(
        Statement(
            ["logs:CreateLogStream", "logs:PutLogEvents"],
            [f"{log_group_arn}:*"],
            principal={"Service": "delivery.logs.amazonaws.com"},
            condition={
                "StringEquals": {"aws:SourceAccount": account},
                "ArnLike": {"aws:SourceArn": f"arn:{log_group_arn.split(':')[1]}:logs:{region}:{account}:*"},
            },
        )
    )


def write_logs(log_group_arn: str) -> Statement:
    """Return what a function needs to write to its own log group, which exists already."""
    return Statement(["logs:CreateLogStream", "logs:PutLogEvents"], [f"{log_group_arn}:*"])


def own_table(table_arn: str) -> Statement:
    """Return what a function may do with a table that is its own: items, not the table's settings."""
    return Statement(
        [
            "dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem",
            "dynamodb:Query", "dynamodb:BatchGetItem", "dynamodb:BatchWriteItem",
            "dynamodb:ConditionCheckItem",
        ],
        [table_arn],
    )  # fmt: skip


def note_in_table(table_arn: str) -> Statement:
    """Return what it takes to note what is in progress and what is done ("Idempotency", Powertools guide)."""
    return Statement(
        ["dynamodb:DeleteItem", "dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem"], [table_arn]
    )


def in_network() -> list[Statement]:
    """Return what Lambda needs to put a function into subnets ("Giving Lambda functions access to a VPC").

    On every resource: network interfaces have no name before they are made, and describing them takes none.
    """
    return [
        Statement(
            [
                "ec2:AssignPrivateIpAddresses", "ec2:CreateNetworkInterface", "ec2:DeleteNetworkInterface",
                "ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets", "ec2:UnassignPrivateIpAddresses",
            ],
            ["*"],
        )
    ]  # fmt: skip


def deliver_own_logs() -> Statement:
    """Return what a state machine needs to write its log ("Using CloudWatch Logs to log execution history").

    On every resource: log deliveries have no ARN.
    """
    return Statement(
        [
            "logs:CreateLogDelivery", "logs:DeleteLogDelivery", "logs:DescribeLogGroups",
            "logs:DescribeResourcePolicies", "logs:GetLogDelivery", "logs:ListLogDeliveries",
            "logs:PutResourcePolicy", "logs:UpdateLogDelivery",
        ],
        ["*"],
    )  # fmt: skip


def send_traces() -> Statement:
    """Return what X-Ray's tracing needs; on every resource, since X-Ray has none for traces."""
    return Statement(
        [
            "xray:GetSamplingRules", "xray:GetSamplingTargets", "xray:PutTelemetryRecords",
            "xray:PutTraceSegments",
        ],
        ["*"],
    )  # fmt: skip


def table_key_use(kms_key_arn: str | None) -> list[Statement]:
    """Return what a caller of a table under a customer key needs ("DynamoDB encryption at rest", guide)."""
    return key_use(
        kms_key_arn,
        "kms:Decrypt",
        "kms:DescribeKey",
        "kms:Encrypt",
        "kms:GenerateDataKey",
        "kms:ReEncryptFrom",
        "kms:ReEncryptTo",
    )


def key_use(kms_key_arn: str | None, *actions: str) -> list[Statement]:
    """Return the statement for a customer key, or nothing where AWS's own key is used."""
    return [Statement(actions, [kms_key_arn])] if kms_key_arn else []
