from typing import Any

import pytest

from local.standin.mappings import ConfigurationError, header, literal, method_headers, name_of, request_value
from local.standin.velocity import Request

REQUEST = Request("", {"x-tenant": "acme"}, {"filter[a.b]": "1"}, {"id": "7"})
CONTEXT: dict[str, Any] = {"requestId": "r-1", "identity": {"sourceIp": "::1"}, "requestTimeEpoch": 5}


@pytest.mark.parametrize(("source", "text"), [("'a'", "a"), ("''", ""), ("'it's'", "it's")])
def test_quoted_text_is_taken_as_it_is(source: str, text: str) -> None:
    assert literal(source) == text
    assert request_value(source, REQUEST, CONTEXT) == text


@pytest.mark.parametrize("source", ["", "'", "a", "'a", "a'", '"a"', "method.request.header.X"])
def test_any_other_text_is_an_error_and_not_nothing(source: str) -> None:
    with pytest.raises(ConfigurationError):
        literal(source)


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("method.request.header.X-Tenant", "acme"),
        ("method.request.header.X-Other", None),
        ("method.request.querystring.filter[a.b]", "1"),
        ("method.request.querystring.x-tenant", None),
        ("method.request.path.id", "7"),
        ("method.request.path.tenant", None),
        ("context.requestId", "r-1"),
        ("context.identity.sourceIp", "::1"),
        ("context.requestTimeEpoch", "5"),
        ("context.identity.user.name", None),
        ("context.requestId.more", None),
    ],
)
def test_a_value_comes_from_where_the_expression_says(source: str, value: str | None) -> None:
    assert request_value(source, REQUEST, CONTEXT) == value


@pytest.mark.parametrize(
    "source",
    ["method.request.body", "method.request.body.x", "stageVariables.x", "x", "method.response.header.X"],
)
def test_an_expression_that_is_not_known_is_an_error(source: str) -> None:
    with pytest.raises(ConfigurationError):
        request_value(source, REQUEST, CONTEXT)


def test_a_name_may_have_dots() -> None:
    assert name_of("integration.request.querystring.a.b") == ("querystring", "a.b")


def test_an_answer_gets_quoted_text_and_what_the_service_says() -> None:
    mappings = {
        "method.response.header.ETag": "integration.response.header.etag",
        "method.response.header.X-None": "integration.response.header.X-None",
        "method.response.header.Access-Control-Allow-Origin": "'*'",
    }
    assert method_headers(mappings, {"ETag": '"1"'}) == {
        "ETag": '"1"',
        "Access-Control-Allow-Origin": "*",
    }


@pytest.mark.parametrize("source", ["integration.response.body.x", "context.requestId", "*"])
def test_anything_else_for_an_answer_is_an_error(source: str) -> None:
    with pytest.raises(ConfigurationError):
        method_headers({"method.response.header.X": source}, {})


def test_a_header_is_found_in_whatever_case() -> None:
    assert header({"X-Tenant": "a"}, "x-tenant") == "a"
    assert header({}, "x-tenant") is None
