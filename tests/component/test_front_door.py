import json
import re

import pytest

from components import FrontDoor
from sluice import access_log

from .cases import DECIDER, KEY, TOPIC, planned
from .recording import QUEUE, QUEUE_POLICY, Plan, component_plan

GUARDED = {"authorizer_function_arn": DECIDER}


def door(**args: object) -> Plan:
    return component_plan(FrontDoor, args)


def plain() -> Plan:
    return planned("front door")


def urns(plan: Plan, *roles: str) -> set[str]:
    return {plan[f"unit-{role}"].urn for role in roles}


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


def test_the_size_limit_holds_for_both_queues() -> None:
    limits = [each.inputs["maxMessageSize"] for each in door(max_message_size=4096).of(QUEUE)]
    assert limits == [4096, 4096], "a dead letter must fit where it is put"


def test_the_queue_is_timed_as_asked() -> None:
    queue = door(visibility_timeout_seconds=600, message_retention_seconds=3600)["unit-queue"].inputs
    assert (queue["visibilityTimeoutSeconds"], queue["messageRetentionSeconds"]) == (600, 3600)


def test_the_api_is_regional_and_reached_over_both_ip_versions() -> None:
    endpoint = plain()["unit-api"].inputs["endpointConfiguration"]
    assert endpoint == {"types": "REGIONAL", "ipAddressType": "dualstack"}


def test_each_segment_of_the_path_is_a_resource_in_the_one_before() -> None:
    plan = door(path="orders/new/now")
    first, second, third = (plan[f"unit-path-{depth}"] for depth in (1, 2, 3))
    assert [each.inputs["pathPart"] for each in (first, second, third)] == ["orders", "new", "now"]
    assert [each.inputs["parentId"] for each in (first, second, third)] == [
        plan["unit-api"].outputs["rootResourceId"],
        first.outputs["id"],
        second.outputs["id"],
    ]
    assert plan["unit-method"].inputs["resourceId"] == third.outputs["id"]
    assert plan["unit-integration"].inputs["resourceId"] == third.outputs["id"]


def test_the_url_is_the_stage_s_with_the_path() -> None:
    plan = door(path="orders/new", stage_name="live")
    stage = plan["unit-stage"].outputs
    assert stage["stageName"] == "live"
    assert plan.result["url"] == f"{stage['invokeUrl']}/orders/new"


def test_without_an_authorizer_everybody_may_call() -> None:
    plan = plain()
    method = plan["unit-method"].inputs
    assert (method["httpMethod"], method["authorization"]) == ("POST", "NONE")
    assert "authorizerId" not in method
    assert "unit-authorizer" not in plan
    assert "unit-authorizer-permission" not in plan


def test_an_authorizer_decides_from_the_authorization_header() -> None:
    plan = door(**GUARDED, authorizer_cache_ttl_seconds=30, authorizer_token_pattern="Bearer .+")
    authorizer = plan["unit-authorizer"]
    method = plan["unit-method"].inputs
    assert (method["authorization"], method["authorizerId"]) == ("CUSTOM", authorizer.outputs["id"])
    assert authorizer.inputs == {
        "restApi": plan["unit-api"].outputs["id"],
        "type": "TOKEN",
        "authorizerUri": "arn:aws:apigateway:eu-central-1:lambda:path/2015-03-31/functions/"
        f"{DECIDER}/invocations",
        "authorizerResultTtlInSeconds": 30,
        "identitySource": "method.request.header.Authorization",
        "identityValidationExpression": "Bearer .+",
    }


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
    integration = plan["unit-integration"].inputs
    queue_name = plan["unit-queue"].outputs["name"]
    assert (integration["type"], integration["integrationHttpMethod"]) == ("AWS", "POST")
    assert integration["uri"] == f"arn:aws:apigateway:eu-central-1:sqs:path/123456789012/{queue_name}"
    assert integration["credentials"] == plan["unit-role"].outputs["arn"]
    assert integration["passthroughBehavior"] == "NEVER", "an unknown content type must be answered 415"
    assert set(integration["requestTemplates"]) == {"application/json", "text/plain"}
    headers = integration["requestParameters"]
    assert headers["integration.request.header.Accept"] == "'application/json'", "SQS would answer XML"
    assert headers["integration.request.header.Content-Type"] == "'application/x-www-form-urlencoded'"


@pytest.mark.parametrize(
    ("answer", "pattern", "status"),
    [("accepted", r"2\d{2}", "202"), ("refused", r"4\d{2}", "502"), ("broken", r"5\d{2}", "503")],
)
def test_an_answer_of_the_queue_is_chosen_by_its_status(answer: str, pattern: str, status: str) -> None:
    plan = plain()
    response = plan[f"unit-{answer}"]
    assert (response.inputs["selectionPattern"], response.inputs["statusCode"]) == (pattern, status)
    assert urns(plan, f"{answer}-method", "integration") <= response.dependencies, (
        "API Gateway refuses an integration response before these"
    )
    declared = plan[f"unit-{answer}-method"].inputs
    assert declared["statusCode"] == status
    assert set(response.inputs["responseParameters"]) <= set(declared["responseParameters"])


def test_no_answer_is_the_default() -> None:
    responses = plain().of("aws:apigateway/integrationResponse:IntegrationResponse")
    assert all(each.inputs.get("selectionPattern") for each in responses), (
        "an answer without a pattern would tell a failure as its own status"
    )


def test_a_deployment_waits_for_all_that_it_takes_a_picture_of() -> None:
    plan = door(**GUARDED)
    pictured = urns(plan, "method", "integration", "accepted", "refused", "broken")
    gateway = {each.urn for each in plan.of("aws:apigateway/response:Response")}
    assert len(gateway) == 8
    assert pictured | gateway <= plan["unit-deployment"].dependencies


def test_a_deployment_waits_until_the_function_may_be_asked() -> None:
    plan = door(**GUARDED)
    assert urns(plan, "authorizer-permission") <= plan["unit-deployment"].dependencies, (
        "the first callers would be answered 500"
    )


def trigger(**args: object) -> str:
    found: str = door(**{**GUARDED, **args})["unit-deployment"].inputs["triggers"]["definition"]
    return found


@pytest.mark.parametrize(
    "change",
    [
        {"path": "orders"},
        {"content_types": ["text/plain"]},
        {"answer": "sqs"},
        {"max_message_size": 4096},
        {"authorizer_function_arn": f"{DECIDER}-2"},
        {"authorizer_cache_ttl_seconds": 0},
        {"authorizer_token_pattern": "Bearer .+"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_change_of_the_api_is_deployed(change: dict[str, object]) -> None:
    assert trigger(**change) != trigger()


def test_adding_an_authorizer_is_deployed() -> None:
    assert plain()["unit-deployment"].inputs["triggers"]["definition"] != trigger()


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"stage_name": "live"},
        {"throttle_rate": 1, "throttle_burst": 1},
        {"visibility_timeout_seconds": 60, "message_retention_seconds": 60, "max_receive_count": 1},
        {"log_retention_days": 1, "alarm_topic_arn": TOPIC, "kms_key_arn": KEY},
        {"manage_account_logging": True, "log_principal": True},
    ],
)
def test_a_change_of_anything_else_is_not_deployed(change: dict[str, object]) -> None:
    assert trigger(**change) == trigger()


def test_the_account_s_logging_is_left_alone_by_default() -> None:
    plan = plain()
    assert not plan.of("aws:apigateway/account:Account")
    assert "unit-logging-role" not in plan
    assert "unit-logging-policy" not in plan


def test_a_managed_account_logs_before_the_stage_does_and_outlives_the_program() -> None:
    plan = door(manage_account_logging=True)
    role, attachment, account = (
        plan[f"unit-{each}"] for each in ("logging-role", "logging-policy", "account")
    )
    assert account.inputs["cloudwatchRoleArn"] == role.outputs["arn"]
    assert attachment.inputs["role"] == role.outputs["name"]
    assert attachment.inputs["policyArn"].startswith("arn:aws:iam::aws:policy/service-role/")
    assert attachment.urn in account.dependencies, "API Gateway tries the role when it is set"
    assert account.urn in plan["unit-stage"].dependencies
    kept = {each.name for each in plan.registrations if each.retain_on_delete}
    assert kept == {role.name, attachment.name, account.name}


def test_the_stage_throttles_as_asked_and_traces_no_data() -> None:
    plan = door(throttle_rate=20, throttle_burst=40)
    settings = plan["unit-settings"].inputs
    assert (settings["methodPath"], settings["stageName"]) == ("*/*", plan["unit-stage"].outputs["stageName"])
    assert settings["settings"] == {
        "throttlingRateLimit": 20,
        "throttlingBurstLimit": 40,
        "metricsEnabled": True,
        "loggingLevel": "OFF",
        "dataTraceEnabled": False,
    }


@pytest.mark.parametrize(
    ("args", "principal"),
    [
        ({}, None),
        ({"log_principal": False}, None),
        (GUARDED, None),
        ({**GUARDED, "log_principal": False}, None),
        ({**GUARDED, "log_principal": True}, "ci"),
    ],
)
def test_the_access_log_names_the_principal_only_when_asked(
    args: dict[str, object], principal: str | None
) -> None:
    plan = door(**args)
    written = plan["unit-stage"].inputs["accessLogSettings"]
    assert written["destinationArn"] == plan["unit-access-log"].outputs["arn"]
    values = {
        "$context.requestId": "c6af9ac6",
        "$context.identity.sourceIp": "203.0.113.9",
        "$context.requestTimeEpoch": "1700000000000",
        "$context.httpMethod": "POST",
        "$context.resourcePath": "/messages",
        "$context.status": "202",
        "$context.wafResponseCode": "-",
        "$context.responseLatency": "12",
        "$context.integrationStatus": "200",
        "$context.authorizer.principalId": "ci",
    }
    text = re.sub(r"\$context\.[A-Za-z.]+", lambda match: values[match[0]], written["format"])
    assert access_log.parse(text) == access_log.Line(
        request_id="c6af9ac6",
        ip="203.0.113.9",
        time=1700000000000,
        method="POST",
        route="/messages",
        status=202,
        waf=None,
        latency=12,
        backend=200,
        principal=principal,
    )
