"""Tasks that move a dead-letter queue's messages: StartMessageMoveTask and the two calls about it.

("StartMessageMoveTask", "ListMessageMoveTasks" and "CancelMessageMoveTask" in the Amazon SQS API reference,
"Learn how to configure a dead-letter queue redrive in Amazon SQS" in its developer guide)

This runs inside the emulator, which has none of them.
"""

# There is no other way in than the emulator's private names.
# ruff: noqa: SLF001

import asyncio
import base64
import json
import time
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import emulator_iam  # type: ignore[import-not-found]  # a sibling: this runs by its path
from ministack.core import iam_actions, iam_evaluator
from ministack.core.responses import new_uuid
from ministack.services import sqs

MOST_LISTED = 10
FASTEST = 500
INVALID, MISSING, NOT_FOUND = "InvalidParameterValue", "MissingParameter", "ResourceNotFoundException"
NO_QUEUE = "AWS.SimpleQueueService.NonExistentQueue"
NO_SOURCE = "CouldNotDetermineMessageSource"
SOURCE = "DeadLetterQueueSourceArn"
START = "sqs:StartMessageMoveTask"
NEEDED = ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes")
"""What else a caller needs on the source ("Amazon SQS API permissions: Actions and resource reference")."""

Data = dict[str, Any]

_destination: ContextVar[str] = ContextVar("destination", default="")
_tasks: dict[str, list["MoveTask"]] = {}
_running: set["asyncio.Task[None]"] = set()


@dataclass
class MoveTask:
    """One task, running or ended."""

    source: str
    destination: str | None
    velocity: int | None
    to_move: int
    status: str = "RUNNING"
    moved: int = 0
    failure: str | None = None
    id: str = field(default_factory=new_uuid)
    started: int = field(default_factory=lambda: time.time_ns() // 1_000_000)

    @property
    def handle(self) -> str:
        """What cancels it."""
        return base64.b64encode(json.dumps({"taskId": self.id, "sourceArn": self.source}).encode()).decode()

    @property
    def active(self) -> bool:
        """Whether no other may be started."""
        return self.status in {"RUNNING", "CANCELLING"}

    def shown(self) -> Data:
        """Return it as it is listed."""
        given = {
            "TaskHandle": self.handle if self.status == "RUNNING" else None,
            "Status": self.status,
            "SourceArn": self.source,
            "DestinationArn": self.destination,
            "MaxNumberOfMessagesPerSecond": self.velocity,
            "ApproximateNumberOfMessagesMoved": self.moved,
            "ApproximateNumberOfMessagesToMove": self.to_move,
            "FailureReason": self.failure,
            "StartedTimestamp": self.started,
        }
        return {name: value for name, value in given.items() if value is not None}

    async def run(self) -> None:
        """Move one message after the other, until there is none, or it fails, or is cancelled."""
        while self.status == "RUNNING" and self.moved < self.to_move:
            with sqs._queues_lock:
                self.failure = self._move_one()
            if self.failure:
                break
            await asyncio.sleep(1 / self.velocity if self.velocity else 0)
        self.status = (
            "FAILED" if self.failure else "CANCELLED" if self.status == "CANCELLING" else "COMPLETED"
        )

    def _move_one(self) -> str | None:
        """Move the oldest message that nobody holds, and return why not, if it cannot be."""
        queue = sqs._queue_by_arn(self.source)
        if queue is None:
            return NO_QUEUE
        message = next(iter(visible(queue)), None)
        if message is None:
            self.to_move = self.moved
            return None
        arn = self.destination or message["sys"].get(SOURCE)
        if arn is None:
            return NO_SOURCE
        destination = sqs._queue_by_arn(arn)
        if destination is None:
            return NO_QUEUE
        queue["messages"] = [each for each in queue["messages"] if each is not message]
        destination["messages"].append(as_new(message, destination))
        self.moved += 1
        sqs.esm_wake.set()
        return None


def visible(queue: Data) -> list[Data]:
    """Return the messages that nobody holds."""
    now = time.time()
    for each in queue["messages"]:
        sqs._ensure_msg_fields(each)
    return [each for each in queue["messages"] if each["visible_at"] <= now]


def as_new(message: Data, queue: Data) -> Data:
    """Return a message as a queue has it that it was moved to: a new one with the same content."""
    now = time.time()
    system = {name: value for name, value in message["sys"].items() if name != SOURCE}
    kept = {name: value for name, value in message.items() if name != "enqueued_at"}
    if queue["is_fifo"]:
        queue["fifo_seq"] += 1
        kept["seq"] = str(queue["fifo_seq"]).zfill(20)
    return {
        **kept,
        "id": new_uuid(),
        "receipt_handle": None,
        "sent_at": now,
        "visible_at": now + sqs.queue_delay(queue),
        "receive_count": 0,
        "first_receive_at": None,
        "sys": {**system, "SentTimestamp": str(int(now * 1000))},
    }


def start(data: Data, _url: str) -> Data:
    """Answer StartMessageMoveTask."""
    source, destination = data.get("SourceArn"), data.get("DestinationArn")
    velocity = data.get("MaxNumberOfMessagesPerSecond")
    queue = known_queue("SourceArn", source)
    if destination is not None:
        known_queue("DestinationArn", destination)
    if source not in dead_letter_targets():
        raise sqs._Err(INVALID, "Source queue must be configured as a Dead Letter Queue.")
    if velocity is not None and not 1 <= velocity <= FASTEST:
        raise sqs._Err(INVALID, "Value for parameter MaxNumberOfMessagesPerSecond is invalid.")
    tasks = _tasks.setdefault(source, [])
    if any(each.active for each in tasks):
        raise sqs._Err(
            INVALID,
            "There is already a task running. Only one active task is allowed for a source queue arn at a "
            "given time.",
        )
    task = MoveTask(source, destination, velocity, len(visible(queue)))
    tasks.insert(0, task)
    running = asyncio.get_running_loop().create_task(task.run())
    _running.add(running)
    running.add_done_callback(_running.discard)
    return {"TaskHandle": task.handle}


def listed(data: Data, _url: str) -> Data:
    """Answer ListMessageMoveTasks."""
    source, most = data.get("SourceArn"), data.get("MaxResults", 1)
    known_queue("SourceArn", source)
    if not 1 <= most <= MOST_LISTED:
        raise sqs._Err(INVALID, "Value for parameter MaxResults is invalid.")
    return {"Results": [each.shown() for each in _tasks.get(source or "", [])[:most]]}


def cancel(data: Data, _url: str) -> Data:
    """Answer CancelMessageMoveTask."""
    handle = data.get("TaskHandle", "")
    source = source_of(handle)
    if source is None:
        raise sqs._Err(INVALID, "Value for parameter TaskHandle is invalid.")
    known_queue("SourceArn", source)
    task = next((each for each in _tasks.get(source, []) if each.handle == handle), None)
    if task is None:
        raise sqs._Err(NOT_FOUND, "Task does not exist.", 404)
    if task.status != "RUNNING":
        raise sqs._Err(INVALID, "Only active tasks can be cancelled.")
    task.status = "CANCELLING"
    return {"ApproximateNumberOfMessagesMoved": task.moved}


def known_queue(parameter: str, arn: str | None) -> Data:
    """Return a queue that a parameter names."""
    if not arn:
        raise sqs._Err(MISSING, f"The request must contain the parameter {parameter}.")
    queue: Data | None = sqs._queue_by_arn(arn)
    if queue is None:
        raise sqs._Err(
            NOT_FOUND, f"The resource that you specified for the {parameter} parameter doesn't exist.", 404
        )
    return queue


def dead_letter_targets() -> set[str]:
    """Return the ARNs of all queues that some queue has as its dead-letter queue."""
    policies = [each["attributes"].get("RedrivePolicy") for _, each in sqs._queues.items()]
    return {json.loads(each)["deadLetterTargetArn"] for each in policies if each}


def source_of(handle: str) -> str | None:
    """Return the source that a handle names."""
    try:
        source: str = json.loads(base64.b64decode(handle, validate=True))["sourceArn"]
    except (ValueError, KeyError, TypeError):
        return None
    return source


CALLS = {"StartMessageMoveTask": start, "ListMessageMoveTasks": listed, "CancelMessageMoveTask": cancel}


def source_named(given: Data, _region: str, _account: str) -> str | None:
    """Return the queue that a call is about, which these calls name in their own ways."""
    _destination.set(str(given.get("DestinationArn", "*")))
    return given.get("SourceArn") or source_of(str(given.get("TaskHandle", "")))


def asking_for_all(enforce: Callable[..., object]) -> Callable[..., object]:
    """Return what asks IAM about a call, and here about all that the call does for its caller."""

    def enforced(  # noqa: PLR0913, PLR0917 - the emulator's own signature
        key: str,
        action: str,
        service: str,
        region: str,
        resource_arn: str = "*",
        service_context: Data | None = None,
    ) -> object:
        checks = [(action, resource_arn)]
        if action.removeprefix("sqs:") in CALLS:
            checks += [(each, resource_arn) for each in NEEDED]
        if action == START:
            checks.append(("sqs:SendMessage", _destination.get()))
        denials = (enforce(key, each, service, region, arn, service_context) for each, arn in checks)
        return next((denied for denied in denials if denied), None)

    return enforced


def install() -> None:
    """Put all this beside and around the emulator's own."""
    iam_actions.extract_resource_arn = emulator_iam.naming("sqs", CALLS, source_named)(
        iam_actions.extract_resource_arn
    )
    iam_evaluator.enforce = asking_for_all(iam_evaluator.enforce)
    sqs._HANDLERS.update(CALLS)
