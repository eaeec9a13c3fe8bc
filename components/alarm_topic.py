"""`AlarmTopic`: where alarms are told, and who hears of them."""

import re
from typing import NotRequired, TypedDict

import pulumi
import pulumi_aws as aws

from . import arguments
from .arguments import Problem
from .policies import Statement, policy

EMAIL = re.compile(r"[^\s@]{1,64}@[A-Za-z0-9.-]{1,255}")


class AlarmTopicArgs(TypedDict):
    """What `AlarmTopic` takes. Everything has a default."""

    emails: NotRequired[list[str]]
    """Addresses that are told; AWS asks each for its consent first. Default: none."""
    kms_key_arn: NotRequired[pulumi.Input[str]]
    """A customer key for the topic, whose policy must let CloudWatch use it. Default: none: with AWS's own
    key CloudWatch could tell the topic nothing."""
    log_retention_days: NotRequired[int]
    """Taken by every component; a topic writes no log. Default: none."""
    alarm_topic_arn: NotRequired[pulumi.Input[str]]
    """Taken by every component; a topic has no alarms of its own. Default: none."""


def problems(args: AlarmTopicArgs) -> list[Problem]:
    """Return everything that is wrong with the arguments."""
    given: dict[str, object] = {**args}
    found = [*arguments.texts(given, "emails", EMAIL, "an e-mail address"), *arguments.shared(given)]
    emails = args.get("emails")
    if isinstance(emails, list) and not found:
        found += [
            Problem(f"emails[{index}]", each, "each address once")
            for index, each in enumerate(emails)
            if each in emails[:index]
        ]
    return found


def topic_policy(topic_arn: str, account: str) -> str:
    """Return the policy by which the account's alarms, and no other service, tell a topic over TLS.

    ("Notifying users on alarm changes", CloudWatch guide)
    """
    return policy(
        Statement(
            ["sns:Publish"],
            [topic_arn],
            principal={"Service": "cloudwatch.amazonaws.com"},
            condition={"StringEquals": {"aws:SourceAccount": account}},
        ),
        Statement(
            ["sns:Publish"],
            [topic_arn],
            effect="Deny",
            principal="*",
            condition={"Bool": {"aws:SecureTransport": "false"}},
        ),
    )


class AlarmTopic(pulumi.ComponentResource):
    """An SNS topic that the account's alarms may tell.

    Children: ``<name>-topic``, ``<name>-topic-policy``, ``<name>-email-<email>``.
    """

    topic_arn: pulumi.Output[str]
    """The topic's ARN, for ``alarm_topic_arn`` of every other component."""
    topic_name: pulumi.Output[str]
    """The topic's name."""

    def __init__(self, name: str, args: AlarmTopicArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        """Make the topic and its subscriptions.

        Raises:
            InvalidArgsError: with every problem in ``args``, before anything is created.
        """
        super().__init__("sluice:index:AlarmTopic", name, None, opts)
        admitted = arguments.admit(f"AlarmTopic {name!r}", args, AlarmTopicArgs, problems)
        child = pulumi.ResourceOptions(parent=self)
        topic = aws.sns.Topic(f"{name}-topic", kms_master_key_id=admitted.get("kms_key_arn"), opts=child)
        account = aws.get_caller_identity_output(opts=pulumi.InvokeOutputOptions(parent=self)).account_id
        aws.sns.TopicPolicy(
            f"{name}-topic-policy",
            arn=topic.arn,
            policy=pulumi.Output.all(topic.arn, account).apply(lambda known: topic_policy(*known)),
            opts=child,
        )
        for email in admitted.get("emails", []):
            aws.sns.TopicSubscription(
                f"{name}-email-{email}", topic=topic.arn, protocol="email", endpoint=email, opts=child
            )
        self.topic_arn = topic.arn
        self.topic_name = topic.name
        self.register_outputs({"topic_arn": self.topic_arn, "topic_name": self.topic_name})
