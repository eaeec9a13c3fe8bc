import json
from pathlib import Path
from typing import Any

import pytest

from handlers import enforce
from handlers.enforce import LONGEST_EARLY, WakeError
from handlers.enforcement import Report
from sluice.limiter.blocks import PARTITIONS, Block, spread
from sluice.limiter.sets import BLOCK, SetName
from tests.limiter_fakes import SETS, MemoryIpSets

from .limiter_functions import NOW, QUEUE_URL, VARIABLES, Stores, printed

ANN, OTHER = "192.0.2.7", "203.0.113.1"
SCHEDULED: dict[str, Any] = {"source": "aws.events", "detail-type": "Scheduled Event", "resources": []}
STREAMED: dict[str, Any] = {
    "Records": [{"eventSource": "aws:dynamodb", "eventName": "INSERT", "dynamodb": {}}]
}
NO_CONTEXT: Any = None


def woken(*times: int) -> dict[str, Any]:
    """Return what the queue of wake-ups hands over."""
    return {"Records": [{"eventSource": "aws:sqs", "body": json.dumps({"due": time})} for time in times]}


class Queue:
    """SQS's client, as far as it is used."""

    def __init__(self) -> None:
        self.sent: list[list[dict[str, Any]]] = []
        self.refused: list[dict[str, Any]] = []

    def send_message_batch(self, **given: Any) -> dict[str, Any]:
        assert given["QueueUrl"] == QUEUE_URL
        self.sent.append(given["Entries"])
        return {"Successful": [], "Failed": self.refused} if self.refused else {"Successful": []}


class Function:
    """A deployed enforcer, its neighbours, and how long it slept."""

    def __init__(self, stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
        self.stores = stores
        self.queue = Queue()
        self.sets = MemoryIpSets()
        self.slept: list[float] = []
        self.told: list[list[SetName]] = []
        stores.clients |= {"sqs": self.queue, "wafv2": "the client of WAF"}
        monkeypatch.setattr(enforce, "WafIpSets", self._ip_sets)
        monkeypatch.setattr("time.sleep", self._sleep)

    def _ip_sets(self, client: object, names: list[SetName]) -> MemoryIpSets:
        assert client == "the client of WAF"
        self.told.append(names)
        return self.sets

    def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.stores.now += round(seconds * 1000)

    def block(self, client: str, seconds: float) -> None:
        self.stores.blocks.put(
            Block(client, "short", self.stores.now, self.stores.now + round(seconds * 1000))
        )

    def run(self, event: dict[str, Any]) -> None:
        enforce.handler(event, NO_CONTEXT)


@pytest.fixture
def function(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Function:
    return Function(Stores(enforce, tmp_path, monkeypatch), monkeypatch)


@pytest.mark.parametrize("event", [SCHEDULED, STREAMED, woken(NOW)], ids=["schedule", "stream", "queue"])
def test_whatever_wakes_it_makes_the_sets_what_the_table_says(
    function: Function, event: dict[str, Any]
) -> None:
    function.block(ANN, 600)
    function.run(event)
    assert function.sets.held(BLOCK) == {f"{ANN}/32"}
    assert function.told == [list(SETS)]
    assert sorted(function.stores.tables) == [("blocks", "blocks-1"), ("counters", "counters-1")]


def test_one_worker_serves_every_invocation(function: Function) -> None:
    for _ in range(3):
        function.run(SCHEDULED)
    assert len(function.told) == 1


def test_releases_ahead_are_woken_for_in_batches_with_their_delays(function: Function) -> None:
    for second in range(1, 26):
        function.block(f"192.0.2.{second}", second - 0.5)
    function.run(SCHEDULED)
    assert [len(batch) for batch in function.queue.sent] == [10, 10, 5]
    entries = [entry for batch in function.queue.sent for entry in batch]
    assert [entry["DelaySeconds"] for entry in entries] == list(range(25))
    assert [json.loads(entry["MessageBody"]) for entry in entries] == [
        {"due": NOW + second * 1000 - 500} for second in range(1, 26)
    ]
    for batch in function.queue.sent:
        assert len({entry["Id"] for entry in batch}) == len(batch)


def test_no_delay_is_longer_than_a_message_may_be_delayed(function: Function) -> None:
    for second in (1, 64, 65, 66, 1000):
        function.block(f"192.0.2.{second % 256}", second)
    function.run(SCHEDULED)
    ((*entries,),) = function.queue.sent
    assert [entry["DelaySeconds"] for entry in entries] == [1, 64, 65]


def test_a_delay_ends_less_than_a_second_before_its_time_and_is_never_negative(
    function: Function, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert [enforce.delay(NOW + each) for each in (-5000, 0, 1, 999, 1000, 1999)] == [0, 0, 0, 0, 1, 1]


def test_a_stream_s_run_wakes_and_a_woken_one_does_not(function: Function) -> None:
    function.block(ANN, 30)
    function.run(woken(NOW))
    assert function.queue.sent == [], "Lambda would stop the circle"
    function.run(STREAMED)
    assert len(function.queue.sent) == 1


def test_a_wake_up_that_the_queue_refuses_fails_the_invocation(function: Function) -> None:
    function.block(ANN, 30)
    function.queue.refused = [{"Id": "1", "Code": "InternalError", "SenderFault": False}]
    with pytest.raises(WakeError, match="InternalError"):
        function.run(SCHEDULED)
    assert function.sets.held(BLOCK) == {f"{ANN}/32"}, "what is to be blocked is by then"
    function.queue.refused = []
    function.run(SCHEDULED)
    assert len(function.queue.sent) == 2


@pytest.mark.parametrize("early", [1, 900, LONGEST_EARLY])
def test_a_wake_up_that_comes_a_little_early_is_waited_for(function: Function, early: int) -> None:
    function.block(ANN, 10)
    function.run(SCHEDULED)
    function.stores.now = NOW + 10_000 - early
    function.run(woken(NOW + 10_000))
    assert function.slept == [early / 1000]
    assert function.sets.held(BLOCK) == set()


@pytest.mark.parametrize("early", [-60_000, 0, LONGEST_EARLY + 1, 900_000])
def test_no_other_wake_up_is_waited_for(function: Function, early: int) -> None:
    function.run(woken(NOW + early))
    assert function.slept == []


def test_of_several_wake_ups_the_last_is_waited_for(function: Function) -> None:
    function.run(woken(NOW - 5_000, NOW + 2_000, NOW + 1_000))
    assert function.slept == [2.0]


@pytest.mark.parametrize("event", [SCHEDULED, STREAMED], ids=["schedule", "stream"])
def test_nothing_else_is_waited_for(function: Function, event: dict[str, Any]) -> None:
    function.run(event)
    assert function.slept == []


def test_a_run_tells_what_it_did(function: Function, capsys: pytest.CaptureFixture[str]) -> None:
    function.block(ANN, 600)
    function.stores.blocks.write(f"p{spread(OTHER, PARTITIONS)}", OTHER, {"state": "on"})
    function.run(SCHEDULED)
    lines, metrics = printed(capsys)
    assert [(line["message"], line["problem"]) for line in lines] == [
        ("unreadable record", "since: no whole number")
    ]
    assert (metrics["BlocksLive"], metrics["SetsWritten"], metrics["RecordsUnreadable"]) == (1, 1, 1)
    assert metrics["BlockLag"] == 0
    assert "ReleaseLag" not in metrics
    assert ANN not in json.dumps(metrics)


def test_a_run_that_another_does_tells_that_alone(
    function: Function, capsys: pytest.CaptureFixture[str]
) -> None:
    assert function.stores.blocks.acquire("another", NOW, NOW + 15_000, wakes=True)
    function.run(SCHEDULED)
    _, metrics = printed(capsys)
    assert metrics["RunsBusy"] == 1
    assert metrics.keys() == {"_aws", "service", "RunsBusy"}


def test_a_run_while_it_is_paused_tells_so(function: Function, capsys: pytest.CaptureFixture[str]) -> None:
    function.stores.blocks.pause(NOW)
    function.run(SCHEDULED)
    _, metrics = printed(capsys)
    assert metrics["RunsPaused"] == 1
    assert "BlocksLive" not in metrics, "nothing was looked at"


def test_a_run_that_was_none_is_not_told_as_an_empty_one() -> None:
    assert enforce.measured(Report(busy=True)).keys() == {"RunsBusy"}
    assert {"BlocksLive", "SetFill"} <= enforce.measured(Report()).keys()
    assert {"BlockLag", "ReleaseLag"} <= enforce.measured(Report(block_lag=0, release_lag=0)).keys()


@pytest.mark.parametrize(
    "name",
    ["SLUICE_COUNTERS", "SLUICE_BLOCKS", "SLUICE_WAKE_UPS", "SLUICE_IP_SETS", "SLUICE_METRIC_NAMESPACE"],
)
def test_a_variable_that_is_missing_is_a_broken_deployment(name: str, function: Function) -> None:
    with pytest.raises(KeyError, match=name):
        enforce.Worker({key: value for key, value in VARIABLES.items() if key != name})
