import json
from typing import Any

import pytest

from components.answers import Shape, gateway_answers
from local.gateway_responses import FAULTS, Caller, fault, header_value, rendered
from local.stages import NOTHING_DEPLOYED, StageSettings

CONTEXT: dict[str, Any] = {"requestId": "r-1", "stage": "v1", "identity": {"sourceIp": "::1"}}
CALLER = Caller({"Origin": "https://shop.example"}, {"lang": "de"})
TYPES = [each for each in FAULTS if not each.startswith("DEFAULT_")]
OURS = gateway_answers(Shape.PLAIN, {}, schemas=True)


def settings(*responses: dict[str, Any]) -> StageSettings:
    return StageSettings(None, "", (), {each["responseType"]: each for each in responses})


def response(kind: str, **more: Any) -> dict[str, Any]:
    template = json.dumps({"of": kind})
    return {"responseType": kind, "responseTemplates": {"application/json": template}, **more}


def templated(kind: str, template: str) -> dict[str, Any]:
    return response(kind, responseTemplates={"application/json": template})


def family(kind: str) -> str:
    return "DEFAULT_4XX" if FAULTS[kind].status < 500 else "DEFAULT_5XX"


@pytest.mark.parametrize("kind", TYPES)
def test_a_fault_is_answered_by_its_own_response_or_by_that_of_its_family(kind: str) -> None:
    own, whole = response(kind), response(family(kind))
    other = response("DEFAULT_5XX" if family(kind) == "DEFAULT_4XX" else "DEFAULT_4XX")
    for deployed, expected in [((own, whole, other), kind), ((whole, other), family(kind))]:
        answer = fault(settings(*deployed), kind, CONTEXT)
        assert json.loads(answer.body) == {"of": expected}
        assert answer.status == FAULTS[kind].status


@pytest.mark.parametrize("kind", FAULTS)
def test_a_fault_that_nothing_is_deployed_for_is_answered_as_api_gateway_does(kind: str) -> None:
    known = FAULTS[kind]
    generated = response("DEFAULT_4XX", defaultResponse=True), response("DEFAULT_5XX", defaultResponse=True)
    for deployed in (NOTHING_DEPLOYED, settings(), settings(*generated)):
        answer = fault(deployed, kind, CONTEXT)
        assert answer.status == known.status
        word = "Message" if kind == "ACCESS_DENIED" else "message"
        assert json.loads(answer.body) == {word: known.message}
        assert dict(answer.headers) == {
            "Content-Type": "application/json",
            "x-amzn-ErrorType": known.error_type,
        }


def test_a_fault_may_be_of_another_error_than_others_of_its_type() -> None:
    answer = fault(NOTHING_DEPLOYED, "DEFAULT_4XX", CONTEXT, {"errorType": "IncompleteSignatureException"})
    assert answer.headers["x-amzn-ErrorType"] == "IncompleteSignatureException"


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


def test_a_header_takes_the_place_of_api_gateways_own_in_whatever_case() -> None:
    given = {"gatewayresponse.header.content-type": "'application/problem+json'"}
    answer = fault(settings(response("THROTTLED", responseParameters=given)), "THROTTLED", CONTEXT)
    assert [value for name, value in answer.headers.items() if name.lower() == "content-type"] == [
        "application/problem+json"
    ]


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("'quoted'", "quoted"),
        ("'it''s'", "it''s"),
        ("''", ""),
        ("method.request.header.origin", "https://shop.example"),
        ("method.request.header.Absent", None),
        ("method.request.querystring.lang", "de"),
        ("method.request.querystring.absent", None),
        ("context.requestId", "r-1"),
        ("context.absent", None),
    ],
)
def test_a_header_is_mapped_from_text_the_request_or_its_context(source: str, value: str | None) -> None:
    assert header_value(source, {"requestId": "r-1"}, CALLER) == value


def test_a_header_that_comes_to_nothing_is_not_sent() -> None:
    given = {"gatewayresponse.header.X-Who": "method.request.header.X-Who"}
    answer = fault(
        settings(response("THROTTLED", responseParameters=given)), "THROTTLED", CONTEXT, None, CALLER
    )
    assert "X-Who" not in answer.headers


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("$context.requestId.", "r-1."),
        ("${context.requestId}x", "r-1x"),
        ("$context.identity.sourceIp", "::1"),
        ("$context.absent|", "|"),
        ("$input.body #if(1)", "$input.body #if(1)"),
    ],
)
def test_only_variables_are_replaced(template: str, text: str) -> None:
    assert rendered(template, {"requestId": "r-1", "identity.sourceIp": "::1"}) == text


def test_an_error_tells_its_own_message_and_what_validation_found() -> None:
    template = (
        '{"a":$context.error.messageString,"b":"$context.error.message","c":"$context.error.responseType",'
        '"d":"$context.error.validationErrorString","e":"$context.identity.sourceIp"}'
    )
    detail = {"message": "Not this", "validation": '[object has missing required properties (["name"])]'}
    answer = fault(settings(templated("BAD_REQUEST_BODY", template)), "BAD_REQUEST_BODY", CONTEXT, detail)
    assert json.loads(answer.body) == {
        "a": "Not this",
        "b": "Not this",
        "c": "BAD_REQUEST_BODY",
        "d": '[object has missing required properties (["name"])]',
        "e": "::1",
    }


def test_an_error_without_anything_of_its_own_has_its_type_s_message_and_no_validation() -> None:
    template = '{"a":$context.error.messageString,"d":"$context.error.validationErrorString"}'
    answer = fault(settings(templated("THROTTLED", template)), "THROTTLED", CONTEXT, {})
    assert json.loads(answer.body) == {"a": "Too Many Requests", "d": ""}


def test_an_authorizer_that_is_set_up_wrongly_is_shown_as_an_api_that_is() -> None:
    template = '"$context.error.responseType"'
    kind = "AUTHORIZER_CONFIGURATION_ERROR"
    assert fault(settings(templated(kind, template)), kind, CONTEXT).body == b'"API_CONFIGURATION_ERROR"'


def test_every_type_that_we_deploy_is_known() -> None:
    assert {each.response_type for each in OURS} <= FAULTS.keys()


@pytest.mark.parametrize("kind", TYPES)
def test_every_fault_keeps_its_status_where_our_answers_have_none_of_their_own(kind: str) -> None:
    ours = [response(each.response_type, statusCode=each.status) for each in OURS]
    answer = fault(settings(*ours), kind, CONTEXT)
    known = {each.response_type for each in OURS}
    assert answer.status == FAULTS[kind].status
    assert json.loads(answer.body) == {"of": kind if kind in known else family(kind)}


@pytest.mark.parametrize("shape", Shape)
@pytest.mark.parametrize("kind", TYPES)
def test_every_fault_has_the_one_shape_of_our_errors(kind: str, shape: Shape) -> None:
    ours = [templated(each.response_type, each.template) for each in gateway_answers(shape, {}, schemas=True)]
    told = json.loads(fault(settings(*ours), kind, CONTEXT, {"validation": '["a"]'}).body)
    assert {"code", "requestId"} < set(told)
    assert (told["code"], told["requestId"]) == (kind, "r-1")
