"""What API Gateway itself answers where no integration does: its gateway responses, as they are deployed.

("Gateway responses in API Gateway" and "Gateway response types for API Gateway", API Gateway guide)
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple

from multidict import CIMultiDict

from .access_lines import flat

if TYPE_CHECKING:
    from .stages import StageSettings

ACCESS_DENIED = "ACCESS_DENIED"
VARIABLE = re.compile(r"\$(?:\{context\.([A-Za-z][\w.]*)\}|context\.([A-Za-z](?:[\w.]*\w)?))")
HEADER_TARGET = "gatewayresponse.header."
HEADER_SOURCE = "method.request.header."
QUERY_SOURCE = "method.request.querystring."
TEMPLATE = '{"message":$context.error.messageString}'
TEMPLATES = {ACCESS_DENIED: '{"Message":$context.error.messageString}'}
"""API Gateway's own, where none is deployed: the capital is in its answers to refused callers only."""


class Kind(NamedTuple):
    """One type of gateway response: API Gateway's own status and message, and the error it names."""

    status: int
    message: str
    error_type: str


FAULTS = {
    "BAD_REQUEST_BODY": Kind(400, "Invalid request body", "BadRequestException"),
    "BAD_REQUEST_PARAMETERS": Kind(400, "Missing required request parameters", "BadRequestException"),
    "UNAUTHORIZED": Kind(401, "Unauthorized", "UnauthorizedException"),
    ACCESS_DENIED: Kind(403, "User is not authorized to access this resource", "AccessDeniedException"),
    "EXPIRED_TOKEN": Kind(
        403, "The security token included in the request is expired", "ExpiredTokenException"
    ),
    "INVALID_API_KEY": Kind(403, "Forbidden", "ForbiddenException"),
    "INVALID_SIGNATURE": Kind(
        403, "The request signature we calculated does not match", "InvalidSignatureException"
    ),
    "MISSING_AUTHENTICATION_TOKEN": Kind(
        403, "Missing Authentication Token", "MissingAuthenticationTokenException"
    ),
    "WAF_FILTERED": Kind(403, "Forbidden", "ForbiddenException"),
    "RESOURCE_NOT_FOUND": Kind(404, "Not Found", "NotFoundException"),
    "REQUEST_TOO_LARGE": Kind(413, "Request Too Long", "RequestTooLongException"),
    "UNSUPPORTED_MEDIA_TYPE": Kind(415, "Unsupported Media Type", "UnsupportedMediaTypeException"),
    "QUOTA_EXCEEDED": Kind(429, "Limit Exceeded", "LimitExceededException"),
    "THROTTLED": Kind(429, "Too Many Requests", "TooManyRequestsException"),
    "API_CONFIGURATION_ERROR": Kind(500, "Internal server error", "InternalServerErrorException"),
    "AUTHORIZER_CONFIGURATION_ERROR": Kind(500, "Internal server error", "AuthorizerConfigurationException"),
    "AUTHORIZER_FAILURE": Kind(500, "Internal server error", "AuthorizerConfigurationException"),
    "INTEGRATION_FAILURE": Kind(504, "Internal server error", "InternalServerErrorException"),
    "INTEGRATION_TIMEOUT": Kind(504, "Endpoint request timed out", "InternalServerErrorException"),
    "DEFAULT_4XX": Kind(403, "Forbidden", "ForbiddenException"),
    "DEFAULT_5XX": Kind(500, "Internal server error", "InternalServerErrorException"),
}
"""Every type; the two families are types as well, of what has no type of its own."""

SHOWN_AS = {"AUTHORIZER_CONFIGURATION_ERROR": "API_CONFIGURATION_ERROR"}
"""What ``$context.error.responseType`` calls a type, where that is not its own name."""

GatewayResponses = Mapping[str, Mapping[str, Any]]
"""What is deployed, by type."""


@dataclass(frozen=True)
class Answer:
    """What goes back to the client."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Caller:
    """What a gateway response can read of the request."""

    headers: Mapping[str, str]
    query: Mapping[str, str]


NOBODY = Caller({}, {})


def error_of(fault_type: str, detail: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return ``$context.error`` for a fault.

    Args:
        fault_type: one of ``FAULTS``.
        detail: its own ``message``, ``validation`` text and ``errorType``, where it has them.
    """
    told = detail or {}
    message = told.get("message") or FAULTS[fault_type].message
    return {
        "message": message,
        "messageString": json.dumps(message),
        "responseType": SHOWN_AS.get(fault_type, fault_type),
        "validationErrorString": told.get("validation") or "",
    }


def fault(
    settings: "StageSettings",
    fault_type: str,
    context: Mapping[str, Any],
    detail: Mapping[str, str] | None = None,
    caller: Caller = NOBODY,
) -> Answer:
    """Return what API Gateway answers to a fault: the gateway response deployed for it, or for all."""
    kind = FAULTS[fault_type]
    chosen = response_for(settings.gateway_responses, fault_type)
    error = error_of(fault_type, detail)
    values = {
        **flat({**context, "error": error}),
        # A template puts quotes around this one, and none around the message string.
        "error.validationErrorString": json.dumps(error["validationErrorString"])[1:-1],
    }
    error_type = (detail or {}).get("errorType", kind.error_type)
    headers = CIMultiDict({"Content-Type": "application/json", "x-amzn-ErrorType": error_type})
    for target, source in (chosen.get("responseParameters") or {}).items():
        value = header_value(source, values, caller)
        if value is not None:
            headers[target.removeprefix(HEADER_TARGET)] = value
    template = (chosen.get("responseTemplates") or {}).get("application/json")
    body = rendered(template or TEMPLATES.get(fault_type, TEMPLATE), values)
    return Answer(int(chosen.get("statusCode") or kind.status), headers, body.encode())


def response_for(deployed: GatewayResponses, fault_type: str) -> Mapping[str, Any]:
    """Return the response that is deployed for a type, or for its family, or nothing."""
    for name in (fault_type, family_of(fault_type)):
        known = deployed.get(name)
        if known and not known.get("defaultResponse"):
            return known
    return {}


def family_of(fault_type: str) -> str:
    """Return the type whose response stands in for a type that has none."""
    server = FAULTS[fault_type].status >= HTTPStatus.INTERNAL_SERVER_ERROR
    return "DEFAULT_5XX" if server else "DEFAULT_4XX"


def rendered(template: str, values: Mapping[str, str]) -> str:
    """Return a body: its variables are replaced, and nothing else is a template's here."""
    return VARIABLE.sub(lambda found: values.get(found[1] or found[2], ""), template)


def header_value(source: str, values: Mapping[str, str], caller: Caller) -> str | None:
    """Return what a header's mapping expression comes to; nothing where there is none, and no header then."""
    if source.startswith(HEADER_SOURCE):
        return CIMultiDict(caller.headers).get(source.removeprefix(HEADER_SOURCE))
    if source.startswith(QUERY_SOURCE):
        return caller.query.get(source.removeprefix(QUERY_SOURCE))
    if source.startswith("context."):
        return values.get(source.removeprefix("context."))
    return source.removeprefix("'").removesuffix("'")
