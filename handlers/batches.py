"""A batch of records, each with an outcome of its own."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from botocore.exceptions import BotoCoreError, ClientError

from sluice.dead_letters import Reason
from sluice.sqs import FIFO_SUFFIX, in_batches

from .deadline import OutOfTimeError

if TYPE_CHECKING:
    from types import TracebackType

    from aws_lambda_powertools.utilities.batch.base import FailureResponse, SuccessResponse
    from mypy_boto3_sqs import SQSClient

    from .deadline import Deadline
    from .giving_up import DeadLetters
    from .journal import Journal

RawRecord = dict[str, Any]
"""A record as Lambda hands it over ("Example Amazon SQS message event", Lambda guide)."""
ExceptionInfo: TypeAlias = "tuple[type[BaseException] | None, BaseException | None, TracebackType | None]"
IDEMPOTENCY = "aws_lambda_powertools.utilities.idempotency.exceptions"
IN_PROGRESS = f"{IDEMPOTENCY}.IdempotencyAlreadyInProgressError"
HOPELESS = {f"{IDEMPOTENCY}.{each}" for each in ("IdempotencyKeyError", "IdempotencyValidationError")}
"""Errors that another try cannot mend: the message has no key, or another's."""


class EntryError(Exception):
    """The user's function cannot be called for one record."""


class NotStartedError(Exception):
    """A record could not be started at its last receive."""


@dataclass(frozen=True)
class Retrying:
    """When a record that failed is tried again, and when no more."""

    queue_url: str
    base_seconds: int
    cap_seconds: int
    max_receives: int | None
    """After which receive the queue gives a message up; none where that is not known."""
    poison_errors: frozenset[str]

    def is_over(self, error: BaseException, receives: int) -> bool:
        """Whether a record is given up after this failure."""
        if self.max_receives is not None and receives >= self.max_receives:
            return True
        if is_of_the_users_code(error):
            return is_named(error, self.poison_errors)
        return name_of(type(error)) in HOPELESS


class RecordProcessor(BatchProcessor):
    """Handles record by record, and answers with those that are to come again.

    A record has one of five outcomes: handled, repeated (it had been handled before), failed (it comes again
    after a wait), given up (it is in the dead-letter queue), or returned without having been started, because
    the time is over or one before it in its group failed.
    """

    _deadline: "Deadline"
    _stuck: set[str]
    """Groups in which a record failed, and all behind it wait."""
    _returned: list[RawRecord]

    def __init__(
        self,
        retrying: Retrying,
        sqs: "SQSClient",
        dead_letters: "DeadLetters | None",
        journal: "Journal",
    ) -> None:
        """Keep what outlives a batch.

        Args:
            retrying: when to try again.
            sqs: the client to ask for another wait.
            dead_letters: where to give up to; none where only SQS does.
            journal: where outcomes are written down.
        """
        super().__init__(event_type=EventType.SQS, raise_on_entire_batch_failure=False)
        self._retrying = retrying
        self._sqs = sqs
        self._dead_letters = dead_letters
        self._journal = journal

    def begin(self, deadline: "Deadline") -> None:
        """Start a batch that has so much time."""
        self._deadline = deadline
        self._stuck = set()
        self._returned = []

    def process(self) -> list[tuple[Any, ...]]:
        """Handle all records, as far as the time goes."""
        try:
            return [self._process_record(each) for each in in_turn(self.records)]
        finally:
            self._hand_back()

    def _process_record(self, record: RawRecord) -> "SuccessResponse | FailureResponse":
        if not self._deadline.has_room:
            return self._leave(record, "no time was left for it")
        if group_of(record) in self._stuck:
            return self._leave(record, "one before it in its group failed")
        return super()._process_record(record)

    def _leave(self, record: RawRecord, why: str) -> "SuccessResponse | FailureResponse":
        """Do not start a record; at its last receive the queue would give it up without a word."""
        data = SQSRecord(record)
        error = NotStartedError(why)
        receives = receives_of(record)
        if self._deadline.has_moment and self._is_given_up(data, error, receives):
            self._journal.given_up(data, error, receives)
            return super().success_handler(data, "given up")
        self._returned.append(record)
        self.fail_messages.append(data)
        return "fail", why, data

    def success_handler(self, record: RawRecord, result: object) -> "SuccessResponse":
        """Count a record that was handled, now or before."""
        self._journal.handled(record) if result else self._journal.repeated(record)
        return super().success_handler(record, result)

    def failure_handler(
        self, record: SQSRecord, exception: ExceptionInfo
    ) -> "FailureResponse | SuccessResponse":
        """Give a record up, or make it visible again after its backoff."""
        error = exception[1]
        assert error is not None  # noqa: S101 - this is called for what was raised
        receives = receives_of(record)
        if self._is_given_up(record, error, receives):
            self._journal.given_up(record, error, receives)
            # It is where it belongs, and the queue may forget it.
            return super().success_handler(record, "given up")
        if group := group_of(record):
            self._stuck.add(group)
        delay = self._delay(error, receives)
        self._journal.failed(record, error, receives, delay)
        if self._deadline.has_moment:
            self._postpone(record, delay)
        # Powertools would ask the error for its words, which may raise another.
        self.exceptions.append(exception)
        self.fail_messages.append(record)
        return "fail", name_of(type(error)), record

    def _is_given_up(self, record: SQSRecord, error: BaseException, receives: int) -> bool:
        if self._dead_letters is None or not self._retrying.is_over(error, receives):
            return False
        reason = Reason(name_of(type(error)), words_of(error), record["messageId"], receives)
        return self._dead_letters.take(record, reason)

    def _delay(self, error: BaseException, receives: int) -> int:
        rules = self._retrying
        jitter = random.random()  # noqa: S311 - no secret
        delay = retry_delay(receives, rules.base_seconds, rules.cap_seconds, jitter)
        if name_of(type(error)) == IN_PROGRESS:
            # The other attempt holds it for a run's whole time at most.
            return max(delay, round(self._deadline.whole))
        return delay

    def _postpone(self, record: SQSRecord, delay: int) -> None:
        try:
            self._sqs.change_message_visibility(
                QueueUrl=self._retrying.queue_url,
                ReceiptHandle=record["receiptHandle"],
                VisibilityTimeout=delay,
            )
        except (BotoCoreError, ClientError) as error:
            # The record comes back after the queue's own visibility timeout: later, but not lost.
            self._journal.troubled("postponing failed", error, record)

    def _hand_back(self) -> None:
        """Make visible what was not started, at once.

        Of a FIFO queue this keeps the order: SQS holds a group while one of its messages waits, and one that
        stayed hidden for longer than those before it would hold them as well.
        """
        if not self._returned:
            return
        self._journal.returned(len(self._returned))
        for part in in_batches(self._returned):
            if not self._deadline.has_moment:
                # What is left comes again after the queue's own visibility timeout.
                return
            try:
                answer = self._sqs.change_message_visibility_batch(
                    QueueUrl=self._retrying.queue_url,
                    Entries=[
                        {"Id": str(place), "ReceiptHandle": each["receiptHandle"], "VisibilityTimeout": 0}
                        for place, each in enumerate(part)
                    ],
                )
            except (BotoCoreError, ClientError) as error:
                # As above.
                self._journal.troubled("handing back failed", error)
            else:
                for refused in answer.get("Failed", []):
                    record = part[int(refused["Id"])]
                    self._journal.refused("handing back failed", refused["Code"], record)


def retry_delay(receives: int, base: int, cap: int, jitter: float) -> int:
    """Return how many seconds a record waits after its n-th failed receive.

    The wait doubles from ``base`` up to ``cap``; ``jitter``, from 0 to 1, takes away up to a half of it, so
    that records that failed together do not come back together.
    """
    # Beyond 2**32 doubling changes nothing that a visibility timeout can hold.
    longest: int = min(cap, base * 2 ** min(receives - 1, 32))
    return round(longest * (1 - jitter / 2))


def in_turn(records: Sequence[RawRecord]) -> Sequence[RawRecord]:
    """Return records in the order to handle them: as they came, or those with the fewest tries left first."""
    if any(map(group_of, records)):
        return records
    return sorted(records, key=receives_of, reverse=True)


def group_of(record: Mapping[str, Any]) -> str | None:
    """Return the group within which a record keeps its place; none outside a FIFO queue."""
    fifo = record["eventSourceARN"].endswith(FIFO_SUFFIX)
    return record["attributes"]["MessageGroupId"] if fifo else None


def receives_of(record: Mapping[str, Any]) -> int:
    """Return how often the queue handed a record over, this time with it."""
    return int(record["attributes"]["ApproximateReceiveCount"])


def is_named(error: BaseException, names: frozenset[str]) -> bool:
    """Whether an error is of a class with one of these names, or of a subclass."""
    return any(not names.isdisjoint({each.__name__, name_of(each)}) for each in type(error).__mro__)


def is_of_the_users_code(error: BaseException) -> bool:
    """Whether an error says something of the message, and not of how it came to be handled, or not."""
    ours = isinstance(error, EntryError | NotStartedError | OutOfTimeError)
    return not ours and type(error).__module__ != IDEMPOTENCY


def name_of(kind: type) -> str:
    """Return the name of a class with its module, of a built-in one without."""
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def words_of(error: BaseException) -> str:
    """Return what an error says, even where its class cannot say it."""
    try:
        return str(error)
    except Exception as another:  # noqa: BLE001 - whatever the user's class raises
        return f"({name_of(type(another))} in its own words)"
