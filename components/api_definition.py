"""What the REST API answers, as one plain value: resources are made of it, its hash redeploys the stage."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from http import HTTPStatus

from . import answers, templates
from .answers import BROKEN, UNAVAILABLE, Asks, Failure, GatewayAnswer, Shape
from .cors import Cors
from .routes import GET, JSON, Read, Route, place
from .sources import DIRECT, Caller, Source

STAGE_NAME = "v1"
OPTIONS = "OPTIONS"
NO_CONTENT = HTTPStatus.NO_CONTENT.value
ANSWER_HEADER = "method.response.header."
FORM = {
    "integration.request.header.Content-Type": "'application/x-www-form-urlencoded'",
    # SQS answers XML unless asked, and the templates read JSON.
    "integration.request.header.Accept": "'application/json'",
}
PASSED_ON = ("Content-Type", "Cache-Control", "ETag", "Last-Modified")
"""What a caller gets of a back end's headers."""
TOLD = (400, 404, 410, 422, 429)
"""What a caller is told of a back end's refusals under their own status; any other is our fault."""
NO_BODY = '#set($body = "")'
"""Renders to nothing: without a template a caller's body would go on to the back end, past the cache's
key."""
HEALTHY = '{"status":"ok","requestId":"$context.requestId"}'


class Kind(StrEnum):
    """What is behind a method ("Choose an API Gateway API integration type")."""

    SQS = "AWS"
    HTTP = "HTTP"
    NOTHING = "MOCK"


@dataclass(frozen=True)
class Integration:
    """What is done with a request to a method."""

    kind: Kind
    templates: Mapping[str, str] = field(default_factory=dict)
    """By content type; any other is answered 415."""
    parameters: Mapping[str, str] = field(default_factory=dict)
    queue: str | None = None
    """Which queue it is about, where there are several."""
    uri: str | None = None
    """Of an HTTP back end."""
    cache_keys: Sequence[str] = ()
    timeout_ms: int | None = None


@dataclass(frozen=True)
class IntegrationAnswer:
    """How one class of answers from behind becomes ours. Each has a pattern, so none is ever the default.

    Only a method with nothing behind it has one without.
    """

    name: str
    status: int
    selection_pattern: str | None
    template: str | None
    """None hands the body on as it is."""
    headers: Mapping[str, str] = field(default_factory=dict)
    may_override: Sequence[str] = ()
    """Headers that the template may set."""


@dataclass(frozen=True)
class Method:
    """One method of one path."""

    path: str
    verb: str
    integration: Integration
    answers: Sequence[IntegrationAnswer]
    guarded: bool = True
    """Whether callers need what the API asks of them: to be let in, and a key."""
    parameters: Mapping[str, bool] = field(default_factory=dict)
    """What is read of a request, and whether it must be there."""
    schema: Mapping[str, object] | None = None

    @property
    def name(self) -> str:
        """What tells it from the others, also when a parameter gets another name: ``POST/orders/{}``."""
        return f"{self.verb}/{place(self.path)}"

    def model(self, door: str) -> str:
        """Return the name of its model among those of all front doors of an API: letters and digits alone."""
        return f"Body{hashlib.sha256(f'{door}/{self.name}'.encode()).hexdigest()[:12]}"

    @property
    def validated(self) -> bool:
        """Whether a request is checked before anything is done with it."""
        return self.schema is not None or any(self.parameters.values())


@dataclass(frozen=True)
class Definition:
    """The whole of the API that a deployment takes a picture of, less what other resources decide."""

    methods: Sequence[Method]
    gateway_answers: Sequence[GatewayAnswer]

    @property
    def paths(self) -> list[str]:
        """Every path and every part of one that leads to it, parents first."""
        found = {
            "/".join(segments[: depth + 1])
            for segments in (each.path.split("/") for each in self.methods)
            for depth in range(len(segments))
        }
        return sorted(found)

    @property
    def unguarded(self) -> list[str]:
        """The methods that everybody may call, as a policy's resources name them."""
        open_to_all = [each for each in self.methods if not each.guarded]
        return sorted({f"{each.verb}/{'*' if each.verb == OPTIONS else each.path}" for each in open_to_all})


@dataclass(frozen=True)
class Style:
    """What all methods have in common."""

    shape: Shape = Shape.PLAIN
    """How errors are written."""
    cors: Cors | None = None
    """Which browsers' pages may call."""
    caller: Caller = DIRECT
    """The variables that say who calls."""
    asks: Asks = Asks.TOKEN
    """What callers have to show."""

    @property
    def headers(self) -> Mapping[str, str]:
        """What is on every answer."""
        return self.cors.answer_headers() if self.cors else {}

    @property
    def error_headers(self) -> Mapping[str, str]:
        """What is on every error."""
        return {**self.headers, **self.error_type}

    @property
    def error_type(self) -> Mapping[str, str]:
        """The header that says how errors are written, where it is needed."""
        return {"Content-Type": f"'{self.shape.content_type}'"} if self.shape.content_type else {}


PLAIN = Style()


def define(
    routes: Sequence[Route],
    sizes: Mapping[str | None, int],
    reads: Sequence[Read] = (),
    health_path: str | None = None,
    style: Style = PLAIN,
) -> Definition:
    """Return the definition of an API.

    Args:
        routes: what puts messages into queues.
        sizes: the largest message of each queue, in bytes, by name; the first is the default.
        reads: what is read from back ends.
        health_path: the path that says that the API is there.
        style: what all methods have in common.
    """
    default = next(iter(sizes))
    methods = [
        *(_route(each, sizes[each.queue or default], style) for each in routes),
        *(_read(each, style) for each in reads),
        *([_health(health_path, style)] if health_path else []),
    ]
    if style.cors:
        methods += _preflights(methods, style.cors)
    schemas = any(each.schema is not None for each in methods)
    return Definition(
        methods, answers.gateway_answers(style.shape, style.headers, style.asks, schemas=schemas)
    )


def _headers(values: Mapping[str, str]) -> dict[str, str]:
    return {f"{ANSWER_HEADER}{name}": value for name, value in values.items()}


def _route(route: Route, max_message_size: int, style: Style) -> Method:
    message = route.message
    known = answers.failures(
        max_message_size,
        grouped=_theirs(message.group_id),
        deduplicated=_theirs(message.deduplication_id),
        mapped=any(map(_theirs, message.attributes.values())),
    )
    empty = route.success == NO_CONTENT
    accepted = (
        templates.accepted_batch(route.answer, style.shape, known, empty=empty)
        if message.batch
        else templates.accepted(route.answer, style.shape, empty=empty)
    )
    retry = {"Retry-After": f"'{answers.RETRY_AFTER_SECONDS}'"}
    return Method(
        path=route.path,
        verb=route.verb,
        integration=Integration(
            Kind.SQS,
            templates=dict.fromkeys(route.content_types, templates.send(message, style.caller)),
            parameters=FORM,
            queue=route.queue,
        ),
        answers=(
            IntegrationAnswer(
                "accepted",
                route.success,
                r"2\d{2}",
                accepted,
                _headers(style.headers),
                may_override=("Retry-After", *style.error_type),
            ),
            IntegrationAnswer(
                "refused",
                UNAVAILABLE.status,
                r"4\d{2}",
                templates.refused(known, style.shape),
                _headers(style.error_headers),
                may_override=("Retry-After",),
            ),
            IntegrationAnswer(
                "broken",
                BROKEN.status,
                r"5\d{2}",
                style.shape.body(BROKEN),
                _headers({**style.error_headers, **retry}),
            ),
        ),
        parameters=route.declared,
        schema=route.body_schema,
    )


def _theirs(source: Source | None) -> bool:
    """Whether a value comes from the caller."""
    return source is not None and source.theirs


def _read(read: Read, style: Style) -> Method:
    """Return a method that shows a back end's answer, and none of its errors' texts."""
    others = "|".join(str(status)[1:] for status in TOLD)
    passed_on = {name: f"integration.response.header.{name}" for name in PASSED_ON}

    def refusal(name: str, pattern: str, failure: Failure) -> IntegrationAnswer:
        headers = _headers(style.error_headers)
        return IntegrationAnswer(name, failure.status, pattern, style.shape.body(failure), headers)

    told = [
        Failure(HTTPStatus(status).name, f"{HTTPStatus(status).phrase}.", HTTPStatus(status))
        for status in TOLD
    ]
    backend = Failure(
        "BACKEND_UNAVAILABLE",
        "What is behind this path gave no answer that can be shown.",
        HTTPStatus.BAD_GATEWAY,
    )
    return Method(
        path=read.path,
        verb=GET,
        integration=Integration(
            Kind.HTTP,
            templates={JSON: NO_BODY},
            parameters=read.mapped,
            uri=read.url,
            cache_keys=sorted(read.mapped.values()),
            timeout_ms=read.timeout_ms,
        ),
        answers=(
            IntegrationAnswer(
                "found", HTTPStatus.OK, r"2\d{2}", None, _headers({**style.headers, **passed_on})
            ),
            *(refusal(f"refused-{int(each.status)}", str(int(each.status)), each) for each in told),
            refusal("broken", rf"3\d{{2}}|4(?!{others})\d{{2}}|5\d{{2}}", backend),
        ),
        parameters={source: ".path." in source for source in sorted(read.mapped.values())},
    )


def _health(path: str, style: Style) -> Method:
    """Return a method that answers by itself: it says that the API is there, nothing of what is behind."""
    return Method(
        path=path,
        verb=GET,
        integration=Integration(Kind.NOTHING, templates={JSON: '{"statusCode": 200}'}),
        answers=(
            IntegrationAnswer(
                "healthy",
                HTTPStatus.OK,
                None,
                HEALTHY,
                _headers({**style.headers, "Cache-Control": "'no-store'"}),
            ),
        ),
        guarded=False,
    )


def _preflights(methods: Sequence[Method], cors: Cors) -> list[Method]:
    """Return the methods by which browsers ask what a page may do (Fetch standard, CORS-preflight)."""
    by_path: dict[str, list[str]] = {}
    for each in methods:
        by_path.setdefault(each.path, []).append(each.verb)
    return [
        Method(
            path=path,
            verb=OPTIONS,
            integration=Integration(Kind.NOTHING, templates={JSON: f'{{"statusCode": {NO_CONTENT}}}'}),
            answers=(
                IntegrationAnswer(
                    "preflight",
                    NO_CONTENT,
                    None,
                    cors.preflight_template(),
                    _headers(cors.preflight_headers(verbs)),
                    may_override=cors.overridden,
                ),
            ),
            guarded=False,
        )
        for path, verbs in by_path.items()
    ]


def sqs_uri(queue_arn: str) -> str:
    """Return the integration URI that reaches one queue by its path."""
    _, partition, _, region, account, name = queue_arn.split(":", 5)
    return f"arn:{partition}:apigateway:{region}:sqs:path/{account}/{name}"


def invocation_uri(function_arn: str) -> str:
    """Return the URI by which API Gateway invokes a function."""
    _, partition, _, region, _ = function_arn.split(":", 4)
    return f"arn:{partition}:apigateway:{region}:lambda:path/2015-03-31/functions/{function_arn}/invocations"


def settings_path(path: str, verb: str) -> str:
    """Return how a stage's settings name one method: every slash but the verb's is written ``~1``.

    ("UpdateStage", API Gateway API reference)
    """
    return f"~1{path.replace('/', '~1')}/{verb}"


def fingerprint(definition: Definition, wiring: Mapping[str, object]) -> str:
    """Return the hash that makes a new deployment when anything that it captures changes.

    Args:
        definition: the API's own part.
        wiring: what comes from other resources: queues, role, authorizer, policy.
    """
    whole = json.dumps([asdict(definition), wiring], sort_keys=True)
    return hashlib.sha256(whole.encode()).hexdigest()
