"""What becomes of each record of a batch, and in which order."""

import types
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from aws_lambda_powertools.utilities.batch import process_partial_response
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.idempotency.exceptions import (
    IdempotencyAlreadyInProgressError,
    IdempotencyKeyError,
    IdempotencyPersistenceLayerError,
    IdempotencyValidationError,
)
from botocore.exceptions import EndpointConnectionError
from hypothesis import given
from hypothesis import strategies as st

from handlers.batches import RecordProcessor, Retrying, in_turn, is_named, name_of, retry_delay
from handlers.deadline import OutOfTimeError
from sluice.dead_letters import Reason

from .consumer_records import (
    QUEUE_URL,
    SECRET,
    FakeSqs,
    Values,
    Written,
    of_group,
    record,
    refused,
    with_system,
)

ENDLESS = 1_000_000


class StockError(Exception):
    """What a user's code raises."""


class SoldOutError(StockError):
    """A kind of it."""


class WordlessError(Exception):
    """One with a mistake of its own."""

    def __str__(self) -> str:
        answer: str = self.args[0]
        return answer


STOCK_ERROR = f"{__name__}.StockError"
NOT_THE_MESSAGES: list[Exception] = [
    IdempotencyAlreadyInProgressError("at work"),
    IdempotencyPersistenceLayerError("the table is away", RuntimeError("no")),
    OutOfTimeError("late"),
]
"""What a message has no part in, and another try may mend."""


def of_the_users_own(name: str) -> Exception:
    """Return an error of a user's own class that has a name of ours."""
    kind: type[Exception] = type(name, (Exception,), {"__module__": "shop"})
    return kind("its own")


@dataclass
class Letters:
    """A dead-letter queue that takes what it is given, unless it is full."""

    full: bool = False
    taken: list[Reason] = field(default_factory=list)

    def take(self, _record: Values, reason: Reason) -> bool:
        self.taken.append(reason)
        return not self.full


@dataclass
class Consumer:
    """A processor, and a user's function that does with each message what it is told."""

    max_receives: int | None = 5
    poison_errors: Sequence[str] = ()
    has_letters: bool = True
    whole: float = 30.0
    starts: int = ENDLESS
    """How many records have room in the time of a batch."""
    moments: int = ENDLESS
    """For how many calls of AWS there is time."""

    def __post_init__(self) -> None:
        self.sqs = FakeSqs()
        self.letters = Letters()
        self.written = Written()
        self.errors: dict[str, BaseException] = {}
        self.known: set[str] = set()
        self.started: list[str] = []
        sqs: Any = self.sqs
        letters: Any = self.letters if self.has_letters else None
        self.processor = RecordProcessor(
            Retrying(QUEUE_URL, 2, 300, self.max_receives, frozenset(self.poison_errors)),
            sqs,
            letters,
            self.written.journal,
        )

    @property
    def has_room(self) -> bool:
        return len(self.started) < self.starts

    @property
    def has_moment(self) -> bool:
        asked = len(self.sqs.postponed) + len(self.sqs.handed_back) + len(self.letters.taken)
        return asked < self.moments

    def run(self, *records: Values) -> list[str]:
        """Return the ids that are reported as failed."""
        self.started.clear()
        itself: Any = self
        self.processor.begin(itself)
        context: Any = None
        answer = process_partial_response({"Records": list(records)}, self._handle, self.processor, context)
        return [str(each["itemIdentifier"]) for each in answer["batchItemFailures"]]

    def delays(self) -> dict[str, int]:
        """Return how long each record was asked to wait."""
        return {each["ReceiptHandle"]: each["VisibilityTimeout"] for each in self.sqs.postponed}

    def returned(self) -> list[list[str]]:
        """Return the receipts of what was handed back, call by call."""
        assert all(each["VisibilityTimeout"] == 0 for part in self.sqs.handed_back for each in part)
        return [[each["ReceiptHandle"] for each in part] for part in self.sqs.handed_back]

    def _handle(self, record: SQSRecord) -> bool:
        self.started.append(record.message_id)
        if error := self.errors.get(record.message_id):
            raise error
        return record.message_id not in self.known


def grouped(name: str, group: str, receives: int = 1) -> Values:
    return of_group(group, record(name, receives=receives))


@pytest.fixture(autouse=True)
def _no_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("random.random", lambda: 0.0)


# Outcomes


def test_each_record_has_an_outcome_of_its_own() -> None:
    consumer = Consumer(poison_errors=["StockError"], starts=4)
    consumer.known = {"known"}
    consumer.errors = {"bad": RuntimeError("no"), "poison": StockError("none")}

    failed = consumer.run(*map(record, ("good", "known", "bad", "poison", "late")))

    assert failed == ["bad", "late"]
    assert consumer.written.said() == [
        ("handled", "good"),
        ("handled before", "known"),
        ("failed", "bad"),
        ("given up", "poison"),
        ("returned without being started", None),
    ]
    assert consumer.written.counts == {
        "RecordsHandled": 1,
        "RecordsRepeated": 1,
        "RecordsFailed": 1,
        "RecordsGivenUp": 1,
        "RecordsReturned": 1,
    }
    assert consumer.delays() == {"receipt-bad": 2}
    assert consumer.returned() == [["receipt-late"]]
    assert [each.error for each in consumer.letters.taken] == [STOCK_ERROR]


@pytest.mark.parametrize(
    ("receives", "most", "given_up"),
    [(1, 1, True), (4, 5, False), (5, 5, True), (6, 5, True), (1, None, False), (999, None, False)],
)
def test_a_record_is_given_up_at_its_last_receive(receives: int, most: int | None, given_up: bool) -> None:
    consumer = Consumer(max_receives=most)
    consumer.errors = {"a": StockError("none left")}
    assert consumer.run(record("a", receives=receives)) == ([] if given_up else ["a"])
    assert consumer.letters.taken == ([Reason(STOCK_ERROR, "none left", "a", receives)] if given_up else [])
    assert bool(consumer.delays()) is not given_up, "one that is given up need not wait"


@pytest.mark.parametrize(
    ("named", "given_up"),
    [
        (["StockError"], True),
        ([STOCK_ERROR], True),
        (["SoldOutError"], True),
        (["KeyError", "Exception"], True),
        (["KeyError"], False),
        (["Stock"], False),
        (["stockerror"], False),
        (["other.StockError"], False),
        ([], False),
    ],
)
def test_an_error_that_is_named_is_not_tried_again(named: list[str], given_up: bool) -> None:
    consumer = Consumer(poison_errors=named)
    consumer.errors = {"a": SoldOutError("none left")}
    assert consumer.run(record("a")) == ([] if given_up else ["a"])
    assert [each.error for each in consumer.letters.taken] == [f"{__name__}.SoldOutError"] * given_up


def test_a_parent_of_what_is_named_is_tried_again() -> None:
    consumer = Consumer(poison_errors=["SoldOutError"])
    consumer.errors = {"a": StockError("none left")}
    assert consumer.run(record("a")) == ["a"]


@pytest.mark.parametrize("error", [IdempotencyKeyError("no key"), IdempotencyValidationError("another's")])
def test_what_another_try_cannot_mend_is_given_up_at_once(error: Exception) -> None:
    consumer = Consumer(max_receives=None)
    consumer.errors = {"a": error}
    assert consumer.run(record("a")) == []
    assert [each.message for each in consumer.letters.taken] == [str(error)]


@pytest.mark.parametrize("name", ["IdempotencyKeyError", "IdempotencyValidationError"])
def test_an_error_of_the_users_own_is_tried_again_whatever_its_name(name: str) -> None:
    consumer = Consumer()
    consumer.errors = {"a": of_the_users_own(name)}
    assert consumer.run(record("a")) == ["a"]
    assert consumer.letters.taken == []


@pytest.mark.parametrize("named", ["IdempotencyKeyError", "shop.IdempotencyKeyError"])
def test_an_error_of_the_users_own_may_be_named_like_any_other(named: str) -> None:
    consumer = Consumer(poison_errors=[named])
    consumer.errors = {"a": of_the_users_own("IdempotencyKeyError")}
    assert consumer.run(record("a")) == []


@pytest.mark.parametrize("error", NOT_THE_MESSAGES, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("whole", ["Exception", "simple", "qualified"])
def test_what_a_message_has_no_part_in_is_tried_again_whatever_is_named(error: Exception, whole: str) -> None:
    names = {"simple": type(error).__name__, "qualified": name_of(type(error))}
    consumer = Consumer(poison_errors=[names.get(whole, whole)])
    consumer.errors = {"a": error}
    assert consumer.run(record("a", receives=4)) == ["a"]
    assert consumer.letters.taken == []
    assert list(consumer.delays()) == ["receipt-a"]


@pytest.mark.parametrize("error", NOT_THE_MESSAGES, ids=lambda error: type(error).__name__)
def test_what_a_message_has_no_part_in_is_given_up_at_its_last_receive(error: Exception) -> None:
    consumer = Consumer(poison_errors=["Exception"])
    consumer.errors = {"a": error}
    assert consumer.run(record("a", receives=5)) == []
    assert [each.error for each in consumer.letters.taken] == [name_of(type(error))]


def test_without_a_dead_letter_queue_a_record_only_fails() -> None:
    consumer = Consumer(max_receives=1, poison_errors=["StockError"], has_letters=False)
    consumer.errors = {"a": StockError("none left")}
    assert consumer.run(record("a")) == ["a"]
    assert consumer.delays() == {"receipt-a": 2}


def test_a_record_that_cannot_be_given_up_fails() -> None:
    consumer = Consumer(max_receives=3)
    consumer.letters.full = True
    consumer.errors = {"a": StockError("none left")}
    assert consumer.run(record("a", receives=3), record("b")) == ["a"]
    assert consumer.delays() == {"receipt-a": 8}
    assert consumer.written.counts == {"RecordsFailed": 1, "RecordsHandled": 1}


def test_every_batch_starts_afresh() -> None:
    consumer = Consumer(starts=1)
    assert consumer.run(record("a"), record("b")) == ["b"]
    assert consumer.run(record("b")) == []
    assert consumer.returned() == [["receipt-b"]]


@pytest.mark.parametrize(("receives", "failed"), [(1, ["a"]), (5, [])])
def test_an_error_that_cannot_say_what_it_is_does_not_take_its_batch_with_it(
    receives: int, failed: list[str]
) -> None:
    consumer = Consumer(max_receives=5)
    consumer.errors = {"a": WordlessError(404)}
    assert consumer.run(record("a", receives=receives), record("b")) == failed
    assert consumer.started == ["a", "b"]
    assert [each.error for each in consumer.letters.taken] == [f"{__name__}.WordlessError"] * (not failed)


def test_an_error_is_named_with_its_module_unless_it_is_built_in() -> None:
    assert name_of(StockError) == STOCK_ERROR
    assert name_of(KeyError) == "KeyError"
    assert name_of(types.SimpleNamespace) == "types.SimpleNamespace"
    assert is_named(KeyError("a"), frozenset({"LookupError"}))
    assert not is_named(KeyError("a"), frozenset({"builtins.KeyError"}))


# Order


@given(receives=st.lists(st.integers(1, 5), max_size=12))
def test_those_with_the_fewest_tries_left_come_first_and_else_as_they_came(receives: list[int]) -> None:
    records = [record(str(place), receives=count) for place, count in enumerate(receives)]
    expected = [str(place) for place, _ in sorted(enumerate(receives), key=lambda each: (-each[1], each[0]))]
    assert [each["messageId"] for each in in_turn(records)] == expected


def test_those_with_the_fewest_tries_left_get_the_time_that_there_is() -> None:
    consumer = Consumer(starts=2)
    failed = consumer.run(record("a"), record("b", receives=4), record("c", receives=2), record("d"))
    assert consumer.started == ["b", "c"]
    assert failed == ["a", "d"]


@given(
    groups=st.lists(st.sampled_from("xyz"), min_size=1, max_size=10),
    bad=st.sets(st.integers(0, 9)),
    poison=st.sets(st.integers(0, 9)),
    starts=st.integers(0, 10),
    data=st.data(),
)
def test_the_order_of_a_group_is_kept_whatever_fails(
    groups: list[str], bad: set[int], poison: set[int], starts: int, data: st.DataObject
) -> None:
    consumer = Consumer(poison_errors=["StockError"], starts=starts)
    consumer.errors = {str(place): RuntimeError("no") for place in bad}
    consumer.errors |= {str(place): StockError("none") for place in poison}
    records = [
        grouped(str(place), group, receives=data.draw(st.integers(1, 4)))
        for place, group in enumerate(groups)
    ]

    failed = consumer.run(*records)

    assert consumer.started == sorted(consumer.started, key=int)
    done = [each for each in consumer.started if each not in failed]
    assert sorted([*done, *failed], key=int) == [each["messageId"] for each in records]
    for group in set(groups):
        members = [str(place) for place, each in enumerate(groups) if each == group]
        count = sum(each in done for each in members)
        assert [each for each in members if each in done] == members[:count], "SQS would go on behind a gap"
        # At most the first that failed was tried.
        assert [each for each in members if each in consumer.started] in (
            members[:count],
            members[: count + 1],
        )


# Groups


def test_behind_a_record_that_failed_its_group_waits_and_others_go_on() -> None:
    consumer = Consumer()
    consumer.errors = {"x1": RuntimeError("no")}
    failed = consumer.run(
        grouped("x1", "x"),
        grouped("y1", "y"),
        grouped("x2", "x"),
        grouped("y2", "y"),
        grouped("x3", "x"),
    )
    assert consumer.started == ["x1", "y1", "y2"]
    assert failed == ["x1", "x2", "x3"]
    assert consumer.delays() == {"receipt-x1": 2}
    assert consumer.returned() == [["receipt-x2", "receipt-x3"]]
    assert consumer.written.counts["RecordsReturned"] == 2


def test_a_group_goes_on_behind_a_record_that_is_given_up_or_known() -> None:
    consumer = Consumer(poison_errors=["StockError"])
    consumer.errors = {"x1": StockError("none left")}
    consumer.known = {"x2"}
    assert consumer.run(*(grouped(name, "x") for name in ("x1", "x2", "x3"))) == []
    assert consumer.started == ["x1", "x2", "x3"]


def test_a_group_waits_behind_a_record_that_cannot_be_given_up() -> None:
    consumer = Consumer(poison_errors=["StockError"])
    consumer.letters.full = True
    consumer.errors = {"x1": StockError("none left")}
    assert consumer.run(grouped("x1", "x"), grouped("x2", "x")) == ["x1", "x2"]
    assert consumer.started == ["x1"]


def test_a_group_waits_no_longer_than_its_batch() -> None:
    consumer = Consumer()
    consumer.errors = {"x1": RuntimeError("no")}
    consumer.run(grouped("x1", "x"))
    consumer.errors = {}
    assert consumer.run(grouped("x1", "x", receives=2), grouped("x2", "x")) == []


def test_a_group_of_a_standard_queue_has_no_order() -> None:
    consumer = Consumer()
    consumer.errors = {"b": RuntimeError("no")}
    records = [record("a"), record("b", receives=2), record("c")]
    failed = consumer.run(*(with_system(each, MessageGroupId="tenant-7") for each in records))
    assert (consumer.started, failed) == (["b", "a", "c"], ["b"])


# Handing back


@pytest.mark.parametrize(("count", "parts"), [(1, [1]), (10, [10]), (11, [10, 1]), (25, [10, 10, 5])])
def test_what_was_not_started_is_handed_back_in_tens(count: int, parts: list[int]) -> None:
    consumer = Consumer(starts=0)
    names = [str(number) for number in range(count)]
    assert consumer.run(*map(record, names)) == names
    assert consumer.started == []
    assert [len(part) for part in consumer.returned()] == parts
    assert [each for part in consumer.returned() for each in part] == [f"receipt-{name}" for name in names]
    assert consumer.written.lines == [("returned without being started", {"records": count})]
    assert consumer.written.counts == {"RecordsReturned": count}


@pytest.mark.parametrize(
    "error", [refused("ChangeMessageVisibilityBatch"), EndpointConnectionError(endpoint_url=QUEUE_URL)]
)
def test_what_cannot_be_handed_back_comes_again_all_the_same(error: Exception) -> None:
    consumer = Consumer(starts=0)
    consumer.sqs.refusals = {"receipt-3": error}
    names = [str(number) for number in range(25)]
    assert consumer.run(*map(record, names)) == names
    assert [len(part) for part in consumer.returned()] == [10, 10, 5], "the others are handed back"
    assert consumer.written.lines[1:] == [("handing back failed", {})]


def test_what_sqs_does_not_hand_back_is_named() -> None:
    consumer = Consumer(starts=0)
    consumer.sqs.not_handed_back = {"receipt-11": "ReceiptHandleIsInvalid"}
    consumer.run(*(record(str(number)) for number in range(12)))
    assert consumer.written.lines[1:] == [
        ("handing back failed", {"message_id": "11", "request_id": "r-1", "code": "ReceiptHandleIsInvalid"})
    ]


def test_what_was_not_started_at_its_last_receive_is_given_up_with_a_reason() -> None:
    # SQS would give it up without one.
    consumer = Consumer(starts=1, max_receives=3)
    failed = consumer.run(record("a", receives=3), record("b", receives=3), record("c", receives=2))
    assert (consumer.started, failed) == (["a"], ["c"])
    assert consumer.letters.taken == [
        Reason("handlers.batches.NotStartedError", "no time was left for it", "b", 3)
    ]
    assert consumer.returned() == [["receipt-c"]]
    assert consumer.written.counts["RecordsGivenUp"] == 1


def test_behind_a_record_that_failed_one_at_its_last_receive_is_given_up_with_a_reason() -> None:
    consumer = Consumer(max_receives=3)
    consumer.errors = {"x1": RuntimeError("no")}
    assert consumer.run(grouped("x1", "x", receives=2), grouped("x2", "x", receives=3)) == ["x1"]
    (reason,) = consumer.letters.taken
    assert (reason.message, reason.message_id) == ("one before it in its group failed", "x2")


def test_what_cannot_be_given_up_is_handed_back() -> None:
    consumer = Consumer(starts=0, max_receives=1)
    consumer.letters.full = True
    assert consumer.run(record("a")) == ["a"]
    assert consumer.returned() == [["receipt-a"]]
    assert "RecordsGivenUp" not in consumer.written.counts


@pytest.mark.parametrize("named", ["Exception", "NotStartedError", "handlers.batches.NotStartedError"])
def test_what_was_not_started_is_handed_back_whatever_is_named(named: str) -> None:
    consumer = Consumer(starts=0, poison_errors=[named])
    assert consumer.run(record("a"), record("b", receives=5)) == ["a"]
    assert consumer.returned() == [["receipt-a"]]
    assert [each.message_id for each in consumer.letters.taken] == ["b"], "that was its last receive"


@pytest.mark.parametrize(("moments", "parts"), [(0, []), (1, [10]), (2, [10, 10])])
def test_after_the_last_moment_nothing_more_is_handed_back(moments: int, parts: list[int]) -> None:
    consumer = Consumer(starts=0, moments=moments)
    names = [str(number) for number in range(25)]
    assert consumer.run(*map(record, names)) == names
    assert [len(part) for part in consumer.returned()] == parts
    assert consumer.written.lines == [("returned without being started", {"records": 25})]


def test_after_the_last_moment_what_was_not_started_is_not_given_up() -> None:
    consumer = Consumer(starts=0, max_receives=1, moments=0)
    assert consumer.run(record("a")) == ["a"]
    assert (consumer.letters.taken, consumer.returned()) == ([], [])
    assert consumer.written.counts == {"RecordsReturned": 1}


def test_after_the_last_moment_a_record_that_failed_is_not_postponed() -> None:
    consumer = Consumer(moments=1)
    consumer.errors = {"a": RuntimeError("no"), "b": RuntimeError("no")}
    assert consumer.run(record("a"), record("b")) == ["a", "b"]
    assert consumer.delays() == {"receipt-a": 2}
    assert consumer.written.said() == [("failed", "a"), ("failed", "b")]


def test_nothing_is_handed_back_where_all_were_started() -> None:
    consumer = Consumer()
    consumer.errors = {"a": RuntimeError("no")}
    consumer.run(record("a"), record("b"))
    assert consumer.returned() == []
    assert "RecordsReturned" not in consumer.written.counts


def test_what_was_not_started_is_handed_back_though_the_code_breaks_off_the_batch() -> None:
    consumer = Consumer()
    consumer.errors = {"x1": RuntimeError("no"), "y1": SystemExit(1)}
    with pytest.raises(SystemExit):
        consumer.run(grouped("x1", "x"), grouped("x2", "x"), grouped("y1", "y"))
    assert consumer.returned() == [["receipt-x2"]]


# Waits


@pytest.mark.parametrize(
    ("whole", "receives", "delay"), [(30, 1, 30), (12.6, 1, 13), (0.9, 1, 2), (30, 4, 30), (30, 5, 32)]
)
def test_behind_another_attempt_a_record_waits_for_a_whole_run(
    whole: float, receives: int, delay: int
) -> None:
    consumer = Consumer(max_receives=None, whole=whole)
    consumer.errors = {"a": IdempotencyAlreadyInProgressError("at work")}
    assert consumer.run(record("a", receives=receives)) == ["a"]
    assert consumer.delays() == {"receipt-a": delay}


def test_an_error_of_the_users_own_with_that_name_waits_for_its_backoff_alone() -> None:
    consumer = Consumer(whole=30)
    consumer.errors = {"a": of_the_users_own("IdempotencyAlreadyInProgressError")}
    assert consumer.run(record("a")) == ["a"]
    assert consumer.delays() == {"receipt-a": 2}


@given(receives=st.integers(1, 4), jitter=st.floats(0, 1))
def test_behind_an_error_of_its_own_a_record_waits_for_its_backoff_alone(
    receives: int, jitter: float
) -> None:
    consumer = Consumer()
    consumer.errors = {"a": RuntimeError("no")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("random.random", lambda: jitter)
        consumer.run(record("a", receives=receives))
    assert consumer.delays() == {"receipt-a": retry_delay(receives, 2, 300, jitter)}


# Secrets


def test_no_line_has_a_body() -> None:
    consumer = Consumer(max_receives=2, starts=4)
    consumer.known = {"b"}
    consumer.errors = {"c": RuntimeError("no"), "d": RuntimeError("no")}
    consumer.sqs.refusals = {"receipt-c": refused("ChangeMessageVisibility")}
    consumer.run(
        *(record(name, body=f"{SECRET} {name}") for name in "abc"), record("d", receives=2), record("e")
    )
    assert len(consumer.written.lines) == 6
    assert SECRET not in str(consumer.written.lines)
