"""What stands before a front door's methods: a function, user pools, IAM, and a proxy in front of all."""

import json
import re
from collections.abc import Mapping
from typing import Any

import pulumi
import pytest

from components import FrontDoor
from sluice import access_log
from tests.unit.policy_evaluation import lets_in

from .cases import (
    CALLERS,
    CERTIFIED,
    CORS,
    EXISTING_API,
    POOLS,
    PROXY,
    READS,
    SECRETS,
    ZONED,
    planned,
)
from .doors import GUARDED, POST_MESSAGES, door, methods
from .recording import (
    AUTHORIZER,
    GATEWAY_RESPONSE,
    PERMISSION,
    REST_API_POLICY,
    Plan,
    component_plan,
    refused_plan,
)

BEHIND = "front door behind a proxy"
OF_POOLS = "front door for the users of pools"
SIGNED = "front door for signed requests"
PROXIED: Mapping[str, Any] = {**CERTIFIED, **GUARDED, "proxy": PROXY}
USERS: Mapping[str, Any] = {"authorizer_user_pool_arns": POOLS}
IAM: Mapping[str, Any] = {"iam_authorization": True}
HEADER = "method.request.header"
OPEN = {"GET/health", "OPTIONS/messages", "OPTIONS/catalog/{}", "OPTIONS/status", "OPTIONS/health"}
WATCHED = {POST_MESSAGES, "GET/catalog/{}", "GET/status"}


def sources(plan: Plan) -> list[str]:
    found: list[str] = plan["unit-authorizer"].inputs["identitySource"].split(",")
    return found


@pytest.mark.parametrize(
    ("case", "authorization"),
    [
        ("front door for browsers", "CUSTOM"),
        (BEHIND, "CUSTOM"),
        (OF_POOLS, "COGNITO_USER_POOLS"),
        (SIGNED, "AWS_IAM"),
    ],
)
def test_all_but_health_and_preflights_is_guarded_in_one_way(case: str, authorization: str) -> None:
    found = methods(planned(case))
    assert found.keys() == OPEN | WATCHED
    assert {name: each["authorization"] for name, each in found.items()} == {
        **dict.fromkeys(OPEN, "NONE"),
        **dict.fromkeys(WATCHED, authorization),
    }
    assert all({"authorizerId", "authorizationScopes"}.isdisjoint(found[each]) for each in OPEN)


def test_users_of_pools_show_their_token_to_api_gateway_itself() -> None:
    plan = planned(OF_POOLS)
    assert plan["unit-authorizer"].inputs == {
        "restApi": plan["unit-api"].outputs["id"],
        "type": "COGNITO_USER_POOLS",
        "providerArns": POOLS,
        "identitySource": f"{HEADER}.Authorization",
    }
    assert not plan.of(PERMISSION), "no function is asked"
    assert plan.result["authorizer_id"] == plan["unit-authorizer"].outputs["id"]


@pytest.mark.parametrize(
    ("scopes", "asked"),
    [({}, None), ({"authorizer_scopes": []}, None), ({"authorizer_scopes": ["a/b", "c"]}, ["a/b", "c"])],
)
def test_each_guarded_method_asks_for_one_of_the_scopes(scopes: Mapping[str, Any], asked: object) -> None:
    found = methods(door(**USERS, **READS, **scopes))
    assert {name: each.get("authorizationScopes") for name, each in found.items()} == {
        **dict.fromkeys(WATCHED, asked),
        "GET/health": None,
    }


def test_iam_decides_without_an_authorizer_of_the_api() -> None:
    plan = planned(SIGNED)
    assert not plan.of(AUTHORIZER)
    assert not plan.of(PERMISSION)
    assert plan.result["authorizer_id"] is None


def test_whom_iam_lets_in_by_itself_needs_no_policy_of_the_api() -> None:
    assert not door(**IAM, **READS).of(REST_API_POLICY), "an Allow for all would let in the whole account"


def calls(plan: Plan, method: str, principal: str, address: str = "192.0.2.1") -> bool:
    """Whether the API's policy lets somebody call a method, as an ARN says it (``GET/health``)."""
    (policy,) = plan.of(REST_API_POLICY)
    execution = plan["unit-api"].outputs["executionArn"]
    return lets_in(
        policy.inputs["policy"],
        {"aws:SourceIp": address},
        principal,
        resource=f"{execution}/v1/{method}",
    )


@pytest.mark.parametrize(
    "method",
    [
        *("POST/messages", "GET/status", "GET/catalog/a1"),
        # An asterisk of IAM goes over slashes, and a path's parameter is the caller's to write.
        *("GET/catalog/OPTIONS/x", "POST/orders/OPTIONS/x", "POST/orders/GET/health", "GET/health/x"),
    ],
)
def test_what_is_signed_is_for_the_named_callers_alone(method: str) -> None:
    plan = planned(SIGNED)
    assert [calls(plan, method, each) for each in CALLERS] == [True, True]
    assert not calls(plan, method, "anybody"), "whoever else may needs a policy of its own"


@pytest.mark.parametrize(
    "method", ["GET/health", "OPTIONS/messages", "OPTIONS/catalog/a1", "OPTIONS/status", "OPTIONS/health"]
)
def test_what_is_not_signed_is_for_everybody_though_the_api_has_a_policy(method: str) -> None:
    assert calls(planned(SIGNED), method, "anybody"), "with a policy, what it does not allow is refused"


@pytest.mark.parametrize("method", ["POST/messages", "GET/health", "OPTIONS/messages"])
@pytest.mark.parametrize("principal", ["anybody", CALLERS[0]])
def test_who_is_denied_by_address_stays_out_whoever_it_is(method: str, principal: str) -> None:
    assert not calls(planned(SIGNED), method, principal, "203.0.113.7")


def test_with_networks_alone_iam_still_decides_by_itself() -> None:
    plan = door(**IAM, **READS, allow_cidrs=["192.0.2.0/24"])
    assert not calls(plan, "POST/messages", "anybody"), "it is not allowed here, nor denied"
    assert calls(plan, "GET/health", "anybody")
    assert not calls(plan, "GET/health", "anybody", "198.51.100.1")
    effects = [each["Effect"] for _, each in plan.statements(REST_API_POLICY)]
    assert effects == ["Allow", "Deny"]


def test_a_policy_without_anything_open_allows_nothing_to_everybody() -> None:
    plan = door(**IAM, iam_callers=CALLERS)
    ((_, statement),) = plan.statements(REST_API_POLICY)
    assert statement["Principal"] == {"AWS": sorted(CALLERS)}
    assert "Condition" not in statement


def test_other_kinds_leave_the_policy_to_the_networks() -> None:
    plan = door(**USERS, deny_cidrs=["203.0.113.0/24"])
    assert calls(plan, "POST/messages", "anybody")
    assert not calls(plan, "POST/messages", "anybody", "203.0.113.1")


@pytest.mark.parametrize(
    ("args", "type_", "found"),
    [
        ({}, "TOKEN", ["header.Authorization"]),
        (
            {
                "authorizer_identity_sources": [
                    "header.X-Tenant",
                    "query.key",
                    "context.source_ip",
                    "context.method",
                    "context.route",
                ]
            },
            "REQUEST",
            [
                "header.X-Tenant",
                "querystring.key",
                "context.identity.sourceIp",
                "context.httpMethod",
                "context.resourcePath",
            ],
        ),
        ({"authorizer_identity_sources": ["header.Authorization"]}, "REQUEST", ["header.Authorization"]),
        (
            {**CERTIFIED, "proxy": PROXY},
            "REQUEST",
            ["header.Authorization", "header.X-Client-Ip", "header.X-Origin-Secret"],
        ),
        (
            {**CERTIFIED, "proxy": {**PROXY, "secret_header": "X-Edge"}},
            "REQUEST",
            ["header.Authorization", "header.X-Client-Ip", "header.X-Edge"],
        ),
        (
            {**CERTIFIED, "proxy": PROXY, "authorizer_identity_sources": ["header.X-Tenant", "query.key"]},
            "REQUEST",
            ["header.X-Tenant", "querystring.key", "header.X-Client-Ip", "header.X-Origin-Secret"],
        ),
    ],
    ids=["token", "request", "one header", "proxy", "another header", "proxy and more"],
)
def test_a_decision_depends_on_what_the_arguments_name(
    args: Mapping[str, Any], type_: str, found: list[str]
) -> None:
    plan = door(**GUARDED, **args)
    assert plan["unit-authorizer"].inputs["type"] == type_
    assert sources(plan) == [
        each if each.startswith("context.") else f"method.request.{each}" for each in found
    ]


@pytest.mark.parametrize("spelled", ["X-CLIENT-IP", "x-client-ip", "X-Client-Ip"])
def test_a_header_is_named_once_in_whatever_case_it_is_written(spelled: str) -> None:
    named = ["header.Authorization", f"header.{spelled}", "header.authorization", "header.x-origin-SECRET"]
    found = [each.lower() for each in sources(door(**PROXIED, authorizer_identity_sources=named))]
    assert sorted(found) == [
        f"{HEADER}.{each}" for each in ("authorization", "x-client-ip", "x-origin-secret")
    ], "API Gateway would take two for two"


def test_parameters_of_the_query_differ_by_their_case() -> None:
    named = ["query.Key", "query.key", "query.Key"]
    assert sources(door(**GUARDED, authorizer_identity_sources=named)) == [
        "method.request.querystring.Key",
        "method.request.querystring.key",
    ]


@pytest.mark.parametrize("ttl", [0, 300])
def test_a_decision_of_a_request_is_kept_as_long_as_asked(ttl: int) -> None:
    args = {"authorizer_identity_sources": ["header.X-Tenant"], "authorizer_cache_ttl_seconds": ttl}
    assert door(**GUARDED, **args)["unit-authorizer"].inputs["authorizerResultTtlInSeconds"] == ttl


def test_no_pattern_is_asked_of_a_request() -> None:
    assert "identityValidationExpression" not in planned(BEHIND)["unit-authorizer"].inputs


@pytest.mark.parametrize("args", [GUARDED, USERS], ids=["function", "pools"])
def test_an_authorizer_of_another_type_takes_the_old_one_s_place(args: Mapping[str, Any]) -> None:
    assert "type" in door(**args)["unit-authorizer"].replace_on_changes


def test_behind_a_proxy_aws_s_own_name_leads_nowhere_and_the_domain_does() -> None:
    plan = planned(BEHIND)
    assert plan["unit-api"].inputs["disableExecuteApiEndpoint"] is True, "or callers would go round it"
    assert plan.result["url"] == "https://api.example.com/messages"
    assert door(**PROXIED, disable_execute_api_endpoint=True)["unit-api"].inputs["disableExecuteApiEndpoint"]


def line_of(plan: Plan) -> dict[str, str]:
    found: dict[str, str] = json.loads(plan["unit-stage"].inputs["accessLogSettings"]["format"])
    return found


CALLER_OF: list[tuple[Mapping[str, Any], str, str]] = [
    (GUARDED, "$context.authorizer.principalId", "$context.identity.sourceIp"),
    (USERS, "$context.authorizer.claims.sub", "$context.identity.sourceIp"),
    (IAM, "$context.identity.caller", "$context.identity.sourceIp"),
    (PROXIED, "$context.authorizer.principalId", "$context.authorizer.clientIp"),
]
KINDS = ["function", "pools", "iam", "proxy"]


@pytest.mark.parametrize(("args", "principal", "address"), CALLER_OF, ids=KINDS)
@pytest.mark.parametrize("logged", [True, False])
def test_a_line_of_the_access_log_says_who_called_and_from_where(
    args: Mapping[str, Any], principal: str, address: str, logged: bool
) -> None:
    line = line_of(door(**args, log_principal=logged))
    assert list(line) == list(access_log.FIELDS)
    assert line == {
        **access_log.FIELDS,
        "ip": address,
        "principal": principal if logged else access_log.ABSENT,
    }


@pytest.mark.parametrize(("args", "principal", "address"), CALLER_OF, ids=KINDS)
def test_a_message_says_who_sent_it_and_from_where(
    args: Mapping[str, Any], principal: str, address: str
) -> None:
    routes = [{"path": "messages", "attributes": {"who": "context.principal"}, "group_id": "body.a"}]
    fifo = {"fifo": True, "content_based_deduplication": True, "routes": routes}
    for plan in (door(**args), door(**args, **fifo)):
        (template,) = plan[f"unit-integration-{POST_MESSAGES}"].inputs["requestTemplates"].values()
        variables = set(re.findall(r"\$!?(context\.(?:authorizer|identity)[\w.]*)", template))
        assert variables == {principal.removeprefix("$"), address.removeprefix("$")}


def challenges(plan: Plan) -> dict[str, Any]:
    """Return what is told whoever shows nothing, by the type of the answer."""
    return {
        each.inputs["responseType"]: each.inputs
        for each in plan.of(GATEWAY_RESPONSE)
        if each.inputs["responseType"] in {"UNAUTHORIZED", "MISSING_AUTHENTICATION_TOKEN"}
    }


@pytest.mark.parametrize(
    ("args", "bearer", "words"),
    [
        (GUARDED, True, "A valid Authorization header is required."),
        (USERS, True, "A valid Authorization header is required."),
        (PROXIED, True, "A valid Authorization header is required."),
        (
            {**GUARDED, "authorizer_identity_sources": ["header.X-Tenant"]},
            False,
            "What says who calls is missing.",
        ),
        (IAM, False, "A signed request is required."),
    ],
    ids=["function", "pools", "proxy", "request", "iam"],
)
def test_who_shows_nothing_is_told_what_to_show(args: Mapping[str, Any], bearer: bool, words: str) -> None:
    told = challenges(door(**args))
    (template,) = told["UNAUTHORIZED"]["responseTemplates"].values()
    assert words in template
    headers = told["UNAUTHORIZED"].get("responseParameters", {})
    assert headers.get("gatewayresponse.header.WWW-Authenticate") == ("'Bearer'" if bearer else None)
    (template,) = told["MISSING_AUTHENTICATION_TOKEN"]["responseTemplates"].values()
    assert ("not signed" in template) is ("iam_authorization" in args), "API Gateway answers both like that"


def allowed_headers(plan: Plan) -> set[str]:
    found = plan["unit-preflight-OPTIONS/messages"].inputs["responseParameters"]
    named: str = found["method.response.header.Access-Control-Allow-Headers"]
    return {each.lower() for each in named.strip("'").split(",")}


@pytest.mark.parametrize(
    ("args", "more"),
    [
        (USERS, set[str]()),
        (PROXIED, set[str]()),
        ({**GUARDED, "authorizer_identity_sources": ["header.X-Tenant", "query.key"]}, {"x-tenant"}),
        (IAM, {"x-amz-content-sha256", "x-amz-date", "x-amz-security-token"}),
    ],
    ids=["pools", "proxy", "request", "iam"],
)
def test_pages_may_send_what_shows_who_calls_and_nothing_of_the_proxy_s(
    args: Mapping[str, Any], more: set[str]
) -> None:
    assert allowed_headers(door(**args, **CORS)) == {"authorization", "content-type", "x-api-key"} | more


def test_a_front_door_tells_its_limiter_of_the_proxy() -> None:
    def limited(name: str, args: Mapping[str, Any]) -> pulumi.ComponentResource:
        made = FrontDoor(name, args)  # type: ignore[arg-type]
        assert made.limiter_args()["proxy"] == PROXY
        return made

    assert component_plan(limited, PROXIED).children


@pytest.mark.parametrize("given", ["text", "output", "secret"])
def test_no_secret_of_the_proxy_is_in_a_front_door(given: str) -> None:
    wrap: Any = {"text": str, "output": pulumi.Output.from_input, "secret": pulumi.Output.secret}[given]

    def proxied(name: str, args: Mapping[str, Any]) -> pulumi.ComponentResource:
        secrets = [wrap(each) for each in SECRETS]
        more: Any = {**args, "proxy": {**PROXY, "secrets": secrets}}
        return FrontDoor(name, more)

    plan = component_plan(proxied, {**ZONED, **GUARDED, **READS, **CORS})
    assert [plan.showing(each) for each in SECRETS] == [[], []]
    assert not {each.name for each in plan.children if each.secrets}


REFUSED: list[tuple[str, Mapping[str, Any], str]] = [
    ("two deciders", {**GUARDED, **USERS}, "authorizer_user_pool_arns"),
    ("two other deciders", {**USERS, **IAM}, "iam_authorization"),
    ("all deciders", {**GUARDED, **USERS, **IAM}, "authorizer_user_pool_arns iam_authorization"),
    ("scopes without pools", {"authorizer_scopes": ["a/b"]}, "authorizer_scopes"),
    ("scopes of a function", {**GUARDED, "authorizer_scopes": ["a/b"]}, "authorizer_scopes"),
    ("no pools", {"authorizer_user_pool_arns": []}, "authorizer_user_pool_arns"),
    ("callers without IAM", {"iam_callers": CALLERS}, "iam_callers"),
    ("callers of a function", {**GUARDED, "iam_callers": CALLERS}, "iam_callers"),
    ("callers with IAM off", {"iam_authorization": False, "iam_callers": CALLERS}, "iam_callers"),
    ("everybody as a caller", {**IAM, "iam_callers": ["*"]}, "iam_callers[0]"),
    (
        "sources without a function",
        {"authorizer_identity_sources": ["header.X-A"]},
        "authorizer_identity_sources",
    ),
    (
        "sources of pools",
        {**USERS, "authorizer_identity_sources": ["header.X-A"]},
        "authorizer_identity_sources",
    ),
    ("a time with pools", {**USERS, "authorizer_cache_ttl_seconds": 5}, "authorizer_cache_ttl_seconds"),
    ("a pattern with IAM", {**IAM, "authorizer_token_pattern": ".+"}, "authorizer_token_pattern"),
    ("no sources", {**GUARDED, "authorizer_identity_sources": []}, "authorizer_identity_sources"),
    *(
        (
            f"{each} as a source",
            {**GUARDED, "authorizer_identity_sources": ["header.X-A", each]},
            "authorizer_identity_sources[1]",
        )
        for each in ("path.id", "body.a", "text.a", "context.stage", "context.principal", "X-A")
    ),
    (
        "a pattern with sources",
        {**GUARDED, "authorizer_identity_sources": ["header.X-A"], "authorizer_token_pattern": ".+"},
        "authorizer_token_pattern",
    ),
    ("a principal of nobody", {"log_principal": True}, "log_principal"),
    ("callers in an API that exists", {**EXISTING_API, **IAM, "iam_callers": CALLERS}, "iam_callers"),
    ("a pattern with a proxy", {**PROXIED, "authorizer_token_pattern": ".+"}, "authorizer_token_pattern"),
    ("a proxy without anybody who decides", {**CERTIFIED, "proxy": PROXY}, "proxy"),
    ("a proxy with pools", {**CERTIFIED, **USERS, "proxy": PROXY}, "proxy"),
    ("a proxy with IAM", {**CERTIFIED, **IAM, "proxy": PROXY}, "proxy"),
    ("a proxy without a domain", {**GUARDED, "proxy": PROXY}, "domain_name"),
    (
        "a proxy that can be gone round",
        {**PROXIED, "disable_execute_api_endpoint": False},
        "disable_execute_api_endpoint",
    ),
    ("a proxy in an API that exists", {**PROXIED, **EXISTING_API}, "proxy"),
    (
        "a proxy before a private API",
        {**GUARDED, "proxy": PROXY, "vpc_endpoint_ids": ["vpce-0a1b2c3d"]},
        "proxy",
    ),
    (
        "the proxy's own address",
        {**PROXIED, "authorizer_identity_sources": ["header.Authorization", "context.source_ip"]},
        "authorizer_identity_sources[1]",
    ),
    (
        "one header for both",
        {**PROXIED, "proxy": {**PROXY, "secret_header": "x-client-ip"}},
        "proxy.address_header",
    ),
]


@pytest.mark.parametrize(("args", "path"), [each[1:] for each in REFUSED], ids=[each[0] for each in REFUSED])
def test_what_contradicts_itself_is_refused_with_one_message_before_anything_exists(
    args: Mapping[str, Any], path: str
) -> None:
    refusal, plan = refused_plan(FrontDoor, args)
    assert [each.path for each in refusal.problems] == path.split()
    assert not plan.children
    assert not [each for each in SECRETS if each in str(refusal)], "an error is kept in logs"


def test_who_decides_is_told_by_what_is_left() -> None:
    refusal, _ = refused_plan(FrontDoor, {**GUARDED, **USERS})
    (problem,) = refusal.problems
    assert problem.allowed == "nothing: authorizer_function_arn says who decides"
