"""What came of a call: the upstream's own answer, or an error of ours, and how it came to that."""

import base64
import json
import math
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any

from .progress import Progress
from .wire import Answer

LARGEST_HEADERS = 16 * 1024
"""Characters of an answer's headers that are carried back."""
OVERHEAD = 1.35
"""How much longer Base64 is than its bytes. Text that JSON makes longer than that is carried as Base64."""

Json = dict[str, Any]


class GaveUp(StrEnum):
    """Why no other attempt was made, though the last one failed."""

    ATTEMPTS = "attempts"
    """As many as are allowed were made."""
    DEADLINE = "deadline"
    """The next one could start only after the deadline."""
    FAILURE = "failure"
    """What failed is not to be tried again."""
    METHOD = "method"
    """A call of this method without an idempotency key is not repeated."""
    BUDGET = "budget"
    """Its turn among all callers comes only after the deadline."""
    CIRCUIT = "circuit"
    """The upstream is left alone until after the deadline."""
    PAUSE = "pause"
    """The upstream wants no calls until after the deadline."""


class Code(StrEnum):
    """Our own errors, as callers see them."""

    INVALID = "InvalidCall"
    FORBIDDEN = "ForbiddenTarget"
    UNREACHABLE = "UpstreamUnreachable"
    TIMEOUT = "UpstreamTimeout"
    REDIRECTS = "TooManyRedirects"
    TOO_LARGE = "ResponseTooLarge"
    SECRET = "SecretUnavailable"  # noqa: S105 - a code
    BUDGET = "BudgetUsedUp"
    CIRCUIT = "CircuitOpen"
    PAUSED = "UpstreamPaused"
    FAILED = "CallFailed"
    REUSED = "IdempotencyKeyReused"
    IN_PROGRESS = "InProgress"
    BUSY = "Busy"
    UNKNOWN = "NotFound"
    METHOD = "MethodNotAllowed"
    DEADLINE = "DeadlineExceeded"


STATUS = {
    Code.INVALID: 400, Code.FORBIDDEN: 403, Code.UNKNOWN: 404, Code.METHOD: 405, Code.IN_PROGRESS: 409,
    Code.REUSED: 422, Code.FAILED: 500, Code.SECRET: 500, Code.REDIRECTS: 502, Code.TOO_LARGE: 502,
    Code.UNREACHABLE: 502, Code.BUDGET: 503, Code.BUSY: 503, Code.CIRCUIT: 503, Code.PAUSED: 503,
    Code.DEADLINE: 504, Code.TIMEOUT: 504,
}  # fmt: skip
"""What each is answered with."""


def answered(answer: Answer, kept: Iterable[str]) -> Json:
    """Return an answer as a state machine carries it: status, body, and the headers that are let through."""
    text = _text(answer.body)
    body: Json = (
        {"body": text}
        if text is not None
        else {"body": base64.b64encode(answer.body).decode(), "base64": True}
    )
    return {"status": answer.status, "headers": passed(answer.headers, kept), **body}


def passed(headers: Mapping[str, str], kept: Iterable[str]) -> dict[str, str]:
    """Return those of an answer's headers that are let through; ``x-*`` stands for all that begin so."""
    patterns = [*kept]
    exact = {each for each in patterns if not each.endswith("*")}
    starts = tuple(each[:-1] for each in patterns if each.endswith("*"))
    found: dict[str, str] = {}
    size = 0
    for name, value in headers.items():
        wanted = name in exact or (bool(starts) and name.startswith(starts))
        larger = size + len(name) + len(value)
        if wanted and larger <= LARGEST_HEADERS:
            found[name], size = value, larger
    return found


def _text(body: bytes) -> str | None:
    """Return a body as text, where that is no longer in JSON than Base64 would be."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return None
    return text if len(json.dumps(text)) <= OVERHEAD * len(body) + 2 else None


def outcome(progress: Progress, *, ok: bool, gave_up: GaveUp | None = None) -> Json:
    """Return what is told of a call beside its answer."""
    told: Json = {
        "ok": ok,
        "attempts": progress.attempts,
        "waited": round(progress.waited, 2),
        "history": progress.history,
    }
    return told if gave_up is None else {**told, "gave_up": gave_up.value}


def error(code: Code, message: str, *, retry_after: float | None = None) -> Json:
    """Return an error of ours."""
    found: Json = {"code": code.value, "message": message, "status": STATUS[code]}
    return found if retry_after is None else {**found, "retry_after": max(1, math.ceil(retry_after))}


def decoded(found: Mapping[str, Any]) -> bytes:
    """Return the body of an answer that a state machine carried."""
    return base64.b64decode(found["body"]) if found.get("base64") else str(found["body"]).encode()
