import json
from typing import Any

import pytest

from local.standin.mappings import ConfigurationError
from local.standin.validation import (
    LONGEST_REASON,
    NOT_JSON,
    Checks,
    RefusalError,
    check,
    media_type,
    reason_against,
)
from local.standin.velocity import Request

SCHEMA: dict[str, Any] = {"type": "object", "required": ["name"]}
PARAMETERS = (
    "method.request.header.X-Tenant",
    "method.request.querystring.filter.page",
    "method.request.path.id",
)
WHOLE = Request("", {"x-tenant": "a"}, {"filter.page": "1"}, {"id": "7"})


def without(name: str, value: str | None) -> Request:
    parts = {
        part: {key: value if key == name else kept for key, kept in getattr(WHOLE, part).items()}
        for part in ("headers", "query", "path")
    }
    present = {
        part: {key: kept for key, kept in given.items() if kept is not None} for part, given in parts.items()
    }
    return Request("", present["headers"], present["query"], present["path"])


def refusal(request: Request, checks: Checks) -> RefusalError:
    with pytest.raises(RefusalError) as refused:
        check(request, checks)
    return refused.value


def test_a_request_with_every_parameter_passes() -> None:
    check(WHOLE, Checks(PARAMETERS))


@pytest.mark.parametrize("value", [None, "", "  "])
@pytest.mark.parametrize(
    ("name", "shown"), [("x-tenant", "X-Tenant"), ("filter.page", "filter.page"), ("id", "id")]
)
def test_a_parameter_that_is_absent_or_blank_is_missing(name: str, shown: str, value: str | None) -> None:
    refused = refusal(without(name, value), Checks(PARAMETERS))
    assert (refused.fault, refused.message, refused.reason) == (
        "BAD_REQUEST_PARAMETERS",
        f"Missing required request parameters: [{shown}]",
        "",
    )


def test_all_that_is_missing_is_told_at_once_and_before_the_body() -> None:
    refused = refusal(Request("no json"), Checks(PARAMETERS, {"application/json": SCHEMA}))
    assert refused.message == "Missing required request parameters: [X-Tenant, filter.page, id]"


def test_a_parameter_of_no_known_place_is_an_error() -> None:
    with pytest.raises(ConfigurationError):
        check(WHOLE, Checks(("method.request.body.x",)))


@pytest.mark.parametrize("body", ['{"name": 1}', ' {"name": null, "more": []} '])
def test_a_body_that_fits_passes(body: str) -> None:
    check(Request(body), Checks(schemas={"application/json": SCHEMA}))


def test_a_body_that_does_not_fit_is_refused_with_the_reason() -> None:
    refused = refusal(Request("{}"), Checks(schemas={"application/json": SCHEMA}))
    assert (refused.fault, refused.message) == ("BAD_REQUEST_BODY", "Invalid request body")
    assert refused.reason == '[object has missing required properties (["name"])]'


@pytest.mark.parametrize("content_type", ["text/plain", "application/xml"])
def test_a_body_of_a_type_without_a_model_is_not_looked_at(content_type: str) -> None:
    check(Request("no json", {"content-type": content_type}), Checks(schemas={"application/json": SCHEMA}))


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (None, "application/json"),
        ("", "application/json"),
        ("Text/Plain; charset=utf-8", "text/plain"),
        (" application/json ", "application/json"),
    ],
)
def test_the_media_type_is_the_content_type_without_parameters(given: str | None, wanted: str) -> None:
    headers = {} if given is None else {"Content-Type": given}
    assert media_type(Request("", headers)) == wanted


@pytest.mark.parametrize("body", ["", "{", "nonsense", '{"name":', "[" * 100_000])
def test_a_body_that_is_no_json_fits_nothing(body: str) -> None:
    assert reason_against(body, {}) == NOT_JSON


@pytest.mark.parametrize(
    ("schema", "value", "reason"),
    [
        ({"required": ["b", "a"]}, {}, 'object has missing required properties (["a","b"])'),
        ({"required": ["b", "a"]}, {"b": 1}, 'object has missing required properties (["a"])'),
        (
            {"type": "number"},
            "x",
            (
                "instance type (string) does not match any allowed primitive type "
                '(allowed: ["integer","number"])'
            ),
        ),
        (
            {"type": ["string", "null"]},
            True,
            'instance type (boolean) does not match any allowed primitive type (allowed: ["null","string"])',
        ),
        (
            {"type": "object"},
            None,
            'instance type (null) does not match any allowed primitive type (allowed: ["object"])',
        ),
        ({"enum": ["a", 1]}, "b", 'instance value ("b") not found in enum (possible values: ["a",1])'),
        ({"pattern": "^a"}, "b", 'ECMA 262 regex "^a" does not match input string "b"'),
        ({"minLength": 1}, "", 'string "" is too short (length: 0, required minimum: 1)'),
        ({"maxLength": 1}, "éé", 'string "éé" is too long (length: 2, maximum allowed: 1)'),
        (
            {"minimum": 1},
            0.5,
            "numeric instance is lower than the required minimum (minimum: 1, found: 0.5)",
        ),
        (
            {"minimum": 1, "exclusiveMinimum": True},
            1,
            "numeric instance is not strictly greater than the required minimum 1",
        ),
        (
            {"maximum": 1},
            2,
            "numeric instance is greater than the required maximum (maximum: 1, found: 2)",
        ),
        (
            {"maximum": 1, "exclusiveMaximum": True},
            1,
            "numeric instance is not strictly lower than the required maximum 1",
        ),
        (
            {"minItems": 2},
            [1],
            "array is too short: must have at least 2 elements but instance has 1 elements",
        ),
        (
            {"maxItems": 1},
            [1, 2],
            "array is too long: must have at most 1 elements but instance has 2 elements",
        ),
        ({"uniqueItems": True}, [1, 1], "array must not contain duplicate elements"),
        (
            {"additionalProperties": False, "properties": {"a": {}}, "patternProperties": {"^x-": {}}},
            {"a": 1, "x-y": 2, "b": 3},
            'object instance has properties which are not allowed by the schema: ["b"]',
        ),
    ],
)
def test_a_violation_is_told_in_the_words_of_api_gateway(
    schema: dict[str, Any], value: object, reason: str
) -> None:
    assert reason_against(json.dumps(value), schema) == f"[{reason}]"


def test_another_keyword_is_told_in_some_words() -> None:
    assert len(reason_against("3", {"multipleOf": 2})) > len("[]")


def test_several_violations_are_told_each_once() -> None:
    schema = {"properties": {"a": {"minLength": 1}, "b": {"minLength": 1}, "c": {"minimum": 1}}}
    assert reason_against('{"a": "", "b": "", "c": 0}', schema) == (
        '[string "" is too short (length: 0, required minimum: 1), '
        "numeric instance is lower than the required minimum (minimum: 1, found: 0)]"
    )


def test_what_is_told_of_a_violation_has_an_end() -> None:
    assert len(reason_against(json.dumps("x" * 10_000), {"maxLength": 1})) == LONGEST_REASON


def test_a_schema_is_one_of_draft_4() -> None:
    assert reason_against("3", {"const": 4}) == "", "it came later"
    assert reason_against("1.0", {"type": "integer"}) != "", "so did this"
