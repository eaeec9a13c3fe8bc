"""A message is handled once, on a table in memory behind a real client."""

import base64
import gzip
import json
import re
import traceback
from collections.abc import Callable
from typing import Any

import pytest
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.idempotency.exceptions import (
    IdempotencyAlreadyInProgressError,
    IdempotencyKeyError,
    IdempotencyPersistenceLayerError,
    IdempotencyValidationError,
)
from botocore.config import Config

from handlers.deadline import OutOfTimeError
from handlers.once import Once, Sameness

from .consumer_records import SECRET, TABLE, Context, HandledTable, record

ORDER = "powertools_json(body).orderId"
ZIPPED = "powertools_json(powertools_base64_gzip(body)).orderId"
EXPIRES = 5 * 3600
CONFIG = Config(connect_timeout=1.5, read_timeout=2.5, retries={"mode": "standard", "total_max_attempts": 4})


class KilledError(BaseException):
    """Lambda's end of a function, as far as the code sees it: nothing after it runs."""


class Consumer:
    """A user's function that is called once for each message."""

    def __init__(self, key: str = "messageId", payload: str = "") -> None:
        self.calls: list[str] = []
        self.interrupted = 0
        self.does: Callable[[SQSRecord], object] = lambda _: None
        self.once = Once(self._handle, TABLE, CONFIG, Sameness(key, payload, EXPIRES), self._count)
        self.begin(30)

    def begin(self, seconds: float) -> None:
        context: Any = Context(seconds)
        self.once.begin(context)

    def take(self, name: str, body: str = SECRET) -> bool:
        return self.once(SQSRecord(record(name, body=body)))

    def fail(self, name: str, error: BaseException) -> None:
        """Take a message with which the user's function ends like this."""

        def fails(_: SQSRecord) -> None:
            raise error

        self.does, before = fails, self.does
        with pytest.raises(type(error)):
            self.take(name)
        self.does = before

    def _handle(self, given: SQSRecord) -> object:
        self.calls.append(given.message_id)
        return self.does(given)

    def _count(self) -> None:
        self.interrupted += 1


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> HandledTable:
    return HandledTable(monkeypatch)


@pytest.fixture
def consumer(table: HandledTable) -> Consumer:
    return Consumer()


def order(number: object, **more: object) -> str:
    return json.dumps({"orderId": number, "secret": SECRET, **more})


def test_a_message_is_handled_the_first_time_and_known_the_second(
    consumer: Consumer, table: HandledTable
) -> None:
    assert [consumer.take("a"), consumer.take("a"), consumer.take("b"), consumer.take("a")] == [
        True,
        False,
        True,
        False,
    ]
    assert consumer.calls == ["a", "b"]
    assert table.states() == ["COMPLETED", "COMPLETED"]
    assert consumer.interrupted == 0


@pytest.mark.parametrize("returned", [None, {"status": 1}, object(), {1, 2}, float("nan"), b"\xff", False])
def test_what_the_user_s_function_returns_does_not_matter(consumer: Consumer, returned: object) -> None:
    consumer.does = lambda _: returned
    assert consumer.take("a")
    assert not consumer.take("a")


@pytest.mark.parametrize("error", [RuntimeError("no"), OutOfTimeError("late")])
def test_what_failed_is_forgotten_and_tried_again(
    consumer: Consumer, table: HandledTable, error: Exception
) -> None:
    consumer.fail("a", error)
    assert table.items == {}
    assert consumer.take("a")
    assert consumer.calls == ["a", "a"]
    assert consumer.interrupted == 0, "it came to an end, if not a good one"


def test_an_attempt_that_was_killed_is_taken_over_when_its_time_is_up_and_counted_once(
    consumer: Consumer, table: HandledTable
) -> None:
    consumer.fail("a", KilledError())
    assert table.states() == ["INPROGRESS"]
    table.pass_time(31)

    assert consumer.take("a")
    assert consumer.interrupted == 1
    assert not consumer.take("a")
    assert consumer.take("b")
    assert consumer.interrupted == 1


def test_each_attempt_that_was_killed_counts(consumer: Consumer, table: HandledTable) -> None:
    for _ in range(3):
        consumer.fail("a", KilledError())
        table.pass_time(31)
    assert consumer.take("a")
    assert consumer.interrupted == 3


@pytest.mark.parametrize("seconds", [3, 900])
def test_an_attempt_is_in_progress_for_as_long_as_its_run_had_left(
    consumer: Consumer, table: HandledTable, seconds: int
) -> None:
    consumer.begin(seconds)
    consumer.fail("a", KilledError())

    table.pass_time(seconds - 2)
    with pytest.raises(IdempotencyAlreadyInProgressError):
        consumer.take("a")
    assert consumer.interrupted == 0

    table.pass_time(3)
    assert consumer.take("a")


def test_two_attempts_at_one_message_do_not_run_at_the_same_time(
    consumer: Consumer, table: HandledTable
) -> None:
    def meanwhile(_: SQSRecord) -> None:
        with pytest.raises(IdempotencyAlreadyInProgressError) as raised:
            Consumer().take("a")
        assert SECRET not in str(raised.value)

    consumer.does = meanwhile
    assert consumer.take("a")
    assert consumer.calls == ["a"]
    assert table.states() == ["COMPLETED"], "the other attempt left it alone"


@pytest.mark.parametrize("body", ["{}", '{"orderId": null}', '{"orderId": ""}', "[]"])
def test_a_message_without_its_key_is_not_handled(table: HandledTable, body: str) -> None:
    consumer = Consumer(key=ORDER)
    with pytest.raises(IdempotencyKeyError):
        consumer.take("a", body)
    assert (consumer.calls, table.items) == ([], {})


def zipped(data: bytes) -> str:
    return base64.b64encode(gzip.compress(data, mtime=0)).decode()


def cut(body: str) -> str:
    return base64.b64encode(base64.b64decode(body)[:-12]).decode()


def spoilt(body: str) -> str:
    """Return a body whose first block is of a kind that there is not."""
    data = bytearray(base64.b64decode(body))
    data[10] |= 0b110
    return base64.b64encode(data).decode()


@pytest.mark.parametrize("place", ["key", "payload"])
@pytest.mark.parametrize(
    ("body", "error"),
    [
        (base64.b64encode(SECRET.encode()).decode(), "BadGzipFile"),
        (cut(zipped(order(7).encode())), "EOFError"),
        (spoilt(zipped(order(7).encode())), "error"),
        (f"{SECRET}=", "Error"),
        (f"{SECRET}\u00e9", "ValueError"),
        (zipped(SECRET.encode() + b"\xff"), "UnicodeDecodeError"),
        (zipped(SECRET.encode()), "JSONDecodeError"),
    ],
    ids=["no gzip", "half of it", "a wrong block", "no base64", "no ASCII", "no UTF-8", "no JSON"],
)
def test_of_a_body_that_cannot_be_unpacked_no_word_is_said(
    table: HandledTable, body: str, error: str, place: str
) -> None:
    consumer = Consumer(**{place: ZIPPED})
    with pytest.raises(IdempotencyKeyError) as raised:
        consumer.take("a", body)
    assert str(raised.value) == f"the {place} cannot be looked up ({error})"
    logged = "".join(traceback.format_exception(raised.value))
    assert not any(word in logged for word in (SECRET, body))
    assert logged.count("Traceback") == 1, "what broke on the body may say a piece of it"
    assert (consumer.calls, table.items) == ([], {})


def test_a_body_that_is_packed_has_its_key_inside(table: HandledTable) -> None:
    consumer = Consumer(key=ZIPPED)
    bodies = (zipped(order(number).encode()) for number in (7, 8, 7))
    assert [consumer.take(name, body) for name, body in zip("abc", bodies, strict=True)] == [
        True,
        True,
        False,
    ]


def test_the_table_is_asked_as_it_is_told_to(consumer: Consumer, table: HandledTable) -> None:
    asked: Any = table.config
    assert (asked.connect_timeout, asked.read_timeout) == (1.5, 2.5)
    assert asked.retries == {"mode": "standard", "total_max_attempts": 4}


def test_two_messages_are_the_same_by_their_key_whatever_their_ids(table: HandledTable) -> None:
    consumer = Consumer(key=ORDER)
    assert [
        consumer.take("a", order(7)),
        consumer.take("b", order(7, more=1)),
        consumer.take("c", order(8)),
    ] == [
        True,
        False,
        True,
    ]


def test_a_known_key_with_another_payload_is_an_error_and_with_the_same_a_repeat(
    table: HandledTable,
) -> None:
    consumer = Consumer(key=ORDER, payload="powertools_json(body).amount")
    assert consumer.take("a", order(7, amount=1))
    with pytest.raises(IdempotencyValidationError) as raised:
        consumer.take("b", order(7, amount=2))
    assert SECRET not in str(raised.value)
    assert not consumer.take("c", order(7, amount=1, more=1))
    assert consumer.calls == ["a"]


def test_another_payload_is_an_error_while_the_first_is_still_at_work(table: HandledTable) -> None:
    consumer = Consumer(key=ORDER, payload="powertools_json(body).amount")
    other = Consumer(key=ORDER, payload="powertools_json(body).amount")

    def meanwhile(_: SQSRecord) -> None:
        with pytest.raises(IdempotencyValidationError):
            other.take("b", order(7, amount=2))

    consumer.does = meanwhile
    assert consumer.take("a", order(7, amount=1))
    assert other.calls == []


def test_a_message_is_known_until_it_expires(consumer: Consumer, table: HandledTable) -> None:
    assert consumer.take("a")
    table.pass_time(EXPIRES - 10)
    assert not consumer.take("a")
    # DynamoDB deletes what has expired within days only.
    table.pass_time(20)
    assert consumer.take("a")
    assert consumer.interrupted == 0
    assert not consumer.take("a"), "it is known anew"


def test_a_message_is_known_to_a_function_with_another_name(
    table: HandledTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = []
    for name in ("worker-1", "worker-2"):
        monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", name)
        taken.append(Consumer().take("a"))
    assert taken == [True, False]


def test_what_is_kept_is_a_hash_and_nothing_of_the_message(table: HandledTable) -> None:
    assert Consumer(key="body", payload="messageAttributes").take("a")
    ((key, item),) = table.items.items()
    assert re.fullmatch(r"message#[0-9a-f]{64}", key)
    assert re.fullmatch(r"[0-9a-f]{64}", item["validation"]["S"])
    assert item["data"] == {"S": "null"}
    assert SECRET not in json.dumps(table.items)


def test_nothing_is_handled_that_cannot_be_noted_first(consumer: Consumer, table: HandledTable) -> None:
    table.refused = {"PutItem"}
    with pytest.raises(IdempotencyPersistenceLayerError):
        consumer.take("a")
    assert consumer.calls == []


def test_what_cannot_be_noted_afterwards_is_no_success(consumer: Consumer, table: HandledTable) -> None:
    table.refused = {"UpdateItem"}
    with pytest.raises(IdempotencyPersistenceLayerError):
        consumer.take("a")
    assert table.states() == ["INPROGRESS"]


def test_sameness_is_what_the_environment_says() -> None:
    said = json.dumps({"key": ORDER, "payload": "body", "expires_after_seconds": 60})
    assert Sameness.loads(said) == Sameness(key=ORDER, payload="body", expires_after_seconds=60)


@pytest.mark.parametrize(
    "said", ["", "{}", '{"key": "a", "payload": "", "expires_after_seconds": 1, "x": 1}']
)
def test_sameness_that_cannot_be_read_is_a_broken_deployment(said: str) -> None:
    with pytest.raises((ValueError, TypeError)):
        Sameness.loads(said)
