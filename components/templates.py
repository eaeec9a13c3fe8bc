"""The mapping templates (VTL) between HTTP and SQS, generated from typed fields. Nobody writes VTL by hand.

They stay in the part of the language on which every Velocity agrees: ``#set``, ``#if``, ``#elseif``, ``==``,
``&&``, string methods. ``#if`` stands only where AWS needs it: an optional attribute must vanish when it is
absent, since SQS refuses empty attribute values, and an answer must be honest.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus

RETRY_AFTER_SECONDS = 5
"""What a caller is told to wait when the queue is throttled or unavailable."""


class Answer(StrEnum):
    """What a caller reads when its message was accepted."""

    SUMMARY = "summary"
    """``{"messageId", "requestId"}``"""
    SQS = "sqs"
    """SQS's own answer: ``{"SendMessageResponse": {...}}`` with MD5OfMessageBody, MessageId and RequestId."""


@dataclass(frozen=True)
class Attribute:
    """One message attribute, of type String, taken from the request."""

    name: str
    variable: str
    """A VTL reference, for example ``$context.requestId``."""
    optional: bool = False
    """Whether the value may be absent; the attribute then vanishes."""


ATTRIBUTES = (
    Attribute("requestId", "$context.requestId"),
    Attribute("sourceIp", "$context.identity.sourceIp"),
    Attribute("principal", "$context.authorizer.principalId", optional=True),
)


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


def failures(max_message_size: int) -> tuple[Failure, ...]:
    """Return what SQS's 4xx answers mean; any other is `UNAVAILABLE`.

    SQS answers 400 both for what the caller did and for what we did, so only what is surely the caller's is
    told as a 4xx ("SendMessage", Amazon SQS API Reference; an oversize body shares its code with a malformed
    field of ours, and only its text tells them apart).
    """
    return (
        Failure(
            "BAD_REQUEST_BODY",
            "The body holds characters that a queue message cannot carry.",
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
            "QUEUE_THROTTLED",
            "The message was not accepted: the queue is busy.",
            HTTPStatus.SERVICE_UNAVAILABLE,
            errors=("RequestThrottled", "ThrottlingException", "KmsThrottled", "KMS.ThrottlingException"),
            retry=True,
        ),
    )


def send_message(attributes: Sequence[Attribute] = ATTRIBUTES) -> str:
    """Return the request template: the form that SQS's SendMessage takes, every value url-encoded."""
    always = [each for each in attributes if not each.optional]
    optional = [each for each in attributes if each.optional]
    form = "Action=SendMessage&MessageBody=$util.urlEncode($input.body)"
    form += "".join(_attribute(each, str(index)) for index, each in enumerate(always, start=1))
    if not optional:
        return form
    return f"#set($n = {len(always)}){form}" + "".join(
        f'#if({each.variable} && {each.variable} != "")#set($n = $n + 1){_attribute(each, "${n}")}#end'
        for each in optional
    )


def _attribute(attribute: Attribute, index: str) -> str:
    prefix = f"&MessageAttribute.{index}"
    return (
        f"{prefix}.Name={attribute.name}{prefix}.Value.DataType=String"
        f"{prefix}.Value.StringValue=$util.urlEncode({attribute.variable})"
    )


def accepted(answer: Answer) -> str:
    """Return the template for SQS's 2xx: the answer, or a refusal where SQS named no message."""
    body = {
        Answer.SUMMARY: '{"messageId":"$id","requestId":"$context.requestId"}',
        Answer.SQS: "$input.json('$')",
    }[answer]
    return (
        "#set($id = $input.path('$.SendMessageResponse.SendMessageResult.MessageId'))"
        f'#if($id && $id != ""){body}#else{_overriding(UNAVAILABLE)}#end'
    )


def refused(known: Sequence[Failure]) -> str:
    """Return the template for SQS's 4xx: whose fault it was, decided by SQS's error code."""
    branches = "".join(
        f"{'#elseif' if index else '#if'}({_condition(failure)}){_overriding(failure)}"
        for index, failure in enumerate(known)
    )
    return (
        "#set($error = $input.path('$.Error.Code'))#set($text = $input.path('$.Error.Message'))"
        f"{branches}#else{failure_body(UNAVAILABLE)}#end"
    )


def _condition(failure: Failure) -> str:
    codes = " || ".join(f'$error == "{code}"' for code in failure.errors)
    if not failure.saying:
        return codes
    return f'({codes}) && $text && $text.contains("{failure.saying}")'


def _overriding(failure: Failure) -> str:
    status = f"#set($context.responseOverride.status = {failure.status.value})"
    retry = f'#set($context.responseOverride.header.Retry-After = "{RETRY_AFTER_SECONDS}")'
    return status + (retry if failure.retry else "") + failure_body(failure)


def failure_body(failure: Failure) -> str:
    """Return the one shape of every error that the front door answers with."""
    return error_body(json.dumps(failure.code), json.dumps(failure.message))


def error_body(code: str, message: str) -> str:
    """Return the JSON of an error, from a code and a message that are JSON (or VTL that renders to it)."""
    return f'{{"code":{code},"message":{message},"requestId":"$context.requestId"}}'
