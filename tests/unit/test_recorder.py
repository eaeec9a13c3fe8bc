import hashlib
from typing import Any

import pytest
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord

from examples.recorder import recorder


class FakeTable:
    """Applies the one update that the recorder makes."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.items: dict[str, dict[str, Any]] = {}

    def get_item(self, **given: Any) -> dict[str, Any]:
        found = self.items.get(given["Key"]["id"])
        return {} if found is None else {"Item": found}

    def update_item(self, **given: Any) -> None:
        assert given["UpdateExpression"] == "SET body_sha256 = :hash, body_bytes = :bytes ADD handled :one"
        values = given["ExpressionAttributeValues"]
        item = self.items.setdefault(given["Key"]["id"], {"handled": 0})
        item["body_sha256"] = values[":hash"]
        item["body_bytes"] = values[":bytes"]
        item["handled"] += values[":one"]


class FakeDynamo:
    """Opens tables by name."""

    def __init__(self) -> None:
        self.opened: list[FakeTable] = []

    def Table(self, name: str) -> FakeTable:  # noqa: N802
        self.opened.append(FakeTable(name))
        return self.opened[-1]


@pytest.fixture
def dynamo(monkeypatch: pytest.MonkeyPatch) -> FakeDynamo:
    """Stand in for DynamoDB."""
    fake = FakeDynamo()
    monkeypatch.setenv("SLUICE_TABLE", "records")
    monkeypatch.setattr("boto3.resource", {"dynamodb": fake}.__getitem__)
    recorder.table.cache_clear()
    return fake


def record(name: str, body: str) -> SQSRecord:
    return SQSRecord({"messageId": name, "body": body})


@pytest.mark.parametrize("body", ["hello", "", "\u00e9\U0001f600\n", "no poison", "Poison"])
def test_a_message_is_written_down_by_its_id_and_the_hash_of_its_body(dynamo: FakeDynamo, body: str) -> None:
    recorder.record_handler(record("m-1", body))
    (table,) = dynamo.opened
    assert table.name == "records"
    assert table.items == {
        "m-1": {
            "body_sha256": hashlib.sha256(body.encode()).hexdigest(),
            "body_bytes": len(body.encode()),
            "handled": 1,
        }
    }


def test_a_message_that_comes_twice_is_counted_and_not_written_twice(dynamo: FakeDynamo) -> None:
    for _ in range(2):
        recorder.record_handler(record("m-1", "hello"))
    (table,) = dynamo.opened
    assert {name: item["handled"] for name, item in table.items.items()} == {"m-1": 2}


@pytest.mark.parametrize("body", ["poison", "poisonous"])
def test_poison_is_refused_by_its_id_and_leaves_no_trace(dynamo: FakeDynamo, body: str) -> None:
    with pytest.raises(recorder.PoisonError, match=r"^m-1$"):
        recorder.record_handler(record("m-1", body))
    assert [each.items for each in dynamo.opened] == [{}]
