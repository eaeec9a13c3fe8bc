"""A consumer's code that makes calls of messages: each holds one, and a state machine carries it out."""

import json
import os
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord

PATIENT = Config(connect_timeout=2, read_timeout=310, retries={"total_max_attempts": 1})
"""A synchronous execution takes up to five minutes, and a second one would call the upstream again."""
NOT_TO_BE_MADE = {"InvalidCall", "ForbiddenTarget"}
HOPELESS = {"ResponseTooLarge", "TooManyRedirects"}

step_functions = boto3.client("stepfunctions", config=PATIENT)


class UnmakeableCallError(Exception):
    """A message is no call that may be made; another try would not better it."""


class RefusedError(Exception):
    """The upstream has answered, and will not do what is asked."""


class CallFailedError(Exception):
    """A call has failed for now, and the message is to come again."""


def record_handler(record: "SQSRecord") -> None:
    """Make the call that a message holds.

    A call without an idempotency key gets the message's id as one: a message can come twice.

    Raises:
        UnmakeableCallError: if the message is no call, or one that may not be made.
        RefusedError: if the upstream refuses it for good.
        CallFailedError: if it is worth another try later.
    """
    call = read(record.body)
    call.setdefault("idempotency_key", record.message_id)
    text = json.dumps({"call": call})
    if os.environ["CALLS_WORKFLOW"] == "standard":
        start(text, record.message_id)
        return
    ended = step_functions.start_sync_execution(stateMachineArn=os.environ["CALLS_STATE_MACHINE"], input=text)
    if ended["status"] != "SUCCEEDED":
        raise CallFailedError(f"the execution {ended['executionArn']} is {ended['status']}")
    judge(json.loads(ended["output"]))


def read(body: str) -> dict[str, Any]:
    """Return the call in a message.

    Raises:
        UnmakeableCallError: if there is none.
    """
    try:
        call = json.loads(body)
    except ValueError:
        call = None
    if not isinstance(call, dict):
        raise UnmakeableCallError("the message is no JSON object")
    return call


def start(text: str, name: str) -> None:
    """Start an execution, unless a delivery before has."""
    try:
        step_functions.start_execution(
            stateMachineArn=os.environ["CALLS_STATE_MACHINE"], name=name, input=text
        )
    except ClientError as error:
        if error.response["Error"]["Code"] != "ExecutionAlreadyExists":
            raise


def judge(outcome: dict[str, Any]) -> None:
    """Return if a call did what it should.

    Raises:
        UnmakeableCallError, RefusedError, CallFailedError: as `record_handler` says.
    """
    if outcome["ok"]:
        return
    error = outcome.get("error", {})
    told = error.get("message") or f"the upstream answered {outcome['status']}"
    if error.get("code") in NOT_TO_BE_MADE:
        raise UnmakeableCallError(f"{error['code']}: {told}")
    if error.get("code") in HOPELESS or ("gave_up" not in outcome and not error):
        raise RefusedError(told)
    raise CallFailedError(f"{told}, after {outcome['attempts']} attempts ({outcome.get('gave_up', 'error')})")
