"""What SQS checks of a message and the emulator does not.

("SendMessage" in the Amazon SQS API reference, "Amazon SQS message metadata" in its developer guide)
"""

import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

MOST_ATTRIBUTES = 10
LONGEST_NAME = 256
LONGEST_DELAY_SECONDS = 900
NAME = re.compile(r"(?!\.)(?!.*\.\.)(?!.*\.$)[A-Za-z0-9_.-]+", re.ASCII)
RESERVED = ("aws.", "amazon.")
TYPE = re.compile(r"(String|Number|Binary)(\..+)?")
ID = re.compile(r"""[A-Za-z0-9!"#$%&'()*+,./:;<=>?@\[\\\]^_`{|}~-]{1,128}""")
NOT_ALLOWED = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
INVALID = "InvalidParameterValue"

Data = Mapping[str, Any]


class Refusal(Exception):  # noqa: N818 - an answer, not an error of ours
    """A message that SQS refuses, with the code and the words that it answers."""

    def __init__(self, code: str, message: str) -> None:
        """Keep what the caller gets."""
        super().__init__(message)
        self.code = code
        self.message = message


def check(message: Data, largest: int) -> None:
    """Let a message pass that SQS takes.

    Args:
        message: as SendMessage has it.
        largest: the queue's limit in bytes.

    Raises:
        Refusal: if SQS does not take it.
    """
    attributes: Data = message.get("MessageAttributes") or {}
    if len(attributes) > MOST_ATTRIBUTES:
        raise Refusal(
            INVALID,
            f"Number of message attributes [{len(attributes)}] exceeds the allowed maximum "
            f"[{MOST_ATTRIBUTES}].",
        )
    for name, attribute in attributes.items():
        _check_attribute(name, attribute)
    for name in message.get("MessageSystemAttributes") or {}:
        if name != "AWSTraceHeader":
            raise Refusal(INVALID, f"Message system attribute name '{name}' is invalid.")
    for name in ("MessageGroupId", "MessageDeduplicationId"):
        _check_id(name, message.get(name))
    _check_delay(message.get("DelaySeconds"))
    if size(message) > largest:
        raise Refusal(
            INVALID,
            f"One or more parameters are invalid. Reason: Message must be shorter than {largest} bytes.",
        )


def _check_attribute(name: str, attribute: Data) -> None:
    if not NAME.fullmatch(name) or len(name) > LONGEST_NAME or name.lower().startswith(RESERVED):
        raise Refusal(
            INVALID,
            f"The message attribute name '{name}' is invalid. Attribute name can contain A-Z, a-z, 0-9, "
            "underscore (_), hyphen (-), and period (.) characters.",
        )
    found = TYPE.fullmatch(attribute.get("DataType") or "")
    if not found:
        raise Refusal(
            INVALID,
            f"The message attribute '{name}' has an invalid message attribute type, the set of supported "
            "type prefixes is Binary, Number, and String.",
        )
    kind = found[1]
    value = attribute.get("BinaryValue" if kind == "Binary" else "StringValue")
    if not value:
        raise Refusal(
            INVALID, f"Message (user) attribute '{name}' must contain a non-empty value of type '{kind}'."
        )
    if kind == "Number" and not _is_number(value):
        raise Refusal(INVALID, f"Can't cast the value of message (user) attribute '{name}' to a number.")
    if kind != "Binary" and NOT_ALLOWED.search(value):
        raise Refusal("InvalidMessageContents", "The message contains characters outside the allowed set.")


def _is_number(value: str) -> bool:
    try:
        return Decimal(value).is_finite()
    except InvalidOperation:
        return False


def _check_id(name: str, value: str | None) -> None:
    # An empty one counts as none.
    if value and not ID.fullmatch(value):
        raise Refusal(
            INVALID,
            f"Value {value} for parameter {name} is invalid. Reason: {name} can only include alphanumeric "
            "and punctuation characters. 1 to 128 in length.",
        )


def _check_delay(value: str | int | None) -> None:
    if value is None:
        return
    if not re.fullmatch(r"\d{1,9}", str(value), re.ASCII) or int(value) > LONGEST_DELAY_SECONDS:
        raise Refusal(
            INVALID,
            f"Value {value} for parameter DelaySeconds is invalid. Reason: DelaySeconds must be >= 0 and "
            f"<= {LONGEST_DELAY_SECONDS}.",
        )


def size(message: Data) -> int:
    """Return the bytes that count: of the body, and of each attribute its name, its type and its value."""
    total = len((message.get("MessageBody") or "").encode(errors="replace"))
    for name, attribute in (message.get("MessageAttributes") or {}).items():
        value = attribute.get("StringValue") or attribute.get("BinaryValue") or ""
        content = value.encode(errors="replace") if isinstance(value, str) else value
        total += len(name.encode()) + len((attribute.get("DataType") or "").encode()) + len(content)
    return total
