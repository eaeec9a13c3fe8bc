"""The limiter's tables and rules, as its functions find them."""

from collections.abc import Mapping
from pathlib import Path

import boto3
from botocore.config import Config

from sluice.limiter import rules
from sluice.limiter.blocks import BlockTable
from sluice.limiter.counters import CounterTable
from sluice.limiter.rules import Rules

from .parallel import WORKERS

CONFIG = Config(
    max_pool_connections=WORKERS,
    connect_timeout=2,
    read_timeout=5,
    retries={"mode": "standard", "total_max_attempts": 6},
)


def tables(variables: Mapping[str, str]) -> tuple[CounterTable, BlockTable]:
    """Return the tables that a function's environment names."""
    client = boto3.client("dynamodb", config=CONFIG)
    return CounterTable(client, variables["SLUICE_COUNTERS"]), BlockTable(client, variables["SLUICE_BLOCKS"])


def shipped_rules() -> Rules:
    """Return the rules that were shipped with the function."""
    return rules.loads(Path(__file__).with_name(rules.FILE).read_text("utf-8"))
