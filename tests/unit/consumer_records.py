"""Records as Lambda hands them to the consumer, and in memory what it keeps and asks for."""

import base64
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from types import SimpleNamespace
from typing import Any

import boto3.session
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from handlers.journal import Journal

BASE = "https://sqs.us-east-1.amazonaws.com/123456789012"
QUEUE_URL = f"{BASE}/orders"
DEAD_URL = f"{BASE}/orders-dead"
FIFO_DEAD_URL = f"{BASE}/orders-dead.fifo"
TABLE = "handled-1234567"
SECRET = "the-body-of-a-message"
SENT = 1_750_000_000_000
"""When each record was sent, in milliseconds since 1970."""
Values = dict[str, Any]
Answer = tuple[SimpleNamespace, Values]


def refused(operation: str, code: str = "InvalidParameterValue") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "refused"}}, operation)


def record(
    name: str,
    *,
    body: str = SECRET,
    receives: int = 1,
    request_id: str | None = "r-1",
    attributes: Mapping[str, Values] | None = None,
) -> Values:
    """Return a record of a standard queue as Lambda hands it over.

    Args:
        name: the message's id.
        body: the message's body.
        receives: how often it was received.
        request_id: the id of the request that it came with, if any.
        attributes: further message attributes, as they were sent.
    """
    sent = dict(attributes or {})
    if request_id is not None:
        sent["requestId"] = text(request_id)
    return {
        "messageId": name,
        "receiptHandle": f"receipt-{name}",
        "body": body,
        "attributes": {"ApproximateReceiveCount": str(receives), "SentTimestamp": str(SENT)},
        "messageAttributes": {key: as_lambda_has_it(value) for key, value in sent.items()},
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:us-east-1:123456789012:orders",
        "awsRegion": "us-east-1",
    }


def with_system(given: Values, **values: str) -> Values:
    """Return a record with further attributes of SQS's own."""
    return {**given, "attributes": {**given["attributes"], **values}}


def of_group(group: str, given: Values) -> Values:
    """Return a record as one of a FIFO queue."""
    own = with_system(given, MessageGroupId=group, MessageDeduplicationId=f"of-{given['messageId']}")
    return {**own, "eventSourceARN": f"{given['eventSourceARN']}.fifo"}


def text(value: str, kind: str = "String") -> Values:
    """Return a message attribute as it is sent."""
    return {"DataType": kind, "StringValue": value}


def binary(value: bytes, kind: str = "Binary") -> Values:
    """Return a message attribute of bytes as it is sent."""
    return {"DataType": kind, "BinaryValue": value}


def as_lambda_has_it(sent: Values) -> Values:
    """Return a message attribute of a record, of one that was sent ("Using Lambda with Amazon SQS")."""
    value = (
        {"binaryValue": base64.b64encode(sent["BinaryValue"]).decode()}
        if "BinaryValue" in sent
        else {"stringValue": sent["StringValue"]}
    )
    return {**value, "stringListValues": [], "binaryListValues": [], "dataType": sent["DataType"]}


@dataclass
class Context:
    """What Lambda tells of a run."""

    seconds: float = 30.0
    """How long it may still take."""

    def get_remaining_time_in_millis(self) -> int:
        return round(self.seconds * 1000)


@dataclass
class FakeSqs:
    """Remembers what was asked of it, and refuses what it is told to."""

    postponed: list[Values] = field(default_factory=list)
    handed_back: list[list[Values]] = field(default_factory=list)
    """The entries of each call."""
    sent: list[Values] = field(default_factory=list)
    """All messages that it was asked to take, also those that it refused."""
    refusals: dict[str, Exception] = field(default_factory=dict)
    """What asking for another wait raises, by the receipt."""
    not_handed_back: dict[str, str] = field(default_factory=dict)
    """Which entry of a batch is refused with what code, by the receipt."""
    send_errors: list[Exception] = field(default_factory=list)
    """What the next messages raise, one each."""

    def change_message_visibility(self, **given: Any) -> None:
        self.postponed.append(given)
        self._refuse(given["ReceiptHandle"])

    def change_message_visibility_batch(self, **given: Any) -> Values:
        assert given["QueueUrl"] == QUEUE_URL
        entries = given["Entries"]
        assert 1 <= len(entries) <= 10
        assert len({each["Id"] for each in entries}) == len(entries), "SQS refuses a batch with one id twice"
        self.handed_back.append(entries)
        for each in entries:
            self._refuse(each["ReceiptHandle"])
        refused = [
            {"Id": each["Id"], "Code": self.not_handed_back[each["ReceiptHandle"]], "SenderFault": True}
            for each in entries
            if each["ReceiptHandle"] in self.not_handed_back
        ]
        return {"Failed": refused} if refused else {"Successful": [{"Id": each["Id"]} for each in entries]}

    def send_message(self, **given: Any) -> Values:
        self.sent.append(given)
        if self.send_errors:
            raise self.send_errors.pop(0)
        return {"MessageId": "new"}

    def _refuse(self, receipt: str) -> None:
        if receipt in self.refusals:
            raise self.refusals[receipt]


class Written:
    """The lines and the counts of a journal."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, Values]] = []
        self._counts: Counter[str] = Counter()
        itself: Any = self
        self.journal = Journal(itself, itself, lambda: SENT / 1000)

    @property
    def counts(self) -> Counter[str]:
        """What was counted, as it is written at the end of a batch."""
        self.journal.flush()
        return self._counts

    def flush_metrics(self) -> None:
        """Nothing is kept back here."""

    def said(self) -> list[tuple[str, str | None]]:
        """Return what was said of which message."""
        return [(message, extra.get("message_id")) for message, extra in self.lines]

    def info(self, message: str, extra: Values, exc_info: object = None) -> None:
        self.lines.append((message, extra))

    warning = error = info

    def add_metric(self, name: str, _unit: str, value: float) -> None:
        if name != "RecordAge":
            self._counts[name] += int(value)


class HandledTable:
    """DynamoDB with one table, as far as Powertools uses it to know what was handled."""

    CONDITION = (
        "attribute_not_exists(#id) OR #expiry < :now OR (#status = :inprogress"
        " AND attribute_exists(#in_progress_expiry) AND #in_progress_expiry < :now_in_millis)"
    )

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.items: dict[str, Values] = {}
        self.refused: set[str] = set()
        """The calls that fail."""
        self.config: Config | None = None
        """What its last client was made with."""
        self._asked: Values = {}
        # What is called for has to go through a real client: the code looks at its calls and answers.
        monkeypatch.setattr("boto3.session.Session", lambda: SimpleNamespace(client=self._client))

    def pass_time(self, seconds: float) -> None:
        """Make everything so much older."""
        for item in self.items.values():
            for name, unit in {"expiration": 1, "in_progress_expiration": 1000}.items():
                if name in item:
                    item[name] = {"N": str(round(int(item[name]["N"]) - seconds * unit))}

    def states(self) -> list[str]:
        return [item["status"]["S"] for item in self.items.values()]

    def _client(self, name: str, config: Config | None = None) -> Any:
        assert name == "dynamodb"
        client = session().client("dynamodb", config=config)
        self.config = client.meta.config
        client.meta.events.register("before-parameter-build.dynamodb", self._listen)
        # What such a handler returns is taken for the answer, and nothing goes out.
        answer: Any = self._answer
        client.meta.events.register("before-call.dynamodb", answer)
        return client

    def _listen(self, params: Values, **_: object) -> None:
        self._asked = params

    def _answer(self, model: Any, **_: object) -> Answer:
        assert self._asked["TableName"] == TABLE
        if model.name in self.refused:
            return failure("InternalServerError")
        calls: dict[str, Callable[[], Answer]] = {
            "PutItem": self._put,
            "UpdateItem": self._update,
            "DeleteItem": self._delete,
        }
        return calls[model.name]()

    def _put(self) -> Answer:
        asked = self._asked
        assert asked["ConditionExpression"] == self.CONDITION
        assert asked["ReturnValuesOnConditionCheckFailure"] == "ALL_OLD"
        key = asked["Item"]["id"]["S"]
        old = self.items.get(key)
        if old is not None and not is_over(old, asked["ExpressionAttributeValues"]):
            return failure("ConditionalCheckFailedException", Item=old)
        self.items[key] = asked["Item"]
        wants_old = asked.get("ReturnValues") == "ALL_OLD"
        return success(**({"Attributes": old} if old is not None and wants_old else {}))

    def _update(self) -> Answer:
        asked = self._asked
        item = self.items.setdefault(asked["Key"]["id"]["S"], dict(asked["Key"]))
        for part in asked["UpdateExpression"].removeprefix("SET ").split(", "):
            name, value = part.split(" = ")
            item[asked["ExpressionAttributeNames"][name]] = asked["ExpressionAttributeValues"][value]
        return success()

    def _delete(self) -> Answer:
        self.items.pop(self._asked["Key"]["id"]["S"], None)
        return success()


def is_over(item: Values, values: Values) -> bool:
    """Whether the condition lets an item be replaced."""

    def number(of: Values) -> int:
        return int(of["N"])

    return number(item["expiration"]) < number(values[":now"]) or (
        item["status"] == values[":inprogress"]
        and "in_progress_expiration" in item
        and number(item["in_progress_expiration"]) < number(values[":now_in_millis"])
    )


def success(**parsed: Any) -> Answer:
    return SimpleNamespace(status_code=200), parsed


def failure(code: str, **parsed: Any) -> Answer:
    return SimpleNamespace(status_code=400), {"Error": {"Code": code, "Message": "no"}, **parsed}


REAL_SESSION = boto3.session.Session


@cache
def session() -> boto3.session.Session:
    """Return a session that asks nobody for credentials, and reads its model of DynamoDB once."""
    return REAL_SESSION(aws_access_key_id="a", aws_secret_access_key="b", region_name="us-east-1")
