"""Every template that the components make, and what a message must then hold.

A template that is new goes into `TEMPLATES` or `ANSWERS`, and every test here is of it too.
"""

import functools
import inspect
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from components import guard
from components.answers import BROKEN, Shape, failures
from components.api_definition import Kind as Behind
from components.api_definition import Method, Style, define
from components.cors import Cors
from components.routes import Read
from components.sources import ADDRESS, CLAIMS, CONTEXT, DIRECT, PRINCIPAL, Caller, Kind, Source, parse
from components.templates import BUILT_IN, Answer, Message, accepted, accepted_batch, refused, send
from local.standin.velocity import Request


def source(text: str) -> Source:
    """Return the source that a text names."""
    found = parse(text)
    assert found is not None, text
    return found


def message(attributes: Mapping[str, str], **more: Any) -> Message:
    """Return a message with attributes from sources."""
    return Message({name: source(text) for name, text in attributes.items()}, **more)


def methods(shape: Shape) -> Sequence[Method]:
    """Return the methods that put nothing into a queue."""
    reads = [Read("orders/{id}", "https://api.example.com/orders/{id}")]
    allowing = Cors(["https://shop.example.com"])
    return define([], {None: 1024}, reads, "health", Style(shape, allowing)).methods


def others(shape: Shape) -> dict[str, str]:
    """Return the answers of what puts nothing into a queue."""
    return {each.name: each.template for method in methods(shape) for each in method.answers if each.template}


MAPPED = {
    "tenant": "header.X-Tenant",
    "get": "header.get",
    "key-set": "header.keySet",
    "odd": "header.9-._a",
    "id": "path.id",
    "page": "query.page",
    "size": "query.size",
}
FROM_BODY = {
    "tenant": "body.tenant",
    "order": "body.order.order-id",
    "line": "body.lines[0].id",
    "second": "body.lines[1]",
    "get": "body.get",
    "size": "body.order.size",
}
MESSAGES = {
    "plain": message({}),
    "mapped": message(MAPPED),
    "from the body": message(FROM_BODY),
    "fixed": message({"kind": 'text.a&b=$c #if(true) "quoted" it\'s', "tenant": "header.X-Tenant"}),
    "context": message({name: f"context.{name}" for name in [*CONTEXT, "authorizer.tenant"]}),
    "caller": message({"who": "context.principal", "where": "context.source_ip"}),
    "claims": message(
        {
            "name": "context.claims.cognito:username",
            "mail": "context.claims.email",
            "none": "context.claims.x",
        },
        group_id=source("context.claims.sub"),
    ),
    "fifo": message({}, group_id=source("path.id"), deduplication_id=source("header.X-Order-Id")),
    "fifo from the body": message(
        FROM_BODY, group_id=source("body.tenant"), deduplication_id=source("body.order.id")
    ),
    "one group": message({}, group_id=source("text.all of them")),
    "late": message({}, delay_seconds=0),
    "traced": message({"tenant": "query.tenant"}, trace_header=True, delay_seconds=900),
}
BATCHES = {f"batch, {name}": replace(each, batch=True) for name, each in MESSAGES.items()}
NOT_SENT = {
    each.name: (each.integration.kind is Behind.NOTHING, template)
    for each in methods(Shape.PLAIN)
    for template in each.integration.templates.values()
}
"""Request templates of what puts nothing into a queue, and whether there is nothing behind at all."""
CALLERS = {
    "users of pools": guard.caller({"authorizer_user_pool_arns": ["a pool"]}),
    "signed": guard.caller({"iam_authorization": True}),
    "behind a proxy": guard.caller({"authorizer_function_arn": "a function", "proxy": {}}),
}
"""Who calls where it is not a function's principal, from API Gateway's own address of it."""
TEMPLATES = {name: (each, DIRECT, send(each)) for name, each in (MESSAGES | BATCHES).items()} | {
    f"{name}, {each}": (wanted, caller, send(wanted, caller))
    for each, caller in CALLERS.items()
    for name, wanted in {"caller": MESSAGES["caller"], "batch, claims": BATCHES["batch, claims"]}.items()
}
"""Request templates: what is to be sent, of whom, and the template."""
Sending = tuple[Message, Caller, str]

KNOWN = failures(262_144, grouped=True, deduplicated=True, mapped=True)
ACCEPTED = {
    f"{shape}{', empty' if empty else ''}": accepted(Answer.SUMMARY, shape, empty=empty)
    for shape in Shape
    for empty in (False, True)
}
"""Response templates for when SQS says that it took a message."""
ANSWERS = {f"accepted, {name}": template for name, template in ACCEPTED.items()} | {
    f"{name}, {shape}": template
    for shape in Shape
    for name, template in {
        "refused": refused(KNOWN, shape),
        "refused, few": refused(failures(1024), shape),
        "broken": shape.body(BROKEN),
        **others(shape),
    }.items()
}
"""Response templates that may tell nothing of what SQS said but a message's id."""
REPEATING = {f"repeating, {shape}": accepted(Answer.SQS, shape) for shape in Shape}
"""Response templates that repeat what SQS said when it took the message."""
BATCH_ANSWERS = {
    f"{shape}{', empty' if empty else ''}": accepted_batch(Answer.SUMMARY, shape, KNOWN, empty=empty)
    for shape in Shape
    for empty in (False, True)
}


@dataclass(frozen=True)
class Spelling:
    """What SQS calls the two lists of its answer to a batch."""

    successful: str
    failed: str


SPELLINGS = [
    Spelling("Successful", "Failed"),
    Spelling("successful", "failed"),
    Spelling("SendMessageBatchResultEntry", "BatchResultErrorEntry"),
    # Nobody says that both are spelled alike.
    Spelling("SendMessageBatchResultEntry", "failed"),
]
ORIGINS = ["https://shop.example.com", "http://localhost:8080", "https://a-b.example"]
PREFLIGHT = Cors(ORIGINS).preflight_template()
"""What names the origin that asks, where it is one of several."""
REPEATING_BATCHES = {f"repeating, {shape}": accepted_batch(Answer.SQS, shape, KNOWN) for shape in Shape}


def of_each(templates: Mapping[str, object]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Run a test on every template for each example that is drawn, which takes longer than rendering it."""

    def of_all(test: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(test)
        def run(*drawn: object, **named: object) -> None:
            for name, each in templates.items():
                try:
                    test(each, *drawn, **named)
                except Exception as failure:
                    failure.add_note(f"Of the template {name!r}.")
                    raise

        _, *others = inspect.signature(test).parameters.values()
        run.__signature__ = inspect.Signature(others)  # type: ignore[attr-defined]
        return run

    return of_all


@dataclass(frozen=True)
class Sent:
    """A request, and the message that it should be by what the components' documentation says."""

    request: Request
    context: Mapping[str, Any]
    caller: Caller = DIRECT

    def form(self, wanted: Message) -> dict[str, str]:
        """Return the form that SQS must get."""
        if not wanted.batch:
            body = self.request.body or "{}"
            return {"Action": "SendMessage", "MessageBody": body, **self._fields(wanted, self._json())}
        form = {"Action": "SendMessageBatch"}
        for index, item in enumerate(self._json()):
            entry = {"Id": str(index), "MessageBody": _compact(item), **self._fields(wanted, item)}
            form |= {f"SendMessageBatchRequestEntry.{index + 1}.{name}": each for name, each in entry.items()}
        return form

    def _fields(self, wanted: Message, item: Any) -> dict[str, str]:
        named = {name: self._value(each, item) for name, each in {**BUILT_IN, **wanted.attributes}.items()}
        there = [(name, value) for name, value in named.items() if value]
        fields: dict[str, str] = {}
        for number, (name, value) in enumerate(there, start=1):
            fields |= _attribute(f"MessageAttribute.{number}", name, value)
        ids = {"MessageGroupId": wanted.group_id, "MessageDeduplicationId": wanted.deduplication_id}
        fields |= {name: self._value(each, item) for name, each in ids.items() if each}
        if wanted.delay_seconds is not None:
            fields["DelaySeconds"] = str(wanted.delay_seconds)
        trace = self.context.get("xrayTraceId")
        if wanted.trace_header and trace:
            fields |= _attribute("MessageSystemAttribute.1", "AWSTraceHeader", f"Root={trace}")
        return {name: value for name, value in fields.items() if value}

    def _value(self, wanted: Source, item: Any) -> str:
        match wanted.kind:
            case Kind.HEADER:
                headers = {name.lower(): value for name, value in self.request.headers.items()}
                value: Any = headers.get(wanted.name.lower())
            case Kind.PATH:
                value = self.request.path.get(wanted.name)
            case Kind.QUERY:
                value = self.request.query.get(wanted.name)
            case Kind.TEXT:
                value = wanted.name
            case Kind.BODY:
                value = _at(item, re.findall(r"[\w-]+", wanted.name))
            case Kind.CONTEXT:
                value = _at(self.context, self._steps(wanted.name))
        return "" if value is None else _carried(value if isinstance(value, str) else _compact(value))

    def _steps(self, name: str) -> Sequence[str]:
        """Return where in the context a part of it is."""
        if name.startswith(CLAIMS):
            return ["authorizer", "claims", name.removeprefix(CLAIMS)]
        of_caller = {PRINCIPAL: self.caller.principal, ADDRESS: self.caller.address}
        path = of_caller.get(name) or CONTEXT.get(name) or name
        return re.sub(r"^\$!?context\.", "", path).split(".")

    def _json(self) -> Any:
        try:
            return json.loads(self.request.body or "{}")
        except ValueError:
            return None


def _at(value: Any, steps: Sequence[str]) -> Any:
    for step in steps:
        if isinstance(value, list):
            value = value[int(step)] if step.isdigit() and int(step) < len(value) else None
        else:
            value = value.get(step) if isinstance(value, Mapping) else None
    return value


def _compact(value: Any) -> str:
    """Return JSON as Jackson writes it, which has its escapes in capitals."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return _carried(re.sub(r'\\u00([01][0-9a-f])|\\["\\bfnrt]', _capital, text))


def _capital(escape: re.Match[str]) -> str:
    return f"\\u00{escape[1].upper()}" if escape[1] else escape[0]


def _carried(text: str) -> str:
    """Return a text as UTF-8 carries it."""
    return text.encode(errors="replace").decode()


def _attribute(prefix: str, name: str, value: str) -> dict[str, str]:
    return {
        f"{prefix}.Name": name,
        f"{prefix}.Value.DataType": "String",
        f"{prefix}.Value.StringValue": value,
    }
