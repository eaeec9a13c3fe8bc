"""The limiter's entries run with stores in memory, and what they print read back."""

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from handlers import tables
from sluice.limiter import rules, sets
from sluice.limiter.rules import Rules
from sluice.limiter.windows import Rolling, Window
from tests.limiter_fakes import SETS, MemoryBlocks, MemoryCounters

NOW = 1_750_000_000_000
SHORT = Window("short", 3, Rolling(20_000))
RULES = Rules((SHORT,))
QUEUE_URL = "https://sqs.us-east-1.amazonaws.com/123456789012/wake-ups"
VARIABLES = {
    "SLUICE_COUNTERS": "counters-1",
    "SLUICE_BLOCKS": "blocks-1",
    "SLUICE_DEAD_LETTERS": "letters-1",
    "SLUICE_WAKE_UPS": QUEUE_URL,
    "SLUICE_IP_SETS": sets.dumps(SETS),
    "SLUICE_METRIC_NAMESPACE": "Sluice",
    "AWS_LAMBDA_FUNCTION_NAME": "limiter-function-1",
}
METRIC_UNITS = {"Count", "Milliseconds", "Percent"}


class Stores:
    """Tables in memory in the place of DynamoDB's, and a clock."""

    def __init__(self, module: ModuleType, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.counters = MemoryCounters()
        self.blocks = MemoryBlocks()
        self.tables: list[tuple[str, str]] = []
        self.now = NOW
        self.clients: dict[str, Any] = {"dynamodb": "the client of DynamoDB"}
        (folder / rules.FILE).write_text(rules.dumps(RULES))
        monkeypatch.setattr(tables, "__file__", str(folder / "tables.py"))
        monkeypatch.setattr(tables, "CounterTable", self._counter_table)
        monkeypatch.setattr(tables, "BlockTable", self._block_table)
        monkeypatch.setattr(module, "now", lambda: self.now)
        monkeypatch.setattr(module, "_workers", [])
        monkeypatch.setattr("boto3.client", lambda name, config: self.clients[name])
        for name, value in VARIABLES.items():
            monkeypatch.setenv(name, value)

    def _counter_table(self, client: object, table: str) -> MemoryCounters:
        assert client == self.clients["dynamodb"]
        self.tables.append(("counters", table))
        return self.counters

    def _block_table(self, client: object, table: str) -> MemoryBlocks:
        assert client == self.clients["dynamodb"]
        self.tables.append(("blocks", table))
        return self.blocks


def printed(capsys: pytest.CaptureFixture[str]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return the lines of a log and the one line of metrics among them, which has to be a valid one.

    What is checked is said by "Specification: CloudWatch embedded metric format".
    """
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    (metrics,) = (line for line in lines if "_aws" in line)
    assert metrics["_aws"]["Timestamp"] == NOW
    (directive,) = metrics["_aws"]["CloudWatchMetrics"]
    assert directive["Namespace"] == "Sluice"
    assert directive["Dimensions"] == [["service"]]
    assert metrics["service"] == VARIABLES["AWS_LAMBDA_FUNCTION_NAME"]
    declared = {each["Name"]: each["Unit"] for each in directive["Metrics"]}
    assert declared.keys() == metrics.keys() - {"_aws", "service"}
    assert set(declared.values()) <= METRIC_UNITS
    assert len(directive["Metrics"]) == len(declared) <= 100
    numbers = {name: type(metrics[name]) for name in declared}
    assert set(numbers.values()) <= {int, float}, f"a metric is a number: {numbers}"
    return [line for line in lines if "_aws" not in line], metrics
