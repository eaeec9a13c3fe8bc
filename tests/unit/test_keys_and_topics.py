import json
from typing import Any

import pytest

from components import alarm_topic, arguments, encryption_key
from components.alarm_topic import topic_policy
from components.encryption_key import key_policy, needed
from components.policies import policy

from .policy_evaluation import Caller, lets_in

ACCOUNT, OTHER_ACCOUNT = "123456789012", "210987654321"
REGION = "eu-west-1"
TOPIC = f"arn:aws:sns:{REGION}:{ACCOUNT}:alarms"
LOGS, ALARMS = f"logs.{REGION}.amazonaws.com", "cloudwatch.amazonaws.com"
LOG_CONTEXT = "kms:EncryptionContext:aws:logs:arn"
ARNS = {"kms_key_arn": f"arn:aws:kms:{REGION}:{ACCOUNT}:key/abc", "alarm_topic_arn": TOPIC}


def log_group(account: str = ACCOUNT, region: str = REGION) -> Caller:
    return {LOG_CONTEXT: f"arn:aws:logs:{region}:{account}:log-group:door-access-log"}


def may(document: str, caller: Caller, principal: str, action: str) -> bool:
    """Return whether a policy lets somebody do one thing: the statements that are about it decide."""
    found = json.loads(document)
    asked = [each for each in found["Statement"] if any(_covers(name, action) for name in each["Action"])]
    return lets_in(json.dumps({**found, "Statement": asked}), caller, principal)


def _covers(name: str, action: str) -> bool:
    return action.startswith(name[:-1]) if name.endswith("*") else action == name


KEY_POLICY = key_policy("aws", REGION, ACCOUNT)
ROOT = f"arn:aws:iam::{ACCOUNT}:root"


@pytest.mark.parametrize(
    ("principal", "caller", "action", "inside"),
    [
        # IAM decides for the account: whoever may change the key can also lose it.
        (ROOT, {}, "kms:PutKeyPolicy", True),
        (ROOT, {}, "kms:Decrypt", True),
        (f"arn:aws:iam::{OTHER_ACCOUNT}:root", {}, "kms:Decrypt", False),
        (LOGS, log_group(), "kms:GenerateDataKey", True),
        (LOGS, log_group(), "kms:Decrypt", True),
        (LOGS, log_group(), "kms:DescribeKey", True),
        (LOGS, log_group(), "kms:ReEncryptFrom", True),
        (LOGS, log_group(), "kms:ScheduleKeyDeletion", False),
        (LOGS, log_group(OTHER_ACCOUNT), "kms:Decrypt", False),
        (LOGS, log_group(region="us-east-1"), "kms:Decrypt", False),
        (LOGS, {}, "kms:Decrypt", False),
        ("logs.us-east-1.amazonaws.com", log_group(), "kms:Decrypt", False),
        (ALARMS, {}, "kms:GenerateDataKey", True),
        (ALARMS, {}, "kms:Decrypt", True),
        (ALARMS, {}, "kms:Encrypt", False),
        ("events.amazonaws.com", {}, "kms:Decrypt", False),
    ],
)
def test_a_key_is_used_by_the_account_and_by_the_services_that_need_it(
    principal: str, caller: Caller, action: str, inside: bool
) -> None:
    assert may(KEY_POLICY, caller, principal, action) is inside


@pytest.mark.parametrize(("partition", "region"), [("aws-cn", "cn-north-1"), ("aws-us-gov", "us-gov-west-1")])
def test_a_key_s_policy_speaks_of_its_own_partition(partition: str, region: str) -> None:
    written = key_policy(partition, region, ACCOUNT)
    assert "arn:aws:" not in written
    caller = {LOG_CONTEXT: f"arn:{partition}:logs:{region}:{ACCOUNT}:log-group:x"}
    assert may(written, caller, f"logs.{region}.amazonaws.com", "kms:Decrypt")


def test_what_the_owner_of_a_given_key_is_told_is_all_that_our_own_key_has_besides() -> None:
    told = json.loads(policy(*needed("aws", REGION, ACCOUNT)))["Statement"]
    own = json.loads(KEY_POLICY)["Statement"]
    assert own[1:] == told
    assert own[0]["Principal"] == {"AWS": ROOT}
    assert not any(each["Principal"] == "*" for each in own)


TOPIC_POLICY = topic_policy(TOPIC, ACCOUNT)
OVER_TLS = {"aws:SecureTransport": "true"}


@pytest.mark.parametrize(
    ("principal", "caller", "inside"),
    [
        (ALARMS, {"aws:SourceAccount": ACCOUNT, **OVER_TLS}, True),
        (ALARMS, {"aws:SourceAccount": OTHER_ACCOUNT, **OVER_TLS}, False),
        (ALARMS, OVER_TLS, False),
        (ALARMS, {"aws:SourceAccount": ACCOUNT, "aws:SecureTransport": "false"}, False),
        ("events.amazonaws.com", {"aws:SourceAccount": ACCOUNT, **OVER_TLS}, False),
        ("anybody", {"aws:SourceAccount": ACCOUNT, **OVER_TLS}, False),
    ],
)
def test_the_account_s_alarms_and_nobody_else_tell_a_topic(
    principal: str, caller: Caller, inside: bool
) -> None:
    assert may(TOPIC_POLICY, caller, principal, "sns:Publish") is inside


def test_a_topic_s_policy_is_about_that_topic_alone() -> None:
    found = json.loads(TOPIC_POLICY)["Statement"]
    assert [each["Resource"] for each in found] == [[TOPIC], [TOPIC]]
    assert [each["Action"] for each in found] == [["sns:Publish"], ["sns:Publish"]]


@pytest.mark.parametrize("args", [{}, {"deletion_window_days": 7}, {"deletion_window_days": 30, **ARNS}])
def test_good_arguments_of_a_key_have_no_problem(args: dict[str, Any]) -> None:
    assert not encryption_key.problems(args)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("args", "path"),
    [
        ({"deletion_window_days": 6}, "deletion_window_days"),
        ({"deletion_window_days": 31}, "deletion_window_days"),
        ({"deletion_window_days": True}, "deletion_window_days"),
        ({"log_retention_days": 31}, "log_retention_days"),
    ],
)
def test_what_is_wrong_with_a_key_is_named(args: dict[str, Any], path: str) -> None:
    assert [each.path for each in encryption_key.problems(args)] == [path]  # type: ignore[arg-type]


@pytest.mark.parametrize("args", [{}, {"emails": []}, {"emails": ["ops@example.com", "a.b+c@x.y"], **ARNS}])
def test_good_arguments_of_a_topic_have_no_problem(args: dict[str, Any]) -> None:
    assert not alarm_topic.problems(args)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("args", "path"),
    [
        ({"emails": "ops@example.com"}, "emails"),
        ({"emails": ["ops@example.com", "ops"]}, "emails[1]"),
        ({"emails": ["a b@example.com"]}, "emails[0]"),
        ({"emails": ["a@b@example.com"]}, "emails[0]"),
        ({"emails": ["a@example.com\n"]}, "emails[0]"),
        ({"emails": [5]}, "emails[0]"),
        ({"emails": ["a@example.com", "b@example.com", "a@example.com"]}, "emails[2]"),
        ({"kms_key_arn": "alias/mine"}, "kms_key_arn"),
    ],
)
def test_what_is_wrong_with_a_topic_is_named(args: dict[str, Any], path: str) -> None:
    assert [each.path for each in alarm_topic.problems(args)] == [path]  # type: ignore[arg-type]


def test_an_address_that_comes_twice_is_told_each_time_that_it_comes_again() -> None:
    found = alarm_topic.problems({"emails": ["a@x.y", "a@x.y", "b@x.y", "b@x.y", "a@x.y"]})
    assert [(each.path, each.value) for each in found] == [
        ("emails[1]", "a@x.y"),
        ("emails[3]", "b@x.y"),
        ("emails[4]", "a@x.y"),
    ]


@pytest.mark.parametrize("shape", [encryption_key.EncryptionKeyArgs, alarm_topic.AlarmTopicArgs])
def test_a_key_and_a_topic_take_what_every_component_takes(shape: type) -> None:
    assert arguments.Shared.__annotations__.keys() <= shape.__annotations__.keys()
