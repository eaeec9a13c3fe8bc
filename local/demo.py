"""``make demo``: deploys the example stacks on the local AWS, sends real requests, shows what happened."""

import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING

import pulumi
from rich.console import Console
from rich.table import Table
from rich.text import Text

from examples.recorder import recorder
from sluice import tokens
from sluice.dead_letters import ATTRIBUTE, Reason
from sluice.redrive import Choice, Clock, Handover, Route

from . import demo_callers, demo_full, demo_retrier
from .backend import backend
from .client import Sent, post, post_all
from .demo_checks import Check, outcome, recorded, wait_until
from .demo_limits import Visit, visit
from .program import DeployError
from .say import Say
from .stack import LocalAws, LocalStack, local_aws

if TYPE_CHECKING:
    from mypy_boto3_sqs.type_defs import MessageTypeDef

STACKS = ("dev", "open")
AT_ONCE = 4
"""Stacks that are asked at the same time."""
LIMITS = "limits"
"""The stack whose windows are short enough to be seen."""
BLOCKED_SECONDS = 3.0
"""From the request that uses up a limit to the first 429."""
RELEASED_SECONDS = 5.0
"""From the moment when there is room to the first request that is accepted again."""
MESSAGES = 500
"""How many plain messages each stack gets."""
BATCH_MATES = 9
LARGE = 200 * 1024
MIB = 1024 * 1024
PLAIN_WIDTH = 110
"""Columns of the table where it is not shown on a terminal."""
AWKWARD = [
    b"a=1&b=2&Action=DeleteQueue&MessageBody=x",
    b"100% + 1 = 101% %26 %zz",
    b"\"double\" 'single' `back` \\ $input.body #set($a = 1) ${x}",
    "line\nline\r\n\ttab \u00e9 \u4e2d\u6587 \U0001f600 \U0001f468\u200d\U0001f469\u200d\U0001f467".encode(),
    b'{"json": [1, {"a": null}]}',
]
"""Bodies that break a template which is careless with quoting or encoding."""


@dataclass(frozen=True)
class Report:
    """What a run of the demo came to."""

    ok: bool
    seconds: dict[str, float]
    checks: list[Check]
    clients: list[Visit]
    """Those of the limiter's demo."""


def run(*, as_json: bool) -> int:
    """Run the demo and print its report; 0 if everything holds."""
    started = time.monotonic()
    say = Say()
    deployed: list[LocalStack] = []
    visits: list[Visit] = []
    with local_aws(say) as local, backend() as behind:
        try:
            deployed += [local.up(name) for name in (*STACKS, LIMITS)]
            rich = local.up(demo_full.STACK, demo_full.overrides(behind))
            calling = local.up(demo_retrier.STACK)
            guarded = [
                local.up(name, demo_callers.overrides(name))
                for name in (*demo_callers.STACKS, demo_callers.PROXY)
            ]
        except (DeployError, pulumi.RunError) as error:
            checks = [Check("deploy", ok=False, detail={"error": str(error)})]
        else:
            others = [partial(demo_retrier.examine, calling), partial(demo_full.examine, local, rich, behind)]
            others += [partial(demo_callers.examine, local, each) for each in guarded]
            checks, visits = show_all(local, deployed, others, say)
    report = Report(
        ok=all(check.ok for check in checks),
        seconds={
            "deploy": round(deployed[0].deployment.seconds, 2) if deployed else 0.0,
            "total": round(time.monotonic() - started, 2),
        },
        checks=checks,
        clients=visits,
    )
    print(json.dumps(asdict(report))) if as_json else show(report)
    return 0 if report.ok else 1


def show_all(
    local: LocalAws, deployed: list[LocalStack], others: Sequence[Callable[[], list[Check]]], say: Say
) -> tuple[list[Check], list[Visit]]:
    """Send requests to every stack, and return what was found and what the limiter's clients saw."""
    *plain, limited = deployed
    say.line("Sending requests")
    asking = [*(partial(examine, local, each) for each in plain), *others]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        checks = [check for each in pool.map(lambda ask: ask(), asking) for check in each]
    # On its own: it is about seconds.
    say.line("Letting five clients come, until those that are blocked are free again")
    visits = outcome(partial(visit, local, limited))
    if isinstance(visits, Check):
        return [*checks, visits], []
    return [*checks, blocked(visits), released(visits), left_alone(visits)], visits


def examine(local: LocalAws, stack: LocalStack) -> list[Check]:
    """Send one stack everything that the demo knows, and check what came of it."""
    name = stack.deployment.stack
    # The poison goes first: its receives take seconds, in which everything else happens.
    poison, mates = send_poison(stack)
    plain = send(stack, [b'{"number": %d}' % number for number in range(MESSAGES)])
    awkward = send(stack, [*AWKWARD, large_body()])
    findings = [
        lambda: oversize(stack),
        lambda: accepted_and_handled(local, stack, [*plain, *mates, *awkward]),
        lambda: byte_for_byte(local, stack, awkward),
        lambda: dead_letter(local, stack, poison, mates),
        lambda: brought_back(local, stack, poison),
        lambda: broken_queue(local, stack),
    ]
    if stack.token:
        findings.insert(0, lambda: refusals(stack))
    return [replace(each, name=f"{name}: {each.name}") for each in map(outcome, findings)]


def send(stack: LocalStack, bodies: Sequence[bytes]) -> Sequence[Sent]:
    """Send bodies to a stack with its token."""
    return post_all(stack.outputs["url"], bodies, stack.token)


def send_poison(stack: LocalStack) -> tuple[Sent, Sequence[Sent]]:
    """Send one message that the consumer refuses, and others that share its batch."""
    poison, *mates = send(stack, [b"poison", *(b'{"mate": %d}' % number for number in range(BATCH_MATES))])
    return poison, mates


def large_body() -> bytes:
    """Return 200 KB of everything awkward."""
    unit = b"&=+%\"'\\ " + "\u00e9\U0001f600\n".encode()
    return b'{"filling": ' + unit * (LARGE // len(unit)) + b"}"


def accepted_and_handled(local: LocalAws, stack: LocalStack, sent: Sequence[Sent]) -> Check:
    """Check that exactly what was accepted was handled, message by message."""
    accepted = Counter(each.message for each in sent if each.accepted)
    started = time.monotonic()
    handled = wait_until(lambda: recorded(local, stack), lambda found: found == accepted)
    return Check(
        "accepted and handled",
        len(accepted) == len(sent) and handled == accepted,
        {
            "sent": len(sent),
            "accepted": accepted.total(),
            "handled": handled.total(),
            "lost": (accepted - handled).total(),
            "extra": (handled - accepted).total(),
            "waited": round(time.monotonic() - started, 2),
        },
    )


def byte_for_byte(local: LocalAws, stack: LocalStack, awkward: Sequence[Sent]) -> Check:
    """Check that awkward bodies arrived as they were sent."""
    wrote = recorded(local, stack)
    same = sum(each.accepted and wrote[each.message] == 1 for each in awkward)
    detail = {"sent": len(awkward), "same": same, "largest": max(len(each.body) for each in awkward)}
    return Check("awkward bytes arrive byte for byte", same == len(awkward), detail)


def dead_letter(local: LocalAws, stack: LocalStack, poison: Sent, mates: Sequence[Sent]) -> Check:
    """Check that the poison ends in the dead-letter queue after its receives, and its batch-mates do not."""
    name = "a poison message ends in the dead-letter queue"
    if not poison.accepted:
        return Check(name, ok=False, detail={"the poison was answered": poison.status})
    sqs = local.aws.client("sqs")
    url = stack.outputs["dead_letter_queue_url"]
    redrive = sqs.get_queue_attributes(QueueUrl=stack.outputs["queue_url"], AttributeNames=["RedrivePolicy"])
    allowed = json.loads(redrive["Attributes"]["RedrivePolicy"])["maxReceiveCount"]
    found = wait_until(
        lambda: sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"]).get(
            "Messages", []
        ),
        bool,
    )
    reasons = [reason_of(each) for each in found]
    for each in found:
        sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=each["ReceiptHandle"], VisibilityTimeout=0)
    handled = recorded(local, stack)
    why = Reason("PoisonError", "", poison.answer["messageId"], allowed)
    return Check(
        name,
        [replace(each, error=each.error.rpartition(".")[2], message="") for each in reasons] == [why]
        and found[0]["Body"].encode() == poison.body
        and all(handled[mate.message] == 1 for mate in mates),
        {
            "reason": reasons[0].error if reasons else None,
            "receives": reasons[0].receives if reasons else 0,
            "max_receive_count": allowed,
            "dead_letters": len(found),
            "batch_mates_handled": sum(handled[mate.message] for mate in mates),
        },
    )


def brought_back(local: LocalAws, stack: LocalStack, poison: Sent) -> Check:
    """Mend what made the message fail, and check that its redrive ends in its being handled."""
    name = "mended and redriven, it is handled"
    if not poison.accepted:
        return Check(name, ok=False, detail={"the poison was answered": poison.status})
    local.aws.client("dynamodb").put_item(
        TableName=stack.consumer["table"], Item={"id": {"S": recorder.ANTIDOTE}}
    )
    queue = stack.outputs["front_door"]["queues"]["queue"]
    handover = Handover(
        local.aws.client("sqs"),
        Route("queue", queue["url"], queue["dead_letter_url"]),
        Clock(time.monotonic, time.sleep, lambda: False),
        Choice(errors=["PoisonError"]),
    )
    for _ in handover.run():
        pass
    _, body = poison.message
    handled = wait_until(
        lambda: sum(count for (_, each), count in recorded(local, stack).items() if each == body), bool
    )
    moved = handover.tally.moved
    return Check(
        name,
        (moved, handled) == (1, 1),
        {"moved": moved, "handled": handled},
    )


def reason_of(message: "MessageTypeDef") -> Reason:
    """Return why a message is in the dead-letter queue."""
    return Reason.loads(message["MessageAttributes"][ATTRIBUTE]["StringValue"])


def refusals(stack: LocalStack) -> Check:
    """Check that callers without a token that is known are refused."""
    url = stack.outputs["url"]
    got = {
        "no token": post(url, b"{}"),
        "unknown token": post(url, b"{}", tokens.mint()),
        "malformed token": post(url, b"{}", "secret"),
    }
    expected = {"no token": 401, "unknown token": 403, "malformed token": 401}
    statuses = {name: each.status for name, each in got.items()}
    shaped = all(set(each.answer) == {"code", "message", "requestId"} for each in got.values())
    return Check("callers without a known token are refused", statuses == expected and shaped, dict(statuses))


def oversize(stack: LocalStack) -> Check:
    """Check that a body over the queue's limit, and one over API Gateway's, are refused in our words."""
    got = {
        "over the queue's limit": post(stack.outputs["url"], b"x" * (MIB // 2), stack.token),
        "over 10 MB": post(stack.outputs["url"], b"x" * (11 * MIB), stack.token),
    }
    ok = all(
        each.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE and each.answer.get("code") == "REQUEST_TOO_LARGE"
        for each in got.values()
    )
    return Check("an oversize body is refused", ok, {name: each.status for name, each in got.items()})


def broken_queue(local: LocalAws, stack: LocalStack) -> Check:
    """Delete the queue behind the API's back, and check that nobody is told that a message was accepted."""
    local.aws.client("sqs").delete_queue(QueueUrl=stack.outputs["queue_url"])
    got = send(stack, [b"{}"] * 3)
    statuses = Counter(str(each.status) for each in got)
    ok = all(
        each.status >= HTTPStatus.INTERNAL_SERVER_ERROR and each.answer.get("code") == "QUEUE_UNAVAILABLE"
        for each in got
    )
    return Check("a broken queue is answered honestly", ok, dict(statuses))


def blocked(visits: Sequence[Visit]) -> Check:
    """Check that the clients that ask too often are refused, soon after they used up their limit."""
    after = {each.client: each.blocked_after for each in visits if each.busy}
    ok = bool(after) and all(each is not None and each <= BLOCKED_SECONDS for each in after.values())
    return Check(f"{LIMITS}: who asks too often gets 429 within {BLOCKED_SECONDS:.0f} s", ok, after)


def released(visits: Sequence[Visit]) -> Check:
    """Check that they are free again when their window has room, and not before."""
    after = {each.client: each.released_after for each in visits if each.busy}
    ok = bool(after) and all(each is not None and 0 <= each <= RELEASED_SECONDS for each in after.values())
    return Check(f"{LIMITS}: free again within {RELEASED_SECONDS:.0f} s of room", ok, after)


def left_alone(visits: Sequence[Visit]) -> Check:
    """Check that every request of all the others is accepted."""
    others = [each for each in visits if not each.busy]
    detail = {each.client: f"{each.accepted} of {each.requests}" for each in others}
    ok = bool(others) and all(0 < each.accepted == each.requests for each in others)
    return Check(f"{LIMITS}: nobody else notices", ok, detail)


def show(report: Report) -> None:
    """Print the report as a table."""
    table = Table("", "what was shown", "figures", title="Sluice on a local AWS")
    for check in report.checks:
        figures = ", ".join(f"{name} {value}" for name, value in check.detail.items())
        verdict = Text("ok", "green") if check.ok else Text("NO", "red")
        # As text: an error's own words may look like markup.
        table.add_row(verdict, Text(check.name), Text(figures))
    console = Console(width=None if sys.stdout.isatty() else PLAIN_WIDTH)
    console.print(table)
    if report.clients:
        console.print(clients_table(report.clients))
    summary = "Everything holds." if report.ok else "Something does not hold."
    console.print(f"{summary} Deployed in {report.seconds['deploy']} s, {report.seconds['total']} s in all.")


def clients_table(visits: Sequence[Visit]) -> Table:
    """Return what the limiter's clients saw; times in seconds since they began."""
    columns = ("requests", "accepted", "429", "used up", "first 429", "room", "free again")
    table = Table("client", *columns, title="Five clients, two of them over their limit (seconds)")
    for each in visits:
        times = (each.crossed, each.first_429, each.room_at, each.released)
        counts = (each.requests, each.accepted, each.refused)
        shown = ["" if when is None else f"{when:.1f}" for when in times]
        table.add_row(f"{each.client}, {each.name}", *map(str, counts), *shown)
    return table
