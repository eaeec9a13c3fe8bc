"""The consumer as Lambda calls it, from its environment to what it prints."""

import functools
import importlib.util
import itertools
import json
import math
import sys
import threading
import types
from collections.abc import AsyncIterator, Callable, Iterator
from functools import cached_property
from typing import Any

import pytest
from aws_lambda_powertools import Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from botocore.config import Config
from botocore.exceptions import EndpointConnectionError
from hypothesis import given
from hypothesis import strategies as st

from handlers import consumer
from handlers.batches import EntryError, Retrying, retry_delay
from handlers.consumer import Environment, Worker, load
from sluice import tokens
from sluice.dead_letters import ATTRIBUTE, Reason

from .consumer_records import (
    DEAD_URL,
    QUEUE_URL,
    SECRET,
    SENT,
    TABLE,
    Context,
    FakeSqs,
    HandledTable,
    Values,
    record,
    refused,
)

VARIABLES = {
    "SLUICE_ENTRY": "users_code:handle",
    "SLUICE_QUEUE_URL": QUEUE_URL,
    "SLUICE_RETRY_BASE_SECONDS": "2",
    "SLUICE_RETRY_CAP_SECONDS": "300",
    "AWS_LAMBDA_FUNCTION_NAME": "worker-1234567",
}
GIVING_UP = {
    "SLUICE_DEAD_LETTER_QUEUE_URL": DEAD_URL,
    "SLUICE_MAX_RECEIVES": "3",
    "SLUICE_POISON_ERRORS": "orders.StockError,KeyError",
}
ORDER = "powertools_json(body).orderId"
JOINED = "join('-', powertools_json(body).[shop, orderId])"
"""What JMESPath refuses with the words of a body that has something else there."""
NUMBERS = itertools.count()


def once(key: str = "messageId", payload: str = "") -> dict[str, str]:
    """Return the variables of a consumer that handles each message once."""
    sameness = {"key": key, "payload": payload, "expires_after_seconds": 3600}
    return {"SLUICE_IDEMPOTENCY_TABLE": TABLE, "SLUICE_IDEMPOTENCY": json.dumps(sameness)}


def order(number: object, **more: object) -> str:
    return json.dumps({"orderId": number, "secret": SECRET, **more})


class Function:
    """A deployed consumer: its queue, the user's code, and what it printed."""

    def __init__(self, sqs: FakeSqs, capsys: pytest.CaptureFixture[str]) -> None:
        self.sqs = sqs
        self.sqs_config: Config | None = None
        self.handled: list[str] = []
        self.variables = dict(VARIABLES)
        self.context = Context()
        self.capsys = capsys
        # Powertools keeps a logger, and where it prints, by its service's name.
        self.name = f"worker-{next(NUMBERS)}"

    @cached_property
    def worker(self) -> Worker:
        """The worker, made at the first run as in Lambda: before, nobody reads what it prints."""
        return Worker(Environment.read({**self.variables, "AWS_LAMBDA_FUNCTION_NAME": self.name}))

    def client(self, name: str, config: Config | None = None) -> FakeSqs:
        """Return what ``boto3.client`` would."""
        assert name == "sqs"
        self.sqs_config = config
        return self.sqs

    def run(self, *records: Values) -> list[str]:
        """Return the ids that are reported as failed."""
        context: Any = self.context
        answer = self.worker.run({"Records": list(records)}, context)
        return [str(each["itemIdentifier"]) for each in answer["batchItemFailures"]]

    def printed(self) -> tuple[list[Values], Values]:
        """Return the log lines and the one line of metrics."""
        lines, (metrics,) = self.printed_in_parts()
        return lines, metrics

    def printed_in_parts(self) -> tuple[list[Values], list[Values]]:
        """Return the log lines and the lines of metrics."""
        lines = [json.loads(line) for line in self.capsys.readouterr().out.splitlines()]
        return [line for line in lines if "_aws" not in line], [line for line in lines if "_aws" in line]


@pytest.fixture
def function(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Function:
    """Return a consumer whose code refuses every body that begins with ``bad``."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("POWERTOOLS_METRICS_NAMESPACE", "Sluice")
    made = Function(FakeSqs(), capsys)
    monkeypatch.setattr("boto3.client", made.client)
    monkeypatch.setattr("random.random", lambda: 0.5)
    monkeypatch.setitem(sys.modules, "users_code", types.ModuleType("users_code"))

    def handle(record: SQSRecord) -> None:
        if record.body.startswith("bad"):
            raise RuntimeError("refused")
        made.handled.append(record.message_id)

    monkeypatch.setattr("users_code.handle", handle, raising=False)
    return made


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> HandledTable:
    return HandledTable(monkeypatch)


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
        function_name="worker-1234567",
        retrying=Retrying(
            queue_url=QUEUE_URL,
            base_seconds=2,
            cap_seconds=300,
            max_receives=None,
            poison_errors=frozenset(),
        ),
        dead_letter_queue_url=None,
        idempotency_table=None,
        sameness="",
    )


def test_the_environment_tells_what_else_the_function_does() -> None:
    known = once(ORDER)
    read = Environment.read({**VARIABLES, **GIVING_UP, **known})
    assert read.dead_letter_queue_url == DEAD_URL
    assert read.retrying.max_receives == 3
    assert read.retrying.poison_errors == {"orders.StockError", "KeyError"}
    assert (read.idempotency_table, read.sameness) == (TABLE, known["SLUICE_IDEMPOTENCY"])


@pytest.mark.parametrize("name", VARIABLES)
def test_a_variable_that_is_missing_is_a_broken_deployment(name: str) -> None:
    with pytest.raises(KeyError, match=name):
        Environment.read({key: value for key, value in VARIABLES.items() if key != name})


def test_the_users_function_is_found_by_its_entry_whatever_its_argument_is_named() -> None:
    found: Callable[..., object] = load("sluice.tokens:digest")
    assert found("text") == tokens.digest("text")


@pytest.mark.parametrize(
    ("entry", "error"), [("no_such:f", ModuleNotFoundError), ("os:no_such", AttributeError)]
)
def test_an_entry_that_is_not_there_is_a_broken_deployment(entry: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        load(entry)


async def asynchronous(_: SQSRecord) -> None:
    pass


def generating(_: SQSRecord) -> Iterator[None]:
    yield


async def both(_: SQSRecord) -> AsyncIterator[None]:
    yield


class Promise:
    """What can be awaited, and is no coroutine."""

    def __await__(self) -> Iterator[None]:
        yield


@pytest.mark.parametrize(
    "entry", [asynchronous, generating, both, functools.partial(asynchronous), functools.partial(generating)]
)
def test_an_entry_that_handles_nothing_when_it_is_called_is_a_broken_deployment(
    function: Function, monkeypatch: pytest.MonkeyPatch, entry: object
) -> None:
    monkeypatch.setattr("users_code.handle", entry)
    with pytest.raises(EntryError, match=r"^users_code:handle is async or a generator"):
        load("users_code:handle")
    with pytest.raises(EntryError):
        function.run(record("a"))


@pytest.mark.parametrize(
    ("entry", "kind"),
    [
        (asynchronous, "coroutine"),
        (lambda _: Promise(), "Promise"),
        (generating, "generator"),
        (both, "async_generator"),
    ],
    ids=["coroutine", "promise", "generator", "async generator"],
)
def test_a_record_that_nothing_was_done_with_fails(
    function: Function,
    monkeypatch: pytest.MonkeyPatch,
    entry: Callable[[SQSRecord], object],
    kind: str,
) -> None:
    returned: list[Any] = []

    def handle(given: SQSRecord) -> object:
        returned.append(entry(given))
        return returned[-1]

    monkeypatch.setattr("users_code.handle", handle)
    assert function.run(record("a")) == ["a"]
    lines, metrics = function.printed()
    (failed,) = lines
    assert (failed["message"], failed["exception_name"]) == ("failed", "EntryError")
    assert f"it returned a {kind}, which nobody runs" in failed["exception"]
    assert metrics["RecordsFailed"] == [1]
    if kind == "coroutine":
        # Else Python says that it was never awaited, as it should.
        returned.pop().close()


def test_a_record_that_nothing_was_done_with_is_not_known_as_handled(
    function: Function, table: HandledTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    function.variables |= once()
    with monkeypatch.context() as patch:
        patch.setattr("users_code.handle", lambda given: (each for each in [given]))
        assert function.run(record("a")) == ["a"]
    assert table.items == {}
    # A worker keeps the code that it began with.
    del function.worker
    assert function.run(record("a", receives=2)) == []
    assert function.handled == ["a"]


def test_aws_is_not_waited_for_any_longer_than_there_is_time(function: Function, table: HandledTable) -> None:
    function.variables |= once()
    assert function.run(record("a")) == []
    for asked in (function.sqs_config, table.config):
        seen: Any = asked
        assert (seen.connect_timeout, seen.read_timeout) == (1, 3)
        assert seen.retries == {"mode": "standard", "total_max_attempts": 2}


def test_a_good_batch_reports_nothing(function: Function) -> None:
    assert function.run(record("a"), record("b")) == []
    assert function.handled == ["a", "b"]
    assert function.sqs.postponed == []


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
    assert function.run(record("a")) == []
    assert taken == ["a"]


@pytest.mark.parametrize("returned", [None, False, 0, "failed", object()])
def test_whatever_the_users_function_returns_its_record_is_handled(
    function: Function, monkeypatch: pytest.MonkeyPatch, returned: object
) -> None:
    monkeypatch.setattr("users_code.handle", lambda _: returned)
    assert function.run(record("a")) == []
    lines, _ = function.printed()
    assert [line["message"] for line in lines] == ["handled"]


def test_every_invocation_starts_afresh(function: Function) -> None:
    assert function.run(record("a", body="bad")) == ["a"]
    assert function.run(record("b")) == []


def test_only_a_failed_record_is_postponed_by_its_own_backoff(function: Function) -> None:
    function.run(record("a"), record("b", body="bad", receives=1), record("c", body="bad", receives=4))
    assert function.sqs.postponed == [
        {
            "QueueUrl": QUEUE_URL,
            "ReceiptHandle": f"receipt-{name}",
            "VisibilityTimeout": retry_delay(receives, 2, 300, 0.5),
        }
        for name, receives in (("c", 4), ("b", 1))
    ]


@pytest.mark.parametrize(
    "error", [refused("ChangeMessageVisibility"), EndpointConnectionError(endpoint_url=QUEUE_URL)]
)
def test_a_record_that_cannot_be_postponed_does_not_fail_the_rest(
    function: Function, error: Exception
) -> None:
    function.sqs.refusals["receipt-a"] = error
    assert function.run(record("a", body="bad"), record("b", body="bad"), record("c")) == ["a", "b"]
    assert [each["ReceiptHandle"] for each in function.sqs.postponed] == ["receipt-a", "receipt-b"]
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


@pytest.fixture
def users_metrics() -> Iterator[Metrics]:
    """Yield metrics of the user's code, as Powertools shares them among all that ask for some."""
    mine = Metrics(namespace="Shop", service="shop")
    yield mine
    mine.clear_metrics()
    mine.clear_default_dimensions()


def test_the_users_own_metrics_and_dimensions_leave_ours_as_they_are(
    function: Function, monkeypatch: pytest.MonkeyPatch, users_metrics: Metrics
) -> None:
    def handle(given: SQSRecord) -> None:
        users_metrics.set_default_dimensions(region="eu")
        users_metrics.add_dimension("shop", given.message_id)
        users_metrics.add_metadata("order", "7")
        users_metrics.add_metric("OrdersSold", MetricUnit.Count, 3)

    monkeypatch.setattr("users_code.handle", handle)
    assert function.run(record("a")) == []
    _, ours = function.printed()
    (published,) = ours["_aws"]["CloudWatchMetrics"]
    assert (published["Namespace"], published["Dimensions"]) == ("Sluice", [["service"]])
    assert {each["Name"] for each in published["Metrics"]} == {"RecordsHandled", "RecordAge"}
    assert set(ours) == {"_aws", "service", "RecordsHandled", "RecordAge"}
    assert ours["service"] == function.name

    users_metrics.flush_metrics()
    _, users = function.printed()
    assert users["OrdersSold"] == [3], "what is the user's is still there"
    assert "RecordsHandled" not in users


def test_what_the_users_code_flushes_takes_nothing_of_ours_with_it(
    function: Function, monkeypatch: pytest.MonkeyPatch, users_metrics: Metrics
) -> None:
    def handle(_: SQSRecord) -> None:
        users_metrics.add_metric("OrdersSold", MetricUnit.Count, 1)
        users_metrics.flush_metrics()

    monkeypatch.setattr("users_code.handle", handle)
    assert function.run(record("a"), record("b")) == []
    _, (*users, ours) = function.printed_in_parts()
    assert [each["OrdersSold"] for each in users] == [[1], [1]]
    assert not any("RecordAge" in each for each in users)
    assert (ours["RecordsHandled"], len(ours["RecordAge"])) == ([2], 2)


@pytest.mark.parametrize("count", [100, 250])
def test_a_batch_with_more_records_than_a_line_of_metrics_holds_is_counted_whole(
    function: Function, count: int
) -> None:
    function.run(*(record(str(number)) for number in range(count)))
    _, metrics = function.printed_in_parts()
    assert sum(sum(each.get("RecordsHandled", [])) for each in metrics) == count
    assert sum(len(each.get("RecordAge", [])) for each in metrics) == count


@pytest.mark.parametrize(("later", "age"), [(0, 0), (1.5, 1500), (3600, 3_600_000), (-5, 0)])
def test_a_record_s_age_is_that_since_it_was_sent_and_never_less_than_nothing(
    function: Function, monkeypatch: pytest.MonkeyPatch, later: float, age: int
) -> None:
    clock = types.SimpleNamespace(time=lambda: SENT / 1000 + later)
    monkeypatch.setattr("handlers.consumer.time", clock)
    function.run(record("a"), record("b", body="bad"))
    _, metrics = function.printed()
    assert metrics["RecordAge"] == [age], "only what was handled has come to an end"
    (published,) = metrics["_aws"]["CloudWatchMetrics"]
    assert {"Name": "RecordAge", "Unit": "Milliseconds"} in published["Metrics"]


def test_a_log_line_names_the_callers_request_and_never_the_body(function: Function) -> None:
    function.run(
        record("a", request_id="r-a"), record("b", body=f"bad {SECRET}", request_id="r-b", receives=3)
    )
    lines, metrics = function.printed()
    failed, handled = lines
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
    context: Any = Context()
    for _ in range(2):
        answer = consumer.handler({"Records": [record("a", body="bad")]}, context)
        assert answer == {"batchItemFailures": [{"itemIdentifier": "a"}]}
    assert made == [Environment.read(VARIABLES)]


def starting(monkeypatch: pytest.MonkeyPatch, entry: str) -> Any:
    """Return the module as a function of this entry imports it."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    for name, value in {**VARIABLES, "SLUICE_ENTRY": entry}.items():
        monkeypatch.setenv(name, value)
    spec = importlib.util.spec_from_file_location("handlers.consumer_as_it_starts", consumer.__file__)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    return module


def test_the_worker_is_made_while_the_function_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(starting(monkeypatch, "sluice.tokens:digest")._workers) == 1
    assert consumer._workers == [], "and not where there is no function"


def test_a_worker_that_cannot_be_made_says_so_in_the_first_run(monkeypatch: pytest.MonkeyPatch) -> None:
    module = starting(monkeypatch, "no_such_module:handle")
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        module.handler({"Records": []}, Context())


# Giving up


def test_a_record_is_given_up_at_its_last_receive_with_the_reason(function: Function) -> None:
    function.variables |= GIVING_UP
    failed = function.run(record("a", body="bad", receives=3), record("b", body="bad", receives=2))
    assert failed == ["b"]
    (sent,) = function.sqs.sent
    assert (sent["QueueUrl"], sent["MessageBody"]) == (DEAD_URL, "bad")
    said = Reason.loads(sent["MessageAttributes"][ATTRIBUTE]["StringValue"])
    assert said == Reason("RuntimeError", "refused", "a", 3)
    lines, metrics = function.printed()
    assert [(line["message"], line["message_id"], line["receives"]) for line in lines] == [
        ("given up", "a", 3),
        ("failed", "b", 2),
    ]
    assert lines[0]["exception_name"] == "RuntimeError"
    assert (metrics["RecordsGivenUp"], metrics["RecordsFailed"]) == ([1], [1])


def test_poison_is_given_up_at_its_first_receive(function: Function, monkeypatch: pytest.MonkeyPatch) -> None:
    def handle(_: SQSRecord) -> None:
        raise KeyError("no such shop")

    function.variables |= GIVING_UP
    monkeypatch.setattr("users_code.handle", handle)
    assert function.run(record("a")) == []
    assert len(function.sqs.sent) == 1


def test_a_record_that_the_dead_letter_queue_refuses_fails(function: Function) -> None:
    function.variables |= GIVING_UP
    function.sqs.send_errors = [refused("SendMessage"), refused("SendMessage")]
    assert function.run(record("a", body=f"bad {SECRET}", receives=3)) == ["a"]
    lines, metrics = function.printed()
    assert [(line["message"], line["message_id"]) for line in lines] == [
        ("giving up failed", "a"),
        ("failed", "a"),
    ]
    assert metrics["RecordsFailed"] == [1]
    assert "RecordsGivenUp" not in metrics
    assert SECRET not in json.dumps(lines)


# The time


def test_a_record_that_takes_too_long_fails_and_those_behind_it_come_again_at_once(
    function: Function, monkeypatch: pytest.MonkeyPatch
) -> None:
    def handle(_: SQSRecord) -> None:
        assert not threading.Event().wait(10)

    monkeypatch.setattr("users_code.handle", handle)
    # A busy machine takes its time to say what failed.
    monkeypatch.setattr("handlers.deadline.RESERVE_SECONDS", 3.0)
    monkeypatch.setattr("handlers.deadline.RESERVE_SHARE", 1.0)
    function.context.seconds = 3.5
    assert function.run(record("a"), record("b"), record("c")) == ["a", "b", "c"]
    assert [each["ReceiptHandle"] for each in function.sqs.postponed] == ["receipt-a"]
    assert [[each["ReceiptHandle"] for each in part] for part in function.sqs.handed_back] == [
        ["receipt-b", "receipt-c"]
    ]
    lines, metrics = function.printed()
    failed, returned = lines
    assert (failed["message"], failed["exception_name"]) == ("failed", "OutOfTimeError")
    assert "in handle" in failed["exception"], "the log shows where it hung"
    assert (returned["message"], returned["records"]) == ("returned without being started", 2)
    assert (metrics["RecordsFailed"], metrics["RecordsReturned"]) == ([1], [2])


def test_every_invocation_has_a_time_of_its_own(function: Function) -> None:
    function.context.seconds = 0
    assert function.run(record("a")) == ["a"]
    function.context.seconds = 30
    assert function.run(record("a")) == []


# Once


def test_a_message_that_comes_again_is_not_handled_again(function: Function, table: HandledTable) -> None:
    function.variables |= once()
    assert function.run(record("a"), record("b")) == []
    assert function.run(record("a", receives=2), record("c"), record("c")) == []
    assert function.handled == ["a", "b", "c"]
    lines, (first, second) = function.printed_in_parts()
    assert [(line["message"], line["message_id"]) for line in lines] == [
        ("handled", "a"),
        ("handled", "b"),
        ("handled before", "a"),
        ("handled", "c"),
        ("handled before", "c"),
    ]
    assert (sum(first["RecordsHandled"]), "RecordsRepeated" in first) == (2, False)
    assert (sum(second["RecordsHandled"]), sum(second["RecordsRepeated"])) == (1, 2)


def test_what_failed_is_handled_when_it_comes_again(
    function: Function, table: HandledTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    function.variables |= once()
    assert function.run(record("a", body="bad")) == ["a"]
    assert function.run(record("a", receives=2)) == []
    assert function.handled == ["a"]


def test_an_attempt_that_was_killed_is_told_of_when_the_next_takes_it_over(
    function: Function, table: HandledTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(given: SQSRecord) -> None:
        # Of a batch that has something to count.
        raise SystemExit if given.body else RuntimeError("refused")

    function.variables |= once()
    with monkeypatch.context() as patch:
        patch.setattr("users_code.handle", killed)
        with pytest.raises(SystemExit):
            function.run(record("bad", body=""), record("a"))
    # A worker keeps the code that it began with, and after its end there is another.
    del function.worker

    assert function.run(record("a", receives=2)) == ["a"], "the other may still be at work"
    assert function.sqs.postponed[-1]["VisibilityTimeout"] == 30, "a run's whole time"
    table.pass_time(31)
    assert function.run(record("a", receives=3)) == []

    lines, metrics = function.printed_in_parts()
    assert [(line["message"], line["message_id"]) for line in lines] == [
        ("failed", "bad"),
        ("failed", "a"),
        ("an attempt before was interrupted", "a"),
        ("handled", "a"),
    ]
    assert [sum(each.get("AttemptsInterrupted", [])) for each in metrics] == [0, 0, 1]
    assert SECRET not in json.dumps([lines, metrics])


def test_an_attempt_that_ran_out_of_time_is_no_interrupted_one(
    function: Function, table: HandledTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    def handle(_: SQSRecord) -> None:
        assert not threading.Event().wait(10)

    function.variables |= once()
    monkeypatch.setattr("users_code.handle", handle)
    function.context.seconds = 0.5
    assert function.run(record("a")) == ["a"]
    assert table.items == {}


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (json.dumps({"secret": SECRET}), "IdempotencyKeyError"),
        (order(7, amount=2), "IdempotencyValidationError"),
    ],
)
def test_a_message_without_a_key_or_with_anothers_is_given_up_at_once(
    function: Function, table: HandledTable, body: str, error: str
) -> None:
    function.variables |= {**GIVING_UP, **once(ORDER, "powertools_json(body).amount")}
    assert function.run(record("a", body=order(7, amount=1)), record("b", body=body)) == []
    assert function.handled == ["a"]
    (sent,) = function.sqs.sent
    said = Reason.loads(sent["MessageAttributes"][ATTRIBUTE]["StringValue"])
    assert said.error == f"aws_lambda_powertools.utilities.idempotency.exceptions.{error}"
    lines, _ = function.printed()
    assert [(line["message"], line["message_id"]) for line in lines] == [("handled", "a"), ("given up", "b")]
    assert SECRET not in json.dumps([lines, said.message])


@pytest.mark.parametrize("known", [once(key=JOINED), once(payload=JOINED)], ids=["key", "payload"])
@pytest.mark.parametrize(
    "body",
    [
        SECRET,
        f"[{SECRET}",
        json.dumps({"shop": "s", "orderId": [SECRET]}),
        json.dumps({"shop": {"a": SECRET}}),
    ],
    ids=["text", "half", "list", "map"],
)
def test_a_body_in_which_nothing_can_be_looked_for_is_written_nowhere(
    function: Function, table: HandledTable, body: str, known: dict[str, str]
) -> None:
    function.variables |= {**GIVING_UP, **known}
    function.run(record("a", body=body), record("b", body=body, receives=3))
    assert function.handled == []
    assert SECRET not in json.dumps([each["MessageAttributes"] for each in function.sqs.sent])
    lines, _ = function.printed()
    assert SECRET not in json.dumps(lines)


@pytest.mark.parametrize(
    "body",
    [SECRET, "", "3", "[]", '"text"', json.dumps({"secret": SECRET}), "[" * 100_000],
    ids=["no JSON", "nothing", "number", "list", "text", "map", "depth"],
)
def test_a_body_without_a_key_is_given_up_at_once_whatever_it_is(
    function: Function, table: HandledTable, body: str
) -> None:
    function.variables |= {**GIVING_UP, **once(ORDER)}
    assert function.run(record("a", body=body)) == []
    assert len(function.sqs.sent) == 1


def test_a_message_is_not_handled_while_the_table_is_away(function: Function, table: HandledTable) -> None:
    function.variables |= {**GIVING_UP, **once()}
    table.refused = {"PutItem"}
    assert function.run(record("a")) == ["a"]
    assert (function.handled, function.sqs.sent) == ([], [])
    table.refused = set()
    assert function.run(record("a", receives=2)) == []
