"""What callers are told when it is our side that does not work."""

import boto3
import pytest
from botocore.awsrequest import AWSRequest
from botocore.exceptions import ClientError

from local.client import post_all
from local.emulator import ACCESS_KEY
from local.stack import LocalAws, LocalStack

from .support import Reply, assert_refused, call, forbid, fresh, made


def assert_unavailable(cloud: LocalAws, stack: LocalStack, reply: Reply) -> None:
    assert_refused(reply, 502, "QUEUE_UNAVAILABLE")
    queue = stack.outputs["queue_url"].rpartition("/")[2]
    for secret in ("arn:", "AWS", "Denied", "NonExistent", cloud.aws.account, queue):
        assert secret not in reply.body.decode()
        assert secret not in str(reply.headers)


def test_a_queue_that_is_gone_is_answered_502(cloud: LocalAws) -> None:
    stack = fresh(cloud)
    cloud.aws.client("sqs").delete_queue(QueueUrl=stack.outputs["queue_url"])

    assert_unavailable(cloud, stack, call(stack.outputs["url"]))


def test_a_role_that_may_not_send_is_answered_502(cloud: LocalAws) -> None:
    stack = fresh(cloud)
    forbid(cloud, stack, "front-door-role-policy", "sqs:SendMessage")

    assert_unavailable(cloud, stack, call(stack.outputs["url"]))


def test_a_role_that_may_send_to_another_queue_only_is_answered_502(cloud: LocalAws) -> None:
    stack = fresh(cloud)
    policy = made(stack, "front-door-role-policy").outputs
    queue, other = (made(stack, f"front-door-{each}").outputs["arn"] for each in ("queue", "dead-letters"))
    assert queue in policy["policy"]
    cloud.aws.client("iam").put_role_policy(
        RoleName=policy["role"],
        PolicyName=policy["name"],
        PolicyDocument=policy["policy"].replace(queue, other),
    )

    assert_unavailable(cloud, stack, call(stack.outputs["url"]))


def test_a_broken_stack_leaves_the_others_alone(cloud: LocalAws, door: LocalStack) -> None:
    stack = fresh(cloud)
    forbid(cloud, stack, "front-door-role-policy", "sqs:SendMessage")

    assert [each.status for each in post_all(stack.outputs["url"], [b"{}"] * 3, None)] == [502] * 3
    assert [each.status for each in post_all(door.outputs["url"], [b"{}"] * 3, None)] == [202] * 3


@pytest.mark.parametrize("queue", ["queue_url", "dead_letter_queue_url"])
def test_a_queue_takes_no_call_without_tls(cloud: LocalAws, door: LocalStack, queue: str) -> None:
    client = boto3.client(
        "sqs",
        endpoint_url=cloud.aws.endpoint,
        region_name=cloud.aws.region,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=ACCESS_KEY,
    )
    url = door.outputs[queue]
    attributes = client.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]
    assert attributes["QueueArn"], "over TLS the same call is allowed"
    client.meta.events.register("before-sign.sqs", say_that_it_came_without_tls)

    with pytest.raises(ClientError, match="AccessDenied"):
        client.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    with pytest.raises(ClientError, match="AccessDenied"):
        client.send_message(QueueUrl=url, MessageBody="{}")


def say_that_it_came_without_tls(request: AWSRequest, **_: object) -> None:
    request.headers.add_header("x-forwarded-proto", "http")
