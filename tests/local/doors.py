"""Front doors that several tests send requests to, and what is to be seen of them."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from local.backend import Backend, backend
from local.demo_checks import wait_until
from local.program import Made
from local.stack import LocalAws, LocalStack

from .support import Reply, Values, bearer, call, exchange, made

if TYPE_CHECKING:
    from mypy_boto3_sqs.type_defs import MessageTypeDef

PAGE = "https://shop.example.com"
OTHER_PAGE = "https://admin.example.com"
PROBLEM = {"title", "status", "detail", "code", "requestId"}


@dataclass(frozen=True)
class Door:
    """A front door of several queues, as callers and as the queues' readers see it."""

    cloud: LocalAws
    stack: LocalStack
    taken: "dict[str, MessageTypeDef]" = field(default_factory=dict, repr=False)
    """The messages that were taken out of any queue, by their ids."""

    @property
    def url(self) -> str:
        """What the URL of every path begins with."""
        url: str = self.stack.outputs["invoke_url"]
        return url

    def send(
        self,
        path: str,
        body: bytes | str | Values | list[Any] | None = b"{}",
        headers: Mapping[str, str] | None = None,
        method: str = "POST",
    ) -> Reply:
        """Send one request; a body that is neither bytes nor text is sent as JSON."""
        if isinstance(body, str):
            body = body.encode()
        sent = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        return call(f"{self.url}/{path}", method, sent, headers)

    def send_raw(self, path: str, headers: Sequence[str], body: bytes = b"{}", method: str = "POST") -> Reply:
        """Send a request with exactly these header lines."""
        target = urlsplit(f"{self.url}/{path}").path
        head = [f"{method} {target} HTTP/1.1", f"Content-Length: {len(body)}", *headers]
        lines, _, content = exchange(self.url, head, body).partition(b"\r\n\r\n")
        status, *given = lines.decode().split("\r\n")
        named = dict(each.split(": ", 1) for each in given)
        return Reply(int(status.split()[1]), {name.lower(): each for name, each in named.items()}, content)

    def made(self, name: str) -> Made:
        """Return a resource by its logical name."""
        return made(self.stack, name)

    def as_client(self, address: str) -> dict[str, str]:
        """Return headers with which a request comes from an address."""
        return self.cloud.edge.as_client(address)

    def queue_url(self, queue: str) -> str:
        """Return the URL of a queue by what routes call it."""
        url: str = self.stack.outputs["queue_urls"][queue]
        return url

    def take(self, queue: str, reply: Reply) -> "MessageTypeDef":
        """Wait for the message that an answer names, and take it out of its queue."""
        return self.take_all(queue, [reply.answer["messageId"]])[0]

    def take_all(self, queue: str, ids: Sequence[str]) -> "list[MessageTypeDef]":
        """Wait for messages by their ids, and return them in this order."""

        def missing() -> set[str]:
            self.receive(queue)
            return set(ids) - self.taken.keys()

        assert not wait_until(missing, lambda left: not left), "a message never came"
        return [self.taken[each] for each in ids]

    def receive(self, queue: str) -> "list[MessageTypeDef]":
        """Take out what is in a queue now, at most ten messages."""
        sqs, url = self.cloud.aws.client("sqs"), self.queue_url(queue)
        got = sqs.receive_message(
            QueueUrl=url,
            MaxNumberOfMessages=10,
            MessageAttributeNames=["All"],
            MessageSystemAttributeNames=["All"],
        ).get("Messages", [])
        for each in got:
            sqs.delete_message(QueueUrl=url, ReceiptHandle=each["ReceiptHandle"])
            self.taken[each["MessageId"]] = each
        return got

    def empty(self, queue: str) -> None:
        """Take out everything, also what other tests sent."""
        while self.receive(queue):
            pass

    def arrived(self, queue: str, reply: Reply) -> dict[str, str]:
        """Return the attributes of the message that an answer names."""
        return attributes_of(self.take(queue, reply))

    def assert_silent(self, reply: Reply) -> None:
        """Fail if an answer tells what only AWS and we know."""
        body = reply.body.decode()
        for secret in ("arn:", self.cloud.aws.account, "amazonaws"):
            assert secret not in body + str(dict(reply.headers))
        for secret in ("SendMessage", "NonExistent", "Denied", "AWS"):
            assert secret not in body


def attributes_of(message: "MessageTypeDef") -> dict[str, str]:
    """Return a message's attributes as texts; all of them are to be texts."""
    given = message.get("MessageAttributes", {})
    assert {each["DataType"] for each in given.values()} <= {"String"}
    return {name: each["StringValue"] for name, each in given.items()}


def assert_problem(reply: Reply, status: int, code: str) -> None:
    """Fail unless an answer is an error in the shape of RFC 9457."""
    assert (reply.status, reply.headers["content-type"]) == (status, "application/problem+json")
    assert PROBLEM - {"title", "status"} <= set(reply.answer) <= PROBLEM | {"entries"}
    assert reply.answer.get("status", status) == status
    assert reply.answer["code"] == code
    assert reply.answer["requestId"] == reply.headers["x-amzn-requestid"]


def open_door(cloud: LocalAws, front_door: Values, **sections: Values | int) -> Door:
    """Deploy a front door with these arguments alone, open to all unless a section says otherwise."""
    given = {"front_door": {"manage_account_logging": True, **front_door}, **sections}
    return Door(cloud, cloud.up("open", {f"sluice:{key}": json.dumps(each) for key, each in given.items()}))


def delete_queue(door: Door, queue: str) -> None:
    """Delete a queue behind a front door's back."""
    door.cloud.aws.client("sqs").delete_queue(QueueUrl=door.queue_url(queue))


SHOP_QUEUES: list[Values] = [
    # The consumer drains the first; the others keep what they get.
    {"name": "drained"},
    {"name": "plain"},
    {"name": "orders", "fifo": True, "content_based_deduplication": True},
    {"name": "strict", "fifo": True},
    {"name": "small", "max_message_size": 1024},
    {"name": "gone"},
]
LABEL = "a=1&Action=DeleteQueue %41+$x #set($n = 9) \"'"
ITEM: Values = {
    "type": "object",
    "required": ["kind"],
    "properties": {"kind": {"type": "string"}, "total": {"type": "number", "minimum": 0}},
}
SHOP_ROUTES: list[Values] = [
    {"path": "events"},
    {"path": "plain", "queue": "plain"},
    {"path": "things/{id}", "method": "PUT", "queue": "plain", "attributes": {"id": "path.id"}},
    {"path": "things/{id}", "method": "PATCH", "queue": "plain", "attributes": {"was": "text.patched"}},
    {
        "path": "shops/{shop}/orders/{order}",
        "queue": "orders",
        "attributes": {"shop": "path.shop", "order": "path.order"},
        "group_id": "path.shop",
    },
    {
        "path": "mapped/{id}",
        "queue": "plain",
        "attributes": {
            "id": "path.id",
            "tenant": "header.X-Tenant",
            "page": "query.page",
            "value": "body.value",
            "deep": "body.order.lines[1].sku",
            "label": f"text.{LABEL}",
        },
    },
    {
        "path": "known",
        "queue": "plain",
        "attributes": {
            name: f"context.{name}"
            for name in ("request_id", "source_ip", "stage", "time", "method", "route", "user_agent")
        },
    },
    {"path": "traced", "queue": "plain", "trace_header": True, "attributes": {"trace": "context.trace_id"}},
    {"path": "texts", "queue": "plain", "content_types": ["text/plain", "text/csv"]},
    {"path": "delayed", "queue": "plain", "delay_seconds": 2},
    {"path": "grouped", "queue": "orders", "group_id": "header.X-Group"},
    {"path": "fair", "queue": "plain", "group_id": "body.tenant"},
    {
        "path": "strict/{group}",
        "queue": "strict",
        "group_id": "path.group",
        "deduplication_id": "header.X-Once",
    },
    {
        "path": "checked",
        "queue": "plain",
        "content_types": ["application/json", "application/vnd.shop+json", "text/plain"],
        "schema": {**ITEM, "additionalProperties": False},
    },
    {
        "path": "asking",
        "queue": "plain",
        "required_headers": ["X-Tenant"],
        "required_query": ["page"],
    },
    {
        "path": "batch",
        "queue": "plain",
        "batch": True,
        "schema": ITEM,
        "attributes": {"kind": "body.kind", "total": "body.total", "tenant": "header.X-Tenant"},
    },
    {"path": "free-batch", "queue": "plain", "batch": True, "attributes": {"kind": "body.kind"}},
    {"path": "group-batch", "queue": "orders", "batch": True, "group_id": "body.group"},
    {"path": "sqs-batch", "queue": "plain", "batch": True, "answer": "sqs"},
    {"path": "empty-batch", "queue": "plain", "batch": True, "success_status": 204},
    {"path": "small-batch", "queue": "small", "batch": True},
    {"path": "gone-batch", "queue": "gone", "batch": True},
    {"path": "gone", "queue": "gone"},
    {"path": "small", "queue": "small"},
    {"path": "with-200", "queue": "plain", "success_status": 200},
    {"path": "with-201", "queue": "plain", "success_status": 201, "answer": "sqs"},
    {"path": "with-204", "queue": "plain", "success_status": 204},
]


@pytest.fixture(scope="session")
def shop(cloud: LocalAws) -> Door:
    """A front door of many routes and queues, open to all; of its queues one is gone."""
    door = open_door(
        cloud,
        {"queues": SHOP_QUEUES, "routes": SHOP_ROUTES, "health_path": "health", "tracing": True},
    )
    delete_queue(door, "gone")
    return door


@pytest.fixture(scope="session")
def behind() -> Iterator[Backend]:
    """A back end that reads are sent on to."""
    with backend() as running:
        yield running


@pytest.fixture(scope="session")
def guarded(cloud: LocalAws, behind: Backend) -> Door:
    """A front door for callers with a token and for two origins' pages, whose errors are problems."""
    door = open_door(
        cloud,
        {
            "queues": [{"name": "drained"}, {"name": "plain"}, {"name": "gone"}],
            "routes": [
                {
                    "path": "notes",
                    "queue": "plain",
                    "schema": {"type": "object", "required": ["kind"]},
                    "attributes": {"who": "context.principal", "said": "context.authorizer.principalId"},
                },
                {"path": "batch", "queue": "plain", "batch": True},
                {"path": "gone", "queue": "gone"},
                {"path": "gone-batch", "queue": "gone", "batch": True},
                {"path": "rare", "queue": "plain", "throttle_rate": 1, "throttle_burst": 1},
                {"path": "asking", "queue": "plain", "required_query": ["page"]},
            ],
            "reads": [{"path": "secrets/{id}", "url": f"{behind.url}/{{id}}", "cache_ttl_seconds": 60}],
            "health_path": "health",
            "problem_json": True,
            "cors_origins": [PAGE, OTHER_PAGE],
            "cors_headers": ["Authorization", "Content-Type"],
            "cors_max_age_seconds": 30,
        },
        authorizer={"kind": "token"},
    )
    delete_queue(door, "gone")
    return door


@pytest.fixture(scope="session")
def shown(guarded: Door) -> dict[str, str]:
    """The headers of a caller whom `guarded` lets in."""
    return bearer(guarded.stack.token)
