import json
from typing import Any

import pytest

from components.api_definition import GATEWAY_ANSWERS
from local.edge import ABSENT, FAULTS, OURS, StageSettings, fault, flat, log_line, passes, route

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
    for deployed in ((), generated):
        answer = fault(settings(*deployed), kind, CONTEXT)
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


@pytest.mark.parametrize("kind", FAULTS)
def test_every_fault_has_the_one_shape_of_our_errors(kind: str) -> None:
    ours = [
        {"responseType": each.response_type, "responseTemplates": {"application/json": each.template}}
        for each in GATEWAY_ANSWERS
    ]
    told = json.loads(fault(settings(*ours), kind, CONTEXT).body)
    assert list(told) == ["code", "message", "requestId"]
    assert (told["code"], told["requestId"]) == (kind, "r-1")
