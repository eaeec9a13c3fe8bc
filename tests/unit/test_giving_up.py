"""What is put into the dead-letter queue, word for word."""

from typing import Any

import pytest
from botocore.exceptions import (
    ClientError,
    EndpointConnectionError,
    ParamValidationError,
    ReadTimeoutError,
)
from hypothesis import given
from hypothesis import strategies as st

from handlers.giving_up import DeadLetters, copy_of
from sluice.dead_letters import ATTRIBUTE, Reason
from sluice.sqs import MOST_ATTRIBUTES

from .consumer_records import (
    DEAD_URL,
    FIFO_DEAD_URL,
    SECRET,
    FakeSqs,
    Values,
    Written,
    binary,
    of_group,
    record,
    refused,
    text,
    with_system,
)

REASON = Reason("shop.StockError", "none left", "m-1", 3)
SAID = text(REASON.dumps())
TRACE = "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1"
OF_ALL_TYPES = {
    "text": text("\u00e9\U0001f600 and\nmore"),
    "number": text("12345678901234567890.12345", "Number"),
    "bytes": binary(b"\x00\xff\xfe"),
    "document": text('{"a": 1}', "String.json"),
    "price": text("9.99", "Number.eur"),
    "picture": binary(b"\x89PNG", "Binary.png"),
}
KINDS = st.sampled_from(["", ".json", ".png", ".a.b"])
NAMES = st.text("abcXYZ019_-.", min_size=1, max_size=20)
TEXTS = st.text(min_size=1)
ATTRIBUTES = st.dictionaries(
    NAMES,
    st.builds(lambda kind, value: text(value, f"String{kind}"), KINDS, TEXTS)
    | st.builds(lambda kind, value: text(str(value), f"Number{kind}"), KINDS, st.integers())
    | st.builds(lambda kind, value: binary(value, f"Binary{kind}"), KINDS, st.binary(min_size=1)),
    max_size=MOST_ATTRIBUTES,
)


@pytest.fixture
def sqs() -> FakeSqs:
    return FakeSqs()


@pytest.fixture
def written() -> Written:
    return Written()


def take(sqs: FakeSqs, written: Written, given: Values, url: str = DEAD_URL) -> bool:
    client: Any = sqs
    return DeadLetters(client, url, written.journal).take(given, REASON)


def test_a_letter_is_the_message_with_the_reason_beside_it(sqs: FakeSqs, written: Written) -> None:
    given = with_system(record("m-1", body="the words", attributes=OF_ALL_TYPES), AWSTraceHeader=TRACE)
    assert take(sqs, written, given)
    assert sqs.sent == [
        {
            "QueueUrl": DEAD_URL,
            "MessageBody": "the words",
            "MessageAttributes": {**OF_ALL_TYPES, "requestId": text("r-1"), ATTRIBUTE: SAID},
            "MessageSystemAttributes": {"AWSTraceHeader": text(TRACE)},
        }
    ]
    assert written.lines == []


def test_a_message_with_nothing_but_a_body_has_the_reason_alone(sqs: FakeSqs, written: Written) -> None:
    assert take(sqs, written, record("m-1", request_id=None))
    assert sqs.sent == [{"QueueUrl": DEAD_URL, "MessageBody": SECRET, "MessageAttributes": {ATTRIBUTE: SAID}}]


def test_in_a_fifo_queue_it_keeps_its_group_and_is_told_apart_by_its_own_id(
    sqs: FakeSqs, written: Written
) -> None:
    assert take(sqs, written, of_group("shop-7", record("m-1")), FIFO_DEAD_URL)
    (sent,) = sqs.sent
    assert sent["MessageGroupId"] == "shop-7"
    assert sent["MessageDeduplicationId"] == "m-1"


def test_a_group_of_a_standard_queue_is_kept_without_a_deduplication_id(
    sqs: FakeSqs, written: Written
) -> None:
    assert take(sqs, written, with_system(record("m-1"), MessageGroupId="tenant-7"))
    (sent,) = sqs.sent
    assert sent["MessageGroupId"] == "tenant-7"
    assert "MessageDeduplicationId" not in sent


@pytest.mark.parametrize(("there", "with_reason"), [(9, True), (10, False)])
def test_where_ten_attributes_are_there_the_reason_finds_no_room(
    sqs: FakeSqs, written: Written, there: int, with_reason: bool
) -> None:
    attributes = {f"a{number}": text("1", "Number") for number in range(there)}
    assert take(sqs, written, record("m-1", request_id=None, attributes=attributes))
    (sent,) = sqs.sent
    assert sent["MessageAttributes"] == ({**attributes, ATTRIBUTE: SAID} if with_reason else attributes)
    assert written.lines == [], "nothing was tried that had to fail"


def test_the_reason_of_another_time_makes_way(sqs: FakeSqs, written: Written) -> None:
    others = {f"a{number}": text("1", "Number") for number in range(9)}
    before = text(Reason("KeyError", "long ago", "m-0", 1).dumps())
    assert take(sqs, written, record("m-1", request_id=None, attributes={**others, ATTRIBUTE: before}))
    (sent,) = sqs.sent
    assert sent["MessageAttributes"] == {**others, ATTRIBUTE: SAID}


@pytest.mark.parametrize("code", ["InvalidParameterValue", "InvalidMessageContents"])
def test_a_letter_that_is_no_good_with_the_reason_goes_without(
    sqs: FakeSqs, written: Written, code: str
) -> None:
    sqs.send_errors = [refused("SendMessage", code)]
    assert take(sqs, written, record("m-1"))
    first, second = sqs.sent
    assert first["MessageAttributes"] == {"requestId": text("r-1"), ATTRIBUTE: SAID}
    assert second == {**first, "MessageAttributes": {"requestId": text("r-1")}}
    assert written.lines == [], "it is where it belongs"


@pytest.mark.parametrize(
    "error",
    [
        ReadTimeoutError(endpoint_url=DEAD_URL),
        EndpointConnectionError(endpoint_url=DEAD_URL),
        ParamValidationError(report="no such parameter"),
        *(refused("SendMessage", code) for code in ("RequestThrottled", "AccessDenied", "InternalFailure")),
    ],
    ids=str,
)
def test_a_letter_that_may_be_there_or_may_go_later_is_not_sent_again_without_the_reason(
    sqs: FakeSqs, written: Written, error: Exception
) -> None:
    sqs.send_errors = [error]
    assert not take(sqs, written, record("m-1"))
    (sent,) = sqs.sent
    assert sent["MessageAttributes"][ATTRIBUTE] == SAID
    assert written.lines == [("giving up failed", {"message_id": "m-1", "request_id": "r-1"})]


def test_a_letter_that_goes_without_its_reason_does_not_go_with_that_of_another_time(
    sqs: FakeSqs, written: Written
) -> None:
    sqs.send_errors = [refused("SendMessage")]
    before = text(Reason("KeyError", "long ago", "m-0", 1).dumps())
    assert take(sqs, written, record("m-1", attributes={ATTRIBUTE: before}))
    assert sqs.sent[1]["MessageAttributes"] == {"requestId": text("r-1")}


def test_a_letter_without_attributes_goes_without_any(sqs: FakeSqs, written: Written) -> None:
    sqs.send_errors = [refused("SendMessage")]
    assert take(sqs, written, record("m-1", request_id=None))
    assert sqs.sent[1] == {"QueueUrl": DEAD_URL, "MessageBody": SECRET}, "SQS refuses an empty attribute"


@pytest.mark.parametrize("there", [0, 10])
def test_a_letter_that_is_refused_both_times_is_not_there(sqs: FakeSqs, written: Written, there: int) -> None:
    sqs.send_errors = [refused("SendMessage"), refused("SendMessage", "AccessDenied")]
    attributes = {f"a{number}": text("1", "Number") for number in range(there)}
    assert not take(sqs, written, record("m-1", request_id=None, attributes=attributes))
    assert len(sqs.sent) == (1 if there else 2)
    assert written.said() == [("giving up failed", "m-1")]


def test_an_error_that_is_not_of_sqs_is_not_hidden(sqs: FakeSqs, written: Written) -> None:
    sqs.send_errors = [ZeroDivisionError()]
    with pytest.raises(ZeroDivisionError):
        take(sqs, written, record("m-1"))


def test_no_line_has_the_body(sqs: FakeSqs, written: Written) -> None:
    errors: list[Exception] = [refused("SendMessage"), ClientError({}, "SendMessage")]
    sqs.send_errors = errors
    assert not take(sqs, written, record("m-1", attributes={"secret": text(SECRET)}))
    assert len(written.lines) == 1
    assert SECRET not in str(written.lines)


@given(
    body=TEXTS,
    attributes=ATTRIBUTES,
    trace=st.none() | st.just(TRACE),
    group=st.none() | NAMES,
    url=st.sampled_from([DEAD_URL, FIFO_DEAD_URL]),
)
def test_what_was_sent_is_what_is_sent_again(
    body: str, attributes: dict[str, Values], trace: str | None, group: str | None, url: str
) -> None:
    letter = record("m-1", body=body, request_id=None, attributes=attributes)
    expected: Values = {"QueueUrl": url, "MessageBody": body}
    if attributes:
        expected["MessageAttributes"] = attributes
    if trace:
        letter = with_system(letter, AWSTraceHeader=trace)
        expected["MessageSystemAttributes"] = {"AWSTraceHeader": text(trace)}
    if group:
        letter = of_group(group, letter)
        expected["MessageGroupId"] = group
    if url == FIFO_DEAD_URL:
        expected["MessageDeduplicationId"] = "m-1"
    assert copy_of(letter, url) == expected


@pytest.mark.parametrize("empty", [{"binaryValue": None}, {}])
def test_a_text_may_name_the_value_that_it_has_not(empty: Values) -> None:
    letter = record("m-1", request_id=None, attributes={"a": text("b")})
    letter["messageAttributes"]["a"] |= empty
    assert copy_of(letter, DEAD_URL)["MessageAttributes"] == {"a": text("b")}
