"""The usual way to count over long windows: a record per request, and a query per record.

Written as well as that way allows: records go in batches, as many threads work as in ours, items are small,
reads are eventually consistent, and one query serves both windows for as long as that can be: a day holds
no more than its month.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from handlers.counting import Event
from handlers.parallel import WORKERS, outcomes
from sluice import access_log
from sluice.access_log import Line
from sluice.limiter.rules import Rules
from sluice.limiter.windows import SECOND, Rolling

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

NAME = "a record and a query per request"
KEY, SORT = "ip", "at"
EXPIRES = "expires"
BATCH = 25
"""Items of one BatchWriteItem."""
ID_LENGTH = 8
MOST_ROUNDS = 10

Item = TypeVar("Item")


@dataclass
class Spent:
    """What something took."""

    cpu: float = 0.0
    """Seconds of this process."""
    wall: float = 0.0
    """Seconds that passed."""

    def plus(self, other: "Spent", times: float = 1.0) -> "Spent":
        """Return this, and another so many times."""
        return Spent(self.cpu + times * other.cpu, self.wall + times * other.wall)


class Stopwatch:
    """Adds what happens between ``with`` and its end to what is spent."""

    def __init__(self, spent: Spent) -> None:
        """Add to this."""
        self._spent = spent

    def __enter__(self) -> None:
        self._cpu, self._wall = time.process_time(), time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self._spent.cpu += time.process_time() - self._cpu
        self._spent.wall += time.perf_counter() - self._wall


class UnwrittenRecordsError(RuntimeError):
    """DynamoDB left the same records out again and again."""


@dataclass(frozen=True)
class _Limit:
    window: str
    length: int
    limit: int


class Naive:
    """Counts deliveries of the access log, the usual way."""

    def __init__(  # noqa: PLR0913 - each is another neighbour
        self,
        rules: Rules,
        client: "DynamoDBClient",
        records: str,
        blocks: str,
        *,
        workers: int = WORKERS,
        every: int = 1,
    ) -> None:
        """Use a table of records and one of blocks.

        Args:
            rules: what counts, and the rolling windows.
            client: a client of DynamoDB.
            records: a table with the keys ``ip`` and ``at``, both strings.
            blocks: a table with the key ``ip``.
            workers: how many calls to make at once.
            every: to query for one in so many records only, because more would take too long.
        """
        self._rules = rules
        self._client = client
        self._records = records
        self._blocks = blocks
        self._workers = workers
        self._every = every
        self._limits = sorted(
            (
                _Limit(each.name, each.buckets.length, each.limit)
                for each in rules.windows
                if isinstance(each.buckets, Rolling)
            ),
            key=lambda each: each.length,
            reverse=True,
        )
        self._blocked: set[str] = set()
        self.writing = Spent()
        """What the records took."""
        self.asking = Spent()
        """What the queries that were made took."""

    def run(self, events: Sequence[Event]) -> int:
        """Write and look up a delivery; return how many requests counted."""
        lines = [line for line in map(_parsed, events) if line and self._rules.counting.weight(line)]
        together = BATCH * self._workers
        for first in range(0, len(lines), together):
            part = lines[first : first + together]
            with Stopwatch(self.writing):
                self._all(self._put, [part[start : start + BATCH] for start in range(0, len(part), BATCH)])
            with Stopwatch(self.asking):
                self._all(self._look_up, part[:: self._every])
        return len(lines)

    def _all(self, do: Callable[[Item], None], items: Sequence[Item]) -> None:
        for outcome in outcomes(do, items, self._workers):
            if isinstance(outcome, Exception):
                raise outcome

    def _put(self, lines: Sequence[Line]) -> None:
        longest = self._limits[0].length
        wanted: Any = {
            self._records: [
                {
                    "PutRequest": {"Item": record(str(line.ip), line.time, line.request_id, longest)},
                }
                for line in lines
            ]
        }
        for _ in range(MOST_ROUNDS):
            wanted = self._client.batch_write_item(RequestItems=wanted).get("UnprocessedItems")
            if not wanted:
                return
        raise UnwrittenRecordsError(self._records)

    def _look_up(self, line: Line) -> None:
        """Block a client that is over a limit; what the longer window holds bounds the shorter."""
        held: int | None = None
        for each in self._limits:
            smallest = min(limit.limit for limit in self._limits if limit.length <= each.length)
            if held is None or held >= smallest:
                held = self._count(line, each.length)
                if held >= each.limit and str(line.ip) not in self._blocked:
                    self._blocked.add(str(line.ip))
                    self._block(line, each)

    def _count(self, line: Line, length: int) -> int:
        pages = self._client.get_paginator("query").paginate(
            TableName=self._records,
            Select="COUNT",
            KeyConditionExpression="#ip = :ip AND #at >= :from",
            ExpressionAttributeNames={"#ip": KEY, "#at": SORT},
            ExpressionAttributeValues={":ip": {"S": line.ip}, ":from": {"S": str(line.time - length)}},
        )
        return sum(page["Count"] for page in pages)

    def _block(self, line: Line, limit: _Limit) -> None:
        self._client.put_item(
            TableName=self._blocks,
            Item={
                KEY: {"S": line.ip},
                "window": {"S": limit.window},
                "since": {"N": str(line.time)},
                "until": {"N": str(line.time + limit.length)},
            },
        )


def record(ip: str, time: int, request_id: str, longest: int) -> dict[str, Any]:
    """Return the item of one request, which is needed for the longest window."""
    return {
        KEY: {"S": ip},
        SORT: {"S": f"{time}#{request_id[:ID_LENGTH]}"},
        EXPIRES: {"N": str((time + longest) // SECOND)},
    }


def _parsed(event: Event) -> Line | None:
    try:
        return access_log.parse(event.message)
    except access_log.MalformedLineError:
        return None
