import json
from pathlib import Path
from typing import Any

import pulumi
import pytest

from local import program
from local.client import post
from local.makers import UnknownInputError, UnknownTypeError, make
from local.makers.compute import LocalSetupError
from local.program import DeployError, StackFileError, deploy, stack_config
from local.stack import LocalAws, LocalStack

from .support import call, fresh, made


def test_the_gateway_responses_in_effect_are_those_deployed(cloud: LocalAws, door: LocalStack) -> None:
    api = made(door, "front-door-api").id
    known = cloud.aws.client("apigateway").get_gateway_responses(restApiId=api, limit=500)["items"]
    in_effect = {each["responseType"]: each for each in known if not each.get("defaultResponse")}

    deployed = {
        each.outputs["responseType"]: each.outputs
        for each in door.deployment.resources
        if each.type == "aws:apigateway/response:Response"
    }
    assert in_effect.keys() == deployed.keys()
    for kind, wanted in deployed.items():
        assert in_effect[kind]["responseTemplates"] == wanted["responseTemplates"], kind
        assert in_effect[kind].get("statusCode") == wanted.get("statusCode"), kind
        assert in_effect[kind].get("responseParameters", {}) == wanted.get("responseParameters", {}), kind


def test_the_edge_answers_what_is_deployed_and_nothing_of_its_own(cloud: LocalAws) -> None:
    stack = fresh(cloud)
    cloud.aws.client("apigateway").put_gateway_response(
        restApiId=made(stack, "front-door-api").id,
        responseType="REQUEST_TOO_LARGE",
        statusCode="418",
        responseTemplates={"application/json": '{"said": $context.error.messageString}'},
        responseParameters={"gatewayresponse.header.X-Said": "'so'"},
    )

    reply = call(stack.outputs["url"], body=b"x" * (11 * 1024 * 1024))

    assert (reply.status, reply.answer) == (418, {"said": "Request Too Long"})
    assert reply.headers["x-said"] == "so"


def test_the_queues_have_the_settings_of_the_stack(cloud: LocalAws) -> None:
    stack = fresh(
        cloud,
        front_door={
            "max_message_size": 2048,
            "visibility_timeout_seconds": 240,
            "message_retention_seconds": 3600,
            "max_receive_count": 7,
        },
    )
    sqs = cloud.aws.client("sqs")
    queue, dead = (
        sqs.get_queue_attributes(QueueUrl=stack.outputs[each], AttributeNames=["All"])["Attributes"]
        for each in ("queue_url", "dead_letter_queue_url")
    )

    assert queue["MaximumMessageSize"] == "2048"
    assert dead["MaximumMessageSize"] == str(1024 * 1024), "with room for the reason beside any message"
    assert queue["VisibilityTimeout"] == "240"
    assert queue["MessageRetentionPeriod"] == "3600"
    assert int(dead["MessageRetentionPeriod"]) > 3600, "what was given up outlives what waits"
    assert json.loads(queue["RedrivePolicy"]) == {
        "deadLetterTargetArn": dead["QueueArn"],
        "maxReceiveCount": 7,
    }
    assert json.loads(dead["RedriveAllowPolicy"])["sourceQueueArns"] == [queue["QueueArn"]]


def test_the_path_and_the_stage_are_in_the_url_and_answer_there(cloud: LocalAws) -> None:
    stack = fresh(cloud, front_door={"path": "a/b.c/d", "stage_name": "blue"})

    assert stack.outputs["url"].endswith("/blue/a/b.c/d")
    assert post(stack.outputs["url"], b"{}").status == 202
    assert post(stack.outputs["url"].removesuffix("/d"), b"{}").status == 403


def test_the_outputs_are_left_where_the_operator_s_command_reads_them(cloud: LocalAws) -> None:
    stack = fresh(cloud)

    written = json.loads((cloud.folder / "outputs.open.json").read_text())
    where = written.pop("local")
    assert written == stack.outputs
    assert where == {"endpoint_url": cloud.aws.endpoint, "region": cloud.aws.region}


def test_a_stack_can_be_deployed_twice_side_by_side(cloud: LocalAws, door: LocalStack) -> None:
    other = fresh(cloud)

    same = {key for key, value in other.outputs.items() if value and door.outputs[key] == value}
    assert same == {"dashboard"}, "all but the dashboard has a name of its own"


def test_a_mapping_whose_role_may_not_receive_is_refused(cloud: LocalAws, door: LocalStack) -> None:
    inputs = {
        "eventSourceArn": made(door, "front-door-dead-letters").outputs["arn"],
        "functionName": door.consumer["function"],
        "batchSize": 10,
    }

    with pytest.raises(LocalSetupError, match="ReceiveMessage"):
        make(cloud.workshop, "aws:lambda/eventSourceMapping:EventSourceMapping", "mapping", inputs)


def test_a_role_that_does_not_trust_api_gateway_is_refused(cloud: LocalAws, door: LocalStack) -> None:
    inputs = {"cloudwatchRoleArn": made(door, "consumer-role").outputs["arn"]}

    with pytest.raises(LocalSetupError, match="permission to assume"):
        make(cloud.workshop, "aws:apigateway/account:Account", "account", inputs)


def test_a_resource_type_without_a_maker_is_refused_by_name(cloud: LocalAws) -> None:
    with pytest.raises(UnknownTypeError, match="aws:ecr/repository:Repository"):
        make(cloud.workshop, "aws:ecr/repository:Repository", "repository", {})


def test_an_input_that_a_maker_does_not_know_is_refused_by_name(cloud: LocalAws) -> None:
    with pytest.raises(UnknownInputError, match="delaySeconds of aws:sqs/queue:Queue"):
        make(cloud.workshop, "aws:sqs/queue:Queue", "queue", {"delaySeconds": 5})


@pytest.mark.parametrize(
    ("resource", "named"),
    [
        ("aws.ecr.Repository('some-images')", "aws:ecr/repository:Repository 'some-images'"),
        ("aws.sqs.Queue('some-queue', delay_seconds=5)", "aws:sqs/queue:Queue 'some-queue'.*delaySeconds"),
        ("aws.get_availability_zones()", "aws:index/getAvailabilityZones:getAvailabilityZones"),
    ],
)
def test_a_program_that_needs_more_than_the_local_aws_has_is_stopped_and_told_what(
    cloud: LocalAws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, resource: str, named: str
) -> None:
    wanting = tmp_path / "__main__.py"
    wanting.write_text(f"import pulumi_aws as aws\n{resource}\n")
    monkeypatch.setattr(program, "PROGRAM", wanting)

    with pytest.raises(DeployError, match=named):
        deploy("open", stack_config("open"), cloud.workshop, lambda _made: None)


def test_a_deployment_that_failed_leaves_the_next_one_alone(
    cloud: LocalAws, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    wanting = tmp_path / "__main__.py"
    wanting.write_text("import pulumi_aws as aws\naws.ecr.Repository('images')\n")
    with monkeypatch.context() as patch:
        patch.setattr(program, "PROGRAM", wanting)
        with pytest.raises(DeployError):
            deploy("open", stack_config("open"), cloud.workshop, lambda _made: None)

    assert post(fresh(cloud).outputs["url"], b"{}").status == 202


def test_wrong_settings_are_all_told_at_once_and_nothing_is_made(cloud: LocalAws) -> None:
    before = queues(cloud)
    wrong: dict[str, Any] = {
        "sluice:authorizer": {"kind": "password"},
        "sluice:front_door": {"throttle_rate": -1, "path": "with spaces", "thrttle_burst": 5},
        "sluice:log_retention_days": 4,
    }

    with pytest.raises(pulumi.RunError) as refused:
        cloud.up("dev", {key: json.dumps(value) for key, value in wrong.items()})

    for key in (
        "sluice:authorizer.kind",
        "sluice:front_door.throttle_rate = -1",
        "sluice:front_door.path = 'with spaces'",
        "sluice:front_door.thrttle_burst",
        "did you mean throttle_burst?",
        "sluice:log_retention_days",
    ):
        assert key in str(refused.value)
    assert queues(cloud) == before


def test_a_stack_that_wants_tokens_and_has_none_is_refused_by_the_program(cloud: LocalAws) -> None:
    config = {**stack_config("dev"), "sluice:authorizer": json.dumps({"kind": "token", "tokens": []})}

    with pytest.raises(pulumi.RunError, match=r"sluice:authorizer\.tokens = \[\]\n +allowed: at least one"):
        deploy("dev", config, cloud.workshop, lambda _made: None)


@pytest.mark.parametrize(
    "section",
    [
        "not JSON",
        "[]",
        '{"kind": "token", "tokens": ["a"]}',
        '{"kind": "token", "tokens": {"a": "b"}}',
        '{"kind": "jwt", "audiences": "a"}',
        '{"kind": ["iam"]}',
    ],
)
def test_an_authorizer_section_that_cannot_be_read_is_refused_by_the_program(
    cloud: LocalAws, section: str
) -> None:
    with pytest.raises(pulumi.RunError, match="sluice:authorizer"):
        cloud.up("dev", {"sluice:authorizer": section})


def test_an_unknown_stack_is_refused_with_those_that_there_are(cloud: LocalAws) -> None:
    with pytest.raises(
        StackFileError, match=r"no stack 'prod'; there are: cognito, dev, full, .*, retrier\."
    ):
        cloud.up("prod")


def test_each_run_mints_a_token_of_its_own(cloud: LocalAws) -> None:
    first = fresh(cloud, "dev")
    assert first.token
    again = fresh(cloud, "dev")

    assert again.token != first.token
    assert post(again.outputs["url"], b"{}", first.token).status == 403


def queues(cloud: LocalAws) -> list[str]:
    return cloud.aws.client("sqs").list_queues().get("QueueUrls", [])
