"""The state machine that makes calls, in its two kinds: waited for, or asked later."""

import hashlib
import json
import re
import uuid
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Protocol

from botocore.exceptions import BotoCoreError, ClientError, ReadTimeoutError

from . import outcomes
from .outcomes import Code, Json
from .replies import Refusal, Reply, answer, reply

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext
    from mypy_boto3_stepfunctions import SFNClient
    from mypy_boto3_stepfunctions.type_defs import DescribeExecutionOutputTypeDef

    from .once import Once

ASK_AGAIN_SECONDS = 2
MOST_RUNS = 50
"""How often calls with one idempotency key are run: each run but the first follows one that failed."""
BUSY = {"ThrottlingException", "ExecutionLimitExceeded", "TooManyRequestsException", "ServiceUnavailable"}
NAME = re.compile(r"[A-Za-z0-9_-]{1,80}")


class Machine(Protocol):
    """A state machine that makes calls."""

    def take(self, call: Json, context: "LambdaContext", /) -> Reply:
        """Have a call made, and return what to answer.

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

    def take(self, call: Json, context: "LambdaContext") -> Reply:
        """Make a call, or return the outcome of the same call before it."""
        if "idempotency_key" not in call:
            return answer(self._run(call), context.aws_request_id)
        outcome, replayed = self._once(call, context, self._run)
        return answer(outcome, context.aws_request_id, replayed=replayed)

    def look(self, execution: str) -> Reply:
        """Know nothing of executions: Step Functions keeps none of this kind."""
        raise Refusal(Code.UNKNOWN, f"calls are answered at once here; there is no execution {execution!r}")

    def _run(self, call: Json) -> Json:
        try:
            ended = self._client.start_sync_execution(stateMachineArn=self._arn, input=_input(call))
        except ReadTimeoutError:
            raise Refusal(Code.DEADLINE, "the call did not end in time") from None
        except (ClientError, BotoCoreError) as error:
            raise _refusal(error) from error
        return _outcome(ended["status"], ended.get("output", ""))


class Standard:
    """Asynchronous executions: the caller gets an id, and asks for the outcome."""

    def __init__(self, client: "SFNClient", arn: str) -> None:
        """Say which state machine."""
        self._client = client
        self._arn = arn

    def take(self, call: Json, _context: "LambdaContext") -> Reply:
        """Start an execution, or return that of the same call before it.

        Its name makes it one: Step Functions takes a name once, and remembers it for 90 days.
        """
        key = call.get("idempotency_key")
        if key is None:
            name = str(uuid.uuid4())
            self._starts(name, call)
            return self._accepted(name)
        digest = hashlib.sha256(key.encode()).hexdigest()[:40]
        for run in range(1, MOST_RUNS + 1):
            name = f"{digest}-{run}"
            if self._starts(name, call):
                return self._accepted(name)
            found = self._describe(name)
            if found["input"] != _input(call):
                raise Refusal(Code.REUSED, "this idempotency key belongs to another call")
            if found["status"] == "RUNNING" or is_final(_outcome(found["status"], found.get("output", ""))):
                return self._accepted(name)
        raise Refusal(Code.REUSED, f"the call of this idempotency key has failed {MOST_RUNS} times")

    def look(self, execution: str) -> Reply:
        """Return how far an execution is, and its outcome once it has one."""
        found = self._describe(execution)
        if found["status"] == "RUNNING":
            told = {"execution": execution, "status": "running"}
            return reply(HTTPStatus.ACCEPTED, told, {"Retry-After": str(ASK_AGAIN_SECONDS)})
        outcome = _outcome(found["status"], found.get("output", ""))
        return reply(HTTPStatus.OK, {"execution": execution, "status": "ended", "outcome": outcome})

    def _accepted(self, name: str) -> Reply:
        headers = {"Location": f"/executions/{name}", "Retry-After": str(ASK_AGAIN_SECONDS)}
        return reply(HTTPStatus.ACCEPTED, {"execution": name, "status": "running"}, headers)

    def _starts(self, name: str, call: Json) -> bool:
        """Start an execution, and return whether its name was free, or that of the same one which runs."""
        try:
            self._client.start_execution(stateMachineArn=self._arn, name=name, input=_input(call))
        except (ClientError, BotoCoreError) as error:
            if _code(error) == "ExecutionAlreadyExists":
                return False
            raise _refusal(error) from error
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
    return "error" not in outcome and "gave_up" not in outcome


def _input(call: Json) -> str:
    return json.dumps({"call": call}, sort_keys=True)


def _outcome(status: str, output: str) -> Json:
    """Return what came of an execution, also where it has broken."""
    if status == "SUCCEEDED":
        found: Json = json.loads(output)
        return found
    code = Code.DEADLINE if status == "TIMED_OUT" else Code.FAILED
    message = "the call did not end in time" if code is Code.DEADLINE else "the call could not be carried out"
    return {"ok": False, "attempts": 0, "waited": 0, "history": [], "error": outcomes.error(code, message)}


def _refusal(error: ClientError | BotoCoreError) -> Refusal:
    if _code(error) in BUSY:
        return Refusal(Code.BUSY, "too many calls at once", retry_after=1)
    return Refusal(Code.FAILED, "the call could not be carried out")


def _code(error: Exception) -> Any:  # noqa: ANN401 - as botocore has it
    return error.response["Error"]["Code"] if isinstance(error, ClientError) else None
