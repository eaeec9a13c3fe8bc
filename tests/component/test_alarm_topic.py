from .cases import KEY, planned
from .recording import ACCOUNT, SNS_TOPIC_POLICY

SUBSCRIPTION = "aws:sns/topicSubscription:TopicSubscription"
FULL = "alarm topic with everything"


def test_only_the_account_s_alarms_may_tell_the_topic() -> None:
    plan = planned("alarm topic")
    topic = plan["unit-topic"].outputs["arn"]
    allowance, denial = (each for _, each in plan.statements(SNS_TOPIC_POLICY))
    assert allowance == {
        "Effect": "Allow",
        "Action": ["sns:Publish"],
        "Principal": {"Service": "cloudwatch.amazonaws.com"},
        "Resource": [topic],
        "Condition": {"StringEquals": {"aws:SourceAccount": ACCOUNT}},
    }
    assert plan["unit-topic-policy"].inputs["arn"] == topic
    assert denial["Effect"] == "Deny"


def test_the_topic_is_told_over_tls_only() -> None:
    plan = planned("alarm topic")
    _, denial = (each for _, each in plan.statements(SNS_TOPIC_POLICY))
    assert denial == {
        "Effect": "Deny",
        "Action": ["sns:Publish"],
        "Principal": "*",
        "Resource": [plan["unit-topic"].outputs["arn"]],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }


def test_each_address_is_told() -> None:
    plan = planned(FULL)
    told = {each.name: each.inputs for each in plan.of(SUBSCRIPTION)}
    assert told == {
        f"unit-email-{email}": {
            "topic": plan["unit-topic"].outputs["arn"],
            "protocol": "email",
            "endpoint": email,
        }
        for email in ("oncall@example.com", "ops+sluice@example.com")
    }


def test_there_may_be_nobody_to_tell() -> None:
    assert not planned("alarm topic").of(SUBSCRIPTION)


def test_the_topic_has_the_customer_key_that_was_given_and_never_aws_s_own() -> None:
    assert planned(FULL)["unit-topic"].inputs["kmsMasterKeyId"] == KEY
    assert "kmsMasterKeyId" not in planned("alarm topic")["unit-topic"].inputs, (
        "with alias/aws/sns alarms could tell it nothing"
    )


def test_the_outputs_name_the_topic() -> None:
    plan = planned("alarm topic")
    topic = plan["unit-topic"].outputs
    assert plan.result == {"topic_arn": topic["arn"], "topic_name": topic["name"]}
