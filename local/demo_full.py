"""The demo of the richest front door: routes, queues, validation, plans, reads with a cache, a domain."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from .backend import Backend
from .client import JSON, Reply, ask
from .demo_checks import Check, outcome, recorded, wait_until
from .program import Config, stack_config
from .stack import LocalAws, LocalStack

if TYPE_CHECKING:
    from mypy_boto3_sqs.type_defs import MessageTypeDef

STACK = "full"
SECTION = "sluice:front_door"
QUOTA = 20
"""Requests a day of a guest, as the stack's settings say."""
DENIED = "192.0.2.7"
"""An address of a network that may not call."""
ORIGIN = "https://shop.example.com"
HOSTILE = "a&MessageAttribute.9.Name=forged&Action=DeleteQueue=\"'%26 é"
FORM = "application/x-www-form-urlencoded"
PROBLEM = {"title", "status", "detail", "code", "requestId"}


def overrides(behind: Backend) -> Config:
    """Return the stack's settings with a back end that is there."""
    section = json.loads(stack_config(STACK)[SECTION])
    for read in section["reads"]:
        read["url"] = read["url"].replace("https://backend.example.com", behind.url)
    return {SECTION: json.dumps(section)}


class Door:
    """The front door as a customer with a key sees it."""

    def __init__(self, local: LocalAws, stack: LocalStack) -> None:
        """Look up the keys, as an operator would."""
        self._local = local
        self.stack = stack
        gateway = local.aws.client("apigateway")
        self.keys = {
            name: gateway.get_api_key(apiKey=key_id, includeValue=True)["value"]
            for name, key_id in stack.outputs["api_keys"].items()
        }

    def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        key: str | None = "acme",
    ) -> Reply:
        """Send one request; a body that is no text is sent as JSON."""
        given = {"X-Tenant": "acme", **(headers or {})}
        if key:
            given["x-api-key"] = self.keys[key]
        if body is not None:
            given.setdefault("Content-Type", JSON)
        sent = body if isinstance(body, str) or body is None else json.dumps(body)
        return ask(method, f"{self.stack.outputs['invoke_url']}/{path}", sent, given)

    def as_client(self, address: str) -> Mapping[str, str]:
        """Return headers with which a request comes from an address."""
        return self._local.edge.as_client(address)

    def take(self, queue: str, count: int) -> "list[MessageTypeDef]":
        """Take messages off a queue that nothing drains."""
        sqs = self._local.aws.client("sqs")
        url = self.stack.outputs["queue_urls"][queue]
        taken: list[MessageTypeDef] = []

        def look() -> int:
            got = sqs.receive_message(
                QueueUrl=url,
                MaxNumberOfMessages=10,
                MessageAttributeNames=["All"],
                MessageSystemAttributeNames=["All"],
            ).get("Messages", [])
            for each in got:
                sqs.delete_message(QueueUrl=url, ReceiptHandle=each["ReceiptHandle"])
            taken.extend(got)
            return len(taken)

        wait_until(look, lambda found: found >= count)
        return taken


def examine(local: LocalAws, stack: LocalStack, behind: Backend) -> list[Check]:
    """Show what the front door does beyond taking a message."""
    found = outcome(lambda: Door(local, stack))
    if isinstance(found, Check):
        return [found]
    door = found
    findings: Sequence[Callable[[], Check]] = [
        lambda: mapped(door),
        lambda: batches(door, local),
        lambda: validated(door),
        lambda: browsers(door),
        lambda: plans(door),
        lambda: cached(door, behind),
        lambda: addresses(door),
        lambda: domain(door, local),
    ]
    return [replace(each, name=f"{STACK}: {each.name}") for each in map(outcome, findings)]


def mapped(door: Door) -> Check:
    """Check that what a request says becomes attributes and a group of the message, whatever is in it."""
    order = {"id": "o-1", "total": 12.5, "note": HOSTILE}
    reply = door.ask("PUT", "orders/berlin?page=7", order, {"X-Tenant": HOSTILE.partition(" ")[0]})
    message = door.take("orders", 1)[0]
    found = {name: each["StringValue"] for name, each in message["MessageAttributes"].items()}
    expected = {
        "tenant": HOSTILE.partition(" ")[0],
        "shop": "berlin",
        "page": "7",
        "total": "12.5",
        "kind": "order & more",
        "requestId": reply.json["requestId"],
    }
    group = message["Attributes"].get("MessageGroupId")
    ok = (
        reply.status == 200  # noqa: PLR2004 - as the stack's settings say
        and json.loads(message["Body"]) == order
        and expected.items() <= found.items()
        and set(found) == {*expected, "sourceIp", "arrived"}
        and group == "berlin"
    )
    return Check("a request becomes attributes and a group", ok, {"attributes": len(found), "group": group})


def batches(door: Door, local: LocalAws) -> Check:
    """Check that a batch becomes messages, and that one that does not fit is refused as a whole."""
    events = [{"kind": "seen", "n": n} for n in range(10)]
    whole = door.ask("POST", "events", events)
    ids = {each["messageId"] for each in whole.json["entries"]}
    refusals = {
        "11 messages": door.ask("POST", "events", [*events, events[0]]),
        "one without kind": door.ask("POST", "events", [*events[1:], {"n": 1}]),
        "none": door.ask("POST", "events", []),
    }
    statuses = {name: each.status for name, each in refusals.items()}
    unhandled = wait_until(
        lambda: ids - {message_id for message_id, _ in recorded(local, door.stack)},
        lambda missing: not missing,
    )
    ok = whole.status == 202 and len(ids) == len(events) and not unhandled and set(statuses.values()) == {400}  # noqa: PLR2004
    return Check(
        "ten messages in one request", ok, {"accepted": len(ids), "handled": len(ids - unhandled), **statuses}
    )


def validated(door: Door) -> Check:
    """Check that what does not fit is refused in the shape of RFC 9457, and says why."""
    got = {
        "no id": door.ask("PUT", "orders/berlin", {"total": 1}),
        "no JSON": door.ask("PUT", "orders/berlin", "{"),
        "no X-Tenant": door.ask("PUT", "orders/berlin", {"id": "1"}, {"X-Tenant": ""}),
        "a form": door.ask("PUT", "orders/berlin", "id=1", {"Content-Type": FORM}),
    }
    codes = {name: each.json.get("code") for name, each in got.items()}
    expected = ["BAD_REQUEST_BODY", "BAD_REQUEST_BODY", "BAD_REQUEST_PARAMETERS", "UNSUPPORTED_MEDIA_TYPE"]
    shaped = all(
        each.headers["content-type"] == "application/problem+json" and set(each.json) == PROBLEM
        for each in got.values()
    )
    says_why = all(
        word in got[name].json.get("detail", "")
        for name, word in (("no id", "id"), ("no X-Tenant", "X-Tenant"))
    )
    ok = list(codes.values()) == expected and shaped and says_why
    return Check("what does not fit is refused, and why", ok, codes)


def browsers(door: Door) -> Check:
    """Check that pages of the origins that may call get through, and others do not."""
    asked = {"Access-Control-Request-Method": "PUT"}
    ours, others = (
        door.ask("OPTIONS", "orders/berlin", headers={"Origin": origin, **asked}, key=None)
        for origin in (ORIGIN, "https://evil.example.org")
    )
    refused = door.ask("PUT", "orders/berlin", {}, {"Origin": ORIGIN}, key=None)
    allowed = "access-control-allow-origin"
    ok = (
        ours.status == others.status == 204  # noqa: PLR2004 - no content
        and ours.headers.get(allowed) == ORIGIN
        and allowed not in others.headers
        and allowed in refused.headers
    )
    detail = {
        "ours": ours.headers.get(allowed),
        "another": others.headers.get(allowed),
        "on a 403": allowed in refused.headers,
    }
    return Check("pages of known origins may call", ok, detail)


def plans(door: Door) -> Check:
    """Check that callers need a key, and that a plan's quota ends."""
    nobody = door.ask("POST", "events", [{"kind": "x"}], key=None)
    guest = [door.ask("POST", "events", [{"kind": "x"}], key="guest") for _ in range(QUOTA + 1)]
    last = guest[-1]
    ok = (
        nobody.json.get("code") == "INVALID_API_KEY"
        and [each.status for each in guest[:-1]] == [202] * QUOTA
        and last.json.get("code") == "QUOTA_EXCEEDED"
    )
    detail = {"no key": nobody.status, "in the quota": QUOTA, "after it": last.status}
    return Check("a key for each customer, and a quota", ok, detail)


def cached(door: Door, behind: Backend) -> Check:
    """Check that a read is answered from the cache by its own values, and that nobody empties it unsigned."""
    before = len(behind.asked)
    replies = [door.ask("GET", "catalog/shoe?page=1&tracker=x", headers={"Cookie": "a=b"}) for _ in range(3)]
    other = door.ask("GET", "catalog/shoe?page=2")
    emptied = door.ask("GET", "catalog/shoe?page=1", headers={"Cache-Control": "max-age=0"})
    asked = behind.asked[before:]
    passed_on = {name for each in asked for name in (*each.query, *each.headers)}
    ok = (
        {each.status for each in (*replies, other)} == {200}
        and len({each.body for each in replies}) == 1
        and len(asked) == 2  # noqa: PLR2004 - one for each page
        and not {"tracker", "cookie", "x-api-key"} & passed_on
        and emptied.status == 403  # noqa: PLR2004 - unsigned
    )
    detail = {"requests": len(replies) + 1, "asked behind": len(asked), "unsigned max-age=0": emptied.status}
    return Check("reads are cached by what they depend on", ok, detail)


def addresses(door: Door) -> Check:
    """Check that a network that may not call is refused, and that the health path is there for others."""
    denied = door.ask("GET", "health", headers=door.as_client(DENIED), key=None)
    healthy = door.ask("GET", "health", headers=door.as_client("198.51.100.1"), key=None)
    ok = denied.json.get("code") == "ACCESS_DENIED" and healthy.json.get("status") == "ok"
    return Check("a denied network is refused", ok, {DENIED: denied.status, "health": healthy.status})


def domain(door: Door, local: LocalAws) -> Check:
    """Check that the domain leads to the stage, by the name that a client sends."""
    where = urlsplit(door.stack.outputs["base_url"])
    headers = {"Host": where.netloc}
    found = ask("GET", f"{local.edge.url}{where.path}/health", None, headers)
    elsewhere = ask("GET", f"{local.edge.url}/other/health", None, headers)
    ok = found.status == 200 and elsewhere.status == 403  # noqa: PLR2004
    return Check(
        "the domain leads here", ok, {where.netloc + where.path: found.status, "/other": elsewhere.status}
    )
