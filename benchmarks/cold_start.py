"""What a cold function imports before its first event."""

import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from local.emulator import ROOT
from local.say import Say
from sluice.limiter.rules import Rules

from .results import Result

NAME = "cold start"
RUNS = 15


@dataclass(frozen=True)
class Usual:
    """What a function of this kind imports at its top elsewhere."""

    code: str
    name: str


WORKER = Usual(
    """import base64, gzip, json, os
import boto3
from aws_lambda_powertools import Logger, Metrics
from pydantic import BaseModel""",
    "boto3, Powertools' Logger and Metrics, pydantic, and no code of its own",
)
AUTHORIZER = Usual(
    """import boto3, jwt
from aws_lambda_powertools import Logger, Metrics, Tracer""",
    "boto3, PyJWT, Powertools' Logger, Metrics and Tracer, and no code of its own",
)
CONSUMER = Usual(
    """import boto3
from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.idempotency import DynamoDBPersistenceLayer, idempotent_function""",
    "boto3, Powertools' Logger, Metrics, batches and idempotency, and no code of its own",
)
RETRIER = Usual(
    """import aiohttp, boto3
from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.utilities.idempotency import DynamoDBPersistenceLayer, idempotent_function
from aws_lambda_powertools.utilities.parameters import SecretsProvider""",
    "aiohttp, boto3, Powertools' Logger, Metrics, secrets and idempotency, and no code of its own",
)
HANDLERS = {
    "handlers.consumer": CONSUMER,
    "handlers.ingest": WORKER,
    "handlers.enforce": WORKER,
    "handlers.token_authorizer": AUTHORIZER,
    "handlers.jwt_authorizer": AUTHORIZER,
    "handlers.retrier.call": RETRIER,
    "handlers.retrier.orchestrator": RETRIER,
}
TIMED = """import sys, time
begun = time.perf_counter()
{}
sys.stdout.write(str(time.perf_counter() - begun))"""
MILLI = 1e3


def run(made: Rules, say: Say, *, quick: bool) -> Iterator[Result]:
    """Import each handler in fresh interpreters, in turn with the usual way; no rule matters."""
    del made
    for handler, way in HANDLERS.items():
        ours, usual = [], []
        # Both once before: compiled files are then there for both.
        for measured in [True] if quick else [False] + RUNS * [True]:
            mine, others = seconds(f"import {handler}"), seconds(way.code)
            if measured:
                ours.append(mine)
                usual.append(others)
        say.step(f"{NAME}: {handler}", sum(ours) + sum(usual))
        case = f"{handler}, median of {len(ours)}"
        yield Result(
            NAME,
            case,
            "imports",
            "ms",
            statistics.median(ours) * MILLI,
            statistics.median(usual) * MILLI,
            way.name,
        )


def seconds(code: str) -> float:
    """Return how long code takes in an interpreter that is fresh, without its own start."""
    variables = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTHON", "COVERAGE", "COV_"))
    }
    done = subprocess.run(  # noqa: S603 - our own words
        [sys.executable, "-c", TIMED.format(code)],
        cwd=ROOT,
        env=variables,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return float(done.stdout)
