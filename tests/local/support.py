"""What the tests do to a local AWS, and what they see of it."""

import base64
import gzip
import http.client
import json
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from botocore.exceptions import ClientError

from local.client import JSON, Sent
from local.demo_checks import wait_until
from local.program import Made, stack_config
from local.stack import LocalAws, LocalStack
from sluice import access_log
from sluice.access_log import Line
from sluice.limiter import rules, sets
from sluice.limiter.blocks import BlockTable
from sluice.limiter.clients import canonical
from sluice.limiter.counters import CounterTable
from sluice.limiter.operator import Operator
from sluice.limiter.sets import SetName

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


def now() -> int:
    """Return milliseconds since 1970."""
    return time.time_ns() // 1_000_000


@dataclass
class Visitor:
    """A client of a stack, and what it was answered and when, in milliseconds since 1970."""

    cloud: LocalAws
    stack: LocalStack
    address: Callable[[int], str]
    """Where its n-th request comes from."""
    answers: list[tuple[int, Reply]] = field(default_factory=list)

    @classmethod
    def at(cls, cloud: LocalAws, stack: LocalStack, address: str) -> "Visitor":
        """Return the client at one address."""
        return cls(cloud, stack, lambda _: address)

    @property
    def statuses(self) -> list[int]:
        """All that it was answered."""
        return [reply.status for _, reply in self.answers]

    def times(self, status: int) -> list[int]:
        """Return when it was answered so."""
        return [when for when, reply in self.answers if reply.status == status]

    def send(self, count: int = 1, **headers: str) -> int:
        """Send requests one after the other, and return the last status."""
        for _ in range(count):
            shown = self.cloud.edge.as_client(self.address(len(self.answers)))
            reply = call(self.stack.outputs["url"], headers={**headers, **shown})
            self.answers.append((now(), reply))
        return self.statuses[-1]

    def send_until(self, status: int, seconds: float = 20.0, every: float = 0.2) -> bool:
        """Send requests until one is answered so, and return whether one was."""
        return wait_every(every, seconds, lambda: self.send() == status)


def wait_every(every: float, seconds: float, holds: Callable[[], bool]) -> bool:
    """Look again and again, and return whether it held in time."""
    deadline = time.monotonic() + seconds
    while not (held := holds()) and time.monotonic() < deadline:
        time.sleep(every)
    return held


def operator_of(cloud: LocalAws, stack: LocalStack) -> Operator:
    """Return what an operator can do with a stack's limiter."""
    found = stack.outputs["limiter"]
    client = cloud.aws.client("dynamodb")
    return Operator(
        rules.loads(found["rules"]),
        CounterTable(client, found["counters"]),
        BlockTable(client, found["blocks"]),
        now,
    )


def invoke(cloud: LocalAws, stack: LocalStack, name: str, event: Values) -> list[Values]:
    """Let one of a stack's functions work, and return the lines that it wrote to its log."""
    answer = cloud.aws.client("lambda").invoke(
        FunctionName=made(stack, name).id, Payload=json.dumps(event), LogType="Tail"
    )
    said = base64.b64decode(answer.get("LogResult", "")).decode()
    assert "FunctionError" not in answer, (answer["Payload"].read(), said)
    return [json.loads(line) for line in said.splitlines() if line.startswith("{")]


def delivery(message: Values) -> Values:
    """Return what CloudWatch Logs hands to a function."""
    return {"awslogs": {"data": base64.b64encode(gzip.compress(json.dumps(message).encode())).decode()}}


def enforce(cloud: LocalAws, stack: LocalStack) -> Values:
    """Let the enforcer work as the schedule does, once no other is at work, and return what it measured."""
    measured: Values = {}
    held_by = operator_of(cloud, stack).blocks

    def worked() -> bool:
        nonlocal measured
        # To ask one that works would let it work on.
        if held_by.is_held(now()):
            return False
        *_, measured = invoke(cloud, stack, "limiter-enforcer-function", {})
        return not measured["RunsBusy"]

    assert wait_every(0.2, 30, worked)
    return measured


def ip_sets(cloud: LocalAws, stack: LocalStack) -> list[SetName]:
    """Return the IP sets that a stack's enforcer writes."""
    settings = cloud.aws.client("lambda").get_function_configuration(
        FunctionName=made(stack, "limiter-enforcer-function").id
    )
    return sets.loads(settings["Environment"]["Variables"]["SLUICE_IP_SETS"])


def held(cloud: LocalAws, each: SetName) -> set[str]:
    """Return the addresses of an IP set, each in the one way to write it."""
    answer = cloud.aws.client("wafv2").get_ip_set(Name=each.name, Scope="REGIONAL", Id=each.id)
    return set(map(canonical, answer["IPSet"]["Addresses"]))


REFUSED_FOR_NOW = {"ThrottlingException", "WAFOptimisticLockException"}


def edit_by_hand(cloud: LocalAws, each: SetName, change: Callable[[set[str]], set[str]]) -> None:
    """Change an IP set behind the enforcer's back, as somebody does in the console."""
    waf = cloud.aws.client("wafv2")

    def edited() -> bool:
        before = waf.get_ip_set(Name=each.name, Scope="REGIONAL", Id=each.id)
        try:
            waf.update_ip_set(
                Name=each.name,
                Scope="REGIONAL",
                Id=each.id,
                Addresses=sorted(change(set(before["IPSet"]["Addresses"]))),
                LockToken=before["LockToken"],
            )
        except ClientError as refused:
            if refused.response["Error"]["Code"] not in REFUSED_FOR_NOW:
                raise
            return False
        return True

    assert wait_every(0.2, 20, edited)


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
    sockets = set()
    for each in alive_in(group):
        # A process may end, and a handle be closed, while this looks.
        with suppress(FileNotFoundError, ProcessLookupError):
            for handle in Path(f"/proc/{each.pid}/fd").iterdir():
                with suppress(FileNotFoundError, ProcessLookupError):
                    sockets.add(str(handle.readlink()))
    rows = [
        row.split() for kind in ("tcp", "tcp6") for row in Path(f"/proc/net/{kind}").read_text().splitlines()
    ]
    return [row[1] for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in sockets]
