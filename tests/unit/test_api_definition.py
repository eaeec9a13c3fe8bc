import dataclasses
import re
from typing import Any

import pytest

from components import api_definition
from components.api_definition import GATEWAY_ANSWERS, Definition, GatewayAnswer, IntegrationAnswer
from components.templates import Answer

DEFINITION = api_definition.define("a/b", ["application/json", "text/plain"], Answer.SUMMARY, 1024)
WIRING: dict[str, object] = {
    "queue": "arn:queue",
    "role": "arn:role",
    "authorizer": None,
    "cache_ttl": 60,
    "token_pattern": None,
}


def first_answer(**changes: Any) -> Definition:
    first, *rest = DEFINITION.answers
    return dataclasses.replace(DEFINITION, answers=(dataclasses.replace(first, **changes), *rest))


def first_gateway_answer(**changes: Any) -> Definition:
    first, *rest = DEFINITION.gateway_answers
    return dataclasses.replace(DEFINITION, gateway_answers=(dataclasses.replace(first, **changes), *rest))


OTHERS: dict[str, dict[str, Any]] = {
    "Definition": {
        "segments": ["a", "c"],
        "method": "PUT",
        "request_templates": {"application/json": "x"},
        "request_parameters": {},
        "answers": DEFINITION.answers[:2],
        "gateway_answers": DEFINITION.gateway_answers[:2],
    },
    "IntegrationAnswer": {
        "name": "other",
        "status": 200,
        "selection_pattern": "200",
        "template": "x",
        "headers": {"h": "'v'"},
    },
    "GatewayAnswer": {"response_type": "THROTTLED", "status": 418, "message": '"x"', "headers": {"h": "'v'"}},
}


def fields(shape: type) -> list[str]:
    return [each.name for each in dataclasses.fields(shape)]


def fingerprint(definition: Definition, **wiring: object) -> str:
    return api_definition.fingerprint(definition, {**WIRING, **wiring})


def test_a_path_becomes_segments() -> None:
    assert DEFINITION.segments == ["a", "b"]
    assert DEFINITION.method == "POST"


def test_every_content_type_has_the_same_template() -> None:
    assert set(DEFINITION.request_templates) == {"application/json", "text/plain"}
    assert len(set(DEFINITION.request_templates.values())) == 1


def test_the_queue_is_asked_for_json_in_a_form() -> None:
    assert dict(DEFINITION.request_parameters) == {
        "integration.request.header.Content-Type": "'application/x-www-form-urlencoded'",
        "integration.request.header.Accept": "'application/json'",
    }


@pytest.mark.parametrize("status", range(100, 600))
def test_a_status_chooses_at_most_the_answer_of_its_class(status: int) -> None:
    fitting = [each.name for each in DEFINITION.answers if re.fullmatch(each.selection_pattern, str(status))]
    # An answer without a pattern would be the default and serve any status, a 3xx too.
    assert fitting == {2: ["accepted"], 4: ["refused"], 5: ["broken"]}.get(status // 100, [])


def test_every_answer_has_a_pattern_and_an_honest_status() -> None:
    assert all(each.selection_pattern for each in DEFINITION.answers)
    assert {each.name: each.status for each in DEFINITION.answers} == {
        "accepted": 202,
        "refused": 502,
        "broken": 503,
    }


def test_a_broken_queue_asks_to_come_back() -> None:
    headers = {each.name: dict(each.headers) for each in DEFINITION.answers}
    assert headers == {"accepted": {}, "refused": {}, "broken": {api_definition.RETRY_AFTER: "'5'"}}


def test_faults_of_the_gateway_keep_a_status_of_their_class() -> None:
    known = {each.response_type: each.status for each in GATEWAY_ANSWERS}
    assert known == {
        "DEFAULT_4XX": None,
        "DEFAULT_5XX": None,
        "UNAUTHORIZED": 401,
        "ACCESS_DENIED": 403,
        "MISSING_AUTHENTICATION_TOKEN": 403,
        "REQUEST_TOO_LARGE": 413,
        "UNSUPPORTED_MEDIA_TYPE": 415,
        "THROTTLED": 429,
    }


def test_the_same_definition_has_the_same_fingerprint() -> None:
    again = api_definition.define("a/b", ["application/json", "text/plain"], Answer.SUMMARY, 1024)
    assert fingerprint(again) == fingerprint(DEFINITION)
    assert api_definition.fingerprint(DEFINITION, dict(reversed(WIRING.items()))) == fingerprint(DEFINITION)


@pytest.mark.parametrize("name", fields(Definition))
def test_a_change_of_any_part_of_the_api_redeploys(name: str) -> None:
    changed = dataclasses.replace(DEFINITION, **{name: OTHERS["Definition"][name]})
    assert fingerprint(changed) != fingerprint(DEFINITION)


@pytest.mark.parametrize("name", fields(IntegrationAnswer))
def test_a_change_of_any_part_of_an_answer_redeploys(name: str) -> None:
    changed = first_answer(**{name: OTHERS["IntegrationAnswer"][name]})
    assert fingerprint(changed) != fingerprint(DEFINITION)


@pytest.mark.parametrize("name", fields(GatewayAnswer))
def test_a_change_of_any_part_of_a_gateway_answer_redeploys(name: str) -> None:
    changed = first_gateway_answer(**{name: OTHERS["GatewayAnswer"][name]})
    assert fingerprint(changed) != fingerprint(DEFINITION)


@pytest.mark.parametrize("name", WIRING)
def test_a_change_of_any_wire_redeploys(name: str) -> None:
    assert fingerprint(DEFINITION, **{name: "other"}) != fingerprint(DEFINITION)


@pytest.mark.parametrize(
    "changed",
    [
        api_definition.define("a/c", ["application/json", "text/plain"], Answer.SUMMARY, 1024),
        api_definition.define("a/b", ["application/json"], Answer.SUMMARY, 1024),
        api_definition.define("a/b", ["application/json", "text/plain"], Answer.SQS, 1024),
        api_definition.define("a/b", ["application/json", "text/plain"], Answer.SUMMARY, 2048),
    ],
    ids=["path", "content types", "answer", "size"],
)
def test_a_change_of_any_argument_redeploys(changed: Definition) -> None:
    assert fingerprint(changed) != fingerprint(DEFINITION)


@pytest.mark.parametrize(
    ("arn", "uri"),
    [
        (
            "arn:aws:sqs:eu-west-1:123456789012:orders",
            "arn:aws:apigateway:eu-west-1:sqs:path/123456789012/orders",
        ),
        (
            "arn:aws-cn:sqs:cn-north-1:123456789012:orders",
            "arn:aws-cn:apigateway:cn-north-1:sqs:path/123456789012/orders",
        ),
    ],
)
def test_a_queue_is_reached_by_its_path(arn: str, uri: str) -> None:
    assert api_definition.sqs_uri(arn) == uri


@pytest.mark.parametrize(("partition", "region"), [("aws", "us-east-1"), ("aws-cn", "cn-north-1")])
@pytest.mark.parametrize("qualifier", ["", ":live"])
def test_a_function_is_invoked_by_its_arn(partition: str, region: str, qualifier: str) -> None:
    arn = f"arn:{partition}:lambda:{region}:123456789012:function:guard{qualifier}"
    assert api_definition.invocation_uri(arn) == (
        f"arn:{partition}:apigateway:{region}:lambda:path/2015-03-31/functions/{arn}/invocations"
    )
