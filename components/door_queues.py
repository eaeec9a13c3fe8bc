"""The queues that a front door puts messages into: made here, or somebody else's."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NotRequired, TypedDict, cast

import pulumi
import pulumi_aws as aws

from sluice.sqs import FIFO_SUFFIX

from . import arguments
from .arguments import Problem
from .message_queues import (
    LARGEST_MESSAGE_SIZE,
    LONGEST_RETENTION_SECONDS,
    LONGEST_VISIBILITY_SECONDS,
    QueueSpec,
    create_queues,
)

KIB = 1024
DAY = 24 * 60 * 60
MAX_MESSAGE_SIZE = 256 * KIB
VISIBILITY_TIMEOUT_SECONDS = 180
MESSAGE_RETENTION_SECONDS = 4 * DAY
MAX_RECEIVE_COUNT = 5
MOST_RECEIVES = 1000
ONLY = "queue"
"""What the only queue is called where a name is needed."""
QUEUE_ARN = re.compile(r"arn:aws[a-z-]*:sqs:[a-z0-9-]+:\d{12}:[A-Za-z0-9_-]{1,80}(\.fifo)?", re.ASCII)
QUEUE_URL = re.compile(r"https?://\S+/\d{12}/[A-Za-z0-9_-]{1,80}(\.fifo)?", re.ASCII)


class QueueArgs(TypedDict):
    """One of several queues of a front door: a new one, or one that exists."""

    name: str
    """What routes call it: lower-case letters, digits and -."""
    queue_arn: NotRequired[pulumi.Input[str]]
    """The ARN of a queue that exists; with ``queue_url``, and without any setting of a queue. Default: a
    queue is made."""
    queue_url: NotRequired[pulumi.Input[str]]
    """The URL of a queue that exists. Default: a queue is made."""
    max_message_size: NotRequired[int]
    """The largest message, in bytes with its attributes, 1,024 to 1,048,576; a larger one is answered 413.
    Default: 262,144."""
    visibility_timeout_seconds: NotRequired[int]
    """How long a received message stays hidden, in seconds, 0 to 43,200; at least 6 times the consumer's
    timeout. Default: 180."""
    message_retention_seconds: NotRequired[int]
    """How long the queue keeps a message, in seconds, 60 to 1,209,600. Default: 345,600 (4 days)."""
    max_receive_count: NotRequired[int]
    """After how many receives a message goes to the dead-letter queue, 1 to 1,000. Default: 5."""
    fifo: NotRequired[bool]
    """Whether messages of one group stay in order and come once; routes then need ``group_id``.
    Default: false."""
    content_based_deduplication: NotRequired[bool]
    """For a FIFO queue: whether equal bodies within 5 minutes are one message. Default: false."""
    high_throughput: NotRequired[bool]
    """For a FIFO queue: whether order and deduplication hold per group only, for up to 70,000 messages a
    second and more. Default: false."""


SETTINGS = tuple(key for key in QueueArgs.__annotations__ if key not in {"name", "queue_arn", "queue_url"})
"""What only a queue that is made here can have."""
FIFO_SETTINGS = ("content_based_deduplication", "high_throughput")


def problems(args: Mapping[str, object]) -> list[Problem]:
    """Return everything that is wrong with the arguments of one queue."""
    found = [
        *arguments.matching(args, "queue_arn", QUEUE_ARN, "the ARN of a queue in the stack's Region"),
        *arguments.matching(args, "queue_url", QUEUE_URL, "the URL of that queue"),
        *arguments.together(args, "queue_arn", "queue_url"),
        *arguments.between(args, "max_message_size", KIB, LARGEST_MESSAGE_SIZE, "bytes"),
        *arguments.between(args, "visibility_timeout_seconds", 0, LONGEST_VISIBILITY_SECONDS, "seconds"),
        *arguments.between(args, "message_retention_seconds", 60, LONGEST_RETENTION_SECONDS, "seconds"),
        *arguments.between(args, "max_receive_count", 1, MOST_RECEIVES, "receives"),
        *arguments.flag(args, "fifo"),
        *arguments.flag(args, "content_based_deduplication"),
        *arguments.flag(args, "high_throughput"),
    ]
    if _exists(args):
        found += one_queue(args)
        found += arguments.without(args, SETTINGS, "the queue exists, and keeps its own settings")
    elif args.get("fifo") is not True:
        found += arguments.without(args, FIFO_SETTINGS, "the queue is not FIFO")
    return found


def one_queue(args: Mapping[str, object]) -> Iterable[Problem]:
    """Report an ARN and a URL that name different queues."""
    arn, url = args.get("queue_arn"), args.get("queue_url")
    if isinstance(arn, str) and isinstance(url, str) and arn.split(":")[-2:] != url.split("/")[-2:]:
        yield Problem("queue_url", url, f"the URL of the queue that queue_arn names, {arn}")


def _exists(args: Mapping[str, object]) -> bool:
    return args.get("queue_arn") is not None or args.get("queue_url") is not None


def is_fifo(args: Mapping[str, object]) -> bool | None:
    """Return whether a queue is FIFO; none where only AWS can tell."""
    if not _exists(args):
        return args.get("fifo") is True
    for key in ("queue_arn", "queue_url"):
        if isinstance(name := args.get(key), str):
            return name.endswith(FIFO_SUFFIX)
    return None


@dataclass(frozen=True)
class DoorQueue:
    """One queue of a front door as its arguments say, before anything is made."""

    name: str | None
    """What routes call it; none for the only one."""
    args: Mapping[str, object]

    @property
    def max_message_size(self) -> int:
        """The largest message that it takes; of a queue that exists, the most that SQS can."""
        most = LARGEST_MESSAGE_SIZE if _exists(self.args) else MAX_MESSAGE_SIZE
        return cast(int, self.args.get("max_message_size", most))

    def create(
        self, door: str, kms_key_arn: pulumi.Input[str] | None, *, default: bool, parent: pulumi.Resource
    ) -> "Destination":
        """Return the queue that exists, or make it and its dead-letter queue.

        The default of several takes over the only one of before, with its messages.
        """
        args = cast(QueueArgs, self.args)
        if _exists(self.args):
            arn = pulumi.Output.from_input(args["queue_arn"])
            url = pulumi.Output.from_input(args["queue_url"])
            return Destination(arn, url, arn.apply(lambda known: known.rpartition(":")[2]), None)
        pair = create_queues(
            door if self.name is None else f"{door}-{self.name}",
            QueueSpec(
                max_message_size=self.max_message_size,
                visibility_timeout_seconds=args.get("visibility_timeout_seconds", VISIBILITY_TIMEOUT_SECONDS),
                message_retention_seconds=args.get("message_retention_seconds", MESSAGE_RETENTION_SECONDS),
                max_receive_count=args.get("max_receive_count", MAX_RECEIVE_COUNT),
                kms_key_arn=kms_key_arn,
                fifo=args.get("fifo", False),
                content_based_deduplication=args.get("content_based_deduplication", False),
                high_throughput=args.get("high_throughput", False),
            ),
            parent=parent,
            formerly=door if default and self.name is not None else None,
        )
        return Destination(pair.queue.arn, pair.queue.url, pair.queue.name, pair.dead_letters)


@dataclass(frozen=True)
class Destination:
    """A queue that messages go to."""

    arn: pulumi.Output[str]
    url: pulumi.Output[str]
    name: pulumi.Output[str]
    """What it is called in AWS."""
    dead_letters: "aws.sqs.Queue | None"
    """None where the queue is somebody else's."""


def of(args: Mapping[str, object]) -> list[DoorQueue]:
    """Return the queues that a front door's arguments mean, the first of which is the default."""
    several = args.get("queues")
    if isinstance(several, list):
        return [DoorQueue(each["name"], arguments.present(each)) for each in several]
    return [DoorQueue(None, {key: args[key] for key in QueueArgs.__annotations__ if key in args})]


def named(args: Mapping[str, object], name: str | None) -> Mapping[str, object] | None:
    """Return the arguments of one of a front door's queues, the first without a name, if it is there."""
    several = args.get("queues")
    if not isinstance(several, list) or not several:
        return args if name in {None, ONLY} else None
    there = [each for each in several if isinstance(each, dict) and name in {None, each.get("name")}]
    return there[0] if there else None


def to_drain(args: Mapping[str, object]) -> dict[str, object]:
    """Return what is known of one queue before it is made; nothing of one that exists, but its kind."""
    fifo = is_fifo(args)
    kind: dict[str, object] = {} if fifo is None else {"queue_fifo": fifo}
    if _exists(args):
        return kind
    given = arguments.present(args)
    return {
        **kind,
        "queue_visibility_timeout_seconds": given.get(
            "visibility_timeout_seconds", VISIBILITY_TIMEOUT_SECONDS
        ),
        "queue_max_receive_count": given.get("max_receive_count", MAX_RECEIVE_COUNT),
    }
