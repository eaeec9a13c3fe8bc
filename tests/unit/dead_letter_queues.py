"""A queue and its dead-letter queue in memory, as far as bringing dead letters back needs them."""

# The arguments have the names that SQS gives them.
# ruff: noqa: N803

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any

from botocore.exceptions import ClientError

from sluice.dead_letters import ATTRIBUTE, Reason
from sluice.redrive import Clock, Route

BEGAN = 1_795_000_000
"""Seconds since 1970, when a test begins."""
REGION = "eu-west-1"
BASE = f"https://sqs.{REGION}.amazonaws.com/123456789012"
ARN = f"arn:aws:sqs:{REGION}:123456789012"
ROUTE = Route("orders", f"{BASE}/orders", f"{BASE}/orders-dead")
FIFO = Route("orders", f"{BASE}/orders.fifo", f"{BASE}/orders-dead.fifo")
Values = dict[str, Any]


def refused(operation: str, code: str = "AccessDenied", message: str = "no") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, operation)


@dataclass
class Time:
    """A clock that only sleeping moves on."""

    seconds: float = 0.0
    stop_at: float = float("inf")

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.seconds += seconds

    def clock(self) -> Clock:
        return Clock(lambda: self.seconds, self.sleep, lambda: self.seconds >= self.stop_at)


@dataclass
class Held:
    """A message of the dead-letter queue."""

    id: str
    body: str
    attributes: Values
    system: Values
    hidden_until: float = 0.0
    receipts: int = 0


@dataclass
class FakeSqs:
    """SQS with one dead-letter queue, which keeps what it was asked to do."""

    time: Time
    fifo: bool = False
    letters: list[Held] = field(default_factory=list)
    sent: list[tuple[float, list[Values]]] = field(default_factory=list)
    """Every batch with its time."""
    deleted: list[str] = field(default_factory=list)
    not_taken: set[str] = field(default_factory=set)
    """Bodies that the queue refuses."""
    not_deleted: dict[str, int] = field(default_factory=dict)
    """How often a message's deletion fails, by id."""
    broken: dict[str, Exception] = field(default_factory=dict)
    """What a call raises, by its name."""
    arriving: Callable[[Values], None] = lambda _: None
    """What happens when the queue gets a message."""
    shown_twice: bool = False
    """Whether a receive gives what another has just been given."""
    hidden_total: int = 0
    """Dead letters that somebody else holds, and that are counted all the same."""
    tasks: list[list[Values]] = field(default_factory=list)
    """What each look at the tasks shows; the last one stays."""
    started: list[Values] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    looks: int = 0
    last: list[Held] = field(default_factory=list)

    def bury(self, body: str, error: str | None = None, **more: Any) -> str:
        """Put a message into the dead-letter queue, and return its id."""
        attributes = dict(more.get("attributes", {}))
        if error:
            text = Reason(error, more.get("said", f"no {body}"), "m", 3).dumps()
            attributes[ATTRIBUTE] = {"DataType": "String", "StringValue": text}
        number = len(self.letters) + len(self.deleted)
        system = {
            "SentTimestamp": str(int((BEGAN + more.get("since", -60)) * 1000)),
            "SenderId": "somebody",
            **more.get("system", {}),
        }
        self.letters.append(Held(f"letter-{number}", body, attributes, system))
        return self.letters[-1].id

    def visible(self) -> list[Held]:
        return [each for each in self.letters if each.hidden_until <= self.time.seconds]

    def bodies(self) -> list[str]:
        """Return what was sent to the queue, in its order."""
        return [each["MessageBody"] for _, batch in self.sent for each in batch]

    def _called(self, name: str) -> None:
        if name in self.broken:
            raise self.broken[name]

    def get_queue_attributes(self, QueueUrl: str, AttributeNames: Sequence[str]) -> Values:
        self._called("get_queue_attributes")
        assert "-dead" in QueueUrl
        total = len(self.visible()) + self.hidden_total
        every = {
            "QueueArn": f"{ARN}:{QueueUrl.rpartition('/')[2]}",
            "ApproximateNumberOfMessages": str(total),
        }
        return {
            "Attributes": {name: every[name] for name in AttributeNames},
            "ResponseMetadata": {"HTTPHeaders": {"date": formatdate(BEGAN + self.time.seconds, usegmt=True)}},
        }

    def receive_message(
        self,
        QueueUrl: str,
        MaxNumberOfMessages: int,
        VisibilityTimeout: int,
        **more: Any,
    ) -> Values:
        self._called("receive_message")
        assert more == {
            "WaitTimeSeconds": 1,
            "MessageAttributeNames": ["All"],
            "MessageSystemAttributeNames": ["All"],
        }
        assert "-dead" in QueueUrl
        given = self._given()[:MaxNumberOfMessages]
        if self.shown_twice:
            given, self.last = [*self.last, *given][:10], given
        for each in given:
            each.hidden_until = self.time.seconds + VisibilityTimeout
            each.receipts += 1
        if not given:
            self.time.seconds += more["WaitTimeSeconds"]
            return {}
        return {"Messages": [self._received(each) for each in given]}

    def _given(self) -> list[Held]:
        """Return what may be received: in a FIFO queue nothing of a group of which one is held."""
        hidden = {
            each.system.get("MessageGroupId")
            for each in self.letters
            if self.fifo and each.hidden_until > self.time.seconds
        }
        return [each for each in self.visible() if each.system.get("MessageGroupId") not in hidden - {None}]

    def _received(self, letter: Held) -> Values:
        message: Values = {
            "MessageId": letter.id,
            "ReceiptHandle": f"{letter.id}/{letter.receipts}",
            "Body": letter.body,
            "Attributes": letter.system,
        }
        return {**message, "MessageAttributes": letter.attributes} if letter.attributes else message

    def send_message_batch(self, QueueUrl: str, Entries: Sequence[Values]) -> Values:
        self._called("send_message_batch")
        assert "-dead" not in QueueUrl
        assert 1 <= len(Entries) <= 10
        self.sent.append(
            (self.time.seconds, [each for each in Entries if each["MessageBody"] not in self.not_taken])
        )
        answer: Values = {"Successful": [], "Failed": []}
        for each in Entries:
            if each["MessageBody"] in self.not_taken:
                failed = {
                    "Id": each["Id"],
                    "Code": "InvalidMessageContents",
                    "Message": "bad",
                    "SenderFault": True,
                }
                answer["Failed"].append(failed)
            else:
                answer["Successful"].append({"Id": each["Id"], "MessageId": "new"})
                self.arriving(each)
        return answer

    def delete_message_batch(self, QueueUrl: str, Entries: Sequence[Values]) -> Values:
        self._called("delete_message_batch")
        answer: Values = {"Successful": [], "Failed": []}
        for each in Entries:
            letter = self._letter(each["ReceiptHandle"])
            if letter and self.not_deleted.get(letter.id, 0):
                self.not_deleted[letter.id] -= 1
                answer["Failed"].append({"Id": each["Id"], "Code": "InternalError"})
                continue
            if letter:
                self.letters.remove(letter)
                self.deleted.append(letter.id)
            answer["Successful"].append({"Id": each["Id"]})
        return answer

    def change_message_visibility_batch(self, QueueUrl: str, Entries: Sequence[Values]) -> Values:
        self._called("change_message_visibility_batch")
        assert 1 <= len(Entries) <= 10
        for each in Entries:
            if letter := self._letter(each["ReceiptHandle"]):
                letter.hidden_until = self.time.seconds + each["VisibilityTimeout"]
        return {"Successful": [], "Failed": []}

    def _letter(self, receipt: str) -> Held | None:
        """Return what a receipt is for; only the last one counts."""
        return next((each for each in self.letters if f"{each.id}/{each.receipts}" == receipt), None)

    def start_message_move_task(self, **words: Any) -> Values:
        self._called("start_message_move_task")
        self.started.append(words)
        return {"TaskHandle": "handle-1"}

    def list_message_move_tasks(self, SourceArn: str, MaxResults: int) -> Values:
        self._called("list_message_move_tasks")
        assert SourceArn == f"{ARN}:orders-dead"
        shown = self.tasks[min(self.looks, len(self.tasks) - 1)]
        self.looks += 1
        return {"Results": shown[:MaxResults]} if shown else {}

    def cancel_message_move_task(self, TaskHandle: str) -> Values:
        self._called("cancel_message_move_task")
        self.cancelled.append(TaskHandle)
        return {"ApproximateNumberOfMessagesMoved": 0}


def task(status: str, moved: int = 0, of: int = 0, started: int = 1, **more: Any) -> Values:
    """Return a task as SQS lists it."""
    return {
        "Status": status,
        "StartedTimestamp": started,
        "ApproximateNumberOfMessagesMoved": moved,
        "ApproximateNumberOfMessagesToMove": of,
        **more,
    }
