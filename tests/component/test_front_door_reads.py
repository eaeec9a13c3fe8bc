import json
import re
from typing import Any

import pytest

from .cases import CASES, CORS, planned
from .doors import POST_MESSAGES, door, methods, plain
from .recording import GATEWAY_RESPONSE, INTEGRATION_RESPONSE, METHOD, METHOD_SETTINGS, Plan

CATALOG, STATUS = "GET/catalog/{}", "GET/status"
ALLOW_ORIGIN = "method.response.header.Access-Control-Allow-Origin"


def reading() -> Plan:
    return planned("front door with reads")


def integration(method: str) -> dict[str, Any]:
    return reading()[f"unit-integration-{method}"].inputs


def test_a_read_asks_its_back_end() -> None:
    made = integration(CATALOG)
    assert (made["type"], made["integrationHttpMethod"]) == ("HTTP", "GET")
    assert made["uri"] == "https://backend.example.com/v2/catalog/{sku}"
    assert made["timeoutMilliseconds"] == 5000
    assert "credentials" not in made, "the queue's role is nothing for a back end"
    assert integration(STATUS)["timeoutMilliseconds"] == 29_000


def test_only_what_is_mapped_goes_to_the_back_end() -> None:
    assert integration(CATALOG)["requestParameters"] == {
        "integration.request.path.sku": "method.request.path.sku",
        "integration.request.querystring.page": "method.request.querystring.page",
        "integration.request.header.Accept-Language": "method.request.header.Accept-Language",
    }
    assert "requestParameters" not in integration(STATUS)


def test_no_body_goes_to_the_back_end() -> None:
    for method in (CATALOG, STATUS):
        made = integration(method)
        assert made["passthroughBehavior"] == "NEVER"
        assert made["requestTemplates"] == {"application/json": '#set($body = "")'}, (
            "a body would reach the back end and be no part of the cache's key"
        )


def test_whatever_the_back_end_sees_is_part_of_the_cache_s_key() -> None:
    made = integration(CATALOG)
    assert set(made["cacheKeyParameters"]) == set(made["requestParameters"].values()), (
        "what is not in the key is answered with somebody else's page"
    )
    declared = methods(reading())[CATALOG]["requestParameters"]
    assert set(made["cacheKeyParameters"]) == set(declared), "API Gateway refuses a key that is not declared"


def test_a_path_s_parameter_has_to_be_there_and_a_query_s_has_not() -> None:
    assert methods(reading())[CATALOG]["requestParameters"] == {
        "method.request.path.sku": True,
        "method.request.querystring.page": False,
        "method.request.header.Accept-Language": False,
    }


def test_every_status_of_a_back_end_has_one_answer() -> None:
    patterns = {
        each.inputs["statusCode"]: each.inputs["selectionPattern"]
        for each in reading().of(INTEGRATION_RESPONSE)
        if each.name.endswith(CATALOG)
    }
    chosen = {
        status: [answer for answer, pattern in patterns.items() if re.fullmatch(pattern, str(status))]
        for status in range(200, 600)
    }
    assert all(len(answers) == 1 for answers in chosen.values())
    told = {400, 404, 410, 422, 429}
    for status, (answer,) in chosen.items():
        expected = 200 if status < 300 else status if status in told else 502
        assert int(answer) == expected, status


def test_a_back_end_s_body_is_shown_and_its_errors_texts_are_not() -> None:
    plan = reading()
    found = plan[f"unit-found-{CATALOG}"].inputs
    assert "responseTemplates" not in found, "what it answers goes out as it is"
    for answer in ("broken", "refused-404", "refused-429"):
        text = plan[f"unit-{answer}-{CATALOG}"].inputs["responseTemplates"]["application/json"]
        assert json.loads(text).keys() == {"code", "message", "requestId"}
        assert "$input" not in text


def test_only_some_headers_of_a_back_end_go_out() -> None:
    found = reading()[f"unit-found-{CATALOG}"].inputs["responseParameters"]
    passed = {each.rpartition(".")[2] for each in found.values()}
    assert passed == {"Content-Type", "Cache-Control", "ETag", "Last-Modified"}, "no Set-Cookie, no Server"


def test_there_is_a_cache_where_a_read_is_kept() -> None:
    stage = reading()["unit-stage"].inputs
    assert (stage["cacheClusterEnabled"], stage["cacheClusterSize"]) == (True, "1.6")


@pytest.mark.parametrize("ttl", [{}, {"cache_ttl_seconds": 0}])
def test_there_is_no_cache_where_no_read_is_kept(ttl: dict[str, int]) -> None:
    plan = door(reads=[{"path": "status", "url": "https://b.example.com", **ttl}], cache_size_gb="237")
    assert "cacheClusterEnabled" not in plan["unit-stage"].inputs, "it costs by the hour"
    assert "cacheClusterSize" not in plan["unit-stage"].inputs
    assert not any(each.inputs["settings"]["cachingEnabled"] for each in plan.of(METHOD_SETTINGS))


def test_a_cached_read_is_encrypted_and_nobody_may_empty_the_cache() -> None:
    settings = reading()[f"unit-settings-{CATALOG}"].inputs
    assert settings["methodPath"] == "~1catalog~1{sku}/GET"
    kept = {key: value for key, value in settings["settings"].items() if "ach" in key}
    assert kept == {
        "cachingEnabled": True,
        "cacheTtlInSeconds": 60,
        "cacheDataEncrypted": True,
        "requireAuthorizationForCacheControl": True,
        "unauthorizedCacheControlHeaderStrategy": "FAIL_WITH_403",
    }, "Cache-Control: max-age=0 would empty it for everybody"


def test_only_a_read_that_is_kept_has_the_cache_on() -> None:
    plan = reading()
    assert plan["unit-settings"].inputs["settings"]["cachingEnabled"] is False
    assert f"unit-settings-{STATUS}" not in plan
    assert f"unit-settings-{POST_MESSAGES}" not in plan


def test_the_health_check_answers_by_itself_and_is_kept_by_nobody() -> None:
    plan = reading()
    made = integration("GET/health")
    assert (made["type"], json.loads(made["requestTemplates"]["application/json"])) == (
        "MOCK",
        {"statusCode": 200},
    )
    assert "uri" not in made
    answer = plan["unit-healthy-GET/health"].inputs
    assert answer["statusCode"] == "200"
    assert json.loads(answer["responseTemplates"]["application/json"]) == {
        "status": "ok",
        "requestId": "$context.requestId",
    }
    assert answer["responseParameters"]["method.response.header.Cache-Control"] == "'no-store'"


def test_without_origins_no_browser_s_page_may_call() -> None:
    plan = plain()
    assert not [each for each in plan.of(METHOD) if each.inputs["httpMethod"] == "OPTIONS"]
    headers = [*(each.inputs.get("responseParameters", {}) for each in plan.children)]
    assert not [name for each in headers for name in each if "Access-Control" in name]


def test_one_origin_is_named_on_every_answer() -> None:
    plan = door(cors_origins=["https://shop.example.com"], cors_credentials=True)
    for each in plan.of(INTEGRATION_RESPONSE):
        assert each.inputs["responseParameters"][ALLOW_ORIGIN] == "'https://shop.example.com'"
        credentials = each.inputs["responseParameters"][
            "method.response.header.Access-Control-Allow-Credentials"
        ]
        assert credentials == "'true'"


def test_every_answer_and_error_can_be_read_by_a_page() -> None:
    plan = planned("front door for browsers")
    for each in plan.of(INTEGRATION_RESPONSE):
        if "preflight" not in each.name:
            assert each.inputs["responseParameters"][ALLOW_ORIGIN] == "'*'", each.name
    for each in plan.of(GATEWAY_RESPONSE):
        headers = each.inputs["responseParameters"]
        assert headers["gatewayresponse.header.Access-Control-Allow-Origin"] == "'*'", each.name
        assert "Retry-After" in headers["gatewayresponse.header.Access-Control-Expose-Headers"]


def test_a_preflight_lets_through_the_origins_of_the_list_alone() -> None:
    plan = planned("front door for browsers")
    answer = plan[f"unit-preflight-OPTIONS/{POST_MESSAGES.partition('/')[2]}"].inputs
    assert ALLOW_ORIGIN not in answer["responseParameters"]
    text = answer["responseTemplates"]["application/json"]
    for origin in CORS["cors_origins"]:  # type: ignore[attr-defined]
        assert f'$origin == "{origin}"' in text
    declared = plan["unit-preflight-response-OPTIONS/messages"].inputs["responseParameters"]
    assert ALLOW_ORIGIN in declared, "API Gateway drops a header that is not declared"
    assert answer["responseParameters"]["method.response.header.Vary"] == "'Origin'"


def test_a_preflight_names_the_methods_of_its_path() -> None:
    plan = door(
        **CORS, routes=[{"path": "orders"}, {"path": "orders", "method": "PUT"}], health_path="orders"
    )
    allowed = plan["unit-preflight-OPTIONS/orders"].inputs["responseParameters"]
    assert allowed["method.response.header.Access-Control-Allow-Methods"] == "'POST,PUT,GET'"
    assert [each for each in methods(plan) if each.startswith("OPTIONS/")] == ["OPTIONS/orders"]


def test_a_page_may_send_the_headers_that_are_listed_for_as_long_as_said() -> None:
    plan = door(cors_origins=["*"], cors_headers=["X-Tenant"], cors_max_age_seconds=60)
    headers = plan["unit-preflight-OPTIONS/messages"].inputs["responseParameters"]
    assert headers["method.response.header.Access-Control-Allow-Headers"] == "'X-Tenant'"
    assert headers["method.response.header.Access-Control-Max-Age"] == "'60'"
    assert headers[ALLOW_ORIGIN] == "'*'"


def test_a_page_may_send_the_headers_that_routes_and_reads_look_at() -> None:
    plan = door(
        cors_origins=["*"],
        cors_headers=["content-type"],
        routes=[{"path": "a", "required_headers": ["X-Tenant"], "attributes": {"b": "header.X-B"}}],
        reads=[{"path": "a", "url": "https://b.example.com", "headers": ["Accept-Language"]}],
    )
    headers = plan["unit-preflight-OPTIONS/a"].inputs["responseParameters"]
    allowed = headers["method.response.header.Access-Control-Allow-Headers"].strip("'").split(",")
    assert sorted(allowed) == ["Accept-Language", "X-B", "X-Tenant", "content-type"]


def test_errors_as_problem_json_say_so_in_their_content_type() -> None:
    plan = planned("front door that tells more")
    told = "'application/problem+json'"
    for each in plan.of(GATEWAY_RESPONSE):
        assert each.inputs["responseParameters"]["gatewayresponse.header.Content-Type"] == told
    for answer in ("refused", "broken"):
        headers = plan[f"unit-{answer}-{POST_MESSAGES}"].inputs["responseParameters"]
        assert headers["method.response.header.Content-Type"] == told
    found = plan[f"unit-found-{CATALOG}"].inputs["responseParameters"]
    assert found["method.response.header.Content-Type"] == "integration.response.header.Content-Type"


@pytest.mark.parametrize("case", [name for name in CASES if "front door" in name])
def test_every_header_that_an_answer_sets_is_declared(case: str) -> None:
    plan = planned(case)
    for each in plan.of(INTEGRATION_RESPONSE):
        answer, verb, path = re.fullmatch(r"unit-(.+?)-([A-Z]+)(/.+)", each.name).groups()  # type: ignore[union-attr]
        (text,) = each.inputs.get("responseTemplates", {"": ""}).values()
        overridden = {
            f"method.response.header.{name}"
            for name in re.findall(r"responseOverride\.header\.([\w-]+)", text)
        }
        declared = plan[f"unit-{answer}-response-{verb}{path}"].inputs.get("responseParameters", {})
        assert {*each.inputs.get("responseParameters", {}), *overridden} <= set(declared), each.name
