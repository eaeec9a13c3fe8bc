import json
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

from local.domains import Place, Target
from local.edge import OURS, climbs, filtered, forbidden, origin_form
from local.exchange import Exchange, first_context, passes
from local.gateway_responses import Answer
from local.stage_cache import Visit, Wish
from local.stages import StageSettings
from local.standin.integration import (
    ARRIVAL_HEADER,
    CACHED_HEADER,
    DOMAIN_HEADER,
    FAULT_HEADER,
    LEARNED_HEADER,
)
from local.waf import Rates, parse

SETTINGS = StageSettings(None, "", ("/", "/orders/{id}"), {}, api_name="shop")
PLACE = Place(Target("abc", "v1"), "/orders/7", "")
KEPT = Answer(200, {}, b"kept")


def a_request(method: str = "GET", **headers: str) -> web.Request:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return make_mocked_request(
        method, "/abc/v1/orders/7?a=1", headers=CIMultiDict({"Host": "x.example:81", **given})
    )


def exchange(settings: StageSettings = SETTINGS, request: web.Request | None = None) -> Exchange:
    request = request or a_request()
    made = Exchange(request, PLACE, settings, first_context(request, PLACE, 1_700_000_000.5))
    made.context["identity"]["sourceIp"] = "192.0.2.1"
    return made


def visit(kept: Answer | None = None, wish: Wish = Wish.NONE) -> Visit:
    return Visit((PLACE.target, "", ()), 60, wish, kept)


@pytest.mark.parametrize("header", ["Content-Type", "Authorization", "X-Trace", "x-edges", "Retry-After"])
def test_a_header_of_the_request_goes_through(header: str) -> None:
    assert passes(header)


@pytest.mark.parametrize(
    "header",
    [
        "Connection",
        "Host",
        "CONTENT-LENGTH",
        "X-Edge-Context",
        "x-edge-fault",
        "x-edge-learned",
        "X-Edge-Arrival",
        "X-Forwarded-For",
        "TE",
    ],
)
def test_a_header_of_the_connection_or_of_the_edge_does_not(header: str) -> None:
    assert not passes(header)


def test_what_the_edge_compares_is_in_lower_case() -> None:
    assert {each.lower() for each in OURS} == OURS


@pytest.mark.parametrize(
    ("target", "expected"),
    [("/a/b?c", "/a/b?c"), ("http://host:1/a?b=http://c/d", "/a?b=http://c/d"), ("http://host", "/")],
)
def test_a_target_is_path_and_query_also_where_it_names_the_host(target: str, expected: str) -> None:
    assert origin_form(target) == expected


@pytest.mark.parametrize(
    "path",
    [
        "/..",
        "/.",
        "..",
        "/abc/v1/../../_other",
        "/abc/v1/messages/.",
        "/abc/v1/./messages",
        "/abc/v1/%2e%2e/messages",
        "/abc/v1/%2E%2E/messages",
        "/abc/v1/%2e%2E",
        "/abc/v1/.%2e/messages",
        "/abc/v1/%2E./messages",
        "/abc/v1/%2e/messages",
        "/abc/v1/..?x=1",
    ],
)
def test_a_path_that_leads_upwards_is_seen_in_whatever_encoding(path: str) -> None:
    assert climbs(path)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "/abc/v1/messages",
        "/abc/v1/messages/",
        "/abc//v1",
        "/abc/v1/...",
        "/abc/v1/..a",
        "/abc/v1/a..",
        "/abc/v1/.hidden",
        "/abc/v1/a.b",
        "/abc/v1/%252e%252e",
        "/abc/v1/messages?next=/../..",
        "/abc/v1/messages?..",
        "/abc/v1/messages?a=b/../c?/../d",
    ],
)
def test_any_other_path_goes_through_and_a_query_is_not_looked_at(path: str) -> None:
    assert not climbs(path)


def test_what_a_request_tells_is_in_its_context() -> None:
    context = first_context(a_request(User_Agent="curl"), PLACE, 1_700_000_000.5)

    assert context["requestId"] == context["extendedRequestId"]
    assert {key: value for key, value in context.items() if not key.endswith("equestId")} == {
        "requestTime": "14/Nov/2023:22:13:20 +0000",
        "requestTimeEpoch": 1_700_000_000_500,
        "httpMethod": "GET",
        "path": "/v1/orders/7",
        "protocol": "HTTP/1.1",
        "apiId": "abc",
        "stage": "v1",
        "domainName": "x.example",
        "domainPrefix": "x",
        "identity": {"userAgent": "curl"},
    }


def test_a_request_belongs_to_its_resource() -> None:
    assert exchange().context["resourcePath"] == "/orders/{id}"


@pytest.mark.parametrize(
    ("measured", "counted"), [({"/orders/{id}/GET"}, True), ({"/orders/{id}/POST"}, False)]
)
def test_a_method_has_metrics_of_its_own_where_they_are_on(measured: set[str], counted: bool) -> None:
    served = exchange(replace(SETTINGS, measured=frozenset(measured))).served

    assert served == ("shop", "v1", "/orders/{id}", "GET", counted)


def test_every_value_of_a_header_goes_inside_and_nothing_that_is_the_edge_s() -> None:
    headers = CIMultiDict(
        [("X-A", "1"), ("X-A", "2"), ("Host", "h"), ("X-Edge-Cached", "1"), ("X-Forwarded-For", "::1")]
    )
    inside = exchange(request=make_mocked_request("GET", "/", headers=headers)).headers_inside()

    del inside[ARRIVAL_HEADER]
    assert sorted(inside.items()) == [
        ("X-A", "1"),
        ("X-A", "2"),
        ("X-Forwarded-For", "192.0.2.1"),
        (DOMAIN_HEADER, "h"),
    ]


def test_what_the_client_called_goes_inside_as_it_was() -> None:
    headers = CIMultiDict(
        [("x-A", "1"), ("X-a", "2"), ("Host", "h:81"), ("x-forwarded-for", "::1"), ("x-forwarded-for", "::2")]
    )
    request = make_mocked_request("GET", "/abc/v1/orders/%37?a=1", headers=headers)
    place = replace(PLACE, path="/orders/%37", domain="h", base_path="/shop")
    made = Exchange(request, place, SETTINGS, first_context(request, place, 1_700_000_000.5))
    made.context["identity"]["sourceIp"] = "192.0.2.1"

    inside = made.headers_inside()

    assert [each for each in inside.items() if each[0].lower() == "x-a"] == [("x-A", "1"), ("x-A", "2")]
    arrival = json.loads(inside[ARRIVAL_HEADER])
    context = arrival.pop("context")
    assert arrival.pop("names")[:3] == ["x-A", "X-a", "Host"]
    assert arrival == {
        "host": "h:81",
        "target": "/abc/v1/orders/%37",
        "path": "/shop/orders/%37",
        "forwarded": ["::1", "::2"],
    }
    assert context == {
        "requestId": made.context["requestId"],
        "extendedRequestId": made.context["requestId"],
        "requestTime": "14/Nov/2023:22:13:20 +0000",
        "requestTimeEpoch": 1_700_000_000_500,
        "path": "/shop/orders/%37",
        "protocol": "HTTP/1.1",
        "domainName": "h",
        "domainPrefix": "h",
        "identity": {"sourceIp": "192.0.2.1", "userAgent": None},
    }


@pytest.mark.parametrize(
    ("known", "only_asked"),
    [
        (None, False),
        (visit(), False),
        (visit(wish=Wish.WARNED), False),
        (visit(KEPT), True),
        (visit(KEPT, Wish.WARNED), True),
        (visit(KEPT, Wish.REFUSED), True),
        (visit(None, Wish.REFUSED), True),
    ],
)
def test_the_back_end_is_asked_only_where_nothing_else_answers(known: Visit | None, only_asked: bool) -> None:
    made = exchange()
    made.visit = known

    assert (CACHED_HEADER in made.headers_inside()) == only_asked


def test_what_the_integration_saw_is_learned() -> None:
    made = exchange()
    made.learn({"requestId": "r-2", "integrationStatus": 200, "integrationLatency": 7}, {})

    assert made.passed
    assert made.context["requestId"] == "r-2"
    assert made.context["integration"] == {"latency": 7, "status": 200}


def test_a_request_that_was_refused_before_its_integration_did_not_pass() -> None:
    made = exchange()
    made.learn({}, {"x-amzn-requestid": "r-3", FAULT_HEADER: "THROTTLED"})

    assert not made.passed
    assert made.context["requestId"] == "r-3"
    assert "integration" not in made.context


def test_who_was_refused_is_learned_and_what_was_known_stays() -> None:
    made = exchange()
    learned = {"authorizer": {"principalId": "ann"}, "identity": {"caller": "AIDA"}}
    made.learn({}, {FAULT_HEADER: "ACCESS_DENIED", LEARNED_HEADER: json.dumps(learned)})

    assert not made.passed
    assert made.context["authorizer"] == {"principalId": "ann"}
    assert made.context["identity"] == {"sourceIp": "192.0.2.1", "userAgent": None, "caller": "AIDA"}


def test_who_signed_a_request_that_passed_is_learned_beside_its_address() -> None:
    made = exchange()
    made.learn({"requestId": "r-5", "identity": {"userArn": "arn:ann"}}, {})

    assert made.context["identity"] == {"sourceIp": "192.0.2.1", "userAgent": None, "userArn": "arn:ann"}


def test_a_request_that_failed_in_its_integration_did_not_pass() -> None:
    made = exchange()
    made.learn({"requestId": "r-4"}, {FAULT_HEADER: "INTEGRATION_TIMEOUT"})

    assert not made.passed


@pytest.mark.parametrize(
    ("known", "passed", "expected"),
    [
        (None, True, None),
        (visit(), True, False),
        (visit(KEPT), True, True),
        (visit(KEPT), False, None),
        (visit(KEPT, Wish.REFUSED), True, None),
    ],
)
def test_the_cache_was_hit_or_missed_only_by_who_got_so_far(
    known: Visit | None, passed: bool, expected: bool | None
) -> None:
    made = exchange()
    made.visit, made.passed = known, passed

    assert made.cache_hit is expected


def test_what_is_wrong_with_a_request_is_answered_and_logged() -> None:
    deployed = {
        "DEFAULT_4XX": {
            "responseParameters": {"gatewayresponse.header.X-Given": "method.request.header.X-Given"},
        }
    }
    made = exchange(replace(SETTINGS, gateway_responses=deployed), a_request(X_Given="mine"))
    answer = made.fault("BAD_REQUEST_PARAMETERS", {"message": "Missing: [page]"})

    assert (answer.status, answer.headers["x-given"]) == (400, "mine")
    assert json.loads(answer.body) == {"message": "Missing: [page]"}
    assert made.context["error"]["responseType"] == "BAD_REQUEST_PARAMETERS"
    assert made.context["error"]["message"] == "Missing: [page]"


def test_where_there_is_no_stage_api_gateway_says_so() -> None:
    answer = forbidden()

    assert (answer.status, answer.content_type, answer.body) == (
        403,
        "application/json",
        b'{"message":"Forbidden"}',
    )


@pytest.mark.parametrize(
    ("action", "status", "body"),
    [
        ({}, 403, b'{"message":"Forbidden"}'),
        ({"CustomResponse": {"ResponseCode": 429, "CustomResponseBodyKey": "slow"}}, 429, b"later"),
    ],
)
def test_what_the_web_acl_blocks_is_answered_by_it_or_by_the_gateway_response(
    action: dict[str, Any], status: int, body: bytes
) -> None:
    described = {
        "ARN": "arn:acl",
        "DefaultAction": {"Block": action},
        "Rules": [],
        "CustomResponseBodies": {"slow": {"ContentType": "TEXT_PLAIN", "Content": "later"}},
    }
    made = exchange(replace(SETTINGS, web_acl=parse(described, {}, {}, Rates())))
    answer = filtered(made)

    assert answer
    assert (answer.status, answer.body) == (status, body)
    assert made.context["wafResponseCode"] == "WAF_BLOCK"
    assert made.context["webaclArn"] == "arn:acl"


def test_the_web_acl_sees_the_headers_of_a_request() -> None:
    secret = {
        "ByteMatchStatement": {
            "SearchString": b"secret",
            "FieldToMatch": {"SingleHeader": {"Name": "x-origin-secret"}},
            "PositionalConstraint": "EXACTLY",
            "TextTransformations": [{"Priority": 0, "Type": "NONE"}],
        }
    }
    rule = {"Name": "r", "Priority": 0, "Statement": secret, "Action": {"Block": {}}}
    described = {"ARN": "arn:acl", "DefaultAction": {"Allow": {}}, "Rules": [rule]}
    guarded = replace(SETTINGS, web_acl=parse(described, {}, {}, Rates()))

    assert filtered(exchange(guarded, a_request(X_Origin_Secret="secret")))
    assert not filtered(exchange(guarded, a_request(X_Origin_Secret="secrets")))


def test_what_the_web_acl_allows_goes_on() -> None:
    described = {"ARN": "arn:acl", "DefaultAction": {"Allow": {}}, "Rules": []}
    made = exchange(replace(SETTINGS, web_acl=parse(described, {}, {}, Rates())))

    assert filtered(made) is None
    assert made.context["wafResponseCode"] == "WAF_ALLOW"


def test_where_there_is_no_web_acl_nothing_is_noted() -> None:
    made = exchange()

    assert filtered(made) is None
    assert "wafResponseCode" not in made.context
