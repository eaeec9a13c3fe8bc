"""A consumer's messages are calls: what is started for one, and what a message is told in the end."""

import importlib
import json
import sys
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import boto3
import pytest
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    ReadTimeoutError,
)

from components.retrier_args import QUEUED_CALLS, REPEATED
from handlers.retrier import machines, outcomes
from handlers.retrier.outcomes import GaveUp

from .consumer_records import record

MACHINE = "arn:aws:states:us-east-1:123456789012:stateMachine:calls"
URL = "https://api.example.com/orders"
TOLD = {"attempts": 2, "waited": 1.5, "history": []}
DONE = {**TOLD, "ok": True, "status": 201, "headers": {}, "body": "made"}

Json = dict[str, Any]


def refused(code: str, status: int = 400) -> ClientError:
    told: Any = {"Error": {"Code": code, "Message": "no"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(told, "StartSyncExecution")


STATES = "https://states.example.com"
BROKEN, FULL, UNSIGNED = (
    refused("InternalFailure", 500),
    refused("ServiceUnavailable", 503),
    NoCredentialsError(),
)


@dataclass
class StepFunctions:
    """Executions that end as a test says."""

    ended: Json = field(default_factory=lambda: {"status": "SUCCEEDED", "output": json.dumps(DONE)})
    problem: Exception | None = None
    started: list[Json] = field(default_factory=list)
    """With what input."""

    def end(self, **outcome: Any) -> None:
        self.ended = {"status": "SUCCEEDED", "output": json.dumps({**TOLD, **outcome})}

    def start_sync_execution(self, **given: str) -> Json:
        return {"executionArn": f"{MACHINE}:1", **self._start(**given)}

    def _start(self, *, stateMachineArn: str, input: str) -> Json:  # noqa: A002, N803 - as boto3
        assert stateMachineArn == MACHINE
        self.started.append(json.loads(input))
        if self.problem is not None:
            raise self.problem
        return self.ended


@pytest.fixture
def aws() -> StepFunctions:
    return StepFunctions()


@pytest.fixture
def code(aws: StepFunctions, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The code as a consumer's function finds it: at the root of its archive."""
    monkeypatch.syspath_prepend(QUEUED_CALLS)
    monkeypatch.setattr(boto3, "client", lambda *_, **__: aws)
    monkeypatch.setenv("CALLS_STATE_MACHINE", MACHINE)
    monkeypatch.setenv("CALLS_REPEATED", " ".join(REPEATED))
    monkeypatch.delitem(sys.modules, "queued_calls", raising=False)
    return importlib.import_module("queued_calls")


def take(code: ModuleType, call: object = None, *, name: str = "m-1") -> None:
    body = call if isinstance(call, str) else json.dumps(call or {"url": URL})
    assert code.record_handler(SQSRecord(record(name, body=body))) is None


def error_of(code: ModuleType, call: object = None) -> Exception:
    """Return with what a message is not handled; it is one of the code's own errors."""
    own = (code.UnmakeableCallError, code.RefusedError, code.CallFailedError)
    with pytest.raises(own) as caught:
        take(code, call)
    error: Exception = caught.value
    return error


@pytest.mark.parametrize(
    "call",
    [{"url": URL, "method": "POST"}, {"url": URL, "idempotency_key": "k-1"}],
    ids=["plain", "with a key"],
)
def test_a_message_is_a_call_as_it_is(code: ModuleType, aws: StepFunctions, call: Json) -> None:
    """A key that its sender does not know is none: the upstream could make nothing of it."""
    take(code, call)
    assert aws.started == [{"call": call}]


def test_a_call_that_step_functions_cannot_carry_starts_nothing(code: ModuleType, aws: StepFunctions) -> None:
    empty = len(code.read(json.dumps({"url": URL, "body": ""})))
    largest = {"url": URL, "body": "x" * (code.LARGEST_INPUT - empty)}
    take(code, largest)
    assert len(aws.started) == 1
    assert isinstance(error_of(code, {**largest, "body": largest["body"] + "x"}), code.UnmakeableCallError)
    assert len(aws.started) == 1


@pytest.mark.parametrize("body", ["", "not JSON", "[]", "1", '"text"', "null", "true", "{", "[" * 100_000])
def test_a_message_without_a_call_starts_nothing(code: ModuleType, aws: StepFunctions, body: str) -> None:
    assert isinstance(error_of(code, body), code.UnmakeableCallError)
    assert aws.started == []


@pytest.mark.parametrize("refusal", ["InvalidCall", "ForbiddenTarget"])
def test_a_call_that_may_not_be_made_is_worth_no_other_try(
    code: ModuleType, aws: StepFunctions, refusal: str
) -> None:
    aws.end(ok=False, error={"code": refusal, "message": "not this", "status": 400})
    found = error_of(code)
    assert isinstance(found, code.UnmakeableCallError)
    assert "not this" in str(found)


@pytest.mark.parametrize("status", [400, 403, 404, 409, 422])
def test_an_upstream_that_refuses_has_had_its_last_word(
    code: ModuleType, aws: StepFunctions, status: int
) -> None:
    aws.end(ok=False, status=status, headers={}, body="secret things")
    found = error_of(code)
    assert isinstance(found, code.RefusedError)
    assert str(status) in str(found)
    assert "secret" not in str(found)


@pytest.mark.parametrize(
    "last",
    [{"status": 503, "body": ""}, {"error": {"code": "UpstreamTimeout", "message": "late", "status": 504}}],
)
def test_a_call_that_may_not_be_sent_twice_is_not_sent_again(
    code: ModuleType, aws: StepFunctions, last: Json
) -> None:
    aws.end(ok=False, gave_up="method", **last)
    found = error_of(code)
    assert isinstance(found, code.RefusedError)
    assert "idempotency key" in str(found)


@pytest.mark.parametrize("status", [401, 408, 425, 429, 500, 501, 503])
def test_an_answer_that_may_be_another_one_later_lets_its_message_come_again(
    code: ModuleType, aws: StepFunctions, status: int
) -> None:
    aws.end(ok=False, status=status, headers={}, body="secret things")
    found = error_of(code)
    assert isinstance(found, code.CallFailedError)
    assert str(status) in str(found)
    assert "secret" not in str(found)


@pytest.mark.parametrize("hopeless", ["ResponseTooLarge", "TooManyRedirects"])
def test_an_answer_that_cannot_be_had_is_worth_no_other_try(
    code: ModuleType, aws: StepFunctions, hopeless: str
) -> None:
    aws.end(ok=False, error={"code": hopeless, "message": "too much", "status": 502})
    assert isinstance(error_of(code), code.RefusedError)


@pytest.mark.parametrize(
    "outcome",
    [
        *(
            {"gave_up": each, "status": 503, "body": ""}
            for each in ("attempts", "deadline", "budget", "failure")
        ),
        *(
            {"gave_up": "budget", "error": {"code": each, "message": "later", "status": 503}}
            for each in ("BudgetUsedUp", "CircuitOpen", "UpstreamPaused", "UpstreamTimeout")
        ),
        {"error": {"code": "SecretUnavailable", "message": "later", "status": 500}},
        {"error": {"code": "UpstreamUnreachable", "message": "later", "status": 502}},
    ],
    ids=str,
)
def test_a_call_that_failed_for_now_comes_again(code: ModuleType, aws: StepFunctions, outcome: Json) -> None:
    aws.end(ok=False, **outcome)
    found = error_of(code)
    assert isinstance(found, code.CallFailedError)
    assert "after 2 attempts" in str(found)


POST = {"url": URL, "method": "POST"}
REPEATABLE = [{"url": URL}, {**POST, "idempotency_key": "k-1"}, {"url": URL, "method": "PUT"}]
CALLED_NOBODY = json.dumps({"error": "Lambda.TooManyRequestsException", "progress": None, "losses": 0})
MAY_HAVE_CALLED = [
    "",
    "null",
    "no JSON",
    json.dumps({"error": "Sandbox.Timedout", "progress": None, "losses": 1}),
    json.dumps({"error": "Lambda.TooManyRequestsException", "progress": {"attempts": 1}, "losses": 0}),
    json.dumps(
        {
            "error": "Lambda.TooManyRequestsException",
            "progress": {"attempts": 0, "followed": [{"status": 303, "url": URL}]},
            "losses": 0,
        }
    ),
]


@pytest.mark.parametrize("status", ["FAILED", "TIMED_OUT", "ABORTED"])
@pytest.mark.parametrize("call", REPEATABLE, ids=str)
def test_an_execution_that_broke_lets_its_message_come_again(
    code: ModuleType, aws: StepFunctions, call: Json, status: str
) -> None:
    aws.ended = {"status": status, "error": "CallFailed"}
    assert isinstance(error_of(code, call), code.CallFailedError)


@pytest.mark.parametrize("cause", MAY_HAVE_CALLED)
def test_an_execution_that_broke_and_may_have_sent_what_may_not_be_sent_twice_is_the_last(
    code: ModuleType, aws: StepFunctions, cause: str
) -> None:
    aws.ended = {"status": "FAILED", "error": "CallFailed", "cause": cause}
    found = error_of(code, POST)
    assert isinstance(found, code.RefusedError)
    assert "idempotency key" in str(found)


def test_an_execution_that_called_nobody_lets_any_message_come_again(
    code: ModuleType, aws: StepFunctions
) -> None:
    aws.ended = {"status": "FAILED", "error": "CallFailed", "cause": CALLED_NOBODY}
    assert isinstance(error_of(code, POST), code.CallFailedError)


def test_what_is_sent_again_is_what_the_retrier_says(
    code: ModuleType, aws: StepFunctions, monkeypatch: pytest.MonkeyPatch
) -> None:
    aws.ended = {"status": "TIMED_OUT"}
    monkeypatch.setenv("CALLS_REPEATED", "POST")
    assert isinstance(error_of(code, POST), code.CallFailedError)
    assert isinstance(error_of(code, {"url": URL}), code.RefusedError)


def test_no_answer_of_step_functions_leaves_open_what_came_of_a_call(
    code: ModuleType, aws: StepFunctions
) -> None:
    for problem in (
        ReadTimeoutError(endpoint_url=STATES),
        ConnectionClosedError(endpoint_url=STATES),
        BROKEN,
    ):
        aws.problem = problem
        assert isinstance(error_of(code, {"url": URL}), code.CallFailedError)
        assert isinstance(error_of(code, POST), code.RefusedError)


@pytest.mark.parametrize(
    "problem",
    [EndpointConnectionError(endpoint_url=STATES), ConnectTimeoutError(endpoint_url=STATES), UNSIGNED, FULL],
    ids=lambda each: type(each).__name__,
)
def test_step_functions_that_were_not_reached_have_called_nobody(
    code: ModuleType, aws: StepFunctions, problem: Exception
) -> None:
    aws.problem = problem
    with pytest.raises(type(problem)):
        take(code, POST)


@pytest.mark.parametrize(
    "outcome",
    [
        {"gave_up": "failure", "error": {"code": "UpstreamTimeout", "message": "late", "status": 504}},
        {"gave_up": "deadline", "status": 503, "headers": {}, "body": ""},
        {"status": 524, "headers": {}, "body": ""},
        {"error": {"code": "SecretUnavailable", "message": "later", "status": 500}},
        {"error": {"code": "UpstreamUnreachable", "message": "untrusted", "status": 502}},
    ],
    ids=str,
)
def test_what_may_not_be_sent_twice_comes_again_only_where_it_was_not_sent(
    code: ModuleType, aws: StepFunctions, outcome: Json
) -> None:
    aws.end(ok=False, **outcome)
    assert isinstance(error_of(code, POST), code.RefusedError)
    aws.end(ok=False, **{**outcome, "attempts": 0})
    assert isinstance(error_of(code, POST), code.CallFailedError)


def test_what_the_code_knows_of_outcomes_is_what_the_retrier_says(code: ModuleType) -> None:
    """It is in an archive of its own."""
    assert {*code.NOT_TO_BE_MADE, *code.HOPELESS} <= {*outcomes.Code}
    assert (code.FOR_NOW, code.BUSY) == (machines.FOR_NOW, machines.BUSY)
    assert "method" in {*GaveUp}


@pytest.mark.parametrize(
    "refusal", ["ThrottlingException", "AccessDeniedException", "ExecutionLimitExceeded"]
)
def test_what_step_functions_does_not_take_comes_again(
    code: ModuleType, aws: StepFunctions, refusal: str
) -> None:
    aws.problem = refused(refusal)
    with pytest.raises(ClientError, match=refusal):
        take(code)
