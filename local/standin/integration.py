"""API Gateway's AWS-service integrations, done here because the emulator's own know too little.

The emulator hands over the request with its whole context; this renders the request template, calls the
service with the integration's role, chooses the integration response and renders the answer. What is deployed
is read from the emulator, so nothing is known here that was not deployed.
"""

import json
import os
import re
import time
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from botocore.credentials import Credentials

from . import signed, sqs_wire
from .velocity import Request, TemplateError, render

CACHE_SECONDS = 1.0
SESSION_SECONDS = 600.0
ROOT = Credentials("test", "test")
"""The emulator's root user, whose secret it does not check."""
CREDENTIALS = ("AccessKeyId", "SecretAccessKey", "SessionToken")
DEFAULT_TYPE = "application/json"
FAULT_HEADER = "x-edge-fault"
CONTEXT_HEADER = "x-edge-context"
URI_PARAMETER = "local.integration.uri"
SQS_URI = re.compile(r"arn:[^:]+:apigateway:(?P<region>[^:]+):sqs:path/(?P<queue>\d+/[^/]+)")

Event = Mapping[str, Any]
Response = dict[str, Any]


class ConfigurationError(Exception):
    """The API is deployed in a way that API Gateway answers with a 500 of its own."""


@dataclass(frozen=True)
class Integration:
    """One deployed integration."""

    uri: str
    role: str
    request_templates: Mapping[str, str]
    request_parameters: Mapping[str, str]
    responses: Mapping[str, Mapping[str, Any]]


def handler(event: Event, _context: object) -> Response:
    """Answer the emulator as a proxy integration does."""
    context = template_context(event)
    try:
        answer = answer_to(event, context, deployed(event))
    except (ConfigurationError, TemplateError) as error:
        print(f"integration cannot work: {error}")
        return {"statusCode": 500, "headers": {FAULT_HEADER: "API_CONFIGURATION_ERROR"}, "body": "{}"}
    print(json.dumps({"requestId": context["requestId"], "status": answer["statusCode"]}))
    return answer


def template_context(event: Event) -> dict[str, Any]:
    """Return ``$context`` as API Gateway fills it for this request."""
    given = event["requestContext"]
    names = (
        "accountId", "apiId", "extendedRequestId", "httpMethod", "path", "protocol", "requestId",
        "requestTime",
        "requestTimeEpoch", "resourceId", "resourcePath", "stage",
    )  # fmt: skip
    context = {name: given[name] for name in names if given.get(name) is not None}
    context["identity"] = {key: value for key, value in given.get("identity", {}).items() if value}
    context["authorizer"] = dict(given.get("authorizer") or {})
    return context


def answer_to(event: Event, context: dict[str, Any], integration: Integration) -> Response:
    """Carry a request to the service and its answer back."""
    request = request_of(event)
    form = render(request_template(integration, request), request, context, event.get("stageVariables")).text
    headers = request_headers(integration)
    target = SQS_URI.fullmatch(integration.uri)
    if target is None:
        raise ConfigurationError(f"this stand-in knows SQS by path only, not {integration.uri}")
    service = sqs_wire.post(
        f"{os.environ['AWS_ENDPOINT_URL']}/{target['queue']}",
        form,
        headers,
        assumed(integration.role),
        target["region"],
    )
    return response_from(service, integration, context)


def response_from(service: signed.Answer, integration: Integration, context: dict[str, Any]) -> Response:
    """Choose the integration response by the service's status, and render it."""
    chosen = select(integration.responses, service.status)
    templates = chosen.get("responseTemplates") or {}
    template = templates.get(DEFAULT_TYPE)
    status, body, headers = int(chosen["statusCode"]), service.body, {"Content-Type": DEFAULT_TYPE}
    for target, source in (chosen.get("responseParameters") or {}).items():
        headers[target.removeprefix("method.response.header.")] = literal(source)
    if template is not None:
        rendered = render(template, Request(service.body), context)
        body, status = rendered.text, rendered.status or status
        headers |= rendered.headers
    seen = {
        "requestId": context["requestId"],
        "integrationStatus": service.status,
        "authorizer": context["authorizer"],
    }
    headers[CONTEXT_HEADER] = json.dumps(seen)
    return {"statusCode": status, "headers": headers, "body": body}


def request_of(event: Event) -> Request:
    """Return what a template can read; what the edge added on the way is not the client's."""
    headers = {
        key: value for key, value in (event.get("headers") or {}).items() if not key.startswith("x-edge-")
    }
    return Request(
        body=event.get("body") or "",
        headers=headers,
        query=event.get("queryStringParameters") or {},
        path=event.get("pathParameters") or {},
    )


def request_template(integration: Integration, request: Request) -> str:
    """Return the template for the request's content type; the emulator has refused what has none."""
    lowered = {key.lower(): value for key, value in request.headers.items()}
    content_type = (lowered.get("content-type") or DEFAULT_TYPE).partition(";")[0].strip().lower()
    template = integration.request_templates.get(content_type)
    if template is None:
        raise ConfigurationError(f"no request template for {content_type}: it would be passed through")
    return template


def request_headers(integration: Integration) -> dict[str, str]:
    """Return the headers that the service gets."""
    headers = {}
    for target, source in integration.request_parameters.items():
        kind, _, name = target.rpartition(".")
        if kind != "integration.request.header":
            raise ConfigurationError(f"this stand-in maps headers only, not {target}")
        headers[name] = literal(source)
    return headers


def literal(source: str) -> str:
    """Return the text of a quoted mapping expression."""
    if len(source) < 2 or not source[0] == source[-1] == "'":  # noqa: PLR2004 - two quotes
        raise ConfigurationError(f"this stand-in maps quoted text only, not {source}")
    return source[1:-1]


def select(responses: Mapping[str, Mapping[str, Any]], status: int) -> Mapping[str, Any]:
    """Return the integration response whose pattern fits, or the one that has no pattern."""
    for response in responses.values():
        pattern = response.get("selectionPattern")
        if pattern and re.fullmatch(pattern, str(status)):
            return response
    for response in responses.values():
        if not response.get("selectionPattern"):
            return response
    raise ConfigurationError(f"no integration response fits {status}")


_integrations: dict[tuple[str, str, str], tuple[float, Integration]] = {}


def deployed(event: Event) -> Integration:
    """Return the integration that this request is for, as the emulator has it."""
    given = event["requestContext"]
    key = (given["apiId"], given["resourceId"], given["httpMethod"])
    read, integration = _integrations.get(key, (0.0, None))
    if integration is None or time.monotonic() - read > CACHE_SECONDS:
        path = f"/restapis/{key[0]}/resources/{key[1]}/methods/{key[2]}/integration"
        integration = integration_of(json.loads(_as_root("apigateway", "GET", path)))
        _integrations[key] = (time.monotonic(), integration)
    return integration


def integration_of(known: Mapping[str, Any]) -> Integration:
    """Return an integration as it was deployed; the maker hid its URI among the request parameters."""
    parameters = dict(known["requestParameters"])
    return Integration(
        uri=parameters.pop(URI_PARAMETER),
        role=known["credentials"],
        request_templates=known.get("requestTemplates") or {},
        request_parameters=parameters,
        responses=known.get("integrationResponses") or {},
    )


_sessions: dict[str, tuple[float, Credentials]] = {}


def assumed(role: str) -> Credentials:
    """Return credentials of the integration's role, so that its policy counts."""
    taken, credentials = _sessions.get(role, (0.0, None))
    if credentials is None or time.monotonic() - taken > SESSION_SECONDS:
        form = {
            "Action": "AssumeRole",
            "Version": "2011-06-15",
            "RoleArn": role,
            "RoleSessionName": "apigateway",
        }
        answer = _as_root("sts", "POST", "/", urllib.parse.urlencode(form))
        found = {name: re.search(f"<{name}>([^<]+)<", answer) for name in CREDENTIALS}
        credentials = Credentials(*(match[1] for match in found.values() if match))
        _sessions[role] = (time.monotonic(), credentials)
    return credentials


def _as_root(service: str, method: str, path: str, body: str = "") -> str:
    """Call the emulator with its root credentials: API Gateway itself stands outside the account."""
    headers = {"Content-Type": "application/x-www-form-urlencoded"} if body else {}
    caller = signed.Caller(ROOT, service, os.environ["AWS_REGION"], headers)
    answer = signed.call(caller, method, f"{os.environ['AWS_ENDPOINT_URL']}{path}", body)
    if answer.status != HTTPStatus.OK:
        raise ConfigurationError(f"{service} answered {answer.status}: {answer.body}")
    return answer.body
