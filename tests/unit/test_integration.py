import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from local.standin import deployed, http_backend, sqs_wire
from local.standin.deployed import Integration, Method
from local.standin.integration import (
    CACHED_HEADER,
    CONTEXT_HEADER,
    DETAIL_HEADER,
    DOMAIN_HEADER,
    FAULT_HEADER,
    Answer,
    fault,
    from_http,
    handler,
    mapped,
    mock,
    replace,
    request_of,
    request_template,
    response_from,
    select,
    template_context,
    trace_id,
)
from local.standin.mappings import ConfigurationError
from local.standin.signed import Answer as Signed
from local.standin.validation import Checks, RefusalError
from local.standin.velocity import Request

URI = "arn:aws:apigateway:us-east-1:sqs:path/123456789012/orders"
ACCEPTED = '{"id":"$input.path(\'$.SendMessageResponse.SendMessageResult.MessageId\')"}'
THROTTLED = (
    '#set($context.responseOverride.status = 503)#set($context.responseOverride.header.Retry-After = "5"){}'
)
RESPONSES: dict[str, dict[str, Any]] = {
    "202": {
        "statusCode": "202",
        "selectionPattern": r"2\d{2}",
        "responseTemplates": {"application/json": ACCEPTED},
    },
    "502": {
        "statusCode": "502",
        "selectionPattern": r"4\d{2}",
        "responseTemplates": {"application/json": THROTTLED},
    },
    "503": {
        "statusCode": "503",
        "selectionPattern": r"5\d{2}",
        "responseTemplates": {"application/json": "{}"},
        "responseParameters": {"method.response.header.Retry-After": "'5'"},
    },
}
FORM = "Action=SendMessage&MessageBody=$util.urlEncode($input.body)"
INTEGRATION = Integration(
    kind="AWS",
    uri=URI,
    role="arn:aws:iam::123456789012:role/r",
    request_templates={"application/json": FORM, "text/plain": f"{FORM}&Plain=1"},
    request_parameters={
        "integration.request.header.Content-Type": "'application/x-www-form-urlencoded'",
        "integration.request.header.Accept": "'application/json'",
    },
    responses=RESPONSES,
    passthrough="NEVER",
)
HEALTH = Integration(
    kind="MOCK",
    request_templates={"application/json": '{"statusCode": 200}'},
    responses={
        "200": {
            "statusCode": "200",
            "responseTemplates": {"application/json": "$input.params().header.get('Origin')|$input.body"},
        }
    },
)
READ = Integration(
    kind="HTTP",
    uri="http://127.0.0.1:9/orders/{id}",
    request_parameters={
        "integration.request.path.id": "method.request.path.id",
        "integration.request.querystring.page": "method.request.querystring.page",
        "integration.request.header.Accept-Language": "method.request.header.Accept-Language",
        "integration.request.header.X-Caller": "context.authorizer.principalId",
    },
    responses={
        "200": {
            "statusCode": "200",
            "selectionPattern": "200",
            "responseParameters": {
                "method.response.header.ETag": "integration.response.header.ETag",
                "method.response.header.Last-Modified": "integration.response.header.Last-Modified",
                "method.response.header.Content-Type": "integration.response.header.Content-Type",
            },
        },
        "502": {"statusCode": "502", "responseTemplates": {"application/json": "{}"}},
    },
    timeout_seconds=3.0,
)
TRACE = "1-5759e988-bd862e3fe1be46a994272793"
CONTEXT: dict[str, Any] = {"requestId": "r-1", "apiId": "abc", "authorizer": {"principalId": "ann"}}
REQUEST = Request("{}", {"content-type": "application/json"})
SENT = json.dumps({"SendMessageResponse": {"SendMessageResult": {"MessageId": "m-1"}}})
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


def replaced(given: Integration = INTEGRATION, **changes: Any) -> Integration:
    return Integration(**{**vars(given), **changes})


@pytest.fixture
def deploy(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return what makes an integration the one that is deployed, in a stage without traces."""

    def deployed_is(found: Integration, checks: Checks = Checks()) -> None:  # noqa: B008 - it is frozen
        monkeypatch.setattr(deployed, "method_for", lambda _event: Method(found, checks))

    monkeypatch.setattr(deployed, "traced", lambda _event: False)
    monkeypatch.setattr(deployed, "assumed", lambda _role: None)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    return deployed_is


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Return what is sent to a queue that takes everything."""
    sent: list[dict[str, Any]] = []

    def post(url: str, body: str, headers: Mapping[str, str], _credentials: object, region: str) -> Signed:
        sent.append({"url": url, "body": body, "headers": dict(headers), "region": region})
        return Signed(200, SENT)

    monkeypatch.setattr(sqs_wire, "post", post)
    return sent


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Return what a back end is asked that answers everything."""
    got: list[dict[str, Any]] = []

    def get(url: str, headers: Mapping[str, str], seconds: float) -> http_backend.Reply:
        got.append({"url": url, "headers": dict(headers), "seconds": seconds})
        return http_backend.Reply(200, "<it>", {"etag": '"1"', "content-type": "text/html"})

    monkeypatch.setattr(http_backend, "get", get)
    return got


def told(answer: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(answer["headers"][CONTEXT_HEADER])
    return found


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


def test_a_message_is_sent_as_the_template_and_the_mappings_say(deploy: Any, queue: list[Any]) -> None:
    deploy(INTEGRATION)
    answer = handler({**EVENT, "body": "a&b"}, None)
    assert (answer["statusCode"], answer["body"]) == (202, '{"id":"m-1"}')
    assert queue == [
        {
            "url": "http://127.0.0.1:9/123456789012/orders",
            "body": "Action=SendMessage&MessageBody=a%26b&Plain=1",
            "headers": {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"},
            "region": "us-east-1",
        }
    ]


@pytest.mark.parametrize(
    "target", ["integration.request.querystring.x", "integration.request.path.x", "Accept"]
)
def test_anything_but_a_header_for_sqs_is_an_error(deploy: Any, queue: list[Any], target: str) -> None:
    deploy(replaced(request_parameters={target: "'x'"}))
    assert handler(EVENT, None)["headers"][FAULT_HEADER] == "API_CONFIGURATION_ERROR"
    assert queue == []


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


@pytest.mark.parametrize(
    ("behavior", "templates", "passes"),
    [
        ("NEVER", {"application/json": "x"}, False),
        ("NEVER", {}, False),
        ("WHEN_NO_TEMPLATES", {"application/json": "x"}, False),
        ("WHEN_NO_TEMPLATES", {}, True),
        ("WHEN_NO_MATCH", {"application/json": "x"}, True),
        ("WHEN_NO_MATCH", {}, True),
    ],
)
def test_a_media_type_without_a_template_is_passed_or_refused_as_deployed(
    behavior: str, templates: dict[str, str], passes: bool
) -> None:
    given = replaced(request_templates=templates, passthrough=behavior)
    request = request_of({"headers": {"content-type": "application/xml"}})
    if passes:
        assert request_template(given, request) is None
        return
    with pytest.raises(RefusalError) as refused:
        request_template(given, request)
    assert refused.value.fault == "UNSUPPORTED_MEDIA_TYPE"


def test_a_template_reads_what_the_client_sent_and_nothing_of_the_edge() -> None:
    request = request_of(EVENT)
    assert (request.body, request.headers) == ("", {"Content-Type": "text/plain", "X-Trace": "t"})
    assert (request.query, request.path) == ({}, {})
    full = request_of(
        {
            "body": "b",
            "queryStringParameters": {"q": "0"},
            "multiValueQueryStringParameters": {"q": ["0", "1"], "none": []},
            "pathParameters": {"p": "2"},
        }
    )
    assert (full.body, full.query, full.path) == ("b", {"q": "1"}, {"p": "2"}), "the last value counts"


def test_the_context_holds_what_api_gateway_fills_and_only_what_is_there() -> None:
    assert template_context(EVENT) == {
        "apiId": "abc",
        "requestId": "r-1",
        "stage": "v1",
        "identity": {"sourceIp": "::1"},
        "authorizer": {},
    }


def test_the_context_carries_what_the_authorizer_said_and_which_domain_was_called() -> None:
    given = {**EVENT["requestContext"], "authorizer": {"principalId": "ann"}}
    context = template_context({"requestContext": given, "headers": {DOMAIN_HEADER: "api.example.com"}})
    assert context["authorizer"] == {"principalId": "ann"}
    assert (context["domainName"], context["domainPrefix"]) == ("api.example.com", "api")


def test_an_accepted_message_is_answered_with_what_the_edge_has_to_know() -> None:
    answer = response_from(Answer(200, SENT, milliseconds=7), INTEGRATION, REQUEST, CONTEXT)
    assert (answer["statusCode"], json.loads(answer["body"])) == (202, {"id": "m-1"})
    assert answer["headers"]["Content-Type"] == "application/json"
    assert told(answer) == {
        "requestId": "r-1",
        "integrationStatus": 200,
        "integrationLatency": 7,
        "authorizer": {"principalId": "ann"},
    }


def test_a_template_overrides_the_status_and_adds_headers() -> None:
    answer = response_from(Answer(400, "{}"), INTEGRATION, REQUEST, CONTEXT)
    assert (answer["statusCode"], answer["headers"]["Retry-After"]) == (503, "5")


def test_a_response_has_the_headers_that_were_deployed() -> None:
    answer = response_from(Answer(500, "<html>"), INTEGRATION, REQUEST, CONTEXT)
    assert (answer["statusCode"], answer["headers"]["Retry-After"]) == (503, "5")


def test_an_answer_without_a_template_is_passed_on() -> None:
    bare = replaced(
        responses={"200": {"statusCode": "200", "responseTemplates": None, "responseParameters": None}}
    )
    answer = response_from(Answer(200, "as it is"), bare, REQUEST, CONTEXT)
    assert (answer["statusCode"], answer["body"]) == (200, "as it is")


def test_a_header_takes_the_place_of_the_same_one_in_another_case() -> None:
    headers = {"Content-Type": "a", "Other": "b"}
    replace(headers, {"content-type": "c", "More": "d"})
    assert headers == {"Other": "b", "content-type": "c", "More": "d"}


def test_a_mock_answers_with_the_status_of_its_template_and_reads_the_request(deploy: Any) -> None:
    deploy(HEALTH)
    answer = handler({**EVENT, "headers": {"Origin": "https://a.example"}}, None)
    assert (answer["statusCode"], answer["body"]) == (200, "https://a.example|{}")
    assert told(answer) == {"requestId": "r-1", "authorizer": {}}, "nobody was asked"


def test_a_mock_chooses_its_response_by_that_status(deploy: Any) -> None:
    responses = {
        "500": {"statusCode": "500", "selectionPattern": ""},
        "204": {"statusCode": "204", "selectionPattern": "204"},
    }
    deploy(
        replaced(HEALTH, request_templates={"application/json": '{"statusCode": 204}'}, responses=responses)
    )
    answer = handler({**EVENT, "headers": {}}, None)
    assert (answer["statusCode"], answer["body"]) == (204, "")


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"statusCode": "200"}', '{"statusCode": true}', "{a: 1}"])
def test_a_mock_whose_template_tells_no_status_is_wrong(text: str) -> None:
    with pytest.raises(ConfigurationError, match="statusCode should be an integer"):
        mock(HEALTH, text, templated=True)


def test_a_mock_that_a_request_passes_gives_its_response_without_a_pattern() -> None:
    assert mock(HEALTH, "", templated=False).status == 200
    assert mock(HEALTH, '{"statusCode": 418}', templated=False).status == 418
    with pytest.raises(ConfigurationError):
        mock(INTEGRATION, "", templated=False)


def test_a_back_end_is_asked_for_what_is_mapped_and_nothing_else(asked: list[Any]) -> None:
    request = Request("", {"accept-language": "de", "cookie": "c"}, {"page": "2", "x": "y"}, {"id": "a/b"})
    answer = from_http(READ, request, CONTEXT)
    assert asked == [
        {
            "url": "http://127.0.0.1:9/orders/a%2Fb?page=2",
            "headers": {
                "Accept": "application/json",
                "User-Agent": "AmazonAPIGateway_abc",
                "x-amzn-apigateway-api-id": "abc",
                "Accept-Language": "de",
                "X-Caller": "ann",
            },
            "seconds": 3.0,
        }
    ]
    assert (answer.status, answer.body) == (200, "<it>")


def test_a_header_that_is_mapped_takes_the_place_of_api_gateways_own(asked: list[Any]) -> None:
    parameters = {"integration.request.header.accept": "'text/csv'"}
    from_http(replaced(READ, uri="https://example.com/x", request_parameters=parameters), REQUEST, CONTEXT)
    assert sorted(name.lower() for name in asked[0]["headers"]) == [
        "accept",
        "user-agent",
        "x-amzn-apigateway-api-id",
    ]
    assert asked[0]["headers"]["accept"] == "text/csv"


def test_what_is_absent_is_not_sent(asked: list[Any]) -> None:
    parts = mapped(READ, Request("", path={"id": "1"}), {"authorizer": {}})
    assert (parts.path, parts.query, parts.headers) == ({"id": "1"}, {}, {})


def test_a_back_ends_answer_passes_with_the_headers_that_are_mapped_and_there(
    deploy: Any, asked: list[Any]
) -> None:
    deploy(READ)
    answer = handler({**EVENT, "pathParameters": {"id": "1"}}, None)
    headers = {key: value for key, value in answer["headers"].items() if key != CONTEXT_HEADER}
    assert (answer["statusCode"], answer["body"]) == (200, "<it>")
    assert headers == {"Content-Type": "text/html", "ETag": '"1"'}
    assert told(answer)["integrationStatus"] == 200


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (TimeoutError(), "INTEGRATION_TIMEOUT", "Endpoint request timed out"),
        (ConnectionRefusedError(), "INTEGRATION_FAILURE", "Network error communicating with endpoint"),
        (OSError("no such host"), "INTEGRATION_FAILURE", "Network error communicating with endpoint"),
    ],
)
def test_a_back_end_that_does_not_answer_is_a_fault_that_the_edge_can_tell(
    error: Exception, kind: str, message: str, deploy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise error

    deploy(READ)
    monkeypatch.setattr(http_backend, "get", fail)
    answer = handler({**EVENT, "pathParameters": {"id": "1"}}, None)
    assert answer["headers"][FAULT_HEADER] == kind
    assert json.loads(answer["headers"][DETAIL_HEADER]) == {"message": message}


def test_a_request_that_is_not_valid_never_gets_to_its_integration(deploy: Any, queue: list[Any]) -> None:
    deploy(INTEGRATION, Checks(("method.request.header.X-Tenant",)))
    answer = handler(EVENT, None)
    assert answer["headers"][FAULT_HEADER] == "BAD_REQUEST_PARAMETERS"
    assert json.loads(answer["headers"][DETAIL_HEADER]) == {
        "message": "Missing required request parameters: [X-Tenant]"
    }
    assert queue == []


def test_a_bad_body_is_told_with_what_is_wrong(deploy: Any, queue: list[Any]) -> None:
    deploy(INTEGRATION, Checks(schemas={"text/plain": {"type": "object"}}))
    answer = handler({**EVENT, "body": "[]"}, None)
    assert answer["headers"][FAULT_HEADER] == "BAD_REQUEST_BODY"
    detail = json.loads(answer["headers"][DETAIL_HEADER])
    assert detail["message"] == "Invalid request body"
    assert detail["validation"].startswith("[instance type (array) does not match")
    assert queue == []


def test_a_request_whose_answer_the_edge_has_gets_only_as_far_as_the_integration(
    deploy: Any, asked: list[Any]
) -> None:
    deploy(READ, Checks(("method.request.path.id",)))
    event = {**EVENT, "headers": {CACHED_HEADER: "1"}, "pathParameters": {"id": "1"}}
    answer = handler(event, None)
    assert (answer["statusCode"], told(answer)["requestId"], asked) == (200, "r-1", [])
    refused = handler({**event, "pathParameters": None}, None)
    assert refused["headers"][FAULT_HEADER] == "BAD_REQUEST_PARAMETERS", "it must be valid all the same"


@pytest.mark.parametrize(
    ("headers", "wanted"),
    [
        ({"X-Amzn-Trace-Id": f"Root={TRACE};Sampled=1"}, TRACE),
        ({"X-Amzn-Trace-Id": "Self=x"}, None),
        ({}, None),
    ],
)
def test_a_trace_goes_on_or_begins_here(headers: dict[str, str], wanted: str | None) -> None:
    found = trace_id(Request("", headers))
    assert re.fullmatch(r"1-[0-9a-f]{8}-[0-9a-f]{24}", found)
    assert wanted in {None, found}


@pytest.mark.parametrize("traced", [True, False])
def test_only_a_stage_that_makes_traces_tells_templates_of_one(
    traced: bool, deploy: Any, queue: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    deploy(replaced(request_templates={"text/plain": "[$!context.xrayTraceId]"}))
    monkeypatch.setattr(deployed, "traced", lambda _event: traced)
    handler(EVENT, None)
    assert (len(queue[0]["body"]) > 2) is traced


@pytest.mark.parametrize(
    "uri",
    [
        "arn:aws:apigateway:us-east-1:sqs:action/SendMessage",
        "arn:aws:apigateway:us-east-1:sns:path/123456789012/x",
        "https://example.com",
    ],
)
def test_another_service_is_a_fault_that_the_edge_can_tell(
    uri: str, deploy: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    deploy(replaced(uri=uri))
    answer = handler(EVENT, None)
    assert (answer["statusCode"], answer["headers"][FAULT_HEADER]) == (500, "API_CONFIGURATION_ERROR")
    assert uri in capsys.readouterr().out


def test_another_kind_of_integration_is_an_error_and_not_nothing(deploy: Any) -> None:
    deploy(replaced(kind="HTTP_PROXY"))
    assert handler(EVENT, None)["headers"][FAULT_HEADER] == "API_CONFIGURATION_ERROR"


def test_a_fault_tells_only_what_there_is() -> None:
    answer = fault("THROTTLED", CONTEXT)
    assert answer["headers"].keys() == {FAULT_HEADER, CONTEXT_HEADER}
    assert told(answer) == {"requestId": "r-1", "authorizer": {"principalId": "ann"}}


def test_what_a_fault_tells_fits_into_a_header() -> None:
    detail = fault("BAD_REQUEST_BODY", CONTEXT, "m", "[é\n\x00]")["headers"][DETAIL_HEADER]
    assert detail.isascii()
    assert detail.isprintable()
    assert json.loads(detail)["validation"] == "[é\n\x00]"
