"""Messages as SQS takes them: refused where SQS refuses them, and with the trace that came along.

This runs inside the emulator, in place of its own functions for these calls.
"""

# There is no other way in than the emulator's private names.
# ruff: noqa: SLF001

from collections.abc import Callable
from typing import Any

import emulator_messages as messages  # type: ignore[import-not-found]  # a sibling: this runs by its path
from ministack.services import sqs

Data = dict[str, Any]
Send = Callable[[Data, str], Data]
TRACE = "AWSTraceHeader"
ENTRY = "SendMessageBatchRequestEntry"
ENTRIES = 10


def checking(send: Send) -> Send:
    """Return what sends a message, if SQS would take it."""

    def checked(data: Data, url: str) -> Data:
        queue = sqs._get_q(data.get("QueueUrl", url))
        try:
            messages.check(data, int(queue["attributes"]["MaximumMessageSize"]))
        except messages.Refusal as refusal:
            raise sqs._Err(refusal.code, refusal.message) from refusal
        return send(data, url)

    return checked


def with_trace(read: Callable[[str, Data], Data]) -> Callable[[str, Data], Data]:
    """Return what reads a form, with its messages' system attributes, which the emulator passes over."""

    def complete(action: str, form: Data) -> Data:
        data = read(action, form)
        if found := system_attributes(form, ""):
            data["MessageSystemAttributes"] = found
        for number, entry in enumerate(data.get("Entries", []), 1):
            if action == "SendMessageBatch" and (found := system_attributes(form, f"{ENTRY}.{number}.")):
                entry["MessageSystemAttributes"] = found
        return data

    return complete


def system_attributes(form: Data, prefix: str) -> Data:
    """Return the system attributes of one message in a form."""
    attributes: Data = {}
    while name := sqs._p(form, f"{prefix}MessageSystemAttribute.{len(attributes) + 1}.Name"):
        value = f"{prefix}MessageSystemAttribute.{len(attributes) + 1}.Value."
        attributes[name] = {key: sqs._p(form, f"{value}{key}") for key in ("DataType", "StringValue")}
    return attributes


def keeping_traces(send: Send) -> Send:
    """Return what sends a batch, and gives each message the trace that the emulator loses on the way."""

    def sent(data: Data, url: str) -> Data:
        result = send(data, url)
        given = {each["Id"]: each.get("MessageSystemAttributes") or {} for each in data["Entries"]}
        traces = {
            each["MessageId"]: given[each["Id"]][TRACE]["StringValue"]
            for each in result["Successful"]
            if TRACE in given[each["Id"]]
        }
        for message in sqs._get_q(data.get("QueueUrl", url))["messages"][-ENTRIES:]:
            if message["id"] in traces:
                message["sys"].setdefault(TRACE, traces[message["id"]])
        return result

    return sent


def install() -> None:
    """Put all this in the place of the emulator's own."""
    sqs._normalise = with_trace(sqs._normalise)
    sqs._act_send_message = checking(sqs._act_send_message)
    sqs._HANDLERS["SendMessage"] = sqs._act_send_message
    sqs._HANDLERS["SendMessageBatch"] = keeping_traces(sqs._act_send_message_batch)
