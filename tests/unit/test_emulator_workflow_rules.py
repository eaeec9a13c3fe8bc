"""The rules of Step Functions, as the local AWS has them."""

import json
from statistics import mean
from typing import Any

import pytest

from local.emulator_workflow_rules import (
    MOST_BYTES,
    RefusalError,
    check_start,
    delay,
    longest_run,
    size,
    stands_for,
)

LARGEST = json.dumps("x" * (MOST_BYTES - 2))


def test_a_size_is_that_of_utf_8() -> None:
    assert size({"a": "\u00e9"}) == len('{"a":"é"}'.encode())


@pytest.mark.parametrize("name", ["a", "a" * 80, "order-1_2.3", "Bücher", "a+b=c@d!'()"])
def test_a_name_that_step_functions_takes(name: str) -> None:
    check_start({"name": name})


@pytest.mark.parametrize(
    ("data", "code"),
    [
        ({"name": ""}, "ValidationException"),
        ({"name": "a" * 81}, "ValidationException"),
        *(({"name": f"a{each}b"}, "InvalidName") for each in ' \t\n<>{}[]?*"#%\\^|~`$&,;:/\x00\x1f\x7f\x9f'),
        ({"input": "{"}, "InvalidExecutionInput"),
        ({"input": ""}, "InvalidExecutionInput"),
        ({"input": LARGEST + " "}, "ValidationException"),
        ({"input": json.dumps("é" * (MOST_BYTES // 2), ensure_ascii=False)}, "ValidationException"),
    ],
)
def test_what_an_execution_cannot_be_started_with(data: dict[str, str], code: str) -> None:
    with pytest.raises(RefusalError) as refused:
        check_start(data)

    assert refused.value.code == code


def test_the_largest_input_is_taken() -> None:
    check_start({"input": LARGEST})


@pytest.mark.parametrize(
    ("names", "error", "expected"),
    [
        (["QuotaError"], "QuotaError", True),
        (["QuotaError"], "OtherError", False),
        (["States.ALL"], "QuotaError", True),
        (["States.ALL"], "States.Timeout", True),
        (["States.ALL"], "States.DataLimitExceeded", False),
        (["States.ALL"], "States.Runtime", False),
        (["States.TaskFailed"], "QuotaError", True),
        (["States.TaskFailed"], "States.Timeout", False),
        (["States.TaskFailed"], "States.DataLimitExceeded", False),
    ],
)
def test_what_a_retry_or_a_catch_is_for(names: list[str], error: str, expected: bool) -> None:
    assert stands_for(names, error) is expected


@pytest.mark.parametrize(
    ("retrier", "expected"),
    [
        ({}, [1, 2, 4, 8]),
        ({"IntervalSeconds": 3, "BackoffRate": 1}, [3, 3, 3, 3]),
        ({"IntervalSeconds": 2, "BackoffRate": 3, "MaxDelaySeconds": 10}, [2, 6, 10, 10]),
        ({"JitterStrategy": "NONE"}, [1, 2, 4, 8]),
    ],
)
def test_how_long_a_retry_waits(retrier: dict[str, Any], expected: list[float]) -> None:
    assert [delay(retrier, each) for each in range(4)] == expected


def test_full_jitter_is_anywhere_up_to_the_delay() -> None:
    given = {"IntervalSeconds": 100, "BackoffRate": 10, "MaxDelaySeconds": 60, "JitterStrategy": "FULL"}

    found = [delay(given, 3) for _ in range(1000)]

    assert all(0 <= each <= 60 for each in found)
    assert 20 < mean(found) < 40


@pytest.mark.parametrize(
    ("definition", "kind", "expected"),
    [
        ({}, "STANDARD", None),
        ({"TimeoutSeconds": 7}, "STANDARD", 7),
        ({"TimeoutSeconds": 1000}, "STANDARD", 1000),
        ({}, "EXPRESS", 300),
        ({"TimeoutSeconds": 7}, "EXPRESS", 7),
        ({"TimeoutSeconds": 1000}, "EXPRESS", 300),
    ],
)
def test_how_long_an_execution_may_run(definition: dict[str, int], kind: str, expected: float | None) -> None:
    assert longest_run(definition, kind) == expected
