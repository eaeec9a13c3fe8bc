"""Dead letters back to the queue that they came from: all of them by SQS itself, or chosen ones by us.

What we bring back ourselves is sent to the queue before it is deleted from the dead-letter queue. So nothing
is lost, wherever it breaks off; but what was sent and not deleted yet is in both, and is handled once more.
"""

from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from sluice.dead_letters import ATTRIBUTE, Reason
from sluice.sqs import FIFO_SUFFIX, MOST_ENTRIES, TRACE, in_batches

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import (
        ListMessageMoveTasksResultEntryTypeDef,
        MessageTypeDef,
        SendMessageBatchRequestEntryTypeDef,
    )

    Message = MessageTypeDef
    Entry = SendMessageBatchRequestEntryTypeDef
    Task = ListMessageMoveTasksResultEntryTypeDef

LARGEST_BATCH = 262_144
"""Bytes of a batch that every endpoint of SQS takes."""
HIDDEN_SECONDS = 300
"""How long a dead letter is kept from others; if this process dies, it shows again after that."""
WAIT_SECONDS = 1
PATIENCE = 2
"""Empty receives in a row, before there is nothing more; and how often all may come again."""
FIRST_PAUSE, LONGEST_PAUSE = 0.25, 2.0
"""Seconds between two looks at a task."""
MOST_TASKS = 10
"""Of a dead-letter queue, that SQS lists."""
NO_REASON = "none"
"""What names dead letters without a reason."""
GIVEN_UP_BY_SQS = "DeadLetterQueueSourceArn"
"""The system attribute of what SQS itself put into a dead-letter queue."""
UNREADABLE = "unreadable"
"""The error of a reason that is none."""
ACTIVE = {"RUNNING", "CANCELLING"}
COMPLETED = "COMPLETED"

Steps = Generator[None, None, None]


class TaskRunningError(RuntimeError):
    """SQS moves this queue's dead letters already."""


@dataclass(frozen=True)
class Route:
    """A queue, and where its dead letters are."""

    name: str
    url: str
    dead_letter_url: str

    @property
    def fifo(self) -> bool:
        """Whether it keeps an order."""
        return self.url.endswith(FIFO_SUFFIX)


@dataclass(frozen=True)
class Clock:
    """Time, and whether to go on."""

    now: Callable[[], float]
    """Seconds, on a clock that is never set back."""
    sleep: Callable[[float], object]
    stopped: Callable[[], bool]


@dataclass
class Kind:
    """Dead letters of one error."""

    count: int
    example: str | None
    """What the oldest one's error said."""
    oldest: int
    """When that was sent, in milliseconds since 1970: by the consumer, or, where SQS gave it up, at first."""


@dataclass
class Tally:
    """What has become of the dead letters so far."""

    total: int = 0
    """About how many there were at the beginning."""
    found: int = 0
    """How many were looked at."""
    waiting: int = 0
    """How many of those are still to be moved."""
    exhausted: bool = False
    """Whether the dead-letter queue gave all that it would give."""
    moved: int = 0
    failed: int = 0
    """How many the queue did not take."""
    not_deleted: int = 0
    """How many are in the queue, and in the dead-letter queue as well."""
    problems: Counter[str] = field(default_factory=Counter)
    """Why some failed."""
    kinds: dict[str | None, Kind] = field(default_factory=dict)
    """Those that were moved, or would be, by their error; None has those without a reason."""

    @property
    def kept(self) -> int:
        """How many of those that were looked at are in the dead-letter queue alone, as they were."""
        return self.found - self.moved - self.failed

    @property
    def done(self) -> int:
        """How many of those that were looked at are done with, in whichever way."""
        return self.found - self.waiting

    @property
    def unseen(self) -> int:
        """About how many there are that the dead-letter queue did not give."""
        return max(0, self.total - self.found) if self.exhausted else 0

    def count(self, letter: "DeadLetter") -> None:
        """Count one under its error."""
        reason = letter.reason
        said = reason.message if reason else None
        kind = self.kinds.setdefault(letter.error, Kind(0, said, letter.since))
        kind.count += 1
        if letter.since < kind.oldest:
            kind.oldest, kind.example = letter.since, said


@dataclass(frozen=True)
class DeadLetter:
    """A message that was received from a dead-letter queue."""

    message: "Message"
    reason: Reason | None

    @classmethod
    def of(cls, message: "Message") -> "DeadLetter":
        """Return a message with its reason.

        What SQS itself gave up has none: if it carries one, that is of an earlier time, before SQS moved it
        back to the queue as it was.
        """
        given = message.get("MessageAttributes", {}).get(ATTRIBUTE)
        if given is None or GIVEN_UP_BY_SQS in message["Attributes"]:
            return cls(message, None)
        return cls(message, _reason(given.get("StringValue", "")))

    @property
    def id(self) -> str:
        """Its id in the dead-letter queue."""
        return self.message["MessageId"]

    @property
    def since(self) -> int:
        """When it was sent, in milliseconds since 1970."""
        return int(self.message["Attributes"]["SentTimestamp"])

    @property
    def error(self) -> str | None:
        """The class of its error."""
        return self.reason.error if self.reason else None


def _reason(text: str) -> Reason:
    try:
        return Reason.loads(text)
    except ValueError as error:
        return Reason(UNREADABLE, str(error), "", 0)


@dataclass(frozen=True)
class Choice:
    """Which dead letters to bring back."""

    errors: Sequence[str] = ()
    """Classes with or without their module, or `NO_REASON`; empty for all."""
    limit: int | None = None

    def takes(self, letter: DeadLetter) -> bool:
        """Return whether it is one of them, however many they are."""
        error = letter.error
        names = {NO_REASON} if error is None else {error, error.rpartition(".")[2]}
        return not self.errors or not names.isdisjoint(self.errors)


class Pace:
    """Lets at most so many go in any one second."""

    def __init__(self, clock: Clock, velocity: int | None = None) -> None:
        self._clock = clock
        self._velocity = velocity
        self._gone: deque[tuple[float, int]] = deque()

    def room(self) -> int:
        """Wait until at least one may go, and return how many may: none once it is to stop."""
        while not self._clock.stopped():
            if self._velocity is None:
                return MOST_ENTRIES
            now = self._clock.now()
            while self._gone and self._gone[0][0] + 1 <= now:
                self._gone.popleft()
            room = self._velocity - sum(count for _, count in self._gone)
            if room > 0:
                return min(room, MOST_ENTRIES)
            self._clock.sleep(self._gone[0][0] + 1 - now)
        return 0

    def note(self, count: int) -> None:
        """Know that so many went now."""
        self._gone.append((self._clock.now(), count))


class Handover:
    """Brings chosen dead letters back one by one, or only looks at them."""

    def __init__(  # noqa: PLR0913 - each is a thing of its own
        self,
        sqs: "SQSClient",
        route: Route,
        clock: Clock,
        choice: Choice,
        *,
        velocity: int | None = None,
        dry_run: bool = False,
    ) -> None:
        self.tally = Tally()
        self._sqs = sqs
        self._route = route
        self._clock = clock
        self._choice = choice
        self._pace = Pace(clock, velocity)
        self._dry_run = dry_run
        self._until: float = 0
        self._chosen = 0
        self._known: set[str] = set()
        self._sent: set[str] = set()
        self._not_deleted: set[str] = set()
        self._held: dict[str, str] = {}
        self._held_since = clock.now()

    def run(self) -> Steps:
        """Do it step by step; whatever happens, what was not brought back is given back to the queue.

        It ends when the queue gives nothing new. Dead letters that came after the beginning are left alone:
        one that fails again at once would go round and round.
        """
        try:
            self._look()
            yield
            yield from self._rounds()
        except BaseException:
            # What went wrong first is what is told.
            with suppress(Exception):
                self._give_back()
            raise
        self._give_back()

    def _look(self) -> None:
        answer = self._sqs.get_queue_attributes(
            QueueUrl=self._route.dead_letter_url, AttributeNames=["ApproximateNumberOfMessages"]
        )
        self.tally.total = int(answer["Attributes"]["ApproximateNumberOfMessages"])
        date = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
        # The clock of SQS, which knows whole seconds here.
        self._until = (parsedate_to_datetime(date).timestamp() + 1) * 1000 if date else float("inf")

    def _rounds(self) -> Steps:
        """Go through the queue, and again where something that was moved may have hidden others.

        A FIFO queue gives no more of a group while one of it is held.
        """
        while True:
            moved = self.tally.moved
            for letters in self._batches():
                yield from self._handle(letters)
            if not self._route.fifo or self.tally.moved == moved or self._ended():
                return
            self._give_back()

    def _ended(self) -> bool:
        return self._clock.stopped() or self._left() == 0

    def _left(self) -> int | None:
        """Return how many more may be chosen, where that is limited."""
        return None if self._choice.limit is None else self._choice.limit - self._chosen

    def _batches(self) -> Iterator[list[DeadLetter]]:
        """Receive until nothing comes, or all has come again and again."""
        seen: set[str] = set()
        empty = again = 0
        while empty < PATIENCE and again <= PATIENCE * len(seen):
            if self._ended():
                return
            self._hold()
            letters = self._receive()
            new = [each for each in letters if each.id not in seen]
            seen.update(each.id for each in new)
            empty = 0 if letters else empty + 1
            again = 0 if new else again + len(letters)
            yield new
        self.tally.exhausted = True

    def _receive(self) -> list[DeadLetter]:
        left = None if self._choice.errors else self._left()
        answer = self._sqs.receive_message(
            QueueUrl=self._route.dead_letter_url,
            MaxNumberOfMessages=min(left or MOST_ENTRIES, MOST_ENTRIES),
            VisibilityTimeout=HIDDEN_SECONDS,
            WaitTimeSeconds=WAIT_SECONDS,
            MessageAttributeNames=["All"],
            MessageSystemAttributeNames=["All"],
        )
        letters = {each["MessageId"]: DeadLetter.of(each) for each in answer.get("Messages", [])}
        self._held.update({each: letter.message["ReceiptHandle"] for each, letter in letters.items()})
        self._delete([each for each in letters if each in self._sent])
        return list(letters.values())

    def _handle(self, letters: Sequence[DeadLetter]) -> Steps:
        unknown = [each for each in letters if each.id not in self._known]
        self._known.update(each.id for each in unknown)
        self.tally.found += len(unknown)
        chosen = [each for each in unknown if each.since <= self._until and self._choice.takes(each)]
        chosen = chosen[: self._left()]
        self._chosen += len(chosen)
        if not self._dry_run:
            self.tally.waiting = len(chosen)
            yield from self._move(chosen)
            return
        for each in chosen:
            self.tally.count(each)
        yield

    def _move(self, letters: Sequence[DeadLetter]) -> Steps:
        while letters and (room := self._pace.room()):
            batch = fitting(letters[:room])
            letters = letters[len(batch) :]
            self._pace.note(len(batch))
            self._delete(self._send(batch))
            self.tally.waiting = len(letters)
            yield

    def _send(self, batch: Sequence[DeadLetter]) -> list[str]:
        """Send some, and return the ids of those that the queue took."""
        answer = self._sqs.send_message_batch(
            QueueUrl=self._route.url,
            Entries=[entry(str(number), each, self._route) for number, each in enumerate(batch)],
        )
        for refused in answer.get("Failed", []):
            self.tally.failed += 1
            self.tally.problems[f"{refused['Code']}: {refused.get('Message', '')}"] += 1
        taken = [batch[int(each["Id"])] for each in answer.get("Successful", [])]
        for each in taken:
            self.tally.moved += 1
            self.tally.count(each)
        return [each.id for each in taken]

    def _delete(self, ids: Sequence[str]) -> None:
        """Delete what was sent; what SQS does not delete at once it is asked for once more."""
        self._sent.update(ids)
        self._not_deleted.update(ids)
        self.tally.not_deleted = len(self._not_deleted)
        self._delete_once(ids)
        self._delete_once([each for each in ids if each in self._not_deleted])
        self.tally.not_deleted = len(self._not_deleted)

    def _delete_once(self, ids: Sequence[str]) -> None:
        if not ids:
            return
        answer = self._sqs.delete_message_batch(
            QueueUrl=self._route.dead_letter_url,
            Entries=[
                {"Id": str(number), "ReceiptHandle": self._held[each]} for number, each in enumerate(ids)
            ],
        )
        for deleted in answer.get("Successful", []):
            gone = ids[int(deleted["Id"])]
            self._not_deleted.discard(gone)
            del self._held[gone]

    def _hold(self) -> None:
        """Hold for longer what would soon show again, before others that were not seen yet."""
        now = self._clock.now()
        if now - self._held_since < HIDDEN_SECONDS / 2:
            return
        self._held_since = now
        self._show_in(HIDDEN_SECONDS, self._untouched())

    def _give_back(self) -> None:
        """Let others receive again what is held."""
        receipts = self._untouched()
        self._held = {each: receipt for each, receipt in self._held.items() if each in self._sent}
        self._show_in(0, receipts)

    def _untouched(self) -> list[str]:
        """Return the receipts of what is held and was not sent."""
        return [receipt for each, receipt in self._held.items() if each not in self._sent]

    def _show_in(self, seconds: int, receipts: Sequence[str]) -> None:
        """Let dead letters be received again so much later; a receipt that is too old holds nothing."""
        for some in in_batches(receipts):
            self._sqs.change_message_visibility_batch(
                QueueUrl=self._route.dead_letter_url,
                Entries=[
                    {"Id": str(number), "ReceiptHandle": receipt, "VisibilityTimeout": seconds}
                    for number, receipt in enumerate(some)
                ],
            )


def fitting(letters: Sequence[DeadLetter]) -> Sequence[DeadLetter]:
    """Return as many of the first ones as one batch may hold, but at least one."""
    size = 0
    for number, each in enumerate(letters):
        size += _size(each)
        if size > LARGEST_BATCH and number:
            return letters[:number]
    return letters


def _size(letter: DeadLetter) -> int:
    """Return the bytes that SQS counts: of the body, and of each attribute's name, type and value."""
    attributes = _attributes(letter)
    return len(letter.message["Body"].encode()) + sum(
        len(name.encode()) + sum(len(_bytes(part)) for part in value.values())
        for name, value in attributes.items()
    )


def _bytes(value: str | bytes) -> bytes:
    return value.encode() if isinstance(value, str) else value


def _attributes(letter: DeadLetter) -> Mapping[str, dict[str, Any]]:
    """Return a message's attributes as it was sent with, less the reason."""
    given: Mapping[str, Mapping[str, Any]] = letter.message.get("MessageAttributes", {})
    return {
        name: {key: value[key] for key in ("DataType", "StringValue", "BinaryValue") if key in value}
        for name, value in given.items()
        if name != ATTRIBUTE
    }


def entry(number: str, letter: DeadLetter, route: Route) -> "Entry":
    """Return what is sent to bring a dead letter back."""
    system = letter.message["Attributes"]
    made: Entry = {"Id": number, "MessageBody": letter.message["Body"]}
    if attributes := _attributes(letter):
        made["MessageAttributes"] = attributes  # type: ignore[typeddict-item]  # the keys that were chosen
    if trace := system.get(TRACE):
        made["MessageSystemAttributes"] = {TRACE: {"DataType": "String", "StringValue": trace}}
    if group := system.get("MessageGroupId"):
        made["MessageGroupId"] = group
    if route.fifo:
        # So a run that was broken off and is repeated soon brings it once.
        made["MessageDeduplicationId"] = letter.id
    return made


class MoveTask:
    """Lets SQS bring all dead letters back, and watches."""

    def __init__(self, sqs: "SQSClient", route: Route, clock: Clock, velocity: int | None = None) -> None:
        self.tally = Tally()
        self.status: str | None = None
        """As SQS calls it; None before it is known."""
        self.failure: str | None = None
        """Why it failed, as SQS calls it."""
        self.handle: str | None = None
        """What names the task, once it is started."""
        self._sqs = sqs
        self._route = route
        self._clock = clock
        self._velocity = velocity
        self._source = ""
        self._earlier: set[int] = set()

    @property
    def active(self) -> bool:
        """Whether it may still move messages."""
        return self.handle is not None and (self.status is None or self.status in ACTIVE)

    def run(self) -> Steps:
        """Start it and look at it until it has ended; when it is to stop, cancel it.

        Raises:
            TaskRunningError: if there is one already.
        """
        self._start()
        cancelled, pause = False, FIRST_PAUSE
        while True:
            self._look()
            yield
            if not self.active:
                return
            if self._clock.stopped() and not cancelled:
                self._cancel()
                cancelled, pause = True, FIRST_PAUSE
            self._clock.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    def _start(self) -> None:
        self._source = self._sqs.get_queue_attributes(
            QueueUrl=self._route.dead_letter_url, AttributeNames=["QueueArn"]
        )["Attributes"]["QueueArn"]
        earlier = self._tasks()
        for each in earlier:
            if each["Status"] in ACTIVE:
                moved, of = each.get("ApproximateNumberOfMessagesMoved", 0), _to_move(each)
                raise TaskRunningError(
                    f"SQS moves the dead letters of {self._route.name} already: {moved} of {of} so far"
                )
        self._earlier = {each["StartedTimestamp"] for each in earlier}
        more: dict[str, Any] = {"MaxNumberOfMessagesPerSecond": self._velocity} if self._velocity else {}
        # SQS would not know where those belong that were sent to the dead-letter queue.
        self.handle = self._sqs.start_message_move_task(
            SourceArn=self._source, DestinationArn=self._beside(self._source), **more
        )["TaskHandle"]

    def _beside(self, arn: str) -> str:
        """Return the queue's ARN: a dead-letter queue is of the same account and region."""
        return f"{arn.rpartition(':')[0]}:{self._route.url.rpartition('/')[2]}"

    def _tasks(self) -> "Sequence[Task]":
        answer = self._sqs.list_message_move_tasks(SourceArn=self._source, MaxResults=MOST_TASKS)
        return answer.get("Results", [])

    def _look(self) -> None:
        """See how far it is; until SQS lists it, nothing is known."""
        ours = [each for each in self._tasks() if each["StartedTimestamp"] not in self._earlier]
        if not ours:
            return
        # The newest comes first, and somebody's next task may follow soon.
        found = ours[-1]
        self.status = found["Status"]
        self.failure = found.get("FailureReason")
        self.tally.total = self.tally.found = _to_move(found)
        self.tally.moved = found.get("ApproximateNumberOfMessagesMoved", 0)
        self.tally.waiting = self.tally.found - self.tally.moved

    def _cancel(self) -> None:
        from botocore.exceptions import ClientError  # noqa: PLC0415 - takes long, and is seldom needed

        try:
            self._sqs.cancel_message_move_task(TaskHandle=self.handle or "")
        except ClientError:
            self._look()
            # One that has just ended cannot be cancelled.
            if self.active:
                raise


def _to_move(task: "Task") -> int:
    return task.get("ApproximateNumberOfMessagesToMove", 0)
