"""A consumer's code that makes calls of messages: each holds one, and a state machine carries it out."""

import json
import os
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectTimeoutError, EndpointConnectionError, HTTPClientError

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord

PATIENT = Config(connect_timeout=2, read_timeout=310, retries={"total_max_attempts": 1})
"""A synchronous execution takes up to five minutes, and a second one would call the upstream again."""
LARGEST_INPUT = 256 * 1024
"""Bytes that Step Functions takes; a queue may hold larger messages."""
NOT_TO_BE_MADE = {"InvalidCall", "ForbiddenTarget"}
HOPELESS = {"ResponseTooLarge", "TooManyRedirects"}
FOR_NOW = {401, 408, 425, 429}
"""Refusals that hold for now: of a token, of a moment, of a number."""
SERVER_ERROR = 500
BUSY = {"ThrottlingException", "ExecutionLimitExceeded", "TooManyRequestsException", "ServiceUnavailable"}

step_functions = boto3.client("stepfunctions", config=PATIENT)


class UnmakeableCallError(Exception):
    """A message is no call that may be made; another try would not better it."""


class RefusedError(Exception):
    """The upstream will not do what is asked, or it is not to be asked again."""


class CallFailedError(Exception):
    """A call has failed for now, and the message is to come again."""


def record_handler(record: "SQSRecord") -> None:
    """Make the call that a message holds.

    Raises:
        UnmakeableCallError: if the message is no call, or one that may not be made.
        RefusedError: if the upstream refuses it for good, or it may not be sent twice.
        CallFailedError: if it is worth another try later.
    """
    text = read(record.body)
    try:
        ended = step_functions.start_sync_execution(
            stateMachineArn=os.environ["CALLS_STATE_MACHINE"], input=text
        )
    except (ClientError, HTTPClientError) as error:
        if not may_have_begun(error):
            raise
        told = f"it is not known what came of the call ({type(error).__name__})"
        raise failed(text, told, sent=True) from error
    if ended["status"] != "SUCCEEDED":
        told = f"the execution {ended['executionArn']} is {ended['status']}"
        raise failed(text, told, sent=not is_unsent(ended.get("cause", "")))
    judge(text, json.loads(ended["output"]))


def read(body: str) -> str:
    """Return what a state machine is told of the call in a message.

    Raises:
        UnmakeableCallError: if there is none, or it is too large.
    """
    try:
        call = json.loads(body)
        text = json.dumps({"call": call}, allow_nan=False)
    except (ValueError, RecursionError):
        call, text = None, ""
    if not isinstance(call, dict):
        raise UnmakeableCallError("the message is no JSON object")
    if len(text) > LARGEST_INPUT:
        raise UnmakeableCallError(f"the call has more than {LARGEST_INPUT} bytes")
    return text


def judge(text: str, outcome: dict[str, Any]) -> None:
    """Return if a call did what it should.

    Raises:
        UnmakeableCallError, RefusedError, CallFailedError: as `record_handler` says.
    """
    if outcome["ok"]:
        return
    error, gave_up = outcome.get("error", {}), outcome.get("gave_up")
    told = error.get("message") or f"the upstream answered {outcome['status']}"
    if error.get("code") in NOT_TO_BE_MADE:
        raise UnmakeableCallError(f"{error['code']}: {told}")
    if gave_up == "method":
        raise RefusedError(f"{told}, and without an idempotency key the call is not sent again")
    if error.get("code") in HOPELESS or not (error or gave_up or is_for_now(outcome["status"])):
        raise RefusedError(told)
    told = f"{told}, after {outcome['attempts']} attempts ({gave_up or 'error'})"
    raise failed(text, told, sent=outcome["attempts"] > 0)


def failed(text: str, told: str, *, sent: bool) -> Exception:
    """Return with what a message ends whose call failed for now, and was perhaps sent."""
    call = json.loads(text)["call"]
    repeated = os.environ.get("CALLS_REPEATED", "").split()
    if not sent or "idempotency_key" in call or call.get("method", "GET") in repeated:
        return CallFailedError(told)
    return RefusedError(f"{told}, and without an idempotency key the call is not sent again")


def may_have_begun(error: Exception) -> bool:
    """Whether Step Functions may have begun what it was asked for, though it did not say so."""
    if isinstance(error, ClientError):
        broke = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) >= SERVER_ERROR
        return broke and error.response["Error"]["Code"] not in BUSY
    return not isinstance(error, ConnectTimeoutError | EndpointConnectionError)


def is_unsent(cause: str) -> bool:
    """Whether an execution that failed says that it called nobody."""
    try:
        told = json.loads(cause)
        progress = told["progress"] or {}
        return not (told["losses"] or progress.get("attempts") or progress.get("followed"))
    except (AttributeError, KeyError, TypeError, ValueError):
        return False


def is_for_now(status: int) -> bool:
    """Whether an answer may be another one later."""
    return status >= SERVER_ERROR or status in FOR_NOW
