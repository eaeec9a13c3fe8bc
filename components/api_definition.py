"""What the REST API answers, as one plain value: resources are made of it, its hash redeploys the stage."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

from . import templates

METHOD = "POST"
JSON = "application/json"
RETRY_AFTER = "method.response.header.Retry-After"


@dataclass(frozen=True)
class IntegrationAnswer:
    """How one class of SQS's answers becomes ours. Each has a pattern, so none is ever the default."""

    name: str
    status: int
    selection_pattern: str
    template: str
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class GatewayAnswer:
    """What API Gateway itself answers when a request never gets to the queue."""

    response_type: str
    status: int | None
    """None keeps API Gateway's own status for the type."""
    message: str
    """JSON. API Gateway only replaces ``$context`` variables here; this is no template."""
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def template(self) -> str:
        """The body: the same shape as every other error."""
        return templates.error_body('"$context.error.responseType"', self.message)


# Fixed texts: API Gateway's own name the resource's ARN, or repeat the Authorization header.
GATEWAY_ANSWERS = (
    GatewayAnswer("DEFAULT_4XX", None, '"The request was refused."'),
    GatewayAnswer("DEFAULT_5XX", None, '"The request could not be handled."'),
    GatewayAnswer(
        "UNAUTHORIZED",
        401,
        '"A valid Authorization header is required."',
        {"gatewayresponse.header.WWW-Authenticate": "'Bearer'"},
    ),
    GatewayAnswer("ACCESS_DENIED", 403, '"This caller is not allowed to do that."'),
    GatewayAnswer("MISSING_AUTHENTICATION_TOKEN", 403, '"There is nothing at this path and method."'),
    GatewayAnswer("REQUEST_TOO_LARGE", 413, '"The body is larger than 10 MB."'),
    GatewayAnswer("UNSUPPORTED_MEDIA_TYPE", 415, '"This Content-Type is not taken."'),
    GatewayAnswer(
        "THROTTLED",
        429,
        '"Too many requests."',
        {"gatewayresponse.header.Retry-After": "'1'"},
    ),
)


@dataclass(frozen=True)
class Definition:
    """The whole of the API that a deployment takes a picture of, less what other resources decide."""

    segments: Sequence[str]
    method: str
    request_templates: Mapping[str, str]
    request_parameters: Mapping[str, str]
    answers: Sequence[IntegrationAnswer]
    gateway_answers: Sequence[GatewayAnswer]


def define(
    path: str, content_types: Sequence[str], answer: templates.Answer, max_message_size: int
) -> Definition:
    """Return the definition of an API with one path that puts what it is sent into a queue."""
    return Definition(
        segments=path.split("/"),
        method=METHOD,
        request_templates=dict.fromkeys(content_types, templates.send_message()),
        request_parameters={
            "integration.request.header.Content-Type": "'application/x-www-form-urlencoded'",
            # SQS answers XML unless asked, and the templates below read JSON.
            "integration.request.header.Accept": "'application/json'",
        },
        answers=(
            IntegrationAnswer("accepted", 202, r"2\d{2}", templates.accepted(answer)),
            IntegrationAnswer(
                "refused",
                templates.UNAVAILABLE.status,
                r"4\d{2}",
                templates.refused(templates.failures(max_message_size)),
            ),
            IntegrationAnswer(
                "broken",
                templates.BROKEN.status,
                r"5\d{2}",
                templates.failure_body(templates.BROKEN),
                {RETRY_AFTER: f"'{templates.RETRY_AFTER_SECONDS}'"},
            ),
        ),
        gateway_answers=GATEWAY_ANSWERS,
    )


def sqs_uri(queue_arn: str) -> str:
    """Return the integration URI that reaches one queue by its path."""
    _, partition, _, region, account, name = queue_arn.split(":", 5)
    return f"arn:{partition}:apigateway:{region}:sqs:path/{account}/{name}"


def invocation_uri(function_arn: str) -> str:
    """Return the URI by which API Gateway invokes a function."""
    _, partition, _, region, _ = function_arn.split(":", 4)
    return f"arn:{partition}:apigateway:{region}:lambda:path/2015-03-31/functions/{function_arn}/invocations"


def fingerprint(definition: Definition, wiring: Mapping[str, object]) -> str:
    """Return the hash that makes a new deployment when anything that it captures changes.

    Args:
        definition: the API's own part.
        wiring: what comes from other resources: queue, role, authorizer.
    """
    whole = json.dumps([asdict(definition), wiring], sort_keys=True)
    return hashlib.sha256(whole.encode()).hexdigest()
