import json
from typing import Any

import pytest

from components.api_definition import GATEWAY_ANSWERS, GatewayAnswer
from components.templates import (
    BROKEN,
    RETRY_AFTER_SECONDS,
    UNAVAILABLE,
    Answer,
    accepted,
    failure_body,
    failures,
    refused,
)
from local.standin.velocity import Request, render

from .rendering import REQUEST_ID, answer, context

MESSAGE_ID = "5fea7756-0ea4-451a-a703-a558b933e274"
ACCOUNT = "123456789012"
QUEUE = f"arn:aws:sqs:us-east-1:{ACCOUNT}:orders"
LARGEST = 4096
REFUSED = refused(failures(LARGEST))
SENT = {
    "SendMessageResponse": {
        "ResponseMetadata": {"RequestId": "27daac76-34dd-47df-bd01-1f6e873584a0"},
        "SendMessageResult": {
            "MD5OfMessageBody": "fafb00f5732ab283681e124bf8747ed1",
            "MessageId": MESSAGE_ID,
        },
    }
}
NO_RESULT: dict[str, Any] = {"SendMessageResponse": {"SendMessageResult": {}}}


def error(code: str, message: str = f"Told about {QUEUE} of {ACCOUNT}.") -> str:
    return json.dumps({"Error": {"Code": code, "Message": message, "Type": "Sender"}, "RequestId": "sqs"})


def is_an_error(told: dict[str, Any]) -> bool:
    return list(told) == ["code", "message", "requestId"] and told["requestId"] == REQUEST_ID


def test_an_accepted_message_is_told_by_its_ids() -> None:
    made, told = answer(accepted(Answer.SUMMARY), json.dumps(SENT))
    assert told == {"messageId": MESSAGE_ID, "requestId": REQUEST_ID}
    assert (made.status, made.headers) == (None, {})


def test_an_accepted_message_may_be_told_in_the_words_of_sqs() -> None:
    made, told = answer(accepted(Answer.SQS), json.dumps(SENT))
    assert told == SENT
    assert (made.status, made.headers) == (None, {})


@pytest.mark.parametrize("form", Answer)
@pytest.mark.parametrize(
    "body",
    [
        "",
        "OK",
        "<SendMessageResponse/>",
        "{}",
        "[]",
        json.dumps(NO_RESULT),
        json.dumps(SENT).replace(MESSAGE_ID, ""),
        json.dumps(SENT).replace(f'"{MESSAGE_ID}"', "null"),
    ],
)
def test_no_answer_is_a_success_unless_sqs_named_a_message(form: Answer, body: str) -> None:
    made, told = answer(accepted(form), body)
    assert made.status == 502
    assert is_an_error(told)
    assert told["code"] == UNAVAILABLE.code


TOO_LONG = f"One or more parameters are invalid. Reason: Message must be shorter than {LARGEST} bytes."
THEIRS = [
    (error("InvalidMessageContents"), 400, "BAD_REQUEST_BODY"),
    (error("InvalidParameterValue", TOO_LONG), 413, "REQUEST_TOO_LARGE"),
]


@pytest.mark.parametrize(("body", "status", "code"), THEIRS)
def test_what_the_caller_did_is_told_as_a_4xx(body: str, status: int, code: str) -> None:
    made, told = answer(REFUSED, body)
    assert (made.status, told["code"]) == (status, code)
    assert is_an_error(told)
    assert not made.headers


def test_a_caller_is_told_how_large_a_message_may_be() -> None:
    _, told = answer(REFUSED, error("InvalidParameterValue", TOO_LONG))
    assert str(LARGEST) in told["message"]


@pytest.mark.parametrize(
    "code", ["RequestThrottled", "ThrottlingException", "KmsThrottled", "KMS.ThrottlingException"]
)
def test_a_throttled_queue_asks_to_come_back(code: str) -> None:
    made, told = answer(REFUSED, error(code))
    assert (made.status, told["code"]) == (503, "QUEUE_THROTTLED")
    assert made.headers == {"Retry-After": str(RETRY_AFTER_SECONDS)}
    assert is_an_error(told)


OURS = [
    error("InvalidParameterValue", "Value for parameter MessageAttribute.1.Name is invalid."),
    error("MissingParameter", "The request must contain the parameter QueueUrl."),
    # An empty body reaches the template as {}, so this is never the caller's doing.
    error("MissingParameter", "The request must contain the parameter MessageBody."),
    error("AWS.SimpleQueueService.NonExistentQueue"),
    error("AccessDenied"),
    error("KMS.DisabledException"),
    error("OverLimit"),
    error("invalidmessagecontents"),
    error("SomethingNew"),
    error("SomethingNew", TOO_LONG),
    error(""),
    json.dumps({"Error": {"Code": "InvalidParameterValue"}}),
    json.dumps({"Error": {"Code": "MissingParameter", "Message": None}}),
    json.dumps({"Error": {"Message": "MessageBody"}}),
    json.dumps({"message": "Forbidden"}),
    "{}",
    "",
    "<html>Bad Request</html>",
]


@pytest.mark.parametrize("body", OURS)
def test_everything_else_is_our_fault(body: str) -> None:
    made, told = answer(REFUSED, body)
    # No override: the integration response's own status is 502.
    assert (made.status, dict(made.headers)) == (None, {})
    assert is_an_error(told)
    assert told["code"] == UNAVAILABLE.code


@pytest.mark.parametrize("body", [*OURS, *(body for body, _, _ in THEIRS), error("RequestThrottled")])
def test_no_refusal_repeats_what_sqs_said(body: str) -> None:
    made, _ = answer(REFUSED, body)
    for secret in ("arn:", ACCOUNT, "orders", "Reason", "parameter", "Sender", '"sqs"'):
        assert secret not in made.text


def test_a_broken_queue_is_told_in_the_same_shape() -> None:
    _, told = answer(failure_body(BROKEN), error("InternalError"))
    assert is_an_error(told)


@pytest.mark.parametrize("given", GATEWAY_ANSWERS, ids=lambda given: given.response_type)
def test_what_never_gets_to_the_queue_is_told_in_the_same_shape(given: GatewayAnswer) -> None:
    said = 'User: anonymous is not authorized on resource: arn:aws:execute-api "x"'
    faults = {"messageString": json.dumps(said), "responseType": given.response_type, "message": said}
    told = json.loads(render(given.template, Request(""), context(error=faults)).text)
    assert is_an_error(told)
    assert told["code"] == given.response_type
    assert told["message"].strip()
    assert "anonymous" not in told["message"], "API Gateway's own text names resources, or repeats a header"
    assert given.message == json.dumps(told["message"]), "a fixed text"
