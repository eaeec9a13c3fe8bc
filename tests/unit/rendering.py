"""Rendering a generated template as API Gateway does, and reading what comes of it."""

import json
import urllib.parse
from collections.abc import Mapping
from typing import Any

from local.standin.velocity import Rendered, Request, render

REQUEST_ID = "c6af9ac6-7b61-11e6-9a41-93e8deadbeef"
SOURCE_IP = "203.0.113.7"


def context(principal: str | None = None, **more: Any) -> dict[str, Any]:
    authorizer = {} if principal is None else {"principalId": principal}
    return {
        "requestId": REQUEST_ID,
        "identity": {"sourceIp": SOURCE_IP},
        "authorizer": authorizer,
        **more,
    }


def form(template: str, request: Request, around: Mapping[str, Any] | None = None) -> dict[str, str]:
    """Return the form that SQS reads, which must hold every key once."""
    text = render(template, request, context() if around is None else around).text
    pairs = urllib.parse.parse_qsl(text, keep_blank_values=True, strict_parsing=True)
    assert len(dict(pairs)) == len(pairs), f"a key twice in {text}"
    return dict(pairs)


def attribute(index: int, name: str, value: str) -> dict[str, str]:
    """Return the part of the form that makes one message attribute."""
    return typed(f"MessageAttribute.{index}", name, value)


def trace(trace_id: str) -> dict[str, str]:
    """Return the part of the form that hands a trace on."""
    return typed("MessageSystemAttribute.1", "AWSTraceHeader", f"Root={trace_id}")


def typed(prefix: str, name: str, value: str) -> dict[str, str]:
    """Return a name and a text behind a prefix, as SQS takes them."""
    return {
        f"{prefix}.Name": name,
        f"{prefix}.Value.DataType": "String",
        f"{prefix}.Value.StringValue": value,
    }


def entry(number: int, fields: Mapping[str, str]) -> dict[str, str]:
    """Return the part of the form that makes one message of a batch."""
    return {f"SendMessageBatchRequestEntry.{number}.{name}": value for name, value in fields.items()}


def answer(template: str, body: str) -> tuple[Rendered, dict[str, Any]]:
    """Return what a template makes of SQS's answer, and the JSON in it; an empty object of no text."""
    made = render(template, Request(body), context())
    told: dict[str, Any] = json.loads(made.text or "{}")
    return made, told
