from typing import Any

import pytest

from local.emulator_messages import MOST_ATTRIBUTES, Refusal, check, size

LARGEST = 1024


def text(value: str, kind: str = "String") -> dict[str, str]:
    return {"DataType": kind, "StringValue": value}


def message(**more: Any) -> dict[str, Any]:
    return {"MessageBody": "b", **more}


def refusal(given: dict[str, Any]) -> Refusal:
    with pytest.raises(Refusal) as refused:
        check(given, LARGEST)
    return refused.value


@pytest.mark.parametrize(
    "given",
    [
        message(),
        message(MessageAttributes={f"a{index}": text("x") for index in range(MOST_ATTRIBUTES)}),
        message(MessageAttributes={"a.b-c_1": text("é\t\n\r\U0001f600")}),
        message(MessageAttributes={"n": text("-1.5e3", "Number"), "m": text("1", "Number.int")}),
        message(MessageAttributes={"b": {"DataType": "Binary.png", "BinaryValue": "AA=="}}),
        message(MessageSystemAttributes={"AWSTraceHeader": text("Root=1")}),
        message(MessageGroupId="""a!"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~9""", MessageDeduplicationId="x" * 128),
        message(MessageGroupId="", MessageDeduplicationId=None),
        message(DelaySeconds="900"),
        message(DelaySeconds=0),
    ],
)
def test_what_sqs_takes_passes(given: dict[str, Any]) -> None:
    check(given, LARGEST)


def test_more_attributes_than_ten_are_refused() -> None:
    given = message(MessageAttributes={f"a{index}": text("x") for index in range(MOST_ATTRIBUTES + 1)})
    assert refusal(given).message == "Number of message attributes [11] exceeds the allowed maximum [10]."


@pytest.mark.parametrize(
    "name", ["", ".a", "a.", "a..b", "a b", "é", "a/b", "AWS.x", "aws.x", "Amazon.x", "a" * 257, "a\n"]
)
def test_an_attribute_s_name_is_as_sqs_wants_it(name: str) -> None:
    refused = refusal(message(MessageAttributes={name: text("x")}))
    assert (refused.code, f"'{name}'" in refused.message) == ("InvalidParameterValue", True)


@pytest.mark.parametrize("kind", ["", "Text", "string", "String.", "StringX"])
def test_an_attribute_s_type_is_one_of_three(kind: str) -> None:
    assert (
        "invalid message attribute type" in refusal(message(MessageAttributes={"a": text("x", kind)})).message
    )


@pytest.mark.parametrize(
    "attribute",
    [text(""), {"DataType": "String"}, {"DataType": "Binary", "StringValue": "x"}, text("", "Number")],
)
def test_an_empty_attribute_is_refused(attribute: dict[str, str]) -> None:
    refused = refusal(message(MessageAttributes={"principal": attribute}))
    assert refused.code == "InvalidParameterValue"
    assert refused.message.startswith("Message (user) attribute 'principal' must contain a non-empty value")


@pytest.mark.parametrize("value", ["x", "1,5", "nan", "Infinity"])
def test_a_number_is_a_number(value: str) -> None:
    assert "to a number" in refusal(message(MessageAttributes={"n": text(value, "Number")})).message


@pytest.mark.parametrize("value", ["a\x00", "\x1f", "\ufffe", "\ud800"])
def test_an_attribute_holds_no_character_that_sqs_cannot_carry(value: str) -> None:
    assert refusal(message(MessageAttributes={"a": text(value)})).code == "InvalidMessageContents"


def test_a_trace_is_the_only_system_attribute() -> None:
    assert "'Other'" in refusal(message(MessageSystemAttributes={"Other": text("x")})).message


@pytest.mark.parametrize("name", ["MessageGroupId", "MessageDeduplicationId"])
@pytest.mark.parametrize("value", ["a b", "x" * 129, "é", "a\n", " "])
def test_an_id_is_letters_digits_and_punctuation(name: str, value: str) -> None:
    refused = refusal(message(**{name: value}))
    assert refused.code == "InvalidParameterValue"
    assert refused.message == (
        f"Value {value} for parameter {name} is invalid. Reason: {name} can only include alphanumeric and "
        "punctuation characters. 1 to 128 in length."
    )


@pytest.mark.parametrize("value", ["901", "-1", "x", "1.5", 901, ""])
def test_a_delay_is_at_most_a_quarter_of_an_hour(value: str | int) -> None:
    assert "DelaySeconds must be >= 0 and <= 900" in refusal(message(DelaySeconds=value)).message


def test_attributes_count_as_part_of_the_message() -> None:
    attributes = {"name": text("é" * 10), "b": {"DataType": "Binary", "BinaryValue": b"123"}}
    assert size({"MessageBody": "éé", "MessageAttributes": attributes}) == 4 + 4 + 6 + 20 + 1 + 6 + 3
    given = {"MessageBody": "x" * (LARGEST - 11), "MessageAttributes": {"name": text("x")}}
    check(given, LARGEST)
    assert (
        "must be shorter than 1024 bytes" in refusal({**given, "MessageBody": "x" * (LARGEST - 10)}).message
    )
