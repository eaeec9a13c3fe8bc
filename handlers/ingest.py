"""Entry of the limiter's ingest: what CloudWatch Logs delivers of the access log, into the counters."""

import base64
import gzip
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

import boto3

from sluice.limiter.clock import now

from . import emf
from .counting import Event, Ingest, Tally
from .emf import Unit
from .tables import CONFIG, shipped_rules, tables

DATA_MESSAGE = "DATA_MESSAGE"
"""Others only test that the function can be reached ("Using subscription filters", CloudWatch Logs guide)."""


class Payload(TypedDict):
    """What the function gets: base64 of gzip of JSON."""

    awslogs: dict[str, str]


def decode(payload: Payload) -> list[Event]:
    """Return the events of a delivery."""
    content: dict[str, Any] = json.loads(gzip.decompress(base64.b64decode(payload["awslogs"]["data"])))
    if content["messageType"] != DATA_MESSAGE:
        return []
    return [Event(each["id"], each["message"]) for each in content["logEvents"]]


class Worker:
    """One warm function: everything that outlives an invocation."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        """Read the environment; a variable that is missing is a broken deployment and raises."""
        self._bucket = variables["SLUICE_DEAD_LETTERS"]
        self.source = emf.Source.read(variables)
        self._ingest = Ingest(shipped_rules(), *tables(variables), self._keep, now)

    def run(self, payload: Payload) -> Tally:
        """Count one delivery."""
        return self._ingest.run(decode(payload))

    def _keep(self, name: str, lines: Sequence[str]) -> None:
        """Keep lines that are none of the access log's; a repeated delivery writes the same object."""
        # Made where it is needed: hardly ever, and a client costs milliseconds at each cold start.
        boto3.client("s3", config=CONFIG).put_object(
            Bucket=self._bucket, Key=f"malformed/{name}.json", Body=json.dumps(lines).encode()
        )


_workers: list[Worker] = []


def handler(event: Payload, _context: object) -> None:
    """Take a delivery; to raise makes Lambda deliver it again, and keep it where that fails too."""
    if not _workers:
        _workers.append(Worker(os.environ))
    worker = _workers[0]
    tally = worker.run(event)
    for reason in sorted(set(tally.malformed)):
        print(json.dumps({"level": "WARNING", "message": "malformed line", "reason": reason}))  # noqa: T201
    print(worker.source.line(now(), measured(tally)))  # noqa: T201


def measured(tally: Tally) -> dict[str, tuple[float, Unit]]:
    """Return the metrics of a delivery; what seldom happens is told only when it does, since a line costs."""
    again = tally.events > 0 and tally.repeated == tally.events
    always = {
        "EventsPerDelivery": (tally.events, Unit.COUNT),
        "RequestsSeen": (0 if again else tally.requests, Unit.COUNT),
        "RequestsCounted": (0 if again else tally.counted, Unit.COUNT),
        "IngestLag": (tally.lag, Unit.MILLISECONDS),
    }
    seldom = {
        "EventsRepeated": (tally.repeated, Unit.COUNT),
        "RequestsUnattributed": (0 if again else tally.unattributed, Unit.COUNT),
        "LinesMalformed": (0 if again else len(tally.malformed), Unit.COUNT),
        "BlocksStarted": (tally.started, Unit.COUNT),
        "BlocksExtended": (tally.extended, Unit.COUNT),
    }
    return {**always, **{name: each for name, each in seldom.items() if each[0]}}
