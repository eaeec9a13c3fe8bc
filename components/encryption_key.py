"""`EncryptionKey`: one customer key for everything, with every grant that the services need."""

from typing import NotRequired, TypedDict

import pulumi
import pulumi_aws as aws

from . import arguments
from .arguments import Problem
from .policies import Statement, policy

DELETION_WINDOW_DAYS = 30
THIS_KEY = ["*"]
"""In a key's own policy: that key, whose ARN is not known before it."""


class EncryptionKeyArgs(TypedDict):
    """What `EncryptionKey` takes. Everything has a default."""

    deletion_window_days: NotRequired[int]
    """How long the key can still be saved after it was destroyed, in days, 7 to 30; what it encrypted cannot
    be read in that time, and never again after it. Default: 30."""
    kms_key_arn: NotRequired[pulumi.Input[str]]
    """Taken by every component; a key is encrypted by none. Default: none."""
    log_retention_days: NotRequired[int]
    """Taken by every component; a key writes no log. Default: none."""
    alarm_topic_arn: NotRequired[pulumi.Input[str]]
    """Taken by every component; a key has no alarms. Default: none."""


def problems(args: EncryptionKeyArgs) -> list[Problem]:
    """Return everything that is wrong with the arguments."""
    return [*arguments.between({**args}, "deletion_window_days", 7, 30, "days"), *arguments.shared({**args})]


def needed(partition: str, region: str, account: str) -> list[Statement]:
    """Return what AWS's services need of a key that encrypts what the components make.

    Roles of the account get what they need by their own policies, where the key's policy leaves that to IAM.
    """
    return [
        # "Encrypt log data in CloudWatch Logs using AWS Key Management Service"
        Statement(
            ["kms:Decrypt", "kms:Describe*", "kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*"],
            THIS_KEY,
            principal={"Service": f"logs.{region}.amazonaws.com"},
            condition={
                "ArnLike": {
                    "kms:EncryptionContext:aws:logs:arn": f"arn:{partition}:logs:{region}:{account}:*"
                }
            },
        ),
        # A state machine's log ("Data at rest encryption in Step Functions").
        Statement(
            ["kms:Decrypt*"],
            THIS_KEY,
            principal={"Service": "delivery.logs.amazonaws.com"},
            condition={
                "StringEquals": {"aws:SourceAccount": account},
                "ArnLike": {"aws:SourceArn": f"arn:{partition}:logs:{region}:{account}:*"},
            },
        ),
        # An alarm's message into an encrypted topic ("Amazon SNS key management"). No condition: whether
        # CloudWatch names the alarm to KMS is not documented.
        Statement(
            ["kms:Decrypt", "kms:GenerateDataKey*"],
            THIS_KEY,
            principal={"Service": "cloudwatch.amazonaws.com"},
        ),
    ]


def key_policy(partition: str, region: str, account: str) -> str:
    """Return the policy of a key of ours: IAM decides for the account, and services get what they need."""
    owner = Statement(["kms:*"], THIS_KEY, principal={"AWS": f"arn:{partition}:iam::{account}:root"})
    return policy(owner, *needed(partition, region, account))


def _here(opts: pulumi.InvokeOutputOptions) -> pulumi.Output[list[str]]:
    """Return partition, Region and account."""
    return pulumi.Output.all(
        aws.get_partition_output(opts=opts).partition,
        aws.get_region_output(opts=opts).region,
        aws.get_caller_identity_output(opts=opts).account_id,
    )


def statements_for_a_given_key() -> pulumi.Output[str]:
    """Return, as a policy document, what the owner of a key that is given must put into its policy.

    A key's policy can only be replaced as a whole, so a given key is left alone.
    """
    return _here(pulumi.InvokeOutputOptions()).apply(lambda here: policy(*needed(*here)))


class EncryptionKey(pulumi.ComponentResource):
    """A customer key for queues, tables, logs, functions and the alarms' topic. It rotates each year.

    Children: ``<name>-key``.
    """

    key_arn: pulumi.Output[str]
    """The key's ARN, for ``kms_key_arn`` of every other component."""
    key_id: pulumi.Output[str]
    """The key's id."""

    def __init__(
        self, name: str, args: EncryptionKeyArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        """Make the key.

        Raises:
            InvalidArgsError: with every problem in ``args``, before anything is created.
        """
        super().__init__("sluice:index:EncryptionKey", name, None, opts)
        admitted = arguments.admit(f"EncryptionKey {name!r}", args, EncryptionKeyArgs, problems)
        key = aws.kms.Key(
            f"{name}-key",
            description=f"Encrypts what {pulumi.get_project()} keeps in stack {pulumi.get_stack()}.",
            enable_key_rotation=True,
            deletion_window_in_days=admitted.get("deletion_window_days", DELETION_WINDOW_DAYS),
            policy=_here(pulumi.InvokeOutputOptions(parent=self)).apply(lambda here: key_policy(*here)),
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.key_arn = key.arn
        self.key_id = key.key_id
        self.register_outputs({"key_arn": self.key_arn, "key_id": self.key_id})
