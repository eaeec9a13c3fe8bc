"""A call that somebody wants made: what it may hold, and everything that is wrong with one."""

import base64
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sluice.retrier import targets
from sluice.retrier.rules import METHODS, Rules
from sluice.retrier.targets import ForbiddenTargetError, Target

LARGEST_CALL = 200 * 1024
"""Bytes of a call as JSON. A state machine carries 256 KiB, with what we add ("Step Functions quotas")."""
KEYS = ("method", "url", "headers", "body", "body_base64", "timeout_seconds", "idempotency_key", "retry")
RETRY_KEYS = ("statuses", "failures", "attempts", "deadline_seconds", "base_seconds", "cap_seconds")
TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}")
"""A header's name (RFC 9110, 5.6.2)."""
VALUE = re.compile(r"[\x20-\x7e\t]*")
"""A header's value (RFC 9110, 5.5): ASCII, and no line ends in it."""
KEY = re.compile(r"[\x21-\x7e]{1,255}")
"""An idempotency key."""
MOST_HEADERS = 50
LARGEST_HEADERS = 16 * 1024
HOP_BY_HOP = {
    "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te",
    "trailer", "transfer-encoding", "upgrade",
}  # fmt: skip
"""Between two hops alone (RFC 9110, 7.6.1)."""
OURS = {"host", "content-length", "expect", "accept-encoding"}
"""What follows from the call itself, or is between us and the upstream."""

Given = Mapping[str, Any]


class InvalidCallError(Exception):
    """A call cannot be made as it is; it holds every problem."""

    def __init__(self, problems: Sequence[str]) -> None:
        """Tell all problems in one message."""
        self.problems = tuple(problems)
        super().__init__("; ".join(problems))


@dataclass(frozen=True)
class SecretValue:
    """A header's value that is read from Secrets Manager when the call is sent."""

    name: str
    prefix: str


@dataclass(frozen=True)
class Policy:
    """When one call is tried again: the retrier's own rules, or what the call narrows them to."""

    statuses: frozenset[int]
    failures: frozenset[str]
    attempts: int
    deadline_seconds: float
    base_seconds: float
    cap_seconds: float


@dataclass(frozen=True)
class Call:
    """A call that may be made."""

    method: str
    target: Target
    headers: Mapping[str, str | SecretValue]
    body: bytes | None
    timeout_seconds: float
    policy: Policy
    repeatable: bool
    """Whether it may be sent again: by its method, or since it has an idempotency key."""


def parse(given: object, rules: Rules) -> Call:
    """Return a call as it may be made.

    Raises:
        InvalidCallError: with everything that is wrong with it.
        ForbiddenTargetError: if nothing is wrong with it but where it would go.
    """
    if not isinstance(given, dict):
        raise InvalidCallError(["a call is a JSON object with at least a url"])
    found = [*_problems(given, rules)]
    if found:
        raise InvalidCallError(found)
    target = targets.judge(given["url"], rules.upstreams)
    headers = _headers(given.get("headers", {}), target, rules)
    key = given.get("idempotency_key")
    if key is not None:
        headers[rules.idempotency_header] = key
    method = given.get("method", "GET")
    return Call(
        method=method,
        target=target,
        headers=headers,
        body=_body(given),
        timeout_seconds=given.get("timeout_seconds", rules.timeout_seconds),
        policy=_policy(given.get("retry", {}), rules),
        repeatable=key is not None or method in rules.methods,
    )


def _problems(given: Given, rules: Rules) -> Iterable[str]:
    yield from _unknown(given, KEYS, "")
    if not isinstance(given.get("url"), str):
        yield "url: a text, as https://api.example.com/orders"
    if given.get("method", "GET") not in METHODS:
        yield f"method: one of {', '.join(METHODS)}"
    yield from _body_problems(given)
    yield from _header_problems(given.get("headers", {}), rules)
    yield from _number_problems(given, "timeout_seconds", 0.1, rules.timeout_seconds)
    key = given.get("idempotency_key", "-")
    if not (isinstance(key, str) and KEY.fullmatch(key)):
        yield "idempotency_key: 1 to 255 visible ASCII characters"
    yield from _retry_problems(given.get("retry", {}), rules)
    yield from _size_problems(given)


def _size_problems(given: Given) -> Iterable[str]:
    try:
        size = len(json.dumps(given))
    except RecursionError:
        yield "the call: nested less deep"
    else:
        if size > LARGEST_CALL:
            yield f"the call: at most {LARGEST_CALL} bytes as JSON"


def _unknown(given: Given, known: Sequence[str], prefix: str) -> Iterable[str]:
    for key in given.keys() - set(known):
        yield f"{prefix}{key[:50]}: no such thing; there are {', '.join(known)}"


def _body_problems(given: Given) -> Iterable[str]:
    if "body" in given and "body_base64" in given:
        yield "body: not beside body_base64"
    try:
        str.encode(given.get("body", ""))
    except (UnicodeEncodeError, TypeError):
        yield "body: a text; give bytes as body_base64, and JSON as the text that is to be sent"
    try:
        base64.b64decode(given.get("body_base64", ""), validate=True)
    except (ValueError, TypeError):
        yield "body_base64: bytes in Base64"


def _header_problems(headers: object, rules: Rules) -> Iterable[str]:
    if not isinstance(headers, dict):
        yield "headers: a map of names to texts"
        return
    if len(headers) > MOST_HEADERS:
        yield f"headers: at most {MOST_HEADERS}"
    names = [name.lower() for name in headers]
    for name in sorted({each for each in names if names.count(each) > 1}):
        yield f"headers.{name[:50]}: only once, in whatever case"
    if rules.idempotency_header in names:
        yield f"headers.{rules.idempotency_header}: give it as idempotency_key"
    known = [each.name for each in rules.secrets]
    for name, value in headers.items():
        shown = name[:50]
        if not TOKEN.fullmatch(name):
            yield f"headers.{shown!r}: the name of a header"
        elif isinstance(value, dict):
            yield from _reference_problems(value, f"headers.{shown}", known)
        elif not (isinstance(value, str) and VALUE.fullmatch(value)):
            yield f"headers.{shown}: ASCII text without line ends"
    if sum(len(str(part)) for pair in headers.items() for part in pair) > LARGEST_HEADERS:
        yield f"headers: at most {LARGEST_HEADERS} characters in all"


def _reference_problems(value: Given, path: str, known: Sequence[str]) -> Iterable[str]:
    yield from _unknown(value, ("secret", "prefix"), f"{path}.")
    if value.get("secret") not in known:
        yield f"{path}.secret: one of {', '.join(sorted(known)) or 'none: this retrier has no secrets'}"
    prefix = value.get("prefix", "")
    if not (isinstance(prefix, str) and VALUE.fullmatch(prefix)):
        yield f"{path}.prefix: a text without line ends"


def _retry_problems(retry: object, rules: Rules) -> Iterable[str]:
    if not isinstance(retry, dict):
        yield f"retry: a map of {', '.join(RETRY_KEYS)}"
        return
    yield from _unknown(retry, RETRY_KEYS, "retry.")
    statuses = retry.get("statuses", [])
    if not isinstance(statuses, list) or not all(each in rules.statuses for each in statuses):
        yield f"retry.statuses: some of {', '.join(map(str, rules.statuses))}"
    failures = retry.get("failures", [])
    if not isinstance(failures, list) or not all(each in rules.failures for each in failures):
        yield f"retry.failures: some of {', '.join(rules.failures)}"
    attempts = retry.get("attempts", 1)
    if isinstance(attempts, bool) or not isinstance(attempts, int) or not 1 <= attempts <= rules.attempts:
        yield f"retry.attempts: a whole number from 1 to {rules.attempts}"
    yield from _number_problems(retry, "deadline_seconds", 1, rules.deadline_seconds, "retry.")
    # A call may be gentler than its retrier, and never rougher.
    yield from _number_problems(retry, "base_seconds", rules.base_seconds, rules.cap_seconds, "retry.")
    yield from _number_problems(retry, "cap_seconds", rules.base_seconds, rules.cap_seconds, "retry.")
    base, cap = retry.get("base_seconds", rules.base_seconds), retry.get("cap_seconds", rules.cap_seconds)
    if isinstance(base, int | float) and isinstance(cap, int | float) and cap < base:
        yield "retry.cap_seconds: at least base_seconds"


def _number_problems(given: Given, key: str, low: float, high: float, prefix: str = "") -> Iterable[str]:
    value = given.get(key, low)
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        yield f"{prefix}{key}: a number from {low} to {high} (seconds)"
    elif not math.isfinite(value):
        yield f"{prefix}{key}: a finite number"


def _body(given: Given) -> bytes | None:
    if "body_base64" in given:
        return base64.b64decode(given["body_base64"])
    return given["body"].encode() if "body" in given else None


def _headers(given: Given, target: Target, rules: Rules) -> dict[str, str | SecretValue]:
    """Return the headers to send, less those that are no caller's to set.

    Raises:
        ForbiddenTargetError: if a secret would go where it may not be sent.
    """
    lower = {name.lower(): value for name, value in given.items()}
    named = {each.strip().lower() for each in str(lower.get("connection", "")).split(",")}
    kept: dict[str, str | SecretValue] = {}
    for name, value in lower.items():
        if name in HOP_BY_HOP | OURS | named:
            continue
        kept[name] = _reference(value, target, rules) if isinstance(value, dict) else value
    return kept


def _reference(value: Given, target: Target, rules: Rules) -> SecretValue:
    secret = next(each for each in rules.secrets if each.name == value["secret"])
    if not any(targets.fits(each, target.scheme, target.host, target.port) for each in secret.origins):
        raise ForbiddenTargetError(f"the secret {secret.name!r} may not be sent to {target.origin}")
    return SecretValue(secret.name, value.get("prefix", ""))


def _policy(retry: Given, rules: Rules) -> Policy:
    return Policy(
        statuses=frozenset(retry.get("statuses", rules.statuses)),
        failures=frozenset(retry.get("failures", rules.failures)),
        attempts=retry.get("attempts", rules.attempts),
        deadline_seconds=retry.get("deadline_seconds", rules.deadline_seconds),
        base_seconds=retry.get("base_seconds", rules.base_seconds),
        cap_seconds=retry.get("cap_seconds", rules.cap_seconds),
    )
