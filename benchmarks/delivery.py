"""One delivery in a process of its own, so that its time and its memory are nobody else's.

``python -m benchmarks.delivery`` reads a `Job` as JSON and writes a `Report` as JSON. It imports what the
function in Lambda does and nothing else.
"""

import json
import resource
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config

from handlers.counting import Ingest
from handlers.ingest import Payload, decode
from handlers.tables import CONFIG
from sluice.limiter import rules
from sluice.limiter.blocks import BlockTable
from sluice.limiter.counters import CounterTable

from .naive import Naive, Spent, Stopwatch

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

OURS, NAIVE = "ours", "naive"
COUNTERS, BLOCKS, RECORDS, NAIVE_BLOCKS = "counters", "blocks", "records", "naive-blocks"
STATUS = Path("/proc/self/status")
KIB, MIB = 2**10, 2**20


class WrongCountError(RuntimeError):
    """What was counted is not what was delivered, so that its cost says nothing."""


@dataclass(frozen=True)
class Job:
    """What to measure."""

    side: str
    """``ours`` or ``naive``."""
    endpoint: str
    access_key: str
    region: str
    suffix: str
    """What the names of this job's tables end with."""
    rules: str
    warmer: Payload
    """A delivery that comes before, so that connections are open and everything is loaded."""
    payload: Payload
    events: int
    now: int
    every: int
    """For how many records of the naive way one query is made."""


@dataclass(frozen=True)
class Report:
    """What a delivery took."""

    cpu: float
    """Seconds."""
    wall: float
    """Seconds."""
    peak: float
    """Most MiB of memory that the whole process ever had."""


def measure(job: Job) -> Report:
    """Take the delivery and return what it took.

    Raises:
        WrongCountError: if it was not counted as a whole.
    """
    client = boto3.client(
        "dynamodb",
        endpoint_url=job.endpoint,
        region_name=job.region,
        aws_access_key_id=job.access_key,
        aws_secret_access_key=job.access_key,
        # Loopback is never reached through a proxy that the user's environment names.
        config=CONFIG.merge(Config(proxies={})),
    )
    spent = (_ours if job.side == OURS else _naive)(job, client)
    return Report(spent.cpu, spent.wall, peak_memory())


def _ours(job: Job, client: "DynamoDBClient") -> Spent:
    ingest = Ingest(
        rules.loads(job.rules),
        CounterTable(client, f"{COUNTERS}-{job.suffix}"),
        BlockTable(client, f"{BLOCKS}-{job.suffix}"),
        _keep,
        lambda: job.now,
    )
    ingest.run(decode(job.warmer))
    spent = Spent()
    with Stopwatch(spent):
        tally = ingest.run(decode(job.payload))
    _check(tally.counted, job.events)
    return spent


def _naive(job: Job, client: "DynamoDBClient") -> Spent:
    naive = Naive(
        rules.loads(job.rules),
        client,
        f"{RECORDS}-{job.suffix}",
        f"{NAIVE_BLOCKS}-{job.suffix}",
        every=job.every,
    )
    naive.run(decode(job.warmer))
    naive.asking = Spent()
    spent = Spent()
    with Stopwatch(spent):
        counted = naive.run(decode(job.payload))
    _check(counted, job.events)
    return spent.plus(naive.asking, job.every - 1)


def _check(counted: int, events: int) -> None:
    if counted != events:
        raise WrongCountError(f"{counted} of {events} requests were counted")


def _keep(name: str, lines: Sequence[str]) -> None:
    raise WrongCountError(f"{len(lines)} malformed lines in {name}")


def peak_memory() -> float:
    """Return the most MiB that this process ever had in memory.

    Linux's getrusage also tells of the process that started this one.
    """
    if STATUS.exists():
        lines = STATUS.read_text("utf-8").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) * KIB / MIB
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / MIB if sys.platform == "darwin" else peak * KIB / MIB


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asdict(measure(Job(**json.load(sys.stdin))))))
