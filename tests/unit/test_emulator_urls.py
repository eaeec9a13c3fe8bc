"""Who may call a function by its URL on the local AWS."""

import json
from typing import Any

import pytest

from local.emulator_urls import BY_URL, FUNCTION, KIND, URL, Answer, asking_for_both, scope

ARN = "arn:aws:lambda:us-east-1:000000000000:function:f"
SIGNED = {
    "authorization": "AWS4-HMAC-SHA256 Credential=AKIA1/20300101/us-east-1/lambda/aws4_request, Signature=1"
}
ELSEWHERE = {"authorization": SIGNED["authorization"].replace("/lambda/", "/execute-api/")}
DENIAL: Answer = (403, {}, b'{"__type": "AccessDeniedException"}')


def ask(
    headers: dict[str, str], allowed: set[str], kind: str = "AWS_IAM", action: str = URL
) -> Answer | None:
    """Ask for a call by a URL, where a caller, or everybody, is allowed some actions."""

    def enforce(service: str, asked: str, *_: Any, **named: Any) -> Answer | None:
        return None if asked in allowed and fits(asked, named["service_context"]) else DENIAL

    def everybody_may(asked: str, arn: str, known: Any) -> bool:
        return kind == "NONE" and arn == ARN and asked in allowed and fits(asked, known)

    context = {KIND: kind} if kind else {}
    enforced = asking_for_both(enforce, everybody_may)
    return enforced("lambda", action, headers, {}, "", resource_arn=ARN, service_context=context)


def fits(action: str, known: dict[str, str]) -> bool:
    """Whether the conditions hold that AWS's own policies for URLs have."""
    return KIND in known if action == URL else known.get(BY_URL) == "true"


def told(answer: Answer | None) -> Any:
    assert answer
    assert answer[0] == 403
    return json.loads(answer[2])


@pytest.mark.parametrize(("headers", "kind"), [(SIGNED, "AWS_IAM"), ({}, "NONE"), (SIGNED, "NONE")])
def test_who_has_both_permissions_may(headers: dict[str, str], kind: str) -> None:
    assert ask(headers, {URL, FUNCTION}, kind) is None


@pytest.mark.parametrize("allowed", [set[str](), {URL}, {FUNCTION}])
@pytest.mark.parametrize("kind", ["AWS_IAM", "NONE"])
def test_who_lacks_one_may_not(allowed: set[str], kind: str) -> None:
    assert told(ask(SIGNED, allowed, kind))["Message"].startswith("Forbidden")


def test_who_did_not_sign_may_not() -> None:
    assert told(ask({}, {URL, FUNCTION}))["Message"].startswith("Forbidden")


def test_who_signed_for_another_service_may_not() -> None:
    assert "correct service: 'lambda'" in told(ask(ELSEWHERE, {URL, FUNCTION}))["message"]


def test_a_wrong_signature_is_told_as_such() -> None:
    wrong: Answer = (403, {}, b'{"__type": "InvalidSignatureException"}')
    enforced = asking_for_both(lambda *_, **__: wrong, lambda *_: True)

    assert enforced("lambda", URL, SIGNED, {}, resource_arn=ARN, service_context={KIND: "AWS_IAM"}) is wrong


def test_other_calls_and_urls_that_nobody_knows_are_the_emulator_s_own() -> None:
    assert ask({}, {"s3:GetObject"}, action="s3:GetObject") is DENIAL
    assert ask({}, {FUNCTION}, kind="") is DENIAL


def test_the_service_of_a_signature_is_found_in_headers_and_in_the_query() -> None:
    assert scope(SIGNED, {}) == "lambda"
    assert scope({}, {"X-Amz-Credential": ["AKIA1/20300101/us-east-1/lambda/aws4_request"]}) == "lambda"
    assert scope({"authorization": "Bearer token"}, {}) is None
