"""API Gateway's integrations, done here because the emulator's own know too little: SQS, HTTP and MOCK.

The emulator hands over the request with its whole context; this validates it, renders the request template,
calls the service with the integration's role, chooses the integration response and renders the answer.
"""

import json
import os
import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.client import HTTPException
from typing import Any

from . import deployed, http_backend, mappings, sqs_wire, validation
from .deployed import Event, Integration, Method
from .mappings import ConfigurationError
from .validation import RefusalError
from .velocity import Request, TemplateError, render

DEFAULT_TYPE = "application/json"
FAULT_HEADER = "x-edge-fault"
"""Names the gateway response that is to be given in place of the answer that carries it."""
DETAIL_HEADER = "x-edge-fault-detail"
"""Tells, as JSON, what that gateway response's template can read of the error."""
CONTEXT_HEADER = "x-edge-context"
LEARNED_HEADER = "x-edge-learned"
"""Tells, as JSON, what the emulator knew of a caller whom it refused."""
ARRIVAL_HEADER = "x-edge-arrival"
"""With it the edge says, as JSON, what the client called and how it spelled its headers."""
CACHED_HEADER = "x-edge-cached"
"""With it the edge says that it has the answer, and only wants to know whether the request may have it."""
DOMAIN_HEADER = "x-edge-domain"
"""With it the edge says which domain name was called."""
CALLER = ("accessKey", "accountId", "caller", "principalOrgId", "user", "userArn")
"""What is known of a caller who signed."""
TRACE_HEADER = "x-amzn-trace-id"
ROOT_TRACE = re.compile(r"Root=(1-[0-9a-f]{8}-[0-9a-f]{24})")
SQS_URI = re.compile(r"arn:[^:]+:apigateway:(?P<region>[^:]+):sqs:path/(?P<queue>\d+/[^/]+)")
NOT_ANSWERED = "Network error communicating with endpoint"
TIMED_OUT = "Endpoint request timed out"

Context = dict[str, Any]
Response = dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """What an integration answered."""

    status: int
    body: str
    headers: Mapping[str, str] = field(default_factory=dict)
    called: bool = True
    """Whether anybody was asked."""
    milliseconds: int = 0


def handler(event: Event, _context: object) -> Response:
    """Answer the emulator as a proxy integration does."""
    context = template_context(event)
    try:
        answer = answer_to(event, context, deployed.method_for(event))
    except RefusalError as refusal:
        answer = fault(refusal.fault, context, refusal.message, refusal.reason)
    except (ConfigurationError, TemplateError) as error:
        print(f"integration cannot work: {error}")
        answer = fault("API_CONFIGURATION_ERROR", context)
    except TimeoutError:
        answer = fault("INTEGRATION_TIMEOUT", context, TIMED_OUT)
    except (OSError, HTTPException) as error:
        print(f"integration failed: {error}")
        answer = fault("INTEGRATION_FAILURE", context, NOT_ANSWERED)
    print(json.dumps({"requestId": context["requestId"], "status": answer["statusCode"]}))
    return answer


def fault(kind: str, context: Context, message: str = "", reason: str = "") -> Response:
    """Return what makes the edge give a gateway response.

    Args:
        kind: its type.
        context: the request's context.
        message: the error's own message; none for that of the type.
        reason: what validation found.
    """
    detail = {key: value for key, value in (("message", message), ("validation", reason)) if value}
    headers = {FAULT_HEADER: kind, CONTEXT_HEADER: json.dumps(seen(context))}
    if detail:
        headers[DETAIL_HEADER] = json.dumps(detail)
    return {"statusCode": 500, "headers": headers, "body": "{}"}


def seen(context: Context, answer: Answer | None = None) -> dict[str, Any]:
    """Return what the edge has to know of a request for its log and its metrics."""
    known = {"requestId": context["requestId"], "authorizer": context["authorizer"]}
    if caller := {name: value for name, value in context.get("identity", {}).items() if name in CALLER}:
        known["identity"] = caller
    if answer is None or not answer.called:
        return known
    return {**known, "integrationStatus": answer.status, "integrationLatency": answer.milliseconds}


def template_context(event: Event) -> Context:
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
    if domain := mappings.header(event.get("headers") or {}, DOMAIN_HEADER):
        context |= {"domainName": domain, "domainPrefix": domain.partition(".")[0]}
    return context


def answer_to(event: Event, context: Context, method: Method) -> Response:
    """Carry a request to the service and its answer back."""
    request = request_of(event)
    validation.check(request, method.checks)
    if mappings.header(event.get("headers") or {}, CACHED_HEADER):
        return {"statusCode": 200, "headers": {CONTEXT_HEADER: json.dumps(seen(context))}, "body": ""}
    if deployed.traced(event):
        context["xrayTraceId"] = trace_id(request)
    variables = event.get("stageVariables") or {}
    answer = ask(method.integration, request, context, variables)
    return response_from(answer, method.integration, request, context, variables)


def trace_id(request: Request) -> str:
    """Return the id of the caller's trace, or of a new one ("Tracing header", AWS X-Ray guide)."""
    given = ROOT_TRACE.search(mappings.header(request.headers, TRACE_HEADER) or "")
    return given[1] if given else f"1-{int(time.time()):08x}-{secrets.token_hex(12)}"


def ask(integration: Integration, request: Request, context: Context, variables: Mapping[str, str]) -> Answer:
    """Return what the integration answers to a request."""
    template = request_template(integration, request)
    if template is not None:
        validation.check_readable(request, template)
    text = request.body if template is None else render(template, request, context, variables).text
    started = time.monotonic()
    match integration.kind:
        case "MOCK":
            return mock(integration, text, templated=template is not None)
        case "HTTP":
            answer = from_http(integration, request, context)
        case "AWS":
            answer = from_sqs(integration, text, request, context)
        case _:
            raise ConfigurationError(f"this stand-in knows no integration of type {integration.kind}")
    return Answer(**{**vars(answer), "milliseconds": round((time.monotonic() - started) * 1000)})


def mock(integration: Integration, text: str, *, templated: bool) -> Answer:
    """Return what a MOCK answers: the status that its request template tells.

    Where no template was applied and the request tells of no status, that is the one of the response without
    a pattern ("Mock integrations for REST APIs in API Gateway").
    """
    try:
        status = json.loads(text)["statusCode"]
    except (ValueError, TypeError, KeyError):
        status = None
    if status is None and not templated:
        return Answer(int(default(integration.responses)["statusCode"]), "", called=False)
    if not isinstance(status, int) or isinstance(status, bool):
        raise ConfigurationError("statusCode should be an integer which defined in request template")
    return Answer(status, "", called=False)


def from_sqs(integration: Integration, form: str, request: Request, context: Context) -> Answer:
    """Return what SQS answers to a form."""
    target = SQS_URI.fullmatch(integration.uri)
    if target is None:
        raise ConfigurationError(f"this stand-in knows SQS by path only, not {integration.uri}")
    parts = mapped(integration, request, context)
    if parts.path or parts.query:
        raise ConfigurationError("this stand-in maps headers only to SQS")
    answer = sqs_wire.post(
        f"{os.environ['AWS_ENDPOINT_URL']}/{target['queue']}",
        form,
        parts.headers,
        deployed.assumed(integration.role),
        target["region"],
    )
    return Answer(answer.status, answer.body)


def from_http(integration: Integration, request: Request, context: Context) -> Answer:
    """Return what an HTTP back end answers."""
    parts = mapped(integration, request, context)
    given = {
        "Accept": DEFAULT_TYPE,
        "User-Agent": f"AmazonAPIGateway_{context['apiId']}",
        "x-amzn-apigateway-api-id": context["apiId"],
    }
    named = {name.lower() for name in parts.headers}
    headers = {name: value for name, value in given.items() if name.lower() not in named} | {**parts.headers}
    url = http_backend.url_of(integration.uri, parts)
    reply = http_backend.get(url, headers, integration.timeout_seconds)
    return Answer(reply.status, reply.body, reply.headers)


def mapped(integration: Integration, request: Request, context: Context) -> http_backend.Parts:
    """Return what the request parameters make of a request, without what is absent."""
    found: dict[str, dict[str, str]] = {"path": {}, "querystring": {}, "header": {}}
    for target, source in integration.request_parameters.items():
        place, name = mappings.name_of(target)
        if place not in found:
            raise ConfigurationError(f"this stand-in maps path, querystring and header, not {target}")
        value = mappings.request_value(source, request, context)
        if value is not None:
            found[place][name] = value
    return http_backend.Parts(found["path"], found["querystring"], found["header"])


def response_from(
    service: Answer,
    integration: Integration,
    request: Request,
    context: Context,
    variables: Mapping[str, str] | None = None,
) -> Response:
    """Choose the integration response by the service's status, and render it."""
    chosen = select(integration.responses, service.status)
    templates = chosen.get("responseTemplates") or {}
    template = templates.get(DEFAULT_TYPE)
    status, body, headers = int(chosen["statusCode"]), service.body, {"Content-Type": DEFAULT_TYPE}
    replace(headers, mappings.method_headers(chosen.get("responseParameters") or {}, service.headers))
    if template is not None:
        answered = Request(service.body, request.headers, request.query, request.path)
        rendered = render(template, answered, context, variables)
        body, status = rendered.text, rendered.status or status
        replace(headers, rendered.headers)
    headers[CONTEXT_HEADER] = json.dumps(seen(context, service))
    return {"statusCode": status, "headers": headers, "body": body}


def replace(headers: dict[str, str], others: Mapping[str, str]) -> None:
    """Put headers in the place of those of the same name, in whatever case."""
    for name, value in others.items():
        for known in [each for each in headers if each.lower() == name.lower()]:
            del headers[known]
        headers[name] = value


def request_of(event: Event) -> Request:
    """Return what a template can read; what the edge added on the way is not the client's."""
    headers = {
        key: value for key, value in (event.get("headers") or {}).items() if not key.startswith("x-edge-")
    }
    # Of several values of one name the last one counts.
    several = event.get("multiValueQueryStringParameters") or {}
    return Request(
        body=event.get("body") or "",
        headers=headers,
        query={name: values[-1] for name, values in several.items() if values},
        path=event.get("pathParameters") or {},
    )


def request_template(integration: Integration, request: Request) -> str | None:
    """Return the template for a request's content type; none where the request is passed through.

    Raises:
        RefusalError: if the integration takes no such content type.
    """
    content_type = validation.media_type(request)
    template = integration.request_templates.get(content_type)
    if template is not None:
        return template
    passes = {"WHEN_NO_MATCH": True, "WHEN_NO_TEMPLATES": not integration.request_templates}
    if passes.get(integration.passthrough):
        return None
    raise RefusalError("UNSUPPORTED_MEDIA_TYPE", "Unsupported Media Type")


def select(responses: Mapping[str, Mapping[str, Any]], status: int) -> Mapping[str, Any]:
    """Return the integration response whose pattern fits, or the one that has no pattern."""
    for response in responses.values():
        pattern = response.get("selectionPattern")
        if pattern and re.fullmatch(pattern, str(status)):
            return response
    return default(responses, status)


def default(responses: Mapping[str, Mapping[str, Any]], status: int | None = None) -> Mapping[str, Any]:
    """Return the integration response that has no pattern.

    Raises:
        ConfigurationError: if each has one.
    """
    for response in responses.values():
        if not response.get("selectionPattern"):
            return response
    raise ConfigurationError(f"no integration response fits {status}")
