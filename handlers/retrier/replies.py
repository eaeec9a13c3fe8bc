"""Answers over a function URL: the upstream's own, or an error of ours, told apart by ``Sluice-Error``."""

import json
from collections.abc import Mapping
from typing import Any

from . import outcomes
from .outcomes import Code, Json

Reply = dict[str, Any]
"""An answer as a function URL takes it ("Request and response payloads", Lambda guide)."""
JSON_TYPE = {"Content-Type": "application/json"}


class Refusal(Exception):  # noqa: N818 - it is an answer
    """A request that is answered with an error of ours."""

    def __init__(
        self,
        code: Code,
        message: str,
        retry_after: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Say which, and in words for the caller."""
        super().__init__(message)
        self.headers = headers or {}
        self.error = outcomes.error(code, message, retry_after=retry_after)


def reply(status: int, body: Json, headers: Mapping[str, str] | None = None) -> Reply:
    """Return an answer of ours."""
    return {"statusCode": status, "headers": {**JSON_TYPE, **(headers or {})}, "body": json.dumps(body)}


def refused(refusal: Refusal, request_id: str) -> Reply:
    """Return the answer to a request for which no call was made."""
    return _error(refusal.error, refusal.headers, request_id)


def answer(outcome: Json, request_id: str, *, replayed: bool = False) -> Reply:
    """Return what a caller gets for an outcome: the upstream's own answer, if it ever gave one."""
    told = {
        "Sluice-Attempts": str(outcome["attempts"]),
        "Sluice-Waited": str(outcome["waited"]),
        "Sluice-History": json.dumps(outcome["history"], separators=(",", ":")),
    }
    if "gave_up" in outcome:
        told["Sluice-Gave-Up"] = outcome["gave_up"]
    if replayed:
        told["Sluice-Replayed"] = "true"
    if "error" in outcome:
        return _error(outcome["error"], told, request_id)
    body: Reply = (
        {"body": outcome["body"], "isBase64Encoded": True}
        if outcome.get("base64")
        else {"body": outcome["body"]}
    )
    return {"statusCode": outcome["status"], "headers": {**outcome["headers"], **told}, **body}


def _error(error: Mapping[str, Any], told: Mapping[str, str], request_id: str) -> Reply:
    headers = {"Sluice-Error": error["code"], **told}
    if "retry_after" in error:
        headers["Retry-After"] = str(error["retry_after"])
    body = {"code": error["code"], "message": error["message"], "requestId": request_id}
    return reply(error["status"], body, headers)
