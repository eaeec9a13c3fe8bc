"""The mapping templates (VTL) between HTTP and SQS, generated from typed fields. Nobody writes VTL by hand.

They stay in the part of the language on which every Velocity agrees. ``#if`` stands only where AWS needs it:
a field must vanish when it is absent, since SQS refuses empty values, and an answer must be honest.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from sluice.sqs import TRACE

from .answers import BAD_BATCH, INCOMPLETE, UNAVAILABLE, Failure, Shape
from .sources import DIRECT, HEADERS, VALUE, Caller, Kind, Source


class Answer(StrEnum):
    """What a caller reads when its message was accepted."""

    SUMMARY = "summary"
    """``{"messageId", "requestId"}``; of a batch ``{"entries": [{"index", "messageId"}], "requestId"}``"""
    SQS = "sqs"
    """SQS's own answer: ``{"SendMessageResponse": {...}}`` with MD5OfMessageBody, MessageId and RequestId."""


BUILT_IN = {
    "requestId": Source(Kind.CONTEXT, "request_id"),
    "sourceIp": Source(Kind.CONTEXT, "source_ip"),
    "principal": Source(Kind.CONTEXT, "principal"),
}
"""The message attributes that every message carries, as far as there is a value."""


@dataclass(frozen=True)
class Message:
    """What is made of a request, besides the body: where each field of the message comes from."""

    attributes: Mapping[str, Source] = field(default_factory=dict)
    """Message attributes of the user's, all of type String, by name."""
    group_id: Source | None = None
    deduplication_id: Source | None = None
    delay_seconds: int | None = None
    trace_header: bool = False
    """Whether a trace goes on through the queue ("Amazon SQS and AWS X-Ray")."""
    batch: bool = False
    """Whether the body is an array of messages."""

    @property
    def sources(self) -> Sequence[Source]:
        """Everything that is read of a request."""
        ids = [each for each in (self.group_id, self.deduplication_id) if each]
        return [*self.attributes.values(), *ids]


def send(message: Message, caller: Caller = DIRECT) -> str:
    """Return the request template: the form that SQS takes, every value url-encoded."""
    headers = HEADERS if any(each.kind is Kind.HEADER for each in message.sources) else ""
    if not message.batch:
        body = "MessageBody=$util.urlEncode($input.body)"
        return f"Action=SendMessage{headers}&{body}{_fields(message, caller, '&', '$')}"
    entry = "&SendMessageBatchRequestEntry.${entry}."
    root = "$[${index}]"
    body = f'{entry}MessageBody=$util.urlEncode($input.json("{root}"))'
    return (
        f"Action=SendMessageBatch{headers}#set($entry = 0)#foreach($each in $input.path('$'))"
        f"#set($index = $entry)#set($entry = $entry + 1){entry}Id=$index"
        f"{body}{_fields(message, caller, entry, root)}#end"
    )


def _fields(message: Message, caller: Caller, prefix: str, root: str) -> str:
    """Return everything of one message but its body; each field's name gets a prefix."""

    def present(source: Source, part: str) -> str:
        return _present(source, source.reading(root, caller), part)

    text = "#set($n = 0)"
    for name, source in {**BUILT_IN, **message.attributes}.items():
        text += present(source, "#set($n = $n + 1)" + _attribute(f"{prefix}MessageAttribute.${{n}}", name))
    for name, id_source in (
        ("MessageGroupId", message.group_id),
        ("MessageDeduplicationId", message.deduplication_id),
    ):
        if id_source:
            text += present(id_source, f"{prefix}{name}=$util.urlEncode({VALUE})")
    if message.delay_seconds is not None:
        text += f"{prefix}DelaySeconds={message.delay_seconds}"
    if message.trace_header:
        header = _attribute(f"{prefix}MessageSystemAttribute.1", TRACE, '"Root=$value"')
        text += present(Source(Kind.CONTEXT, "trace_id"), header)
    return text


def _present(source: Source, reading: str, text: str) -> str:
    """Return a part of the form that is there only where its value is."""
    if source.fixed is not None:
        return text.replace(f"$util.urlEncode({VALUE})", source.fixed)
    return f'{reading}#if({VALUE} != ""){text}#end'


def _attribute(prefix: str, name: str, value: str = VALUE) -> str:
    return (
        f"{prefix}.Name={name}{prefix}.Value.DataType=String"
        f"{prefix}.Value.StringValue=$util.urlEncode({value})"
    )


def accepted(answer: Answer, shape: Shape, *, empty: bool = False) -> str:
    """Return the template for SQS's 2xx: the answer, or a refusal where SQS named no message."""
    summary = '{"messageId":"$id","requestId":"$context.requestId"}'
    told = "" if empty else {Answer.SUMMARY: summary, Answer.SQS: "$input.json('$')"}[answer]
    return (
        "#set($id = $input.path('$.SendMessageResponse.SendMessageResult.MessageId'))"
        f'#if($id && $id != ""){told}#else{shape.overriding(UNAVAILABLE)}#end'
    )


def accepted_batch(answer: Answer, shape: Shape, known: Sequence[Failure], *, empty: bool = False) -> str:
    """Return the template for SQS's 2xx to a batch, which may hold refusals ("SendMessageBatch").

    A batch of which a part was refused is never answered with a 2xx.
    """
    taken = (
        f'#foreach($each in $good)#if({_NAMED})$comma{{"index":$each.Id,"messageId":"$each.MessageId"}}'
        '#set($comma = ",")#end#end'
    )
    told = _branches(known, _entry, UNAVAILABLE)
    not_taken = f'#foreach($each in $bad)#if("$!each.Id" != "")$comma{_CAUSE}{told}#set($comma = ",")#end#end'
    whole = f'{{"entries":[#set($comma = ""){taken}],"requestId":"$context.requestId"}}'
    success = "" if empty else {Answer.SUMMARY: whole, Answer.SQS: "$input.json('$')"}[answer]
    entries = f'"entries":[#set($comma = ""){taken}{not_taken}]'
    counted = _branches([each for each in known if each.theirs], lambda _: "", "#set($ours = $ours + 1)")
    return (
        f"{_results('good', 'Successful', 'SendMessageBatchResultEntry')}"
        f"{_results('bad', 'Failed', 'BatchResultErrorEntry')}"
        "#set($accepted = 0)#set($refused = 0)#set($ours = 0)"
        f"#foreach($each in $good)#if({_NAMED})#set($accepted = $accepted + 1)"
        "#else#set($refused = $refused + 1)#set($ours = $ours + 1)#end#end"
        "#foreach($each in $bad)#set($refused = $refused + 1)"
        f'#if("$!each.Id" == "")#set($ours = $ours + 1)#else{_CAUSE}{counted}#end#end'
        f"#if($refused == 0 && $accepted > 0){success}"
        f"#elseif($refused == 0){shape.overriding(UNAVAILABLE)}"
        f"#elseif($ours == 0){shape.overriding(BAD_BATCH, entries)}"
        f"#else{shape.overriding(INCOMPLETE, entries)}#end"
    )


def _results(variable: str, name: str, element: str) -> str:
    """Return the VTL that gathers entries of SQS's answer into a list.

    The reference gives the lists' names for JSON and the elements' for XML; over this protocol SQS answers
    JSON with names in lower case in places, so each is looked for.
    """
    names = f'["{name}", "{name.lower()}", "{element}"]'
    return (
        "#set($result = $input.path('$.SendMessageBatchResponse.SendMessageBatchResult'))"
        f"#set(${variable} = [])#foreach($key in {names})#foreach($each in $result.get($key))"
        f"#set($none = ${variable}.add($each))#end#end"
    )


_NAMED = '"$!each.Id" != "" && "$!each.MessageId" != ""'
_CAUSE = '#set($error = "$!each.Code")#set($text = "$!each.Message")'


def _entry(failure: Failure) -> str:
    return f'{{"index":$each.Id,"code":{json.dumps(failure.code)},"message":{json.dumps(failure.message)}}}'


def refused(known: Sequence[Failure], shape: Shape) -> str:
    """Return the template for SQS's 4xx: whose fault it was, decided by SQS's error code."""
    return (
        "#set($error = \"$!input.path('$.Error.Code')\")#set($text = \"$!input.path('$.Error.Message')\")"
        + _branches(known, shape.overriding, shape.body(UNAVAILABLE))
    )


def _branches(known: Sequence[Failure], told: Callable[[Failure], str], otherwise: Failure | str) -> str:
    """Return the VTL that tells of the first failure that ``$error`` and ``$text`` fit, or of another."""
    rest = told(otherwise) if isinstance(otherwise, Failure) else otherwise
    text = "".join(
        f"{'#elseif' if index else '#if'}({_condition(failure)}){told(failure)}"
        for index, failure in enumerate(known)
    )
    return f"{text}#else{rest}#end"


def _condition(failure: Failure) -> str:
    codes = " || ".join(f'$error == "{code}"' for code in failure.errors)
    return f'({codes}) && $text.contains("{failure.saying}")' if failure.saying else codes
