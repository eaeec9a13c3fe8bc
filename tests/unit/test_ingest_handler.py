import base64
import gzip
import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from handlers import ingest
from handlers.counting import Event, IncompleteDeliveryError, Tally
from handlers.emf import Source, Unit
from sluice.limiter.counters import marker_of

from .limiter_functions import NOW, VARIABLES, Stores, printed
from .log_lines import log_line

ANN, BOB = "192.0.2.7", "198.51.100.8"
IDS = itertools.count()
NO_CONTEXT: Any = None


def payload(*messages: str, kind: str = "DATA_MESSAGE", first: int | None = None) -> ingest.Payload:
    """Return what CloudWatch Logs hands over ("Using subscription filters with Lambda")."""
    start = next(IDS) * 1000 if first is None else first
    content = {
        "messageType": kind,
        "owner": "123456789012",
        "logGroup": "door-access-log",
        "logStream": "stream",
        "subscriptionFilters": ["limiter"],
        "logEvents": [
            {"id": str(start + index), "timestamp": NOW, "message": message}
            for index, message in enumerate(messages)
        ],
    }
    return {"awslogs": {"data": base64.b64encode(gzip.compress(json.dumps(content).encode())).decode()}}


class Bucket:
    """S3's client, as far as it is used."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], bytes] = {}
        self.fails = False

    def put_object(self, **given: Any) -> None:
        if self.fails:
            raise RuntimeError("bucket")
        self.objects[given["Bucket"], given["Key"]] = given["Body"]


@pytest.fixture
def stores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stores:
    return Stores(ingest, tmp_path, monkeypatch)


@pytest.fixture
def bucket(stores: Stores) -> Bucket:
    made = Bucket()
    stores.clients["s3"] = made
    return made


def test_a_delivery_is_unpacked_into_its_events() -> None:
    assert ingest.decode(payload("a", "b", first=7)) == [Event("7", "a"), Event("8", "b")]


def test_a_message_that_only_tests_the_way_holds_no_events() -> None:
    assert ingest.decode(payload("CWL CONTROL MESSAGE: Checking health", kind="CONTROL_MESSAGE")) == []


def test_a_large_delivery_is_unpacked() -> None:
    lines = [log_line(f"10.0.{number // 250}.{number % 250}") for number in range(10_000)]
    events = ingest.decode(payload(*lines))
    assert [each.message for each in events] == lines


@pytest.mark.parametrize("data", ["", "!", base64.b64encode(b"no gzip").decode()])
def test_what_is_no_delivery_fails_so_that_lambda_keeps_it(data: str, stores: Stores) -> None:
    with pytest.raises(Exception, match=r"."):
        ingest.handler({"awslogs": {"data": data}}, NO_CONTEXT)


def test_requests_are_counted_in_the_tables_of_the_environment(
    stores: Stores, capsys: pytest.CaptureFixture[str]
) -> None:
    ingest.handler(payload(*(log_line(each, NOW) for each in (ANN, BOB, ANN, ANN))), NO_CONTEXT)
    assert sorted(stores.tables) == [("blocks", "blocks-1"), ("counters", "counters-1")]
    assert {client: sum(item.counters.values()) for client, item in stores.counters.items.items()} == {
        ANN: 3,
        BOB: 1,
    }
    (block,) = stores.blocks.read().blocks
    assert (block.client, block.window) == (ANN, "short")
    lines, metrics = printed(capsys)
    assert lines == []
    assert (metrics["EventsPerDelivery"], metrics["RequestsSeen"], metrics["RequestsCounted"]) == (4, 4, 4)
    assert metrics["BlocksStarted"] == 1


def test_one_worker_serves_every_invocation(stores: Stores) -> None:
    for _ in range(3):
        ingest.handler(payload(log_line(ANN, NOW)), NO_CONTEXT)
    assert len(stores.tables) == 2
    assert sum(stores.counters.items[ANN].counters.values()) == 3


def test_the_lag_is_the_age_of_the_oldest_request(stores: Stores, capsys: pytest.CaptureFixture[str]) -> None:
    ingest.handler(payload(log_line(ANN, NOW - 7_000), log_line(BOB, NOW - 500)), NO_CONTEXT)
    _, metrics = printed(capsys)
    assert metrics["IngestLag"] == 7_000


def test_lines_that_are_none_are_kept_in_the_bucket_and_told_without_what_they_hold(
    stores: Stores, bucket: Bucket, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = [f"for nobody's eyes {ANN}", "another", log_line("nowhere", NOW)]
    delivery = payload(log_line(BOB, NOW), *broken, log_line(ANN, NOW), first=0)
    ingest.handler(delivery, NO_CONTEXT)
    name = marker_of([str(each) for each in range(5)]).hex()
    assert bucket.objects.keys() == {("letters-1", f"malformed/{name}.json")}
    assert [json.loads(each) for each in bucket.objects.values()] == [broken]
    lines, metrics = printed(capsys)
    assert metrics["LinesMalformed"] == 3
    assert [line["message"] for line in lines] == ["malformed line"] * 2, "once for each reason"
    said = json.dumps([lines, metrics])
    assert "nobody" not in said
    assert ANN not in said
    ingest.handler(delivery, NO_CONTEXT)
    assert len(bucket.objects) == 1


def test_requests_of_which_nobody_knows_the_address_are_told_and_are_no_dead_letters(
    stores: Stores, capsys: pytest.CaptureFixture[str]
) -> None:
    nowhere = log_line("-", NOW, status="403")
    delivery = payload(nowhere, log_line(ANN, NOW), nowhere, log_line("-", NOW, route="/health"))
    ingest.handler(delivery, NO_CONTEXT)
    lines, metrics = printed(capsys)
    assert lines == []
    assert (metrics["RequestsSeen"], metrics["RequestsCounted"], metrics["RequestsUnattributed"]) == (4, 1, 2)
    assert "LinesMalformed" not in metrics
    assert stores.counters.items.keys() == {ANN}
    assert "s3" not in stores.clients, "it would have been asked for"


def test_a_delivery_that_comes_again_tells_its_requests_without_an_address_once(
    stores: Stores, capsys: pytest.CaptureFixture[str]
) -> None:
    delivery = payload(log_line(ANN, NOW), log_line(BOB, NOW), log_line("-", NOW))
    told = []
    for _ in range(2):
        ingest.handler(delivery, NO_CONTEXT)
        _, metrics = printed(capsys)
        told.append(metrics.get("RequestsUnattributed"))
    assert told == [1, None]


def test_without_strange_lines_there_is_no_client_of_s3(stores: Stores) -> None:
    ingest.handler(payload(log_line(ANN, NOW)), NO_CONTEXT)
    assert "s3" not in stores.clients, "it would have been asked for"


def test_a_bucket_that_refuses_brings_the_delivery_back(stores: Stores, bucket: Bucket) -> None:
    bucket.fails = True
    delivery = payload(log_line(ANN, NOW), "broken")
    with pytest.raises(RuntimeError, match="bucket"):
        ingest.handler(delivery, NO_CONTEXT)
    bucket.fails = False
    ingest.handler(delivery, NO_CONTEXT)
    assert len(bucket.objects) == 1
    assert sum(stores.counters.items[ANN].counters.values()) == 1


def test_a_client_that_could_not_be_counted_fails_the_invocation(
    stores: Stores, capsys: pytest.CaptureFixture[str]
) -> None:
    def step(at: str) -> None:
        if at == "counters.add":
            raise RuntimeError("refused")

    stores.counters.step = step
    with pytest.raises(IncompleteDeliveryError):
        ingest.handler(payload(log_line(ANN, NOW)), NO_CONTEXT)
    assert capsys.readouterr().out == "", "what was not counted is not told as counted"


def test_a_message_that_only_tests_the_way_counts_nothing(
    stores: Stores, capsys: pytest.CaptureFixture[str]
) -> None:
    ingest.handler(payload("health", kind="CONTROL_MESSAGE"), NO_CONTEXT)
    assert stores.counters.items == {}
    _, metrics = printed(capsys)
    assert (metrics["EventsPerDelivery"], metrics["RequestsSeen"]) == (0, 0)


def test_a_delivery_that_comes_again_is_not_seen_twice(
    stores: Stores, capsys: pytest.CaptureFixture[str]
) -> None:
    delivery = payload(log_line(ANN, NOW), log_line(BOB, NOW))
    ingest.handler(delivery, NO_CONTEXT)
    printed(capsys)
    ingest.handler(delivery, NO_CONTEXT)
    _, metrics = printed(capsys)
    assert metrics["EventsRepeated"] == 2
    assert (metrics["RequestsSeen"], metrics["RequestsCounted"]) == (0, 0)


@pytest.mark.parametrize(
    "name", ["SLUICE_COUNTERS", "SLUICE_BLOCKS", "SLUICE_DEAD_LETTERS", "SLUICE_METRIC_NAMESPACE"]
)
def test_a_variable_that_is_missing_is_a_broken_deployment(name: str, stores: Stores) -> None:
    with pytest.raises(KeyError, match=name):
        ingest.Worker({key: value for key, value in VARIABLES.items() if key != name})


def test_what_seldom_happens_is_told_only_then() -> None:
    quiet = ingest.measured(Tally(events=5, requests=5, counted=5, clients=1, lag=3))
    assert quiet.keys() == {"EventsPerDelivery", "RequestsSeen", "RequestsCounted", "IngestLag"}


def test_a_line_of_metrics_says_each_value_and_unit_once() -> None:
    line = json.loads(Source("Sluice", "f").line(5, {"A": (1, Unit.COUNT), "B": (2.5, Unit.PERCENT)}))
    assert line == {
        "_aws": {
            "Timestamp": 5,
            "CloudWatchMetrics": [
                {
                    "Namespace": "Sluice",
                    "Dimensions": [["service"]],
                    "Metrics": [{"Name": "A", "Unit": "Count"}, {"Name": "B", "Unit": "Percent"}],
                }
            ],
        },
        "service": "f",
        "A": 1,
        "B": 2.5,
    }
