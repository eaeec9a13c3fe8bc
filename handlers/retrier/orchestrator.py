"""Entry of a retrier's orchestrator: takes a call over its function URL, and answers with what came of it."""

import base64
import binascii
import json
import os
from collections.abc import Mapping
from http import HTTPMethod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from aws_lambda_powertools import Logger
from botocore.config import Config

from sluice.retrier import rules as shipped
from sluice.retrier.rules import STARTING_SECONDS, Rules
from sluice.retrier.targets import ForbiddenTargetError

from . import calls
from .calls import InvalidCallError
from .machines import Express, Machine, Standard
from .outcomes import Code
from .replies import Refusal, Reply, refused

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

PATIENT = Config(connect_timeout=2, read_timeout=310, retries={"total_max_attempts": 1})
"""A synchronous execution takes up to five minutes, and a second one would call the upstream again."""
EXECUTIONS = "/executions/"

Event = Mapping[str, Any]
"""A request as a function URL hands it over ("Request and response payloads", Lambda guide)."""


class Orchestrator:
    """One warm function: everything that outlives an invocation."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        """Read what the function is told; what is missing is a broken deployment and raises."""
        self._rules = shipped.loads(Path(__file__).with_name(shipped.FILE).read_text("utf-8"))
        self._logger = Logger(service=variables["SLUICE_SERVICE"])
        self._machine = machine(variables, self._rules)

    def run(self, event: Event, context: "LambdaContext") -> Reply:
        """Answer a request."""
        request_id = context.aws_request_id
        try:
            found = self._route(event, context)
        except InvalidCallError as error:
            found = refused(Refusal(Code.INVALID, str(error)), request_id)
        except ForbiddenTargetError as error:
            found = refused(Refusal(Code.FORBIDDEN, str(error)), request_id)
        except Refusal as refusal:
            if refusal.__cause__ is not None:
                self._logger.exception("the call could not be carried out")
            found = refused(refusal, request_id)
        self._logger.info("answered", extra={"status": found["statusCode"], "request_id": request_id})
        return found

    def _route(self, event: Event, context: "LambdaContext") -> Reply:
        method, path = event["requestContext"]["http"]["method"], event["rawPath"]
        if path == "/" and method == HTTPMethod.POST:
            call = _json(event)
            # Whoever calls is told at once what is wrong, and no execution starts for it.
            calls.parse(call, self._rules)
            return self._machine.take(call, caller_of(event), context)
        if path.startswith(EXECUTIONS) and method == HTTPMethod.GET:
            return self._machine.look(path.removeprefix(EXECUTIONS))
        if path == "/" or path.startswith(EXECUTIONS):
            allowed = HTTPMethod.POST if path == "/" else HTTPMethod.GET
            raise Refusal(Code.METHOD, f"use {allowed}", headers={"Allow": allowed})
        raise Refusal(Code.UNKNOWN, f"POST a call to /, and GET {EXECUTIONS}ID for what came of it")


def caller_of(event: Event) -> str:
    """Return who signed a request: an account and a role or a user, whatever the session."""
    iam = event["requestContext"].get("authorizer", {}).get("iam", {})
    return f"{iam.get('accountId', '')}/{str(iam.get('userId', '')).partition(':')[0]}"


def machine(variables: Mapping[str, str], rules: Rules) -> Machine:
    """Return the state machine that a function's environment names."""
    client, arn = boto3.client("stepfunctions", config=PATIENT), variables["SLUICE_STATE_MACHINE"]
    if variables["SLUICE_WORKFLOW"] == "standard":
        return Standard(client, arn)
    # Here, since a standard state machine does without it.
    from .once import Once  # noqa: PLC0415

    table, kept = variables["SLUICE_IDEMPOTENCY_TABLE"], int(variables["SLUICE_KEPT_SECONDS"])
    return Express(client, arn, Once(table, kept, rules.deadline_seconds + STARTING_SECONDS))


def _json(event: Event) -> Any:  # noqa: ANN401 - whatever was sent
    text = event.get("body") or ""
    try:
        return json.loads(base64.b64decode(text) if event.get("isBase64Encoded") else text)
    except (ValueError, binascii.Error, RecursionError):
        raise InvalidCallError(["a call is a JSON object with at least a url"]) from None


_orchestrators: list[Orchestrator] = []
if "SLUICE_STATE_MACHINE" in os.environ:
    # In Lambda: while a function starts it has more time than in its first run, and a whole processor.
    _orchestrators.append(Orchestrator(os.environ))


def handler(event: Event, context: "LambdaContext") -> Reply:
    """Answer a request to the function URL."""
    if not _orchestrators:
        _orchestrators.append(Orchestrator(os.environ))
    return _orchestrators[0].run(event, context)
