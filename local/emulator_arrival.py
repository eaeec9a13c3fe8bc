"""A request as it came to the edge, which hands it on with other headers and under another path.

An authorizer sees the headers as the client spelled them, and a signature is about what the client called.
And what is learned of the caller goes back to the edge, for the log of requests that get to no integration.

This runs inside the emulator.
"""

import json
from collections.abc import Iterable, Mapping, MutableMapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

APIS = "/_aws/execute-api/"
ARRIVAL = b"x-edge-arrival"
SOURCE = b"x-forwarded-for"
HOST = b"host"
PREFIX = b"x-edge-"
"""How the headers begin that are between the edge and the emulator alone."""
REPLACED = {HOST, SOURCE, b"x-forwarded-port", b"x-forwarded-proto"}
"""Headers that are not as the client sent them."""

Data = dict[str, Any]
RawHeaders = list[tuple[bytes, bytes]]
Scope = MutableMapping[str, Any]


@dataclass(frozen=True)
class Arrival:
    """What the client called, and with what."""

    context: Mapping[str, Any]
    """``$context`` of API Gateway, as far as the edge knows it."""
    host: str
    target: str
    """The path that was called, as it came."""
    path: str
    """The path as a function is told of it: without the stage, but with a custom domain's base path."""
    headers: Mapping[str, list[str]]
    """All values of each header, by its name as the client spelled it first."""
    raw_headers: RawHeaders
    """What a signature is about: the headers less those that were added on the way."""
    learned: Data = field(default_factory=dict)
    """What became known of the caller, as ``$context`` has it."""

    @property
    def source_ip(self) -> str:
        """The address that the request came from."""
        return str(self.context["identity"]["sourceIp"])

    def values(self, name: str) -> list[str]:
        """Return the values of a header, by its name in whatever case."""
        found = [each for key, each in self.headers.items() if key.lower() == name.lower()]
        return found[0] if found else []


_current: ContextVar[Arrival | None] = ContextVar("arrival", default=None)


def current() -> Arrival | None:
    """Return how the request arrived that is being served; nothing where it is none of the edge's."""
    return _current.get()


def note(scope: Scope) -> None:
    """Keep how a request arrived, and see it come from whom the edge names: the edge is no client."""
    headers = dict(scope["headers"])
    if ARRIVAL not in headers or not scope["path"].startswith(APIS):
        _current.set(None)
        return
    arrival = read(json.loads(headers[ARRIVAL]), scope["headers"])
    _current.set(arrival)
    scope["client"] = (arrival.source_ip, 0)
    scope["headers"] = [(name, value) for name, value in scope["headers"] if name != ARRIVAL]


def read(told: Data, given: RawHeaders) -> Arrival:
    """Return an arrival as the edge tells of it.

    Args:
        told: what the edge says beside the headers.
        given: the headers that came with it, their names in lower case.
    """
    names = {name.lower().encode() for name in told["names"]} - REPLACED
    sent = [(name, value) for name, value in given if name in names and not name.startswith(PREFIX)]
    forwarded = [*told["forwarded"], told["context"]["identity"]["sourceIp"]]
    added = {
        "Host": told["host"],
        "X-Forwarded-For": ", ".join(forwarded),
        "X-Forwarded-Port": "443",
        "X-Forwarded-Proto": "https",
    }
    return Arrival(
        context=told["context"],
        host=told["host"],
        target=told["target"],
        path=told["path"],
        headers={**spelled(told["names"], sent), **{name: [value] for name, value in added.items()}},
        raw_headers=[
            *sent,
            (HOST, told["host"].encode()),
            *((SOURCE, each.encode()) for each in told["forwarded"]),
        ],
    )


def spelled(names: Iterable[str], headers: RawHeaders) -> dict[str, list[str]]:
    """Return the values of each header by its name as it was spelled, in the order in which they came."""
    spellings: dict[str, str] = {}
    for name in names:
        spellings.setdefault(name.lower(), name)
    found: dict[str, list[str]] = {}
    for raw, value in headers:
        name = raw.decode("latin-1")
        found.setdefault(spellings.get(name, name), []).append(text_of(value))
    return found


def text_of(value: bytes) -> str:
    """Return a header's value as text."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")
