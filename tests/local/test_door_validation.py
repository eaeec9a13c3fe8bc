"""What a front door refuses before SQS sees it: schemas, required parameters and content types."""

import json
from typing import Any

import pytest

from .doors import Door, assert_problem
from .support import assert_refused

JSON_TYPES = ["application/json", "application/vnd.shop+json", "text/plain"]
"""All that `checked` takes."""
AWKWARD = "\" \\ ' / \u00e9 \u4e2d \U0001f600 \u2028 \t\n\r\x00\x1f\x7f </script> ${x} $context.requestId %22"


@pytest.mark.parametrize("content_type", JSON_TYPES)
def test_what_fits_is_accepted_as_it_was_sent(shop: Door, content_type: str) -> None:
    body = b' { "kind" : "seen" , "total" : 1.50 } '

    reply = shop.send("checked", body, {"Content-Type": content_type})

    assert reply.status == 202
    assert shop.take("plain", reply)["Body"].encode() == body


@pytest.mark.parametrize("content_type", JSON_TYPES)
@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, 'object has missing required properties (["kind"])'),
        (
            {"kind": 1},
            'instance type (integer) does not match any allowed primitive type (allowed: ["string"])',
        ),
        ({"kind": "x", "total": -1}, "numeric instance is lower than the required minimum"),
        ({"kind": "x", "more": 1}, 'properties which are not allowed by the schema: ["more"]'),
        ([], 'instance type (array) does not match any allowed primitive type (allowed: ["object"])'),
        ("null", "instance type (null)"),
        ("no JSON", ""),
        ('{"kind": "x"', ""),
        ("kind=x", ""),
    ],
    ids=["missing", "type", "minimum", "unknown", "array", "null", "no JSON", "half", "form"],
)
def test_what_does_not_fit_is_refused_with_the_validator_s_words(
    shop: Door, content_type: str, body: Any, words: str
) -> None:
    reply = shop.send("checked", body, {"Content-Type": content_type})

    assert_refused(reply, 400, "BAD_REQUEST_BODY")
    assert words in reply.answer["message"]
    assert reply.answer["requestId"] == reply.headers["x-amzn-requestid"]
    shop.assert_silent(reply)
    assert shop.receive("plain") == []


@pytest.mark.parametrize(
    "body",
    [
        {"kind": "x", AWKWARD: 1},
        {"kind": "x", 'quote"s': 1, "back\\slash": 2},
        {"kind": [AWKWARD]},
        {"kind": "x", "total": AWKWARD},
        AWKWARD,
        json.dumps(AWKWARD),
        {"kind": "x", '","requestId":"forged","x":"': 1},
        {"kind": "x", "$context.error.message": 1, "\ud83d": 2},
        {"kind": "x", "a" * 5000: 1},
    ],
    ids=["key", "quotes", "in a list", "value", "no JSON", "text", "forged", "template", "long"],
)
def test_a_refusal_is_json_whatever_the_body_holds(shop: Door, body: Any) -> None:
    reply = shop.send("checked", body)

    assert_refused(reply, 400, "BAD_REQUEST_BODY")
    assert reply.answer["requestId"] == reply.headers["x-amzn-requestid"]


def test_an_empty_body_counts_as_no_fitting_one(shop: Door) -> None:
    assert_refused(shop.send("checked", b""), 400, "BAD_REQUEST_BODY")


@pytest.mark.parametrize("key", ['","code":"forged","x":"', AWKWARD], ids=["forged", "awkward"])
def test_a_problem_is_json_whatever_the_body_holds(guarded: Door, shown: dict[str, str], key: str) -> None:
    reply = guarded.send("notes", {key: 1}, shown)

    assert_problem(reply, 400, "BAD_REQUEST_BODY")
    assert 'missing required properties (["kind"])' in reply.answer["detail"]


@pytest.mark.parametrize(
    ("path", "headers", "named"),
    [
        ("asking?page=1", {}, "[X-Tenant]"),
        ("asking?page=1", {"X-Tenant": ""}, "[X-Tenant]"),
        ("asking?page=1", {"X-Tenant": "   "}, "[X-Tenant]"),
        ("asking", {"X-Tenant": "acme"}, "[page]"),
        ("asking?page=", {"X-Tenant": "acme"}, "[page]"),
        ("asking?page=%20", {"X-Tenant": "acme"}, "[page]"),
        ("asking?page", {"X-Tenant": "acme"}, "[page]"),
        ("asking?Page=1", {"X-Tenant": "acme"}, "[page]"),
        ("asking?page=1&X-Tenant=acme", {}, "[X-Tenant]"),
        ("asking", {"X-Tenant": "acme", "page": "1"}, "[page]"),
    ],
)
def test_a_required_parameter_that_is_missing_or_blank_is_named(
    shop: Door, path: str, headers: dict[str, str], named: str
) -> None:
    reply = shop.send(path, headers=headers)

    assert_refused(reply, 400, "BAD_REQUEST_PARAMETERS")
    assert named in reply.answer["message"]
    shop.assert_silent(reply)


def test_all_that_is_missing_is_named(shop: Door) -> None:
    message = shop.send("asking").answer["message"]

    assert "X-Tenant" in message
    assert "page" in message


@pytest.mark.parametrize("name", ["X-Tenant", "x-tenant", "X-TENANT"])
def test_what_is_required_and_there_is_accepted(shop: Door, name: str) -> None:
    assert shop.send("asking?page=0", headers={name: "acme"}).status == 202


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json; charset=utf-8",
        "application/json;charset=UTF-8",
        "APPLICATION/JSON",
        "Application/Vnd.Shop+Json ; v=1",
        "TEXT/PLAIN; charset=us-ascii",
    ],
)
def test_a_content_type_in_other_words_is_taken_and_its_body_checked(shop: Door, content_type: str) -> None:
    fitting, other = (
        shop.send("checked", body, {"Content-Type": content_type}) for body in ({"kind": "x"}, {"kind": 1})
    )

    assert fitting.status == 202
    assert_refused(other, 400, "BAD_REQUEST_BODY")


@pytest.mark.parametrize(
    "content_type",
    [
        "application/xml",
        "application/x-www-form-urlencoded",
        "text/html",
        "text/plainer",
        "application/json-seq",
        "application/*",
        "*/*",
        "json",
        "application/xml; application/json",
    ],
)
def test_another_content_type_is_answered_415(shop: Door, content_type: str) -> None:
    reply = shop.send("checked", {"kind": "x"}, {"Content-Type": content_type})

    assert_refused(reply, 415, "UNSUPPORTED_MEDIA_TYPE")
    assert reply.answer["requestId"] == reply.headers["x-amzn-requestid"]


def test_another_content_type_is_no_way_past_the_schema(shop: Door) -> None:
    # Which of both is told first is API Gateway's.
    assert shop.send("checked", {"kind": 1}, {"Content-Type": "text/html"}).status in {400, 415}


def test_nothing_that_was_answered_415_is_in_the_queue(shop: Door) -> None:
    shop.empty("plain")

    shop.send("checked", b'{"kind": "x"}', {"Content-Type": "text/html"})

    assert shop.receive("plain") == []


def test_no_content_type_counts_as_json(shop: Door) -> None:
    fitting = shop.send_raw("checked", [], b'{"kind": "x"}')
    other = shop.send_raw("checked", [], b'{"kind": 1}')

    assert fitting.status == 202
    assert_refused(other, 400, "BAD_REQUEST_BODY")


def test_no_content_type_is_answered_415_where_json_is_not_taken(shop: Door) -> None:
    assert_refused(shop.send_raw("texts", [], b"a,b"), 415, "UNSUPPORTED_MEDIA_TYPE")
    assert shop.send_raw("texts", ["Content-Type: text/csv"], b"a,b").status == 202


def test_a_request_that_is_wrong_in_every_way_is_one_problem(guarded: Door, shown: dict[str, str]) -> None:
    guarded.empty("plain")

    reply = guarded.send("asking", b"\x01", {**shown, "Content-Type": "text/html"})

    assert reply.status in {400, 415}
    assert reply.headers["content-type"] == "application/problem+json"
    assert guarded.receive("plain") == []
