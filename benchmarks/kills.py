"""What becomes of messages whose workers are killed at random: nothing lost, and nothing completed twice."""

import json
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from local.client import post_all
from local.emulator import ROOT
from local.say import Say
from local.stack import LocalAws, LocalStack, local_aws
from sluice.dead_letters import ATTRIBUTE, Reason
from sluice.limiter.rules import Rules

from .results import Result

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

NAME = "kills"
MESSAGES, FEW_MESSAGES = 10_000, 300
WORKER = ROOT / "benchmarks" / "worker"
POISON_EVERY, FLAW_EVERY = 97, 101
"""One message in so many is refused at once, and one in so many each time."""
TIMEOUT_SECONDS = 2
RECEIVES = 20
KILLS, FEW_KILLS = 60, 4
"""How many at most."""
PAUSES = (0.5, 2.5)
"""Seconds from one kill to the next, at least and at most."""
QUIET_SECONDS = 60.0
"""How long nothing may change before a run counts as stuck."""
PLAIN = "the same worker without idempotency"


@dataclass(frozen=True)
class Account:
    """What became of all messages of a run."""

    accepted: int
    completed: int
    """Messages that ended well, as the table of idempotency knows; without it, as the worker knows."""
    dead: int
    both: int
    """Messages that ended well and are dead letters all the same."""
    lost: int
    kills: int
    completed_twice: int
    """Messages of which more than one run was completed."""
    worked_twice: int
    """Messages on which the work came to its end more than once: it was cut off before that was noted."""
    dead_in_vain: int
    """Dead letters that would have been handled: all their receives were in batches that were killed."""
    begun: int
    """Attempts that began their work."""
    unended: int
    """Attempts whose work came to no end."""
    interrupted: int
    """Attempts that the next one found unfinished, and reported: some just before or after their work."""
    cut_short: int
    """Attempts that the function itself interrupted, near the end of its time."""
    seconds: float


def run(made: Rules, say: Say, *, quick: bool) -> Iterator[Result]:
    """Kill workers with and without idempotency; no rule matters."""
    del made
    messages, kills = (FEW_MESSAGES, FEW_KILLS) if quick else (MESSAGES, KILLS)
    with local_aws(say) as cloud:
        ours = killed(cloud, messages, kills, {"idempotency": {}})
        say.step(f"{NAME}: ours", ours.seconds)
        plain = killed(cloud, messages, kills, {})
        say.step(f"{NAME}: plain", plain.seconds)
    case = f"{ours.accepted:,} and {plain.accepted:,} accepted, {ours.kills} and {plain.kills} kills"
    for metric in (
        "completed",
        "dead",
        "both",
        "lost",
        "completed_twice",
        "worked_twice",
        "interrupted",
        "cut_short",
    ):
        yield Result(NAME, case, metric, "messages", getattr(ours, metric), getattr(plain, metric), PLAIN)


def killed(cloud: LocalAws, messages: int, kills: int, consumer: Mapping[str, Any]) -> Account:
    """Send messages through a front door while their workers are killed, and give an account."""
    begun = time.monotonic()
    stack = cloud.up("open", _settings(consumer))
    bodies = [_body(number) for number in range(messages)]
    with _Killer(stack.consumer["function"], kills) as killer:
        sent = post_all(stack.outputs["url"], bodies, None)
        accepted = {each.answer["messageId"]: each.body.decode() for each in sent if each.accepted}
        _await(cloud, stack, lambda left: left < len(accepted) // 20)
    # The last ones are let through: a run has to end.
    _await(cloud, stack, lambda left: left == 0)
    return _account(cloud, stack, accepted, killer.kills, time.monotonic() - begun)


def _settings(consumer: Mapping[str, Any]) -> dict[str, str]:
    door = {
        "manage_account_logging": True,
        "throttle_rate": 10_000,
        "throttle_burst": 5_000,
        "visibility_timeout_seconds": 6 * TIMEOUT_SECONDS,
        "max_receive_count": RECEIVES,
    }
    worker = {
        "code": str(WORKER.relative_to(ROOT)),
        "entry": "attempts:record_handler",
        "table": "id",
        "timeout_seconds": TIMEOUT_SECONDS,
        "maximum_concurrency": 4,
        "retry_base_seconds": 0,
        "poison_errors": ["PoisonError"],
        **consumer,
    }
    return {"sluice:front_door": json.dumps(door), "sluice:consumer": json.dumps(worker)}


def _body(number: int) -> bytes:
    if number % POISON_EVERY == 0:
        return b"poison"
    return b"flaw" if number % FLAW_EVERY == 0 else b'{"number": %d}' % number


class _Killer:
    """Kills a worker of a function now and then, chosen at random, with no chance to say goodbye."""

    def __init__(self, function: str, most: int) -> None:
        self.kills = 0
        self._most = most
        self._function = function
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._random = random.Random(7)  # noqa: S311 - the same pauses in every run

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _work(self) -> None:
        before: list[int] = []
        while self.kills < self._most and not self._stop.wait(self._random.uniform(*PAUSES)):
            # One that has just been started had no work yet.
            there = workers(self._function)
            if at_work := [each for each in there if each in before]:
                os.kill(self._random.choice(at_work), signal.SIGKILL)
                self.kills += 1
            before = there


def workers(function: str) -> list[int]:
    """Return the processes in which the local AWS runs a function."""
    mine = f"AWS_LAMBDA_FUNCTION_NAME={function}".encode()
    return sorted(
        int(each.name) for each in Path("/proc").iterdir() if each.name.isdigit() and mine in _variables(each)
    )


def _variables(process: Path) -> list[bytes]:
    try:
        return (process / "environ").read_bytes().split(b"\0")
    except OSError:  # somebody else's, or gone in the meantime
        return []


def _await(cloud: LocalAws, stack: LocalStack, enough: Callable[[int], bool]) -> None:
    """Wait until few enough messages are left in the queue."""
    sqs, url = cloud.aws.client("sqs"), stack.outputs["queue_url"]
    before, since = -1, time.monotonic()
    while not enough(left := _left(sqs, url)):
        if left != before:
            before, since = left, time.monotonic()
        if time.monotonic() - since > QUIET_SECONDS:
            raise RuntimeError(f"{left} messages are left, and nothing happens any more")
        time.sleep(0.2)


def _left(sqs: "SQSClient", url: str) -> int:
    found = sqs.get_queue_attributes(
        QueueUrl=url,
        AttributeNames=[
            "ApproximateNumberOfMessages",
            "ApproximateNumberOfMessagesNotVisible",
            "ApproximateNumberOfMessagesDelayed",
        ],
    )["Attributes"]
    return sum(map(int, found.values()))


def _account(
    cloud: LocalAws, stack: LocalStack, accepted: Mapping[str, str], kills: int, seconds: float
) -> Account:
    counts = {item["id"]["S"]: item for item in _scan(cloud, stack.consumer["table"])}
    begun, ended, failed = (_sum(counts, each) for each in ("begun", "ended", "failed"))
    dead = _dead(cloud, stack)
    lines = _lines(cloud, stack)
    handled = Counter(each["message_id"] for each in lines if each.get("message") == "handled")
    if table := stack.consumer["idempotency_table"]:
        completed = sum(each["status"]["S"] == "COMPLETED" for each in _scan(cloud, table))
    else:
        completed = len(ended)
    gone = accepted.keys() - ended.keys() - dead.keys()
    return Account(
        accepted=len(accepted),
        completed=completed,
        dead=len(dead),
        both=len(ended.keys() & dead.keys()),
        lost=len(gone),
        kills=kills,
        completed_twice=sum(count > 1 for count in handled.values()),
        worked_twice=sum(count > 1 for count in ended.values()),
        dead_in_vain=sum(accepted[each] not in {"poison", "flaw"} for each in dead),
        begun=begun.total(),
        unended=begun.total() - ended.total() - failed.total(),
        interrupted=int(sum(each.get("AttemptsInterrupted", [0])[0] for each in lines)),
        cut_short=sum(each.get("exception_name") == "OutOfTimeError" for each in lines),
        seconds=seconds,
    )


def _sum(counts: Mapping[str, Any], what: str) -> Counter[str]:
    return Counter({each: int(item[what]["N"]) for each, item in counts.items() if what in item})


def _scan(cloud: LocalAws, table: str) -> Iterator[Mapping[str, Any]]:
    pages = cloud.aws.client("dynamodb").get_paginator("scan").paginate(TableName=table, ConsistentRead=True)
    for page in pages:
        yield from page["Items"]


def _dead(cloud: LocalAws, stack: LocalStack) -> Counter[str]:
    """Return how often each message is a dead letter, by the id that it was accepted with."""
    sqs, url = cloud.aws.client("sqs"), stack.outputs["dead_letter_queue_url"]
    found: Counter[str] = Counter()
    while messages := sqs.receive_message(
        QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"], VisibilityTimeout=600
    ).get("Messages"):
        for each in messages:
            reason = each.get("MessageAttributes", {}).get(ATTRIBUTE)
            found[Reason.loads(reason["StringValue"]).message_id if reason else each["MessageId"]] += 1
    return found


def _lines(cloud: LocalAws, stack: LocalStack) -> list[dict[str, Any]]:
    pages = (
        cloud.aws.client("logs")
        .get_paginator("filter_log_events")
        .paginate(logGroupName=stack.consumer["log"])
    )
    texts = (event["message"] for page in pages for event in page["events"])
    return [json.loads(each) for each in texts if each.startswith("{")]
