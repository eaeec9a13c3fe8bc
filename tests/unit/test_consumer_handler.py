import itertools
import json
import math
import sys
import types
from collections.abc import Callable
from functools import cached_property
from typing import Any

import pytest
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from botocore.exceptions import ClientError, EndpointConnectionError
from hypothesis import given
from hypothesis import strategies as st

from handlers import consumer
from handlers.consumer import Environment, Worker, load, retry_delay
from sluice import tokens

QUEUE_URL = "https://sqs.us-east-1.amazonaws.com/123456789012/orders"
SECRET = "the-body-of-a-message"
VARIABLES = {
    "SLUICE_ENTRY": "users_code:handle",
    "SLUICE_QUEUE_URL": QUEUE_URL,
    "SLUICE_RETRY_BASE_SECONDS": "2",
    "SLUICE_RETRY_CAP_SECONDS": "300",
    "AWS_LAMBDA_FUNCTION_NAME": "worker-1234567",
}
GONE = ClientError({"Error": {"Code": "InvalidParameterValue", "Message": "gone"}}, "ChangeMessageVisibility")
NUMBERS = itertools.count()


class FakeSqs:
    """Remembers what was asked of it, and refuses some receipts."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.refusals: dict[str, Exception] = {}

    def change_message_visibility(self, **given: Any) -> None:
        self.asked.append(given)
        if given["ReceiptHandle"] in self.refusals:
            raise self.refusals[given["ReceiptHandle"]]


class Function:
    """A deployed consumer: its queue, the user's code, and what it printed."""

    def __init__(self, sqs: FakeSqs, capsys: pytest.CaptureFixture[str]) -> None:
        self.sqs = sqs
        self.handled: list[str] = []
        self.capsys = capsys
        # Powertools keeps a logger, and where it prints, by its service's name.
        self.name = f"worker-{next(NUMBERS)}"

    @cached_property
    def worker(self) -> Worker:
        """The worker, made at the first run as in Lambda: before, nobody reads what it prints."""
        return Worker(Environment.read({**VARIABLES, "AWS_LAMBDA_FUNCTION_NAME": self.name}))

    def run(self, *records: dict[str, Any]) -> list[str]:
        """Return the ids that are reported as failed."""
        context: Any = None
        answer = self.worker.run({"Records": list(records)}, context)
        return [str(each["itemIdentifier"]) for each in answer["batchItemFailures"]]

    def printed(self) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """Return the log lines and the one line of metrics."""
        lines = [json.loads(line) for line in self.capsys.readouterr().out.splitlines()]
        (metrics,) = (line for line in lines if "_aws" in line)
        return [line for line in lines if "_aws" not in line], metrics


def record(
    name: str, *, body: str = SECRET, receives: int = 1, request_id: str | None = "r-1"
) -> dict[str, Any]:
    attributes = (
        {} if request_id is None else {"requestId": {"stringValue": request_id, "dataType": "String"}}
    )
    return {
        "messageId": name,
        "receiptHandle": f"receipt-{name}",
        "body": body,
        "attributes": {"ApproximateReceiveCount": str(receives)},
        "messageAttributes": attributes,
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:us-east-1:123456789012:orders",
        "awsRegion": "us-east-1",
    }


@pytest.fixture
def function(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Function:
    """Return a consumer whose code refuses every body that begins with ``bad``."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("POWERTOOLS_METRICS_NAMESPACE", "Sluice")
    sqs = FakeSqs()
    monkeypatch.setattr("boto3.client", {"sqs": sqs}.__getitem__)
    monkeypatch.setattr("random.random", lambda: 0.5)
    users_code = types.ModuleType("users_code")
    monkeypatch.setitem(sys.modules, "users_code", users_code)
    handled: list[str] = []

    def handle(record: SQSRecord) -> None:
        if record.body.startswith("bad"):
            raise RuntimeError("refused")
        handled.append(record.message_id)

    users_code.handle = handle  # type: ignore[attr-defined]
    made = Function(sqs, capsys)
    made.handled = handled
    return made


@given(
    receives=st.integers(1, 10_000),
    base=st.integers(0, 43_200),
    cap=st.integers(0, 43_200),
    jitter=st.floats(0, 1),
)
def test_a_wait_is_between_half_and_the_whole_of_a_doubling_one(
    receives: int, base: int, cap: int, jitter: float
) -> None:
    longest = min(cap, base * 2 ** (receives - 1))
    delay = retry_delay(receives, base, cap, jitter)
    assert type(delay) is int
    assert math.floor(longest / 2) <= delay <= longest


@given(receives=st.integers(1, 100), base=st.integers(0, 43_200), cap=st.integers(0, 43_200))
def test_a_wait_never_shrinks_from_try_to_try(receives: int, base: int, cap: int) -> None:
    assert retry_delay(receives, base, cap, 0) <= retry_delay(receives + 1, base, cap, 0)


@pytest.mark.parametrize(
    ("receives", "jitter", "delay"), [(1, 0, 2), (2, 0, 4), (3, 0, 8), (3, 0.5, 6), (3, 1, 4), (9, 0, 300)]
)
def test_a_wait_doubles_up_to_its_cap(receives: int, jitter: float, delay: int) -> None:
    assert retry_delay(receives, 2, 300, jitter) == delay


def test_the_environment_tells_what_the_function_is() -> None:
    assert Environment.read(VARIABLES) == Environment(
        entry="users_code:handle",
        queue_url=QUEUE_URL,
        retry_base_seconds=2,
        retry_cap_seconds=300,
        function_name="worker-1234567",
    )


@pytest.mark.parametrize("name", VARIABLES)
def test_a_variable_that_is_missing_is_a_broken_deployment(name: str) -> None:
    with pytest.raises(KeyError, match=name):
        Environment.read({key: value for key, value in VARIABLES.items() if key != name})


def test_the_users_function_is_found_by_its_entry_whatever_its_argument_is_named() -> None:
    found: Callable[..., object] = load("sluice.tokens:digest")
    assert found(record="text") == tokens.digest("text"), "Powertools passes the record by name"


@pytest.mark.parametrize(
    ("entry", "error"), [("no_such:f", ModuleNotFoundError), ("os:no_such", AttributeError)]
)
def test_an_entry_that_is_not_there_is_a_broken_deployment(entry: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        load(entry)


def test_a_good_batch_reports_nothing(function: Function) -> None:
    assert function.run(record("a"), record("b")) == []
    assert function.handled == ["a", "b"]
    assert function.sqs.asked == []


def test_a_record_that_fails_does_not_take_its_batch_with_it(function: Function) -> None:
    assert function.run(record("a"), record("b", body="bad"), record("c")) == ["b"]
    assert function.handled == ["a", "c"]


def test_a_batch_that_fails_as_a_whole_is_reported_all_the_same(function: Function) -> None:
    # An exception would hide from Lambda which records failed, and count as an error of the function.
    assert function.run(record("a", body="bad"), record("b", body="bad")) == ["a", "b"]


def test_the_users_function_may_name_its_argument_as_it_likes(
    function: Function, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[str] = []

    def handle(message: SQSRecord) -> None:
        taken.append(message.message_id)

    monkeypatch.setattr("users_code.handle", handle)
    assert Function(function.sqs, function.capsys).run(record("a")) == []
    assert taken == ["a"]


def test_every_invocation_starts_afresh(function: Function) -> None:
    assert function.run(record("a", body="bad")) == ["a"]
    assert function.run(record("b")) == []


def test_only_a_failed_record_is_postponed_by_its_own_backoff(function: Function) -> None:
    function.run(record("a"), record("b", body="bad", receives=1), record("c", body="bad", receives=4))
    assert function.sqs.asked == [
        {
            "QueueUrl": QUEUE_URL,
            "ReceiptHandle": "receipt-b",
            "VisibilityTimeout": retry_delay(1, 2, 300, 0.5),
        },
        {
            "QueueUrl": QUEUE_URL,
            "ReceiptHandle": "receipt-c",
            "VisibilityTimeout": retry_delay(4, 2, 300, 0.5),
        },
    ]


@pytest.mark.parametrize("error", [GONE, EndpointConnectionError(endpoint_url=QUEUE_URL)])
def test_a_record_that_cannot_be_postponed_does_not_fail_the_rest(
    function: Function, error: Exception
) -> None:
    function.sqs.refusals["receipt-a"] = error
    assert function.run(record("a", body="bad"), record("b", body="bad"), record("c")) == ["a", "b"]
    assert [each["ReceiptHandle"] for each in function.sqs.asked] == ["receipt-a", "receipt-b"]
    assert function.handled == ["c"]
    lines, _ = function.printed()
    assert [line["message_id"] for line in lines if line["message"] == "postponing failed"] == ["a"]


def test_records_are_counted_by_what_became_of_them(function: Function) -> None:
    function.run(record("a"), record("b", body="bad"), record("c"))
    _, metrics = function.printed()
    assert sum(metrics["RecordsHandled"]) == 2
    assert sum(metrics["RecordsFailed"]) == 1
    (published,) = metrics["_aws"]["CloudWatchMetrics"]
    assert published["Namespace"] == "Sluice"
    assert published["Dimensions"] == [["service"]]
    assert metrics["service"] == function.name


def test_the_counts_of_one_invocation_are_not_those_of_the_next(function: Function) -> None:
    function.run(record("a"))
    function.printed()
    function.run(record("b", body="bad"))
    _, metrics = function.printed()
    assert "RecordsHandled" not in metrics


def test_a_log_line_names_the_callers_request_and_never_the_body(function: Function) -> None:
    function.run(
        record("a", request_id="r-a"), record("b", body=f"bad {SECRET}", request_id="r-b", receives=3)
    )
    lines, metrics = function.printed()
    handled, failed = lines
    assert (handled["message"], handled["message_id"], handled["request_id"]) == ("handled", "a", "r-a")
    assert (failed["message"], failed["message_id"], failed["request_id"]) == ("failed", "b", "r-b")
    assert (failed["receives"], failed["retry_in_seconds"]) == (3, 6)
    assert failed["exception_name"] == "RuntimeError"
    assert SECRET not in json.dumps([lines, metrics])


def test_a_message_that_came_another_way_has_no_request(function: Function) -> None:
    function.run(record("a", request_id=None))
    lines, _ = function.printed()
    assert [(line["message_id"], line.get("request_id")) for line in lines] == [("a", None)]


def test_one_worker_serves_every_invocation(function: Function, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(consumer, "_workers", [])
    made: list[Environment] = []
    create = consumer.Worker

    def counting(environment: Environment) -> Worker:
        made.append(environment)
        return create(environment)

    monkeypatch.setattr(consumer, "Worker", counting)
    context: Any = None
    for _ in range(2):
        answer = consumer.handler({"Records": [record("a", body="bad")]}, context)
        assert answer == {"batchItemFailures": [{"itemIdentifier": "a"}]}
    assert made == [Environment.read(VARIABLES)]
