"""The access log line: the one place that knows its fields, for the side that writes and the side that reads.

API Gateway replaces each ``$context`` variable by its bare text, and writes ``-`` where there is none. So
every value is quoted, and only values that a client cannot write are taken: one quote inside a value would
break the line, or forge another client's address.
"""

import json
from dataclasses import dataclass
from typing import cast

MAX_BYTES = 374
"""What one line may take; 202 bytes are typical over IPv4. It holds for an IPv6 address, a route of at most
`LONGEST_ROUTE`, and a principal of 86 characters: the id of an IAM role and the name of its session. No token
has a longer one."""
LONGEST_ROUTE = 54
"""Characters of a resource path, with the slash in front."""
ABSENT = "-"
LONGEST_NUMBER = 18
"""Digits of a number; milliseconds since 1970 take 13."""

ADDRESS = "$context.identity.sourceIp"
PRINCIPAL = "$context.authorizer.principalId"
FIELDS = {
    "requestId": "$context.requestId",
    "ip": ADDRESS,
    "time": "$context.requestTimeEpoch",
    "method": "$context.httpMethod",
    "route": "$context.resourcePath",
    "status": "$context.status",
    "waf": "$context.wafResponseCode",
    "latency": "$context.responseLatency",
    "backend": "$context.integrationStatus",
    "principal": PRINCIPAL,
}
"""Field to variable, in the order of the line ("Variables for access logging", API Gateway guide)."""


class MalformedLineError(ValueError):
    """A line that is not exactly one of ours; the message says why and repeats nothing of the line."""


@dataclass(frozen=True)
class Line:
    """One request as the front door saw it."""

    request_id: str
    ip: str | None
    """Absent behind a proxy, where the request was refused before its address was looked at."""
    time: int
    """When the request arrived, in milliseconds since 1970."""
    method: str
    route: str
    status: int
    waf: str | None
    latency: int | None
    """Milliseconds from request to answer."""
    backend: int | None
    """The status that the queue answered with, absent when it was never asked."""
    principal: str | None


def line_format(principal: str | None = PRINCIPAL, address: str = ADDRESS) -> str:
    """Return the stage's access log format.

    Args:
        principal: the variable that says who calls, which is safe only where nobody can write a quote into
            it. With None the field is there and always absent.
        address: the variable that says from where.
    """
    values = {**FIELDS, "principal": principal or ABSENT, "ip": address}
    return json.dumps(values, separators=(",", ":"))


def parse(text: str) -> Line:
    """Return the request that a line tells of.

    Raises:
        MalformedLineError: if the line has other fields, the same field twice, or a value of the wrong kind.
    """
    values = _strings(text)
    return Line(
        request_id=values["requestId"],
        ip=_present(values["ip"]),
        time=_whole(values["time"]),
        method=values["method"],
        route=values["route"],
        status=_whole(values["status"]),
        waf=_present(values["waf"]),
        latency=_number(values["latency"]),
        backend=_number(values["backend"]),
        principal=_present(values["principal"]),
    )


def _strings(text: str) -> dict[str, str]:
    try:
        pairs = json.loads(text, object_pairs_hook=list)
    except (ValueError, RecursionError) as error:
        raise MalformedLineError("not JSON") from error
    if not isinstance(pairs, list) or [key for key, _ in _pairs(pairs)] != list(FIELDS):
        raise MalformedLineError("not exactly the fields of an access log line, each once, in order")
    if not all(isinstance(value, str) for _, value in _pairs(pairs)):
        raise MalformedLineError("a value that is not a string")
    return cast(dict[str, str], dict(_pairs(pairs)))


def _pairs(items: list[object]) -> list[tuple[object, object]]:
    return [item for item in items if isinstance(item, tuple)]


def _present(value: str) -> str | None:
    return None if value == ABSENT else value


def _number(value: str) -> int | None:
    return None if value == ABSENT else _whole(value)


def _whole(value: str) -> int:
    if not (value.isascii() and value.isdecimal() and len(value) <= LONGEST_NUMBER):
        raise MalformedLineError("a number field that holds no number")
    return int(value)
