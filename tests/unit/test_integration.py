import json
from typing import Any

import pytest

from components import api_definition
from components.templates import Answer as Form
from local.standin import integration
from local.standin.integration import (
    CONTEXT_HEADER,
    ConfigurationError,
    Integration,
    integration_of,
    literal,
    request_headers,
    request_of,
    request_template,
    response_from,
    select,
    template_context,
)
from local.standin.signed import Answer

DEFINITION = api_definition.define("messages", ["application/json", "text/plain"], Form.SUMMARY, 1024)
RESPONSES: dict[str, dict[str, Any]] = {
    str(each.status): {
        "statusCode": str(each.status),
        "selectionPattern": each.selection_pattern,
        "responseTemplates": {"application/json": each.template},
        "responseParameters": dict(each.headers),
    }
    for each in DEFINITION.answers
}
URI = "arn:aws:apigateway:us-east-1:sqs:path/123456789012/orders"
INTEGRATION = Integration(
    uri=URI,
    role="arn:aws:iam::123456789012:role/r",
    request_templates=DEFINITION.request_templates,
    request_parameters=DEFINITION.request_parameters,
    responses=RESPONSES,
)
CONTEXT: dict[str, Any] = {"requestId": "r-1", "authorizer": {"principalId": "ann"}}
SENT = json.dumps({"SendMessageResponse": {"SendMessageResult": {"MessageId": "m-1"}}})
THROTTLED = json.dumps({"Error": {"Code": "RequestThrottled", "Message": "x"}})
EVENT: dict[str, Any] = {
    "headers": {"Content-Type": "text/plain", "x-edge-fault": "forged", "X-Trace": "t"},
    "body": None,
    "requestContext": {
        "apiId": "abc",
        "requestId": "r-1",
        "stage": "v1",
        "path": None,
        "secretOfTheEmulator": 1,
        "identity": {"sourceIp": "::1", "userAgent": None, "caller": ""},
        "authorizer": None,
    },
}


def replaced(**changes: Any) -> Integration:
    return Integration(**{**vars(INTEGRATION), **changes})


@pytest.mark.parametrize(
    ("status", "chosen"), [(200, "202"), (299, "202"), (400, "502"), (499, "502"), (500, "503")]
)
def test_an_answer_is_chosen_by_the_class_of_the_status(status: int, chosen: str) -> None:
    assert select(RESPONSES, status)["statusCode"] == chosen


@pytest.mark.parametrize("status", [100, 302, 600])
def test_a_status_that_no_pattern_fits_is_a_fault_of_the_configuration(status: int) -> None:
    with pytest.raises(ConfigurationError, match=str(status)):
        select(RESPONSES, status)


@pytest.mark.parametrize("default", [{"statusCode": "299"}, {"statusCode": "299", "selectionPattern": ""}])
def test_an_answer_without_a_pattern_is_for_what_is_left(default: dict[str, str]) -> None:
    responses = {"299": default, **RESPONSES}
    assert select(responses, 302) == default
    assert select(responses, 400)["statusCode"] == "502", "a pattern goes first"


def test_a_pattern_must_fit_as_a_whole() -> None:
    with pytest.raises(ConfigurationError):
        select({"200": {"statusCode": "200", "selectionPattern": "20"}}, 200)


@pytest.mark.parametrize(("source", "text"), [("'a'", "a"), ("''", ""), ("'it's'", "it's")])
def test_quoted_text_is_taken_as_it_is(source: str, text: str) -> None:
    assert literal(source) == text


@pytest.mark.parametrize("source", ["", "'", "a", "'a", "a'", '"a"', "method.request.header.X"])
def test_any_other_mapping_is_an_error_and_not_nothing(source: str) -> None:
    with pytest.raises(ConfigurationError):
        literal(source)


def test_the_service_gets_the_headers_that_were_deployed() -> None:
    assert request_headers(INTEGRATION) == {
        "Content-Type": "application/x-www-form-urlencoded",
        "Accept": "application/json",
    }


@pytest.mark.parametrize(
    "target", ["integration.request.querystring.x", "integration.request.path.x", "Accept"]
)
def test_anything_but_a_header_for_the_service_is_an_error(target: str) -> None:
    with pytest.raises(ConfigurationError, match="headers only"):
        request_headers(replaced(request_parameters={target: "'x'"}))


@pytest.mark.parametrize(
    "content_type", ["text/plain", "TEXT/PLAIN", "text/plain; charset=utf-8", " text/plain ;x=y"]
)
@pytest.mark.parametrize("name", ["content-type", "Content-Type"])
def test_a_template_is_chosen_by_the_media_type_alone(name: str, content_type: str) -> None:
    only = replaced(request_templates={"text/plain": "chosen"})
    assert request_template(only, request_of({"headers": {name: content_type}})) == "chosen"


def test_a_request_without_a_media_type_counts_as_json() -> None:
    only = replaced(request_templates={"application/json": "chosen"})
    assert request_template(only, request_of({"headers": None})) == "chosen"


def test_a_media_type_without_a_template_is_never_passed_through() -> None:
    with pytest.raises(ConfigurationError, match="application/xml"):
        request_template(INTEGRATION, request_of({"headers": {"content-type": "application/xml"}}))


def test_a_template_reads_what_the_client_sent_and_nothing_of_the_edge() -> None:
    request = request_of(EVENT)
    assert (request.body, request.headers) == ("", {"Content-Type": "text/plain", "X-Trace": "t"})
    assert (request.query, request.path) == ({}, {})
    full = request_of({"body": "b", "queryStringParameters": {"q": "1"}, "pathParameters": {"p": "2"}})
    assert (full.body, full.query, full.path) == ("b", {"q": "1"}, {"p": "2"})


def test_the_context_holds_what_api_gateway_fills_and_only_what_is_there() -> None:
    assert template_context(EVENT) == {
        "apiId": "abc",
        "requestId": "r-1",
        "stage": "v1",
        "identity": {"sourceIp": "::1"},
        "authorizer": {},
    }


def test_the_context_carries_what_the_authorizer_said() -> None:
    given = {**EVENT["requestContext"], "authorizer": {"principalId": "ann"}}
    assert template_context({"requestContext": given})["authorizer"] == {"principalId": "ann"}


def test_an_accepted_message_is_answered_with_what_the_edge_has_to_know() -> None:
    answer = response_from(Answer(200, SENT), INTEGRATION, CONTEXT)
    assert (answer["statusCode"], json.loads(answer["body"])) == (
        202,
        {"messageId": "m-1", "requestId": "r-1"},
    )
    assert answer["headers"]["Content-Type"] == "application/json"
    assert json.loads(answer["headers"][CONTEXT_HEADER]) == {
        "requestId": "r-1",
        "integrationStatus": 200,
        "authorizer": {"principalId": "ann"},
    }


def test_a_template_overrides_the_status_and_adds_headers() -> None:
    answer = response_from(Answer(400, THROTTLED), INTEGRATION, CONTEXT)
    assert (answer["statusCode"], answer["headers"]["Retry-After"]) == (503, "5")


def test_a_response_has_the_headers_that_were_deployed() -> None:
    answer = response_from(Answer(500, "<html>"), INTEGRATION, CONTEXT)
    assert (answer["statusCode"], answer["headers"]["Retry-After"]) == (503, "5")


def test_an_answer_without_a_template_is_passed_on() -> None:
    bare = replaced(
        responses={"200": {"statusCode": "200", "responseTemplates": None, "responseParameters": None}}
    )
    answer = response_from(Answer(200, "as it is"), bare, CONTEXT)
    assert (answer["statusCode"], answer["body"]) == (200, "as it is")


def test_an_integration_is_read_as_it_was_deployed() -> None:
    known: dict[str, Any] = {
        "requestParameters": {**DEFINITION.request_parameters, integration.URI_PARAMETER: URI},
        "credentials": INTEGRATION.role,
        "requestTemplates": DEFINITION.request_templates,
        "integrationResponses": RESPONSES,
    }
    assert integration_of(known) == INTEGRATION
    assert integration.URI_PARAMETER in known["requestParameters"], "what was read is not to be changed"


def test_an_integration_may_have_neither_templates_nor_responses() -> None:
    read = integration_of({"requestParameters": {integration.URI_PARAMETER: URI}, "credentials": "r"})
    assert (read.request_templates, read.request_parameters, read.responses) == ({}, {}, {})


@pytest.mark.parametrize(
    "uri",
    [
        "arn:aws:apigateway:us-east-1:sqs:action/SendMessage",
        "arn:aws:apigateway:us-east-1:sns:path/123456789012/x",
        "https://example.com",
    ],
)
def test_another_service_is_a_fault_that_the_edge_can_tell(
    uri: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(integration, "deployed", lambda _event: replaced(uri=uri))
    answer = integration.handler(EVENT, None)
    assert (answer["statusCode"], answer["headers"]) == (500, {"x-edge-fault": "API_CONFIGURATION_ERROR"})
    assert uri in capsys.readouterr().out
