"""Callers of a method with IAM's authorization: signatures are about what they called, which was the edge.

The emulator verifies a signature and asks the policies, but of the request as it gets it; it takes whoever
names its root user's key for that user, and what it answers to those who may not is no gateway response.

("Control access to a REST API with IAM permissions", API Gateway guide)

This runs inside the emulator.
"""

# There is no other way in than the emulator's private names.
# ruff: noqa: SLF001

from collections.abc import Callable
from typing import Any, NamedTuple

import emulator_arrival  # type: ignore[import-not-found]  # a sibling: this runs by its path
from ministack import app
from ministack.core import iam_evaluator, router, sigv4
from ministack.core.iam_evaluator import AuthError, EvalResult
from ministack.services import apigateway_v1 as gateway

INVOKE = "execute-api:Invoke"
SERVICE = "execute-api"
DENIED = "AccessDenied"
UNKNOWN = "UnrecognizedClientException"
MISMATCH = "SignatureDoesNotMatch"
SHOWN_DIGITS = 4
"""Of an account's number in what a caller is told."""
IDENTITY = ("accessKey", "accountId", "caller", "user", "userArn", "principalOrgId")

Data = dict[str, Any]
Answer = tuple[int, Data, bytes]


class Signed(NamedTuple):
    """A request by what tells who sent it."""

    service: str
    """The emulator's name of API Gateway."""
    headers: Data
    """By names in lower case."""
    query: Data
    arn: str
    """The method's."""


def as_called(pin: Callable[..., None]) -> Callable[..., None]:
    """Return what keeps a request for the check of its signature, as the client sent it to the edge."""

    def pinned(method: str, path: str, query: Data, headers: list[Any], **more: object) -> None:
        arrival = emulator_arrival.current()
        if arrival:
            path, headers = arrival.target, arrival.raw_headers
        pin(method, path, query, headers, **more)

    return pinned


def in_the_api_s_account(scope: Callable[[str], str]) -> Callable[[str], str]:
    """Return what finds the account of an access key: a caller of an API is in that of the API."""
    return lambda key: "" if emulator_arrival.current() else scope(key)


def as_a_gateway_response(enforce: Callable[..., Answer | None]) -> Callable[..., Answer | None]:
    """Return what refuses callers without a permission, of an API in the API's own words."""

    def enforced(service: str, action: str, *request: Any, **more: Any) -> Answer | None:  # noqa: ANN401 - the emulator's own signature
        arrival = emulator_arrival.current()
        if action != INVOKE or arrival is None:
            return enforce(service, action, *request, **more)
        headers, query, _ = request
        error = check(Signed(service, headers, query, more["resource_arn"]), arrival.learned)
        answer: Answer | None = more["auth_error_response"](error) if error else None
        return answer

    return enforced


def check(signed: Signed, learned: Data) -> AuthError | None:
    """Return why a caller may not invoke a method; nothing for who may, and for who did not sign.

    Args:
        signed: the request, which may also not be signed.
        learned: takes up who the caller is, once that is proven.
    """
    service, headers, query, arn = signed
    key = router.extract_access_key_id(headers, query)
    if key and iam_evaluator.is_root_access_key(key):
        # Its secret is never checked.
        return AuthError(UNKNOWN, "The security token included in the request is invalid.")
    if error := misdirected(signed):
        return error
    region = app.extract_region(headers, query)
    denied = iam_evaluator.enforce(key, INVOKE, service, region, resource_arn=arn)
    if isinstance(denied, AuthError):
        return denied
    if key:
        known = gateway._iam_caller_identity(headers, query) or {}
        learned["identity"] = {name: known[name] for name in IDENTITY if known.get(name)}
    return AuthError(DENIED, words(denied, arn)) if denied else None


def misdirected(signed: Signed) -> AuthError | None:
    """Return what is wrong with a signature that is for another service or another Region."""
    if signed.headers.get("authorization"):
        signature = sigv4.parse_header_signature(signed.headers)
    elif "X-Amz-Credential" in signed.query:
        signature = sigv4.parse_query_signature(signed.query)
    else:
        return None
    if isinstance(signature, tuple):
        # The emulator says what is missing.
        return None
    if signature.service != SERVICE:
        return AuthError(MISMATCH, f"Credential should be scoped to correct service: '{SERVICE}'. ")
    if signature.region != app.extract_region({}):
        wrong = f"Credential should be scoped to a valid region, not '{signature.region}'. "
        return AuthError(MISMATCH, wrong)
    return None


def words(denied: EvalResult, arn: str) -> str:
    """Return what a caller is told whose policies do not let it."""
    account = arn.split(":")[4]
    shown = arn.replace(f":{account}:", f":{account[-SHOWN_DIGITS:].rjust(len(account), '*')}:", 1)
    if denied.decision != "Deny":
        reason = f"because no identity-based policy allows the {INVOKE} action"
    elif denied.resource_policy_arn:
        reason = "with an explicit deny in a resource-based policy"
    else:
        reason = "with an explicit deny in an identity-based policy"
    who = denied.principal_arn
    return f"User: {who} is not authorized to perform: {INVOKE} on resource: {shown} {reason}"


def install() -> None:
    """Put all this in the place of the emulator's own."""
    app.pin_signed_request = as_called(app.pin_signed_request)
    app._request_account_scope = in_the_api_s_account(app._request_account_scope)
    app._enforce_data_plane = as_a_gateway_response(app._enforce_data_plane)
    gateway._AUTHENTICATION_GATEWAY_ERRORS[DENIED] = ("ACCESS_DENIED", "AccessDeniedException")
