"""What callers are told when something is wrong: the one shape of all errors, and who is at fault."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from http import HTTPStatus

RETRY_AFTER_SECONDS = 5
"""What a caller is told to wait when the queue is throttled or unavailable."""
PROBLEM_JSON = "application/problem+json"
REQUEST_ID = "$context.requestId"


@dataclass(frozen=True)
class Failure:
    """How one refusal by SQS is told to the caller, and how it is recognised."""

    code: str
    message: str
    status: HTTPStatus
    errors: Sequence[str] = ()
    """The error codes of SQS that mean this."""
    saying: str = ""
    """A part of SQS's message that must be there too, where the code alone is ambiguous."""
    retry: bool = False
    """Whether the same request may succeed a little later."""

    @property
    def theirs(self) -> bool:
        """Whether the caller is at fault."""
        return self.status < HTTPStatus.INTERNAL_SERVER_ERROR


UNAVAILABLE = Failure(
    "QUEUE_UNAVAILABLE", "The message was not accepted: the queue refused it.", HTTPStatus.BAD_GATEWAY
)
"""What is left when nothing else fits: a missing queue, a denial, a key that is disabled. Never the caller's
fault, and SQS's own text never leaves, since it names queues, roles and accounts."""

BROKEN = Failure(
    "QUEUE_UNAVAILABLE",
    "The message was not accepted: the queue is unavailable.",
    HTTPStatus.SERVICE_UNAVAILABLE,
    retry=True,
)
INCOMPLETE = Failure(
    "BATCH_INCOMPLETE",
    "Not every message was accepted: see entries, and send again those that have a code.",
    HTTPStatus.BAD_GATEWAY,
)
BAD_BATCH = Failure(
    "BATCH_INCOMPLETE",
    "Not every message can be accepted: see entries, and mend those that have a code.",
    HTTPStatus.BAD_REQUEST,
)


class Shape(StrEnum):
    """How an error is written."""

    PLAIN = "plain"
    """``{"code", "message", "requestId"}``"""
    PROBLEM = "problem"
    """The same as ``application/problem+json`` (RFC 9457): ``{"title", "status", "detail", "code",
    "requestId"}``."""

    def body(self, failure: Failure, extra: str = "") -> str:
        """Return the body of a failure, with more members (JSON, or VTL that renders to it)."""
        return self.error(json.dumps(failure.code), json.dumps(failure.message), failure.status, extra)

    def error(self, code: str, message: str, status: int | None, extra: str = "") -> str:
        """Return the JSON of an error, from a code and a message that are JSON (or VTL that renders to it).

        Args:
            code: a word for programs.
            message: a sentence for people.
            status: the HTTP status; none where API Gateway decides it.
            extra: more members.
        """
        members = [f'"code":{code}', f'"message":{message}']
        if self is Shape.PROBLEM:
            # "about:blank", the type of a problem that says none, has the status' phrase as its title.
            known = [f'"title":"{HTTPStatus(status).phrase}"', f'"status":{int(status)}'] if status else []
            members = [*known, f'"detail":{message}', f'"code":{code}']
        return "{" + ",".join([*members, f'"requestId":"{REQUEST_ID}"', *([extra] if extra else [])]) + "}"

    def overriding(self, failure: Failure, extra: str = "") -> str:
        """Return the VTL that answers with a failure in place of what the response would be."""
        text = f"#set($context.responseOverride.status = {failure.status.value})"
        if failure.retry:
            text += f'#set($context.responseOverride.header.Retry-After = "{RETRY_AFTER_SECONDS}")'
        if self is Shape.PROBLEM:
            text += f'#set($context.responseOverride.header.Content-Type = "{PROBLEM_JSON}")'
        return text + self.body(failure, extra)

    @property
    def content_type(self) -> str | None:
        """The media type of an error, where it is not that of every answer."""
        return PROBLEM_JSON if self is Shape.PROBLEM else None


def failures(
    max_message_size: int, *, grouped: bool = False, deduplicated: bool = False, mapped: bool = False
) -> tuple[Failure, ...]:
    """Return what SQS's 4xx answers mean; any other is `UNAVAILABLE`.

    SQS answers 400 both for what the caller did and for what we did, so only what is surely the caller's is
    told as a 4xx ("SendMessage", Amazon SQS API Reference; an oversize body shares its code with a malformed
    field of ours, and only its text tells them apart).

    Args:
        max_message_size: bytes that the queue takes.
        grouped: whether the request gives the message group id.
        deduplicated: whether the request gives the deduplication id.
        mapped: whether the request gives message attributes.
    """
    found = [
        Failure(
            "BAD_REQUEST_BODY",
            "The request holds characters that a queue message cannot carry.",
            HTTPStatus.BAD_REQUEST,
            errors=("InvalidMessageContents",),
        ),
        Failure(
            "REQUEST_TOO_LARGE",
            f"The body and its attributes take more than {max_message_size} bytes.",
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            errors=("InvalidParameterValue",),
            saying="must be shorter than",
        ),
        Failure(
            "REQUEST_TOO_LARGE",
            "The messages of the batch take too many bytes together.",
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            errors=_either("BatchRequestTooLong"),
        ),
        Failure(
            "BAD_REQUEST_BODY",
            "The body is not a list of 1 to 10 messages.",
            HTTPStatus.BAD_REQUEST,
            errors=(*_either("TooManyEntriesInBatchRequest"), *_either("EmptyBatchRequest")),
        ),
        Failure(
            "QUEUE_THROTTLED",
            "The message was not accepted: the queue is busy.",
            HTTPStatus.SERVICE_UNAVAILABLE,
            errors=("RequestThrottled", "ThrottlingException", "KmsThrottled", "KMS.ThrottlingException"),
            retry=True,
        ),
    ]
    wanted = {"MessageGroupId": grouped, "MessageDeduplicationId": deduplicated, "ttribute": mapped}
    codes = {
        "MessageGroupId": ("BAD_GROUP_ID", "the message group id"),
        "MessageDeduplicationId": ("BAD_DEDUPLICATION_ID", "the message deduplication id"),
        "ttribute": ("BAD_ATTRIBUTE", "a message attribute"),
    }
    return (
        *found,
        *(
            Failure(
                codes[field_name][0],
                f"The request holds no value that can be {codes[field_name][1]}.",
                HTTPStatus.BAD_REQUEST,
                errors=("MissingParameter", "InvalidParameterValue"),
                saying=field_name,
            )
            for field_name, given in wanted.items()
            if given
        ),
    )


def _either(code: str) -> tuple[str, str]:
    """Return a code as SQS's two protocols write it ("Amazon SQS API error codes")."""
    return code, f"AWS.SimpleQueueService.{code}"


@dataclass(frozen=True)
class GatewayAnswer:
    """What API Gateway itself answers when a request never gets to the queue ("Gateway response types")."""

    response_type: str
    status: int | None
    """None keeps API Gateway's own status for the type."""
    message: str
    """JSON. API Gateway only replaces ``$context`` variables here; this is no template."""
    headers: Mapping[str, str] = field(default_factory=dict)
    shape: Shape = Shape.PLAIN

    @property
    def template(self) -> str:
        """The body: the same shape as every other error."""
        known = '"$context.error.responseType"' if self.status is None else json.dumps(self.response_type)
        return self.shape.error(known, self.message, self.status)


class Asks(StrEnum):
    """What callers have to show, so that they can be told what is missing."""

    TOKEN = "token"  # noqa: S105 - a kind, not a secret
    """A token in the Authorization header."""
    PARTS = "parts"
    """Other parts of the request."""
    SIGNATURE = "signature"
    """A signature of IAM's."""


UNAUTHORIZED = {
    Asks.TOKEN: '"A valid Authorization header is required."',
    Asks.PARTS: '"What says who calls is missing."',
    Asks.SIGNATURE: '"A signed request is required."',
}
NOTHING_THERE = '"There is nothing at this path and method."'
NOT_SIGNED = '"There is nothing at this path and method, or the request is not signed."'
"""API Gateway tells the two apart no more than this ("MISSING_AUTHENTICATION_TOKEN")."""


def gateway_answers(
    shape: Shape, cors: Mapping[str, str], asks: Asks = Asks.TOKEN, *, schemas: bool
) -> tuple[GatewayAnswer, ...]:
    """Return the gateway responses of an API.

    Their texts are fixed: API Gateway's own name the resource's ARN, or repeat the Authorization header. Only
    what the validators say is passed on: it speaks of the schema and of the caller's own body.

    Args:
        shape: how errors are written.
        cors: headers for browsers, by name.
        asks: what callers have to show.
        schemas: whether bodies are checked.
    """
    # In quotes, as everybody writes it: AWS does not say that what it puts in is escaped for JSON.
    invalid = '"The body is not what this path takes. $context.error.validationErrorString"'
    texts: Mapping[str, tuple[int | None, str, Mapping[str, str]]] = {
        "DEFAULT_4XX": (None, '"The request was refused."', {}),
        "DEFAULT_5XX": (None, '"The request could not be handled."', {}),
        "BAD_REQUEST_BODY": (400, invalid if schemas else '"The body cannot be read."', {}),
        "BAD_REQUEST_PARAMETERS": (400, "$context.error.messageString", {}),
        "UNAUTHORIZED": (
            401,
            UNAUTHORIZED[asks],
            {"WWW-Authenticate": "'Bearer'"} if asks is Asks.TOKEN else {},
        ),
        "ACCESS_DENIED": (403, '"This caller is not allowed to do that."', {}),
        "EXPIRED_TOKEN": (403, '"The credentials have expired."', {}),
        "INVALID_API_KEY": (403, '"A valid x-api-key header is required."', {}),
        "INVALID_SIGNATURE": (403, '"The signature of the request is wrong."', {}),
        "MISSING_AUTHENTICATION_TOKEN": (
            403,
            NOT_SIGNED if asks is Asks.SIGNATURE else NOTHING_THERE,
            {},
        ),
        "WAF_FILTERED": (403, '"The request was refused by a filter."', {}),
        "REQUEST_TOO_LARGE": (413, '"The body is larger than 10 MB."', {}),
        "UNSUPPORTED_MEDIA_TYPE": (415, '"This Content-Type is not taken."', {}),
        "QUOTA_EXCEEDED": (429, '"The quota of this API key is used up."', {}),
        "THROTTLED": (429, '"Too many requests."', {"Retry-After": "'1'"}),
        "API_CONFIGURATION_ERROR": (500, '"The request could not be handled."', {}),
        "AUTHORIZER_CONFIGURATION_ERROR": (500, '"The authorizer does not work."', {}),
        "AUTHORIZER_FAILURE": (500, '"The authorizer does not work."', {}),
        "INTEGRATION_FAILURE": (504, '"What is behind this path could not be reached."', {}),
        "INTEGRATION_TIMEOUT": (
            504,
            '"What is behind this path did not answer in time. A message may have been accepted."',
            {},
        ),
    }
    content_type = {"Content-Type": f"'{shape.content_type}'"} if shape.content_type else {}
    return tuple(
        GatewayAnswer(
            response_type,
            status,
            message,
            {
                f"gatewayresponse.header.{name}": value
                for name, value in {**content_type, **cors, **headers}.items()
            },
            shape,
        )
        for response_type, (status, message, headers) in texts.items()
    )
