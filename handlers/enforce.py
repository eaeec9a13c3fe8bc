"""Entry of the limiter's enforcer: woken by the blocks' stream, by the schedule, and at releases."""

import json
import os
import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import boto3
from botocore.config import Config

from sluice.limiter import sets
from sluice.limiter.clock import now
from sluice.limiter.windows import SECOND

from . import emf
from .emf import Unit
from .enforcement import Enforcer, Report
from .ip_sets import WafIpSets
from .tables import CONFIG, shipped_rules, tables

WAF = Config(connect_timeout=2, read_timeout=10, retries={"total_max_attempts": 1})
"""The sets are repeated by ourselves, at their own pace."""
BATCH = 10
"""Messages of one SendMessageBatch."""
LONGEST_EARLY = 3 * SECOND
"""How much too early a delayed message may come and be waited for: a part of a second, and SQS's own."""
QUEUE = "aws:sqs"


class WakeError(RuntimeError):
    """SQS did not take a wake-up."""


class Worker:
    """One warm function: everything that outlives an invocation."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        """Read the environment; a variable that is missing is a broken deployment and raises."""
        self._sqs = boto3.client("sqs", config=CONFIG)
        self._queue = variables["SLUICE_WAKE_UPS"]
        self.source = emf.Source.read(variables)
        self._enforcer = Enforcer(
            shipped_rules(),
            *tables(variables),
            WafIpSets(boto3.client("wafv2", config=WAF), sets.loads(variables["SLUICE_IP_SETS"])),
            self._wake,
            now,
        )

    def run(self, event: Mapping[str, Any]) -> Report:
        """Run once, whatever woke us."""
        records = event.get("Records", [])
        woken = [each for each in records if each.get("eventSource") == QUEUE]
        wait_for([json.loads(each["body"])["due"] for each in woken])
        return self._enforcer.run(uuid.uuid4().hex, wakes=not woken)

    def _wake(self, times: Sequence[int]) -> None:
        for first in range(0, len(times), BATCH):
            answer = self._sqs.send_message_batch(
                QueueUrl=self._queue,
                Entries=[
                    {"Id": str(due), "MessageBody": json.dumps({"due": due}), "DelaySeconds": delay(due)}
                    for due in times[first : first + BATCH]
                ],
            )
            if answer.get("Failed"):
                raise WakeError(answer["Failed"][0]["Code"])


_workers: list[Worker] = []


def delay(due: int) -> int:
    """Return the whole seconds until just before a time: the run waits for what is left of the last."""
    return max(0, (due - now()) // SECOND)


def wait_for(times: Sequence[int]) -> None:
    """Wait for the last of times that are about to come: a delayed message may be a little early."""
    early = max(times, default=0) - now()
    if 0 < early <= LONGEST_EARLY:
        time.sleep(early / SECOND)


def handler(event: Mapping[str, Any], _context: object) -> None:
    """Run; to raise makes what woke us wake us again, and the schedule does in any case."""
    if not _workers:
        _workers.append(Worker(os.environ))
    worker = _workers[0]
    report = worker.run(event)
    for problem in report.unreadable:
        print(json.dumps({"level": "WARNING", "message": "unreadable record", "problem": problem}))  # noqa: T201
    print(worker.source.line(now(), measured(report)))  # noqa: T201


def measured(report: Report) -> dict[str, tuple[float, Unit]]:
    """Return the metrics of a run; one that looked at nothing tells only that."""
    told: dict[str, tuple[float, Unit]] = {"RunsBusy": (int(report.busy), Unit.COUNT)}
    if report.busy:
        return told
    told |= {
        "RunsPaused": (int(report.paused), Unit.COUNT),
        "Conflicts": (report.conflicts, Unit.COUNT),
        "SetsWritten": (report.written, Unit.COUNT),
        "RecordsUnreadable": (len(report.unreadable), Unit.COUNT),
    }
    if not report.paused:
        told |= {
            "BlocksLive": (report.live, Unit.COUNT),
            "BlocksReleased": (report.released, Unit.COUNT),
            "BlocksExtended": (report.extended, Unit.COUNT),
            "BlocksEvicted": (report.evicted, Unit.COUNT),
            "SetFill": (report.fill, Unit.PERCENT),
        }
    if report.block_lag is not None:
        told["BlockLag"] = (report.block_lag, Unit.MILLISECONDS)
    if report.release_lag is not None:
        told["ReleaseLag"] = (report.release_lag, Unit.MILLISECONDS)
    return told
