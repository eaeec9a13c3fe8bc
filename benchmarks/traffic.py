"""Traffic for benchmarks: lines of the access log by many clients, the same in every run."""

import base64
import gzip
import itertools
import json
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address

from handlers.counting import Event
from handlers.ingest import DATA_MESSAGE, Payload
from sluice.access_log import FIELDS

BEGIN = 1_790_000_000_000
"""When the first request comes, in milliseconds since 1970."""
GAP = 10
"""Milliseconds between two requests."""
FIRST_ADDRESS = IPv4Address("100.64.0.0")
SEED = 1


class Shape(StrEnum):
    """How requests are spread over clients."""

    FLAT = "flat"
    """All clients ask equally often."""
    ZIPF = "Zipf"
    """The second asks half as often as the first, the third a third as often, and so on."""


@dataclass(frozen=True)
class Mix:
    """Who asks how often."""

    clients: int
    shape: Shape

    def __str__(self) -> str:
        return f"{self.clients:,} clients, {self.shape}"


def events(mix: Mix, count: int, limit: int) -> list[Event]:
    """Return requests in the order of their times.

    A client that has used up ``limit`` is blocked, and comes no more.
    """
    chance = random.Random(SEED)  # noqa: S311 - no secret
    weights = [1 / rank if mix.shape is Shape.ZIPF else 1.0 for rank in range(1, mix.clients + 1)]
    cumulated = list(itertools.accumulate(weights))
    asked: Counter[int] = Counter()
    found: list[Event] = []
    while len(found) < count:
        (client,) = chance.choices(range(mix.clients), cum_weights=cumulated)
        if asked[client] < limit:
            asked[client] += 1
            found.append(_event(client, len(found), chance))
    return found


def deliveries(stream: Sequence[Event], size: int) -> Iterator[Sequence[Event]]:
    """Cut a stream into deliveries of so many events."""
    for first in range(0, len(stream), size):
        yield stream[first : first + size]


def payload(delivery: Sequence[Event]) -> Payload:
    """Return a delivery as Lambda gets it from CloudWatch Logs."""
    content = {
        "messageType": DATA_MESSAGE,
        "logEvents": [{"id": each.id, "timestamp": BEGIN, "message": each.message} for each in delivery],
    }
    return {"awslogs": {"data": base64.b64encode(gzip.compress(json.dumps(content).encode())).decode()}}


def address(client: int) -> str:
    """Return where a client's requests come from."""
    return str(FIRST_ADDRESS + client)


def time_of(index: int) -> int:
    """Return when a request of a stream comes."""
    return BEGIN + index * GAP


def _event(client: int, index: int, chance: random.Random) -> Event:
    request = f"{chance.getrandbits(128):032x}"
    values = {
        "requestId": f"{request[:8]}-{request[8:12]}-{request[12:16]}-{request[16:20]}-{request[20:]}",
        "ip": address(client),
        "time": str(time_of(index)),
        "method": "POST",
        "route": "/messages",
        "status": "202",
        "waf": "-",
        "latency": "12",
        "backend": "200",
        "principal": "-",
    }
    message = json.dumps({name: values[name] for name in FIELDS}, separators=(",", ":"))
    # As long as CloudWatch's own.
    return Event(f"{chance.getrandbits(184):056d}", message)
