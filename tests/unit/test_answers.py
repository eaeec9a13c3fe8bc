import json
import re
from http import HTTPStatus
from typing import Any

import pytest
from hypothesis import given

from components.answers import (
    BAD_BATCH,
    BROKEN,
    INCOMPLETE,
    PROBLEM_JSON,
    UNAVAILABLE,
    Failure,
    GatewayAnswer,
    Shape,
    failures,
    gateway_answers,
)
from components.cors import Cors
from local.access_lines import flat
from local.gateway_responses import FAULTS, error_of, rendered
from local.standin.velocity import Request, render

from ..velocity import hostile
from .rendering import REQUEST_ID, context

CORS = Cors(["https://shop.example.com"], credentials=True).answer_headers()
EVERY_FAILURE = [
    *failures(1024, grouped=True, deduplicated=True, mapped=True),
    *(UNAVAILABLE, BROKEN, INCOMPLETE, BAD_BATCH),
]
IN_FAMILY = {"RESOURCE_NOT_FOUND"}
"""What is told as one of its family: no request gets so far, since every path has a method of its own."""
WHAT_A_VALIDATOR_SAYS = "context.error.validationErrorString"
WHAT_IS_MISSING = "context.error.messageString"

shapes = pytest.mark.parametrize("shape", Shape)


def told(answer: GatewayAnswer, message: str = "said", validation: str = "said") -> dict[str, Any]:
    """Return the JSON that API Gateway makes of a gateway response."""
    error = error_of(answer.response_type, {"message": message, "validation": validation})
    escaped = {**error, "validationErrorString": json.dumps(validation)[1:-1]}
    found: dict[str, Any] = json.loads(rendered(answer.template, flat(context(error=escaped))))
    return found


def all_answers(**changes: Any) -> list[GatewayAnswer]:
    return [*gateway_answers(**{"shape": Shape.PLAIN, "cors": {}, "schemas": False, **changes})]


def by_type(**changes: Any) -> dict[str, GatewayAnswer]:
    return {each.response_type: each for each in all_answers(**changes)}


@pytest.mark.parametrize("failure", EVERY_FAILURE, ids=lambda each: f"{each.code}-{each.saying}")
def test_a_failure_is_a_word_for_programs_and_a_sentence_for_people(failure: Failure) -> None:
    assert re.fullmatch(r"[A-Z]+(_[A-Z]+)*", failure.code)
    assert re.fullmatch(r"[A-Z][^\"\\$#]*\.", failure.message)
    assert failure.status >= 400
    assert failure.theirs == (failure.status < 500)


def test_a_caller_may_try_again_only_where_the_same_request_may_succeed() -> None:
    assert {each.status for each in EVERY_FAILURE if each.retry} == {HTTPStatus.SERVICE_UNAVAILABLE}
    assert all(each.retry for each in EVERY_FAILURE if each.status is HTTPStatus.SERVICE_UNAVAILABLE)


@pytest.mark.parametrize("given_by_caller", ["grouped", "deduplicated", "mapped"])
def test_a_fault_is_the_callers_only_of_what_the_caller_gives(given_by_caller: str) -> None:
    without = failures(1024)
    added = [each for each in failures(1024, **{given_by_caller: True}) if each not in without]
    assert [each.status for each in added] == [HTTPStatus.BAD_REQUEST]


@pytest.mark.parametrize("code", ["TooManyEntriesInBatchRequest", "EmptyBatchRequest", "BatchRequestTooLong"])
@pytest.mark.parametrize("prefix", ["", "AWS.SimpleQueueService."])
def test_a_batch_that_no_queue_takes_is_the_callers_fault_in_the_words_of_either_protocol(
    code: str, prefix: str
) -> None:
    (failure,) = [each for each in failures(1024) if f"{prefix}{code}" in each.errors]
    too_large = code == "BatchRequestTooLong"
    assert (failure.status, failure.code) == (
        (413, "REQUEST_TOO_LARGE") if too_large else (400, "BAD_REQUEST_BODY")
    )
    assert ("too many bytes" if too_large else "1 to 10 messages") in failure.message


def test_no_error_of_sqs_means_two_things() -> None:
    known = [(code, each.saying) for each in EVERY_FAILURE for code in each.errors]
    assert len(set(known)) == len(known)


def test_a_failure_speaks_of_what_the_caller_sent_and_not_of_how_it_is_sent_on() -> None:
    for said in [*(each.message for each in EVERY_FAILURE), *(each.message for each in all_answers())]:
        assert not re.search(r"SQS|Amazon|AWS|API Gateway|template|integration|Lambda", said)


def test_a_code_that_is_ambiguous_is_never_known_without_its_text() -> None:
    ambiguous = {"InvalidParameterValue", "MissingParameter"}
    assert all(each.saying for each in EVERY_FAILURE if ambiguous & set(each.errors))


@pytest.mark.parametrize("failure", EVERY_FAILURE, ids=lambda each: f"{each.code}-{each.saying}")
def test_a_plain_error_has_three_members(failure: Failure) -> None:
    text = render(Shape.PLAIN.body(failure), Request(""), context()).text
    assert json.loads(text) == {
        "code": failure.code,
        "message": failure.message,
        "requestId": REQUEST_ID,
    }


@pytest.mark.parametrize("failure", EVERY_FAILURE, ids=lambda each: f"{each.code}-{each.saying}")
def test_a_problem_has_the_members_of_its_standard_and_two_of_ours(failure: Failure) -> None:
    # RFC 9457: without a type it is "about:blank", whose title is the phrase of the status.
    text = render(Shape.PROBLEM.body(failure), Request(""), context()).text
    assert json.loads(text) == {
        "title": HTTPStatus(failure.status).phrase,
        "status": int(failure.status),
        "detail": failure.message,
        "code": failure.code,
        "requestId": REQUEST_ID,
    }


@shapes
def test_an_error_may_have_more_members(shape: Shape) -> None:
    text = render(shape.body(INCOMPLETE, '"entries":[]'), Request(""), context()).text
    assert json.loads(text)["entries"] == []


@shapes
def test_what_overrides_an_answer_says_everything_of_the_new_one(shape: Shape) -> None:
    made = render(shape.overriding(BROKEN), Request(""), context())
    assert made.status == 503
    wanted = {"Content-Type": PROBLEM_JSON} if shape is Shape.PROBLEM else {}
    assert dict(made.headers) == {"Retry-After": "5", **wanted}
    assert made.text == render(shape.body(BROKEN), Request(""), context()).text


# Gateway responses.


def test_every_type_of_gateway_response_has_an_answer_with_its_own_status() -> None:
    found = by_type()
    assert len(found) == len(all_answers())
    assert found.keys() == FAULTS.keys() - IN_FAMILY
    families = {"DEFAULT_4XX", "DEFAULT_5XX"}
    assert {name for name, each in found.items() if each.status is None} == families
    for name in found.keys() - families:
        assert found[name].status == FAULTS[name].status


@shapes
@pytest.mark.parametrize("schemas", [False, True])
def test_whatever_does_not_get_to_the_queue_is_told_in_one_shape(shape: Shape, schemas: bool) -> None:
    for answer in all_answers(shape=shape, schemas=schemas):
        found = told(answer)
        wanted = ["code", "message", "requestId"]
        if shape is Shape.PROBLEM:
            known = ["title", "status"] if answer.status else []
            wanted = [*known, "detail", "code", "requestId"]
        assert list(found) == wanted
        assert found["requestId"] == REQUEST_ID
        assert found["code"] == answer.response_type
        assert found.get("status", answer.status) == answer.status
        assert found.get("title") in {None, answer.status and HTTPStatus(answer.status).phrase}
        assert (found.get("detail") or found["message"]).strip()


def test_whoever_waited_too_long_is_told_that_the_message_may_have_come() -> None:
    # Sent again it may come twice, and only the caller can know whether that is bad.
    said = {name: each.message for name, each in by_type().items() if "accepted" in each.message}
    assert said.keys() == {"INTEGRATION_TIMEOUT"}
    assert "may have been accepted" in said["INTEGRATION_TIMEOUT"]


def test_of_one_of_a_family_the_code_says_which() -> None:
    error = {**error_of("RESOURCE_NOT_FOUND")}
    template = by_type()["DEFAULT_4XX"].template
    assert json.loads(rendered(template, flat(context(error=error))))["code"] == "RESOURCE_NOT_FOUND"


@shapes
@pytest.mark.parametrize("schemas", [False, True])
def test_no_answer_repeats_what_a_client_wrote_but_for_the_validator(shape: Shape, schemas: bool) -> None:
    allowed = {"context.requestId", "context.error.responseType"}
    more = {"BAD_REQUEST_PARAMETERS": {WHAT_IS_MISSING}}
    if schemas:
        more["BAD_REQUEST_BODY"] = {WHAT_A_VALIDATOR_SAYS}
    for answer in all_answers(shape=shape, schemas=schemas, cors=CORS):
        read = set(re.findall(r"[$]\{?([\w.]*\w)", answer.template))
        assert read <= allowed | more.get(answer.response_type, set())
        assert all(re.fullmatch(r"'[^']*'", value) for value in answer.headers.values()), "no mapping"


@shapes
@given(text=hostile.texts.filter(bool))
def test_whatever_a_validator_says_the_answer_is_json(shape: Shape, text: str) -> None:
    answers = by_type(shape=shape, schemas=True)
    found = told(answers["BAD_REQUEST_BODY"], validation=text)
    assert (found.get("detail") or found["message"]).endswith(text)
    found = told(answers["BAD_REQUEST_PARAMETERS"], message=text)
    assert text in {found.get("detail"), found.get("message")}
    assert found["code"] == "BAD_REQUEST_PARAMETERS"


def test_what_api_gateway_says_of_a_refused_caller_is_not_passed_on() -> None:
    # It names the resource's ARN, or repeats the Authorization header.
    said = 'User: anonymous is not authorized on resource: arn:aws:execute-api "x"'
    for answer in all_answers(schemas=True):
        if answer.response_type not in {"BAD_REQUEST_BODY", "BAD_REQUEST_PARAMETERS"}:
            assert "anonymous" not in json.dumps(told(answer, said, said))


@shapes
@pytest.mark.parametrize("cors", [{}, CORS])
def test_browsers_may_read_every_error_where_they_may_call(shape: Shape, cors: dict[str, str]) -> None:
    for answer in all_answers(shape=shape, cors=cors):
        headers = {
            name.removeprefix("gatewayresponse.header."): value for name, value in answer.headers.items()
        }
        assert all(name.startswith("gatewayresponse.header.") for name in answer.headers)
        own = {"WWW-Authenticate", "Retry-After", "Content-Type"}
        assert {name: value for name, value in headers.items() if name not in own} == cors
        problem = f"'{PROBLEM_JSON}'" if shape is Shape.PROBLEM else None
        assert headers.get("Content-Type") == problem


def test_a_refused_caller_is_told_what_to_send_and_a_hasty_one_to_wait() -> None:
    headers = {name: {*each.headers} for name, each in by_type().items() if each.headers}
    assert headers == {
        "UNAUTHORIZED": {"gatewayresponse.header.WWW-Authenticate"},
        "THROTTLED": {"gatewayresponse.header.Retry-After"},
    }
