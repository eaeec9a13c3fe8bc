"""The benchmarks: what they write, what a ratio is, and that they count DynamoDB's units as DynamoDB does."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import boto3
import pytest
from botocore.config import Config

from benchmarks import __main__ as command
from benchmarks import authorizers, ingest, units, windows
from benchmarks.authorizers import Pair
from benchmarks.delivery import BLOCKS, COUNTERS, NAIVE_BLOCKS, RECORDS
from benchmarks.metered import MeteredDynamoDB, UnknownRequestError, size
from benchmarks.results import Result, document
from benchmarks.traffic import BEGIN, Mix, Shape, deliveries, events, payload
from components import limiter_rules
from handlers.authorizing import Decision
from handlers.counting import Event
from handlers.ingest import decode
from handlers.key_sets import FAMILIES
from local.say import Say
from sluice import access_log
from sluice.limiter.blocks import Allowance, BlockTable
from sluice.limiter.rules import Rules
from sluice.limiter.windows import DAY, SECOND
from tests.storage.dynamodb_local import dynamodb_local, java_missing

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mypy_boto3_dynamodb import DynamoDBClient

ROOT = Path(__file__).parent.parent.parent
COLUMNS = {"benchmark", "case", "metric", "unit", "ours", "baseline", "baseline_name", "ratio"}
MIX = Mix(4, Shape.ZIPF)
RULES = limiter_rules.make(
    {
        "windows": [
            {"name": "day", "limit": 120, "length_seconds": DAY // SECOND},
            {"name": "month", "limit": 200, "length_seconds": 30 * DAY // SECOND},
        ]
    }
)
WRITES = {"PutItem", "UpdateItem", "BatchWriteItem"}
Count = Callable[["Sequence[Event]", int, Rules, "DynamoDBClient"], None]


@pytest.fixture(scope="module")
def dynamodb() -> "Iterator[DynamoDBClient]":
    if java_missing():
        pytest.skip("DynamoDB Local needs a JDK and Maven.")
    with dynamodb_local() as url:
        session = boto3.Session("benchmarks", "anything", region_name="us-east-1")
        client = session.client("dynamodb", endpoint_url=url, config=Config(proxies={}))
        yield client
        client.close()


def told_units(client: "DynamoDBClient", suffix: str, count: Callable[[], None]) -> dict[str, float]:
    """Return the units that DynamoDB says that it was asked for, of written and read, while counting."""
    told = {"written": 0.0, "read": 0.0}

    def ask(params: dict[str, Any], **_: object) -> None:
        params["ReturnConsumedCapacity"] = "TOTAL"
        params.update({"TableName": params["TableName"] + suffix} if "TableName" in params else {})
        if "RequestItems" in params:
            params["RequestItems"] = {name + suffix: each for name, each in params["RequestItems"].items()}

    def add(model: Any, parsed: dict[str, Any], **_: object) -> None:
        consumed = parsed.get("ConsumedCapacity", [])
        for each in consumed if isinstance(consumed, list) else [consumed]:
            told["written" if model.name in WRITES else "read"] += each["CapacityUnits"]

    ingest.make_tables(client, suffix.removeprefix("-"))
    client.meta.events.register("provide-client-params.dynamodb.*", ask)
    client.meta.events.register("after-call.dynamodb.*", add)
    try:
        count()
    finally:
        client.meta.events.unregister("provide-client-params.dynamodb.*", ask)
        client.meta.events.unregister("after-call.dynamodb.*", add)
    return told


@pytest.mark.parametrize(("per_delivery"), [1, 33])
@pytest.mark.parametrize("count", [units.count_ours, units.count_naively])
def test_units_are_what_dynamodb_says_itself(
    dynamodb: "DynamoDBClient", count: Count, per_delivery: int
) -> None:
    stream = events(MIX, 330, 120)
    metered = MeteredDynamoDB(ingest.TABLES)

    def run(client: "DynamoDBClient") -> None:
        # A query that finds nothing is a whole unit here, and free of charge in DynamoDB Local.
        BlockTable(client, BLOCKS).allow(Allowance("192.0.2.0/24", 0))
        count(stream, per_delivery, RULES, client)

    run(metered.as_client())
    told = told_units(
        dynamodb,
        f"-{count.__name__}-{per_delivery}",
        lambda: run(dynamodb),
    )

    # It does not tell of what conditions refuse, which AWS does charge.
    assert told == {"written": metered.units.written - metered.units.refused, "read": metered.units.read}


def test_each_full_ring_of_tokens_costs_a_refused_write() -> None:
    metered = MeteredDynamoDB(ingest.TABLES)
    units.count_ours(events(Mix(1, Shape.FLAT), 100, 1_000), 1, RULES, metered.as_client())
    # After 24, 48, 72 and 96 deliveries.
    assert metered.units.refused == 4
    assert metered.units.written == 100 + 4


def test_the_naive_way_writes_each_request_and_reads_what_its_client_has() -> None:
    metered = MeteredDynamoDB(ingest.TABLES)
    stream = events(Mix(1, Shape.FLAT), 120, 120)
    units.count_naively(stream, 1, RULES, metered.as_client())

    item = metered.tables[RECORDS].partitions["100.64.0.0"].items[0]
    pages = [-(-number * size(item) // 4096) for number in range(1, 121)]
    # The last one is at the day's limit: its day is read too, and its block written.
    assert metered.units.written == len(stream) + 1
    assert metered.units.read == (sum(pages) + pages[-1]) / 2
    assert list(metered.tables[NAIVE_BLOCKS].partitions) == ["100.64.0.0"]


def test_both_ways_block_the_same_clients() -> None:
    ours, others = MeteredDynamoDB(ingest.TABLES), MeteredDynamoDB(ingest.TABLES)
    stream = events(MIX, 330, 120)
    units.count_ours(stream, 33, RULES, ours.as_client())
    units.count_naively(stream, 33, RULES, others.as_client())

    partitions = ours.tables[BLOCKS].partitions
    blocked = {client for partition in partitions.values() for client in partition.sorts}
    naively = others.tables[NAIVE_BLOCKS].partitions
    assert blocked == {client for client, partition in naively.items() if partition.items}
    assert 0 < len(blocked) < MIX.clients


def test_an_expression_that_the_meter_does_not_know_is_refused() -> None:
    metered = MeteredDynamoDB(ingest.TABLES)
    with pytest.raises(UnknownRequestError):
        metered.put_item(TableName=COUNTERS, Item={"k": {"S": "a"}}, ConditionExpression="k = :k")
    with pytest.raises(UnknownRequestError):
        metered.update_item(TableName=COUNTERS, Key={"k": {"S": "a"}}, UpdateExpression="SET a = b + c")


def test_traffic_is_the_same_in_every_run_and_survives_the_way_to_the_function() -> None:
    stream = events(Mix(50, Shape.ZIPF), 200, 30)
    assert stream == events(Mix(50, Shape.ZIPF), 200, 30)
    asked = [access_log.parse(each.message).ip for each in stream]
    assert max(map(asked.count, asked)) == 30, "the first client would ask more often"
    assert len({each.id for each in stream}) == 200
    cut = list(deliveries(stream, 90))
    assert list(map(len, cut)) == [90, 90, 20]
    assert decode(payload(cut[2])) == cut[2]


def test_a_ratio_says_how_many_times_ours_the_baseline_takes() -> None:
    result = Result("b", "c", "m", "us", ours=2.0, baseline=10.0, baseline_name="n")
    nothing = Result("b", "c", "m", "us", ours=0.0, baseline=10.0, baseline_name="n")

    written = document([result, nothing], {"cores": 2}, {"boto3": "1"})

    assert written["machine"] == {"cores": 2}
    assert written["versions"] == {"boto3": "1"}
    assert [set(each) for each in written["results"]] == [COLUMNS, COLUMNS]
    assert [each["ratio"] for each in written["results"]] == [5.0, None]


def test_the_results_that_are_kept_are_of_every_benchmark_and_hold_together() -> None:
    kept = json.loads((ROOT / "benchmarks" / "results.json").read_text())

    assert set(kept) == {"machine", "versions", "results"}
    assert {"cpu", "cores", "memory_gib", "platform", "load_average", "python"} == set(kept["machine"])
    assert {"boto3", "botocore", "ministack"} <= set(kept["versions"])
    assert {each["benchmark"].replace(" ", "-") for each in kept["results"]} == set(command.BENCHMARKS)
    for each in kept["results"]:
        assert set(each) == COLUMNS
        ratio = pytest.approx(each["baseline"] / each["ours"], rel=0.002) if each["ours"] else None
        assert each["ratio"] == ratio


def test_standings_are_evaluated_for_a_client_whose_limits_are_used_up() -> None:
    made = limiter_rules.make({})
    times = windows.times_of_a_month(made)
    standings = made.standings(windows.CLIENT, windows.counted(made, times), BEGIN)

    assert [each.over for each in standings] == [True, True]
    assert [len(each.buckets) for each in standings] == [25, 31]
    assert windows.summed(times, [DAY, 30 * DAY]) == windows.bisected(times, [DAY, 30 * DAY])


ANY_METHOD = {
    "Action": "execute-api:Invoke",
    "Effect": "Allow",
    "Resource": "arn:aws:execute-api:us-east-1:123456789012:a1b2c3d4e5/v1/*",
}
AUTHORIZER_PAIRS = [
    *(pytest.param(authorizers.token_pair, count, id=f"{count} tokens") for count in authorizers.TOKENS),
    *(pytest.param(authorizers.jwt_pair, algorithm, id=algorithm) for algorithm in FAMILIES),
]


@pytest.mark.parametrize(("make", "of"), AUTHORIZER_PAIRS)
def test_both_ways_of_an_authorizer_decide_the_same_and_log_one_line(
    capsys: pytest.CaptureFixture[str], make: Callable[[Any], Pair], of: object
) -> None:
    pair = make(of)

    ours, usual = cast(Decision, pair.ours()), pair.usual()

    assert ours == usual
    assert ours["policyDocument"]["Statement"] == [ANY_METHOD]
    lines = map(json.loads, capsys.readouterr().out.splitlines())
    assert [each["principal"] for each in lines] == [ours["principalId"]] * 2


def test_an_authorizer_s_check_is_compared_for_each_number_of_tokens_and_each_algorithm() -> None:
    results = list(authorizers.run(RULES, Say(quiet=True), quick=True))

    cases = [each.case.partition(", median")[0] for each in results]
    assert cases == [
        *("token, 1 known", "token, 30 known", "token, 1,000 known"),
        *("JWT, RS256", "JWT, ES256", "JWT, EdDSA"),
    ]
    assert {(each.metric, each.unit) for each in results} == {("check", "us")}
    assert all(each.ours > 0 and each.baseline > 0 for each in results)


def test_a_quick_run_prints_and_leaves_the_results_alone(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(command, "FILE", tmp_path / "results.json")

    assert command.main(["--quick", "--only", "windows"]) == 0

    out = capsys.readouterr().out
    assert "2 windows, every bucket in use, all limits used up" in out
    assert "a sum over 10,000 sorted times" in out
    assert list(tmp_path.iterdir()) == []


def test_each_benchmark_yields_results_of_its_name_quickly() -> None:
    say = Say(quiet=True)
    # Killing workers takes its time, and has a test of its own on the local AWS.
    for name in command.BENCHMARKS.keys() - {"kills"}:
        found = command.measure([name], say, quick=True)
        assert {each.benchmark.replace(" ", "-") for each in found} == {name}
        assert all(each.ours > 0 and each.baseline > 0 for each in found)
