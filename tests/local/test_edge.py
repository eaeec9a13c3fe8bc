import json
from typing import Any

import pytest

from local import edge
from local.edge import StageSettings
from local.stack import LocalAws, LocalStack

from .support import assert_refused, call, fresh, made

ROUTES = ("/", "/messages", "/orders/{id}", "/orders/{id}/lines")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/messages", "/messages"),
        ("/messages/", "/messages"),
        ("/", "/"),
        ("/orders/7", "/orders/{id}"),
        ("/orders/7/lines", "/orders/{id}/lines"),
        ("/orders/7/other", "-"),
        ("/message", "-"),
        ("/messages/more", "-"),
    ],
)
def test_a_route_is_the_resource_that_a_path_belongs_to(path: str, expected: str) -> None:
    assert edge.route(ROUTES, path) == expected


def test_a_log_line_has_bare_values_and_a_dash_for_what_is_absent() -> None:
    context = {"requestId": "r-1", "identity": {"sourceIp": "::1"}, "status": 202, "authorizer": {}}
    wanted = '{"a":"$context.requestId","b":"$context.identity.sourceIp","c":"$context.status"}'

    assert edge.log_line(wanted, context) == '{"a":"r-1","b":"::1","c":"202"}'
    assert edge.log_line("$context.authorizer.principalId $context.wafResponseCode", context) == "- -"


@pytest.mark.parametrize(
    "header", ["X-Edge-Context", "x-edge-anything", "X-Forwarded-For", "Host", "Connection"]
)
def test_what_only_the_edge_may_set_does_not_pass(header: str) -> None:
    assert not edge.passes(header)


@pytest.mark.parametrize("header", ["Authorization", "Content-Type", "X-Request-Id", "User-Agent"])
def test_what_is_the_client_s_passes(header: str) -> None:
    assert edge.passes(header)


def settings(**responses: dict[str, Any]) -> StageSettings:
    return StageSettings(None, "", ROUTES, responses)


@pytest.mark.parametrize(
    ("kind", "status"),
    [("REQUEST_TOO_LARGE", 413), ("API_CONFIGURATION_ERROR", 500), ("INTEGRATION_FAILURE", 504)],
)
def test_a_fault_that_nothing_is_deployed_for_is_api_gateway_s_own(kind: str, status: int) -> None:
    answer = edge.fault(settings(), kind, {"requestId": "r-1"})

    assert answer.status == status
    assert set(json.loads(answer.body)) == {"message"}


def test_a_fault_is_answered_by_its_family_unless_it_has_a_response_of_its_own() -> None:
    family = {
        "responseTemplates": {"application/json": '{"by":"family","type":"$context.error.responseType"}'}
    }
    own = {"statusCode": "400", "responseTemplates": {"application/json": '{"by":"$context.requestId"}'}}

    by_family = edge.fault(settings(DEFAULT_4XX=family), "REQUEST_TOO_LARGE", {"requestId": "r-1"})
    by_own = edge.fault(
        settings(DEFAULT_4XX=family, REQUEST_TOO_LARGE=own), "REQUEST_TOO_LARGE", {"requestId": "r-1"}
    )

    assert (by_family.status, json.loads(by_family.body)) == (
        413,
        {"by": "family", "type": "REQUEST_TOO_LARGE"},
    )
    assert (by_own.status, json.loads(by_own.body)) == (400, {"by": "r-1"})


def test_a_default_that_api_gateway_reports_does_not_count_as_deployed() -> None:
    reported = {"defaultResponse": True, "responseTemplates": {"application/json": '{"by":"default"}'}}

    answer = edge.fault(settings(DEFAULT_5XX=reported), "INTEGRATION_FAILURE", {"requestId": "r-1"})

    assert json.loads(answer.body) == {"message": "Internal server error"}


def test_an_integration_that_cannot_work_is_answered_500_in_our_shape(cloud: LocalAws) -> None:
    stack = fresh(cloud)
    cloud.aws.client("apigateway").delete_integration_response(
        restApiId=made(stack, "front-door-api").id,
        resourceId=made(stack, "front-door-path-1").id,
        httpMethod="POST",
        statusCode="202",
    )

    assert_refused(call(stack.outputs["url"]), 500, "API_CONFIGURATION_ERROR")


@pytest.mark.parametrize("stage", ["v2", "V1"])
def test_an_unknown_stage_is_refused(door: LocalStack, stage: str) -> None:
    assert call(door.outputs["url"].replace("/v1/", f"/{stage}/")).status == 403
