"""The state machine that makes calls, in its two kinds: waited for, or asked later."""

import hashlib
import json
import re
import uuid
from collections.abc import Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Protocol

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
)

from . import outcomes
from .outcomes import Code, Json
from .progress import REDIRECTED, Progress
from .replies import Refusal, Reply, answer, reply
from .wire import Trouble

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext
    from mypy_boto3_stepfunctions import SFNClient
    from mypy_boto3_stepfunctions.type_defs import DescribeExecutionOutputTypeDef

    from .once import Once

ASK_AGAIN_SECONDS = 2
MOST_RUNS = 50
"""How often calls with one idempotency key are run: each run but the first follows one that failed."""
BUSY = {"ThrottlingException", "ExecutionLimitExceeded", "TooManyRequestsException", "ServiceUnavailable"}
SERVER_ERROR = 500
FOR_NOW = {401, 408, 425, 429}
"""Refusals that hold for now: of a token, of a moment, of a number."""
IDENTITY = ("method", "url", "headers", "body", "body_base64")
NAME = re.compile(r"[A-Za-z0-9_-]{1,80}")


class UnknownOutcomeError(BaseException):
    """A call may have been made. No `Exception`, on which Powertools would forget that it was begun."""


class Machine(Protocol):
    """A state machine that makes calls."""

    def take(self, call: Json, caller: str, context: "LambdaContext", /) -> Reply:
        """Have a call made, and return what to answer.

        Args:
            call: what to make.
            caller: whose idempotency keys it goes by.
            context: the invocation's.

        Raises:
            Refusal: if it cannot be.
        """

    def look(self, execution: str) -> Reply:
        """Return what to answer about an execution.

        Raises:
            Refusal: if nothing is known of it.
        """


class Express:
    """Synchronous executions: the caller waits for the outcome."""

    def __init__(self, client: "SFNClient", arn: str, once: "Once") -> None:
        """Say which state machine, and what makes a call with an idempotency key only once."""
        self._client = client
        self._arn = arn
        self._once = once

    def take(self, call: Json, caller: str, context: "LambdaContext") -> Reply:
        """Make a call, or return the outcome of the same call before it."""
        try:
            if "idempotency_key" not in call:
                return answer(self._run(call), context.aws_request_id)
            outcome, replayed = self._once(call, caller, context, self._run)
        except UnknownOutcomeError as error:
            raise Refusal(Code.DEADLINE, "it is not known what came of the call") from error
        return answer(outcome, context.aws_request_id, replayed=replayed)

    def look(self, execution: str) -> Reply:
        """Know nothing of executions: Step Functions keeps none of this kind."""
        raise Refusal(Code.UNKNOWN, f"calls are answered at once here; there is no execution {execution!r}")

    def _run(self, call: Json) -> Json:
        try:
            ended = self._client.start_sync_execution(stateMachineArn=self._arn, input=_input(call))
        except (ClientError, BotoCoreError) as error:
            if _may_have_begun(error):
                raise UnknownOutcomeError from error
            raise _refusal(error) from error
        return _ended(ended)


class Standard:
    """Asynchronous executions: the caller gets an id, and asks for the outcome."""

    def __init__(self, client: "SFNClient", arn: str) -> None:
        """Say which state machine."""
        self._client = client
        self._arn = arn

    def take(self, call: Json, caller: str, _context: "LambdaContext") -> Reply:
        """Start an execution, or return that of the same call before it.

        Its name makes it one: Step Functions takes a name once, and remembers it for 90 days.
        """
        key = call.get("idempotency_key")
        if key is None:
            name = str(uuid.uuid4())
            self._starts(name, call)
            return self._accepted(name)
        digest = hashlib.sha256(f"{caller}\n{key}".encode()).hexdigest()[:40]
        for run in range(1, MOST_RUNS + 1):
            name = f"{digest}-{run}"
            if self._starts(name, call):
                return self._accepted(name)
            found = self._describe(name)
            if identity(json.loads(found["input"])["call"]) != identity(call):
                raise Refusal(Code.REUSED, "this idempotency key belongs to another call")
            if found["status"] == "RUNNING" or is_final(_ended(found)):
                return self._accepted(name)
        raise Refusal(Code.REUSED, f"the call of this idempotency key has failed {MOST_RUNS} times")

    def look(self, execution: str) -> Reply:
        """Return how far an execution is, and its outcome once it has one."""
        found = self._describe(execution)
        if found["status"] == "RUNNING":
            told = {"execution": execution, "status": "running"}
            return reply(HTTPStatus.ACCEPTED, told, {"Retry-After": str(ASK_AGAIN_SECONDS)})
        outcome = _ended(found)
        return reply(HTTPStatus.OK, {"execution": execution, "status": "ended", "outcome": outcome})

    def _accepted(self, name: str) -> Reply:
        headers = {"Location": f"/executions/{name}", "Retry-After": str(ASK_AGAIN_SECONDS)}
        return reply(HTTPStatus.ACCEPTED, {"execution": name, "status": "running"}, headers)

    def _starts(self, name: str, call: Json) -> bool:
        """Start an execution, and return whether its name was free, or that of the same one which runs."""
        try:
            self._client.start_execution(stateMachineArn=self._arn, name=name, input=_input(call))
        except ClientError as error:
            if _code(error) == "ExecutionAlreadyExists":
                return False
            raise _refusal(error) from error
        except BotoCoreError as error:
            raise Refusal(Code.DEADLINE, "it is not known whether the call was taken") from error
        return True

    def _describe(self, name: str) -> "DescribeExecutionOutputTypeDef":
        if not NAME.fullmatch(name):
            raise Refusal(Code.UNKNOWN, "there is no such execution")
        # arn:aws:states:REGION:ACCOUNT:stateMachine:NAME
        execution = f"{self._arn.replace(':stateMachine:', ':execution:', 1)}:{name}"
        try:
            return self._client.describe_execution(executionArn=execution)
        except (ClientError, BotoCoreError) as error:
            if _code(error) == "ExecutionDoesNotExist":
                raise Refusal(Code.UNKNOWN, "there is no such execution") from None
            raise _refusal(error) from error


def is_final(outcome: Json) -> bool:
    """Whether a call came to an end that another run would not better: the upstream's own last word."""
    if "error" in outcome or "gave_up" in outcome:
        return False
    status: int = outcome["status"]
    return status < SERVER_ERROR and status not in FOR_NOW


def identity(call: Json) -> list[Any]:
    """Return what makes two calls with one idempotency key the same: not how hard each is tried."""
    return [call.get(each) for each in IDENTITY]


def _input(call: Json) -> str:
    return json.dumps({"call": call}, sort_keys=True)


def _ended(execution: Mapping[str, Any]) -> Json:
    """Return what came of an execution, also where it has broken: then with what it says of its attempts."""
    if execution["status"] == "SUCCEEDED":
        found: Json = json.loads(execution["output"])
        return found
    code = Code.DEADLINE if execution["status"] == "TIMED_OUT" else Code.FAILED
    message = "the call did not end in time" if code is Code.DEADLINE else "the call could not be carried out"
    try:
        told = json.loads(execution["cause"])
        known = Progress.read(0.0, told["progress"])
        lost = bool(told.get("losses"))
    except (AttributeError, KeyError, TypeError, ValueError):
        known, lost = Progress(0.0), False
    if lost or known.followed:
        # Of several that are lost in a row only the first can have called: the others were to tell of it.
        known.attempts += 1
        known.history.append({"failure": Trouble.LOST.value if lost else REDIRECTED})
    return {**outcomes.outcome(known, ok=False), "error": outcomes.error(code, message)}


def _refusal(error: ClientError | BotoCoreError) -> Refusal:
    if _code(error) in BUSY:
        return Refusal(Code.BUSY, "too many calls at once", retry_after=1)
    return Refusal(Code.FAILED, "the call could not be carried out")


def _may_have_begun(error: Exception) -> bool:
    """Whether Step Functions may have begun what it was asked for, though it did not say so."""
    if isinstance(error, ClientError):
        broke = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) >= SERVER_ERROR
        return broke and _code(error) not in BUSY
    unreached = isinstance(error, ConnectTimeoutError | EndpointConnectionError)
    return isinstance(error, HTTPClientError) and not unreached


def _code(error: Exception) -> Any:  # noqa: ANN401 - as botocore has it
    return error.response["Error"]["Code"] if isinstance(error, ClientError) else None
