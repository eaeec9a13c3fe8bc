"""The benchmarks: what they write, and what a ratio is."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from benchmarks import __main__ as command
from benchmarks import authorizers, windows
from benchmarks.authorizers import Pair
from benchmarks.results import Result, document
from benchmarks.traffic import BEGIN, Mix, Shape, deliveries, events, payload
from components import limiter_rules
from handlers.authorizing import Decision
from handlers.ingest import decode
from handlers.key_sets import FAMILIES
from local.say import Say
from sluice import access_log
from sluice.limiter.windows import DAY

ROOT = Path(__file__).parent.parent.parent
COLUMNS = {"benchmark", "case", "metric", "unit", "ours", "baseline", "baseline_name", "ratio"}


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
    results = list(authorizers.run(limiter_rules.make({}), Say(quiet=True), quick=True))

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
