"""What is sent to where an upstream redirects a request (RFC 9110, 15.4)."""

from dataclasses import replace
from http import HTTPStatus

from sluice.retrier import targets
from sluice.retrier.rules import Rules

from .wire import Request

MOST_REDIRECTS = 5
LARGEST_REDIRECTS = 40 * 1024
"""Bytes of redirects as JSON, which a state machine carries beside the largest call."""
ELSEWHERE = ("accept", "content-")
"""How the headers begin that follow a redirect to another origin: any other may hold what is secret."""
MOVED = {HTTPStatus.MOVED_PERMANENTLY, HTTPStatus.FOUND}
REDIRECTS = {*MOVED, HTTPStatus.SEE_OTHER, HTTPStatus.TEMPORARY_REDIRECT, HTTPStatus.PERMANENT_REDIRECT}


class TooManyRedirectsError(Exception):
    """An upstream redirects again and again."""

    def __init__(self, how: str = f"more than {MOST_REDIRECTS} times") -> None:
        """Say how it does."""
        super().__init__(f"the upstream redirects {how}")


def followed(request: Request, status: int, location: str, rules: Rules) -> Request:
    """Return the request that a redirect asks for.

    Raises:
        ForbiddenTargetError: if it leads to where nobody may call.
        TooManyRedirectsError: after ``MOST_REDIRECTS``, or in a circle.
    """
    after = _moved(request, status, location, rules)
    if (after.method, after.target.url) in after.before:
        raise TooManyRedirectsError("in a circle")
    if len(after.before) > MOST_REDIRECTS:
        raise TooManyRedirectsError
    return after


def _moved(request: Request, status: int, location: str, rules: Rules) -> Request:
    target = targets.redirected(request.target, location, rules.upstreams)
    before = (*request.before, (request.method, request.target.url))
    headers = dict(request.headers)
    if target.origin != request.target.origin:
        kept = {rules.idempotency_header, "user-agent"} - request.private
        headers = {
            name: value
            for name, value in headers.items()
            if name in kept or (name.startswith(ELSEWHERE) and name not in request.private)
        }
    read = status == HTTPStatus.SEE_OTHER and request.method not in {"GET", "HEAD"}
    if read or (status in MOVED and request.method == "POST"):
        about_body = {name for name in headers if name.startswith("content-")}
        headers = {name: value for name, value in headers.items() if name not in about_body}
        return replace(request, method="GET", target=target, headers=headers, body=None, before=before)
    return replace(request, target=target, headers=headers, before=before)
