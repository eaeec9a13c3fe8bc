"""What the tests do to a local AWS, and what they see of it."""

import http.client
import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from local.client import JSON, Sent
from local.demo import wait_until
from local.program import Made, stack_config
from local.stack import LocalAws, LocalStack
from sluice import access_log
from sluice.access_log import Line

if TYPE_CHECKING:
    from mypy_boto3_sqs.type_defs import MessageTypeDef

Values = dict[str, Any]


@dataclass(frozen=True)
class Reply:
    """An answer with its headers, whose names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def answer(self) -> Values:
        """The body as JSON."""
        found: Values = json.loads(self.body)
        return found


def call(
    url: str, method: str = "POST", body: bytes | None = b"{}", headers: Mapping[str, str] | None = None
) -> Reply:
    """Send one request exactly as given, and return its answer."""
    where = urlsplit(url)
    connection = http.client.HTTPConnection(where.netloc, timeout=30)
    target = url.removeprefix(f"{where.scheme}://{where.netloc}")
    try:
        connection.request(method, target, body, {"Content-Type": JSON, **(headers or {})})
        response = connection.getresponse()
        given = {name.lower(): value for name, value in response.getheaders()}
        return Reply(response.status, given, response.read())
    finally:
        connection.close()


def exchange(url: str, head: list[str], *parts: bytes, hang_up: bool = False) -> bytes:
    """Send a head as it is and what follows it, and return all that comes until the connection is closed.

    Args:
        url: where to.
        head: its lines, less those that every request has.
        parts: what follows; each after the first is sent once something came back for what went before.
        hang_up: whether to say at the end that nothing more will be sent.
    """
    where = urlsplit(url)
    text = "\r\n".join([head[0], f"Host: {where.netloc}", "Connection: close", *head[1:], "", ""])
    first, *later = parts or (b"",)
    with socket.create_connection((str(where.hostname), int(where.port or 0)), timeout=30) as connection:
        connection.sendall(text.encode() + first)
        received = b""
        for part in later:
            received += connection.recv(1024)
            connection.sendall(part)
        if hang_up:
            connection.shutdown(socket.SHUT_WR)
        return received + b"".join(iter(lambda: connection.recv(1024), b""))


def bearer(token: str | None) -> dict[str, str]:
    """Return the header that shows a token."""
    return {"Authorization": f"Bearer {token}"}


def assert_refused(reply: Reply | Sent, status: int, code: str) -> None:
    """Fail unless an answer is an error in the one shape of all errors."""
    assert reply.status == status
    assert set(reply.answer) == {"code", "message", "requestId"}
    assert reply.answer["code"] == code
    assert reply.answer["requestId"]


def fresh(cloud: LocalAws, name: str = "open", **sections: Values) -> LocalStack:
    """Deploy one more stack of its own queues and functions, with some settings changed."""
    # No test depends on another stack for the account's logging role.
    sections["front_door"] = {"manage_account_logging": True, **sections.get("front_door", {})}
    config = stack_config(name)
    overrides = {
        key: json.dumps({**json.loads(config[key]), **changed})
        for key, changed in ((f"sluice:{section}", values) for section, values in sections.items())
    }
    return cloud.up(name, overrides)


def made(stack: LocalStack, name: str) -> Made:
    """Return a resource of a stack by its logical name."""
    return next(each for each in stack.deployment.resources if each.name == name)


def detach_consumer(cloud: LocalAws, stack: LocalStack) -> LocalStack:
    """Leave a stack's messages in its queue."""
    cloud.aws.client("lambda").delete_event_source_mapping(UUID=made(stack, "consumer-mapping").id)
    return stack


def forbid(cloud: LocalAws, stack: LocalStack, policy: str, action: str) -> None:
    """Take one action out of a role's policy."""
    given = made(stack, policy).outputs
    document = json.loads(given["policy"])
    for statement in document["Statement"]:
        statement["Action"] = [each for each in statement["Action"] if each != action]
    document["Statement"] = [each for each in document["Statement"] if each["Action"]]
    iam = cloud.aws.client("iam")
    if document["Statement"]:
        iam.put_role_policy(
            RoleName=given["role"], PolicyName=given["name"], PolicyDocument=json.dumps(document)
        )
    else:
        iam.delete_role_policy(RoleName=given["role"], PolicyName=given["name"])


def take(cloud: LocalAws, queue_url: str) -> "MessageTypeDef":
    """Wait for a message of a queue and take it out."""
    sqs = cloud.aws.client("sqs")
    found = wait_until(
        lambda: sqs.receive_message(
            QueueUrl=queue_url, MessageAttributeNames=["All"], MessageSystemAttributeNames=["All"]
        ).get("Messages", []),
        bool,
    )
    assert found, "no message came"
    sqs.delete_message(QueueUrl=queue_url, ReceiptHandle=found[0]["ReceiptHandle"])
    return found[0]


def log_texts(cloud: LocalAws, group: str) -> list[str]:
    """Return every line of a log group."""
    pages = cloud.aws.client("logs").get_paginator("filter_log_events").paginate(logGroupName=group)
    return [event["message"] for page in pages for event in page["events"]]


def access_lines(cloud: LocalAws, stack: LocalStack, count: int) -> list[Line]:
    """Wait for so many lines of an access log and return all that there are."""
    group = stack.outputs["access_log"]
    texts = wait_until(lambda: log_texts(cloud, group), lambda found: len(found) >= count)
    return [access_log.parse(text) for text in texts]


@dataclass(frozen=True)
class Process:
    """A process as Linux tells of it."""

    pid: int
    parent: int
    group: int


def processes() -> list[Process]:
    """Return every process that is alive, which the dead that nobody waited for are not."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, parent, group = (folder / "stat").read_text().rpartition(")")[2].split()[:3]
        except OSError:
            continue
        if state != "Z":
            found.append(Process(int(folder.name), int(parent), int(group)))
    return found


def emulators_of(pid: int) -> set[int]:
    """Return the groups that a process started: each emulator leads one of its own."""
    return {each.group for each in processes() if each.parent == pid and each.group == each.pid}


def alive_in(group: int) -> list[Process]:
    """Return what is alive of a process group."""
    return [each for each in processes() if each.group == group]


def listening_addresses(group: int) -> list[str]:
    """Return the local addresses, as the kernel writes them, on which a process group listens."""
    handles = [handle for each in alive_in(group) for handle in Path(f"/proc/{each.pid}/fd").iterdir()]
    sockets = {str(handle.readlink()) for handle in handles}
    rows = [
        row.split() for kind in ("tcp", "tcp6") for row in Path(f"/proc/net/{kind}").read_text().splitlines()
    ]
    return [row[1] for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in sockets]
