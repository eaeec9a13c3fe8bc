import json
from typing import Any

import pytest

from components.api_definition import GATEWAY_ANSWERS
from local.edge import (
    ABSENT,
    FAULTS,
    NOTHING_DEPLOYED,
    OURS,
    StageSettings,
    climbs,
    fault,
    flat,
    log_line,
    passes,
    route,
)

ROUTES = ("/", "/messages", "/orders/{id}", "/orders/{id}/lines")
CONTEXT: dict[str, Any] = {"requestId": "r-1"}


def settings(*responses: dict[str, Any]) -> StageSettings:
    return StageSettings(None, "", ROUTES, {each["responseType"]: each for each in responses})


def response(kind: str, **more: Any) -> dict[str, Any]:
    template = json.dumps({"of": kind})
    return {"responseType": kind, "responseTemplates": {"application/json": template}, **more}


@pytest.mark.parametrize("header", ["Content-Type", "Authorization", "X-Trace", "x-edges", "Retry-After"])
def test_a_header_of_the_request_goes_through(header: str) -> None:
    assert passes(header)


@pytest.mark.parametrize(
    "header",
    ["Connection", "Host", "CONTENT-LENGTH", "X-Edge-Context", "x-edge-fault", "X-Forwarded-For", "TE"],
)
def test_a_header_of_the_connection_or_of_the_edge_does_not(header: str) -> None:
    assert not passes(header)


def test_what_the_edge_compares_is_in_lower_case() -> None:
    assert {each.lower() for each in OURS} == OURS


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/messages", "/messages"),
        ("/messages/", "/messages"),
        ("/", "/"),
        ("/orders/5", "/orders/{id}"),
        ("/orders/5/lines", "/orders/{id}/lines"),
        ("/orders", ABSENT),
        ("/orders/5/other", ABSENT),
        ("/Messages", ABSENT),
        ('/mess"ages', ABSENT),
    ],
)
def test_a_path_belongs_to_a_route_or_to_none(path: str, found: str) -> None:
    assert route(ROUTES, path) == found


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


def test_a_context_is_flattened_to_dotted_names() -> None:
    assert flat({"a": 1, "b": {"c": {"d": "e"}, "f": None}, "g": {}}) == {"a": "1", "b.c.d": "e"}


def test_a_log_line_holds_bare_values() -> None:
    line = log_line(
        '{"ip":"$context.identity.sourceIp","n":$context.status}',
        {"identity": {"sourceIp": "::1"}, "status": 202},
    )
    assert line == '{"ip":"::1","n":202}'


@pytest.mark.parametrize("context", [{}, {"waf": None}, {"waf": ""}, {"waf": {}}])
def test_what_is_absent_is_a_dash(context: dict[str, Any]) -> None:
    assert log_line("$context.waf.", context) == "-."


def test_the_longest_name_is_taken() -> None:
    assert log_line("$context.a.b, $context.ab.", {"a": {"b": 1}, "ab": 2}) == "1, 2."


@pytest.mark.parametrize(
    ("kind", "family"), [("REQUEST_TOO_LARGE", "DEFAULT_4XX"), ("INTEGRATION_FAILURE", "DEFAULT_5XX")]
)
def test_a_fault_is_answered_by_its_own_response_or_by_that_of_its_family(kind: str, family: str) -> None:
    own, whole = response(kind), response(family)
    other = response("DEFAULT_5XX" if family == "DEFAULT_4XX" else "DEFAULT_4XX")
    for deployed, expected in [((own, whole, other), kind), ((whole, other), family)]:
        assert json.loads(fault(settings(*deployed), kind, CONTEXT).body) == {"of": expected}


@pytest.mark.parametrize("kind", FAULTS)
def test_a_fault_that_nothing_is_deployed_for_is_answered_as_api_gateway_does(kind: str) -> None:
    status, message = FAULTS[kind]
    generated = response("DEFAULT_4XX", defaultResponse=True), response("DEFAULT_5XX", defaultResponse=True)
    for deployed in (NOTHING_DEPLOYED, settings(), settings(*generated)):
        answer = fault(deployed, kind, CONTEXT)
        assert answer.status == status
        assert json.loads(answer.body) == {"message": message}
        assert answer.headers == {"Content-Type": "application/json"}


def test_a_response_without_a_template_has_api_gateways_own() -> None:
    bare = {"responseType": "DEFAULT_4XX", "responseTemplates": None}
    assert json.loads(fault(settings(bare), "REQUEST_TOO_LARGE", CONTEXT).body) == {
        "message": "Request Too Long"
    }


def test_a_deployed_response_decides_status_and_headers() -> None:
    deployed = response(
        "DEFAULT_4XX", statusCode="418", responseParameters={"gatewayresponse.header.Retry-After": "'1'"}
    )
    answer = fault(settings(deployed), "REQUEST_TOO_LARGE", CONTEXT)
    assert (answer.status, answer.headers["Retry-After"]) == (418, "1")


def test_the_edge_has_to_give_what_the_emulator_does_not() -> None:
    assert {kind: status for kind, (status, _) in FAULTS.items()} == {
        "BAD_REQUEST_BODY": 400,
        "WAF_FILTERED": 403,
        "MISSING_AUTHENTICATION_TOKEN": 403,
        "REQUEST_TOO_LARGE": 413,
        "API_CONFIGURATION_ERROR": 500,
        "INTEGRATION_FAILURE": 504,
    }


@pytest.mark.parametrize("kind", FAULTS)
def test_every_fault_keeps_its_status_where_our_answers_have_none_of_their_own(kind: str) -> None:
    ours = [response(each.response_type, statusCode=each.status) for each in GATEWAY_ANSWERS]
    answer = fault(settings(*ours), kind, CONTEXT)
    known = {each.response_type for each in GATEWAY_ANSWERS}
    family = "DEFAULT_4XX" if FAULTS[kind][0] < 500 else "DEFAULT_5XX"
    assert answer.status == FAULTS[kind][0]
    assert json.loads(answer.body) == {"of": kind if kind in known else family}


@pytest.mark.parametrize("kind", FAULTS)
def test_every_fault_has_the_one_shape_of_our_errors(kind: str) -> None:
    ours = [
        {"responseType": each.response_type, "responseTemplates": {"application/json": each.template}}
        for each in GATEWAY_ANSWERS
    ]
    told = json.loads(fault(settings(*ours), kind, CONTEXT).body)
    assert list(told) == ["code", "message", "requestId"]
    assert (told["code"], told["requestId"]) == (kind, "r-1")
