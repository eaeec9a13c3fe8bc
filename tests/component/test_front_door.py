import json
from collections.abc import Callable, Mapping
from typing import Any, cast

import pytest

from components import FrontDoor, FrontDoorArgs, answers

from .cases import (
    DECIDER,
    EXISTING_API,
    EXISTING_QUEUE,
    KEY,
    QUEUE_ARN,
    QUEUE_URL,
    READS,
    SHARED,
    planned,
)
from .doors import GUARDED, POST_MESSAGES, door, methods, plain, urns
from .recording import (
    ACCOUNT,
    GATEWAY_RESPONSE,
    INTEGRATION_RESPONSE,
    QUEUE,
    QUEUE_POLICY,
    REGION,
    REST_API,
    REST_API_POLICY,
    Plan,
    arn,
    physical,
    plan_of,
)


def test_a_message_that_keeps_failing_goes_to_the_dead_letter_queue() -> None:
    plan = door(max_receive_count=7)
    redrive = json.loads(plan["unit-queue"].inputs["redrivePolicy"])
    assert redrive == {
        "deadLetterTargetArn": plan["unit-dead-letters"].outputs["arn"],
        "maxReceiveCount": 7,
    }


def test_the_dead_letter_queue_takes_from_the_queue_alone() -> None:
    plan = plain()
    allowed = plan["unit-dead-letters-redrive"].inputs
    assert allowed["queueUrl"] == plan["unit-dead-letters"].outputs["url"]
    assert json.loads(allowed["redriveAllowPolicy"]) == {
        "redrivePermission": "byQueue",
        "sourceQueueArns": [plan["unit-queue"].outputs["arn"]],
    }


@pytest.mark.parametrize("role", ["queue", "dead-letters"])
def test_a_queue_is_reached_over_tls_only(role: str) -> None:
    plan = plain()
    queue = plan[f"unit-{role}"].outputs
    assert plan[f"unit-{role}-policy"].inputs["queueUrl"] == queue["url"]
    policies = dict(plan.statements(QUEUE_POLICY))
    assert policies[f"unit-{role}-policy"] == {
        "Effect": "Deny",
        "Action": ["sqs:*"],
        "Principal": "*",
        "Resource": [queue["arn"]],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }


def test_dead_letters_are_kept_as_long_as_sqs_can() -> None:
    assert plain()["unit-dead-letters"].inputs["messageRetentionSeconds"] == 14 * 24 * 60 * 60


def test_the_size_limit_is_the_queue_s_and_a_dead_letter_has_room_for_its_reason_besides() -> None:
    plan = door(max_message_size=4096)
    limits = [plan[f"unit-{each}"].inputs["maxMessageSize"] for each in ("queue", "dead-letters")]
    assert limits == [4096, 1024 * 1024]


def test_the_largest_message_is_set_and_not_left_to_the_provider() -> None:
    assert plain()["unit-queue"].inputs["maxMessageSize"] == 262_144


def test_the_queue_is_timed_as_asked() -> None:
    queue = door(visibility_timeout_seconds=600, message_retention_seconds=3600)["unit-queue"].inputs
    assert (queue["visibilityTimeoutSeconds"], queue["messageRetentionSeconds"]) == (600, 3600)


def test_the_url_is_the_stage_s_with_the_path() -> None:
    plan = door(path="orders/new", stage_name="live")
    stage = plan["unit-stage"].outputs
    assert stage["stageName"] == "live"
    assert plan.result["url"] == f"{stage['invokeUrl']}/orders/new"
    assert plan.result["base_url"] == plan.result["invoke_url"] == stage["invokeUrl"]


def test_the_url_of_several_routes_is_the_first_one_s() -> None:
    plan = planned("front door with routes and queues")
    assert plan.result["url"] == f"{plan['unit-stage'].outputs['invokeUrl']}/events"


def test_without_an_authorizer_everybody_may_call() -> None:
    plan = plain()
    method = methods(plan)[POST_MESSAGES]
    assert (method["httpMethod"], method["authorization"]) == ("POST", "NONE")
    assert "authorizerId" not in method
    assert "unit-authorizer" not in plan
    assert "unit-authorizer-permission" not in plan
    assert plan.result["authorizer_id"] is None


def test_an_authorizer_decides_from_the_authorization_header() -> None:
    plan = door(**GUARDED, authorizer_cache_ttl_seconds=30, authorizer_token_pattern="Bearer .+")
    authorizer = plan["unit-authorizer"]
    method = methods(plan)[POST_MESSAGES]
    assert (method["authorization"], method["authorizerId"]) == ("CUSTOM", authorizer.outputs["id"])
    assert plan.result["authorizer_id"] == authorizer.outputs["id"]
    assert authorizer.inputs == {
        "restApi": plan["unit-api"].outputs["id"],
        "type": "TOKEN",
        "authorizerUri": "arn:aws:apigateway:eu-central-1:lambda:path/2015-03-31/functions/"
        f"{DECIDER}/invocations",
        "authorizerResultTtlInSeconds": 30,
        "identitySource": "method.request.header.Authorization",
        "identityValidationExpression": "Bearer .+",
    }


def test_a_decision_is_kept_for_a_minute_unless_asked_otherwise() -> None:
    kept = door(**GUARDED)["unit-authorizer"].inputs["authorizerResultTtlInSeconds"]
    assert kept == 60, "a revoked token works that much longer"


def test_the_function_may_be_asked_by_this_authorizer_alone() -> None:
    plan = door(**GUARDED)
    execution_arn = plan["unit-api"].outputs["executionArn"]
    assert plan["unit-authorizer-permission"].inputs == {
        "action": "lambda:InvokeFunction",
        "function": DECIDER,
        "principal": "apigateway.amazonaws.com",
        "sourceArn": f"{execution_arn}/authorizers/{plan['unit-authorizer'].outputs['id']}",
    }


def test_the_integration_puts_the_request_into_the_queue() -> None:
    plan = door(content_types=["application/json", "text/plain"])
    integration = plan[f"unit-integration-{POST_MESSAGES}"].inputs
    queue_name = plan["unit-queue"].outputs["name"]
    assert (integration["type"], integration["integrationHttpMethod"]) == ("AWS", "POST")
    assert integration["uri"] == f"arn:aws:apigateway:eu-central-1:sqs:path/123456789012/{queue_name}"
    assert integration["credentials"] == plan["unit-role"].outputs["arn"]
    assert set(integration["requestTemplates"]) == {"application/json", "text/plain"}
    assert integration["requestParameters"] == {
        "integration.request.header.Accept": "'application/json'",
        "integration.request.header.Content-Type": "'application/x-www-form-urlencoded'",
    }, "SQS would answer XML, and the body goes by the form, never by the query"


@pytest.mark.parametrize("case", ["front door", "front door with routes and queues"])
def test_an_unknown_content_type_is_answered_415_and_never_passed_through(case: str) -> None:
    plan = planned(case)
    queued = [each for each in plan.registrations if each.inputs.get("type") == "AWS"]
    assert queued
    assert {each.inputs["passthroughBehavior"] for each in queued} == {"NEVER"}


@pytest.mark.parametrize("case", ["front door", "front door with routes and queues"])
def test_every_value_in_a_form_for_sqs_is_url_encoded(case: str) -> None:
    plan = planned(case)
    texts = [
        template
        for each in plan.registrations
        if each.inputs.get("type") == "AWS"
        for template in each.inputs["requestTemplates"].values()
    ]
    assert texts
    assert all("MessageBody=$util.urlEncode(" in each for each in texts), "an & would end the body"
    assert not any("\n" in each for each in texts), "a line break would be part of a value"


def test_an_integration_waits_until_the_role_may_send() -> None:
    plan = plain()
    assert urns(plan, "role-policy") <= plan[f"unit-integration-{POST_MESSAGES}"].dependencies


@pytest.mark.parametrize(
    ("answer", "pattern", "status"),
    [("accepted", r"2\d{2}", "202"), ("refused", r"4\d{2}", "502"), ("broken", r"5\d{2}", "503")],
)
def test_an_answer_of_the_queue_is_chosen_by_its_status(answer: str, pattern: str, status: str) -> None:
    plan = plain()
    response = plan[f"unit-{answer}-{POST_MESSAGES}"]
    assert (response.inputs["selectionPattern"], response.inputs["statusCode"]) == (pattern, status)
    waited = urns(plan, f"{answer}-response-{POST_MESSAGES}", f"integration-{POST_MESSAGES}")
    assert waited <= response.dependencies, "API Gateway refuses an integration response before these"
    declared = plan[f"unit-{answer}-response-{POST_MESSAGES}"].inputs
    assert declared["statusCode"] == status
    assert set(response.inputs.get("responseParameters", {})) <= set(declared["responseParameters"])


@pytest.mark.parametrize("case", ["front door", "front door with routes and queues", "front door with reads"])
def test_no_answer_from_behind_is_the_default(case: str) -> None:
    plan = planned(case)
    responses = plan.of(INTEGRATION_RESPONSE)
    without = [each.name for each in responses if not each.inputs.get("selectionPattern")]
    health = ["unit-healthy-GET/health"] if case.endswith("reads") else []
    assert without == health, "an answer without a pattern would tell a failure as its own status"


def test_what_api_gateway_answers_itself_has_the_same_shape_as_every_other_error() -> None:
    plan = plain()
    known = {each.response_type for each in answers.gateway_answers(answers.Shape.PLAIN, {}, schemas=False)}
    made = {each.inputs["responseType"]: each.inputs for each in plan.of(GATEWAY_RESPONSE)}
    assert made.keys() == known
    for each in made.values():
        (template,) = each["responseTemplates"].values()
        assert json.loads(template.replace("$context.error.messageString", '""')).keys() == {
            "code",
            "message",
            "requestId",
        }
        assert each["restApiId"] == plan["unit-api"].outputs["id"]


def test_a_fifo_queue_has_fifo_dead_letters() -> None:
    plan = planned("front door with a FIFO queue")
    queues = plan.of(QUEUE)
    assert [each.inputs["fifoQueue"] for each in queues] == [True, True], "SQS refuses a mixed pair"
    assert all(each.outputs["name"].endswith(".fifo") for each in queues)
    queue = plan["unit-queue"].inputs
    assert (queue["deduplicationScope"], queue["fifoThroughputLimit"]) == (
        "messageGroup",
        "perMessageGroupId",
    )
    assert "contentBasedDeduplication" not in queue
    assert "deduplicationScope" not in plan["unit-dead-letters"].inputs


def test_a_fifo_queue_deduplicates_by_content_where_asked() -> None:
    routes = [{"path": "orders", "group_id": "body.shop"}]
    plan = door(fifo=True, content_based_deduplication=True, routes=routes)
    queue = plan["unit-queue"].inputs
    assert queue["contentBasedDeduplication"] is True
    assert "fifoThroughputLimit" not in queue


def test_a_queue_is_no_fifo_queue_unless_asked() -> None:
    assert all("fifoQueue" not in each.inputs for each in plain().of(QUEUE))


def test_a_queue_that_exists_gets_the_messages_and_nothing_is_made_beside_it() -> None:
    plan = door(**EXISTING_QUEUE)
    assert not plan.of(QUEUE)
    assert not plan.of(QUEUE_POLICY)
    uri = plan[f"unit-integration-{POST_MESSAGES}"].inputs["uri"]
    assert uri == f"arn:aws:apigateway:{REGION}:sqs:path/{ACCOUNT}/orders"
    assert (plan.result["queue_arn"], plan.result["queue_url"]) == (QUEUE_ARN, QUEUE_URL)
    assert plan.result["queue_name"] == "orders"
    for key in ("arn", "url", "name"):
        assert plan.result[f"dead_letter_queue_{key}"] is None


def test_an_api_that_exists_gets_routes_a_deployment_and_a_stage_and_nothing_else() -> None:
    plan = door(**EXISTING_API, **READS, **GUARDED)
    for type_ in (REST_API, GATEWAY_RESPONSE, REST_API_POLICY):
        assert not plan.of(type_), "these are its owner's"
    api, root = EXISTING_API["api_id"], EXISTING_API["root_resource_id"]
    assert plan["unit-path-messages"].inputs["parentId"] == root
    assert plan["unit-path-catalog"].inputs["parentId"] == root
    held = [each.inputs for each in plan.children if "restApi" in each.inputs]
    assert len(held) > 20
    assert {each["restApi"] for each in held} == {api}
    stage = plan["unit-stage"].inputs
    assert stage["deployment"] == plan["unit-deployment"].outputs["id"]
    assert plan.result["api_id"] == api
    assert plan.result["api_name"] == EXISTING_API["api_name"]
    assert plan.result["root_resource_id"] == root


def test_the_function_may_be_asked_by_the_authorizer_in_an_api_that_exists() -> None:
    plan = door(**EXISTING_API, **GUARDED)
    execution_arn = arn("execute-api", str(EXISTING_API["api_id"]))
    assert plan.result["api_execution_arn"] == execution_arn
    source = plan["unit-authorizer-permission"].inputs["sourceArn"]
    assert source == f"{execution_arn}/authorizers/{plan['unit-authorizer'].outputs['id']}"


def test_metrics_of_an_api_that_exists_are_found_by_the_name_that_was_given() -> None:
    plan = door(**EXISTING_API, **SHARED)
    assert plan["unit-errors-alarm"].inputs["dimensions"]["ApiName"] == EXISTING_API["api_name"]


def test_outputs_by_name_are_empty_maps_where_nothing_has_a_name() -> None:
    result = plain().result
    endings = ("_arns", "_urls", "_ids", "_names")
    named = {key: value for key, value in result.items() if key.endswith(endings) and key != "resource_ids"}
    assert named == {
        key: {}
        for key in (
            *("queue_arns", "queue_urls", "dead_letter_queue_arns", "dead_letter_queue_urls"),
            *("queue_names", "dead_letter_queue_names", "alarm_arns", "usage_plan_ids", "api_key_ids"),
        )
    }, "whoever looks a name up in them finds nothing, and no error"


def test_the_outputs_are_of_what_was_made() -> None:
    plan = planned("front door with everything")
    role, stage, log = (plan[f"unit-{each}"].outputs for each in ("role", "stage", "access-log"))
    api, queue, dead = (plan[f"unit-{each}"].outputs for each in ("api", "queue", "dead-letters"))
    expected = {
        "api_id": api["id"],
        "api_name": api["name"],
        "api_execution_arn": api["executionArn"],
        "root_resource_id": api["rootResourceId"],
        "role_arn": role["arn"],
        "role_name": role["name"],
        "deployment_id": plan["unit-deployment"].outputs["id"],
        "stage_name": "live",
        "stage_arn": stage["arn"],
        "queue_arn": queue["arn"],
        "queue_url": queue["url"],
        "queue_name": queue["name"],
        "dead_letter_queue_arn": dead["arn"],
        "dead_letter_queue_url": dead["url"],
        "dead_letter_queue_name": dead["name"],
        "access_log_name": log["name"],
        "access_log_arn": log["arn"],
    }
    assert {key: plan.result[key] for key in expected} == expected


def test_the_role_of_a_queue_that_exists_may_send_to_that_one_and_use_its_key() -> None:
    policy = json.loads(door(**EXISTING_QUEUE, kms_key_arn=KEY)["unit-role-policy"].inputs["policy"])
    assert [(each["Action"], each["Resource"]) for each in policy["Statement"]] == [
        (["sqs:SendMessage"], [QUEUE_ARN]),
        (["kms:Decrypt", "kms:GenerateDataKey"], [KEY]),
    ]


def test_what_is_made_is_named_by_pulumi() -> None:
    plan = plain()
    assert plan["unit-queue"].outputs["name"] == physical("unit-queue")
    assert "name" not in plan["unit-queue"].inputs
    assert "name" not in plan["unit-api"].inputs


def result_of(args: Mapping[str, Any], ask: Callable[[FrontDoor], object]) -> tuple[Plan, Any]:
    """Return what a front door says of itself, with the plan that it is in."""
    plan = plan_of(lambda: ask(FrontDoor("unit", cast(FrontDoorArgs, args))))
    return plan, plan.result


def test_a_consumer_is_given_what_it_needs_to_drain_the_queue() -> None:
    plan, given = result_of(
        {"max_receive_count": 7, "visibility_timeout_seconds": 60}, lambda door: door.consumer_args()
    )
    queue, dead = plan["unit-queue"].outputs, plan["unit-dead-letters"].outputs
    assert given == {
        "queue_arn": queue["arn"],
        "queue_url": queue["url"],
        "queue_fifo": False,
        "queue_visibility_timeout_seconds": 60,
        "queue_max_receive_count": 7,
        "dead_letter_queue_arn": dead["arn"],
        "dead_letter_queue_url": dead["url"],
    }


@pytest.mark.parametrize(("asked", "queue"), [(None, "events"), ("events", "events"), ("notes", "notes")])
def test_a_consumer_is_given_the_queue_that_it_asks_for(asked: str | None, queue: str) -> None:
    args = {"queues": [{"name": "events"}, {"name": "notes", "max_receive_count": 2}]}
    plan, given = result_of(args, lambda door: door.consumer_args(asked))
    assert given["queue_arn"] == plan[f"unit-{queue}-queue"].outputs["arn"]
    assert given["dead_letter_queue_arn"] == plan[f"unit-{queue}-dead-letters"].outputs["arn"]


def test_there_is_no_giving_of_a_queue_that_is_not_there() -> None:
    with pytest.raises(KeyError, match="notes"):
        result_of({}, lambda door: door.consumer_args("notes"))


def test_of_somebody_else_s_queue_a_consumer_is_given_what_is_known() -> None:
    _, given = result_of(EXISTING_QUEUE, lambda door: door.consumer_args())
    assert given == {**EXISTING_QUEUE, "queue_fifo": False}


def test_an_operator_finds_every_queue_and_where_its_dead_letters_are() -> None:
    plan, given = result_of({}, lambda door: door.operator())
    queue, dead = plan["unit-queue"].outputs["url"], plan["unit-dead-letters"].outputs["url"]
    assert given == {"region": REGION, "queues": {"queue": {"url": queue, "dead_letter_url": dead}}}
    args = {"queues": [{"name": "events"}, {"name": "theirs", **EXISTING_QUEUE}]}
    plan, given = result_of(args, lambda door: door.operator())
    assert given["queues"] == {
        "events": {
            "url": plan["unit-events-queue"].outputs["url"],
            "dead_letter_url": plan["unit-events-dead-letters"].outputs["url"],
        },
        "theirs": {"url": EXISTING_QUEUE["queue_url"], "dead_letter_url": None},
    }
