"""Upstreams to call: HTTP servers on loopback that misbehave as they are told, and know who called when.

What one does is read off the path, so that whoever has a URL can try it: ``/status/503``, ``/limited/2``,
``/retry-after/3``, ``/retry-at/3``, ``/rate-limit/3``, ``/reset``, ``/slow/5``, ``/half``, ``/loop``,
``/redirect?to=URL``, ``/large``, ``/gzip``, ``/rate/10``, ``/rate-by-address/10``. All else is well. A script
for a path goes before.
"""

import gzip
import json
import math
import socket
import struct
import sys
import threading
import time
from bisect import bisect_left
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.utils import formatdate
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

LARGE_BYTES = 3 * 1024 * 1024
A_SECOND = 1.0
AT_ONCE = struct.pack("ii", 1, 0)
"""A socket that lingers for no time is not closed but reset."""


@dataclass(frozen=True)
class Called:
    """One call that an upstream got."""

    at: float
    """Seconds since 1970."""
    method: str
    path: str
    """With its query."""
    headers: Mapping[str, str]
    """By names in lower case."""
    body: bytes
    client: str
    """The address that it came from."""
    port: int
    """The port there, which is one for all calls of a connection."""


class Exchange:
    """One call, and what can be done with it."""

    def __init__(self, request: BaseHTTPRequestHandler, called: Called, ended: threading.Event) -> None:
        """Take a request whose body was read."""
        self.called = called
        self._request = request
        self._ended = ended

    def answer(
        self,
        status: int = HTTPStatus.OK,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        promised: int | None = None,
    ) -> None:
        """Answer; ``promised`` is how many bytes the answer says that it has, where it lies."""
        self._request.send_response(status)
        length = len(body) if promised is None else promised
        for name, value in {"Content-Length": str(length), **(headers or {})}.items():
            self._request.send_header(name, value)
        self._request.end_headers()
        if self.called.method != "HEAD":
            self._request.wfile.write(body)
        if length != len(body):
            self._request.close_connection = True

    def wait(self, seconds: float) -> None:
        """Do nothing for a while, or until the upstream ends."""
        self._ended.wait(seconds)

    def reset(self) -> None:
        """Break the connection off (RST)."""
        connection = self._request.connection
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
        connection.close()
        self._request.close_connection = True


Behaviour = Callable[[Exchange], None]


def answers(
    status: int = HTTPStatus.OK, headers: Mapping[str, str] | None = None, body: bytes | None = None
) -> Behaviour:
    """Answer so every time; without a body of one's own with what was asked, as JSON."""

    def behave(exchange: Exchange) -> None:
        asked = {"status": int(status), "method": exchange.called.method, "path": exchange.called.path}
        told = {"Content-Type": "application/json", **(headers or {})}
        exchange.answer(status, json.dumps(asked).encode() if body is None else body, told)

    return behave


def in_turn(*behaviours: Behaviour) -> Behaviour:
    """Behave so at one call after the other, and like the last from then on."""
    left, lock = deque(behaviours), threading.Lock()

    def behave(exchange: Exchange) -> None:
        with lock:
            now = left.popleft() if len(left) > 1 else left[0]
        now(exchange)

    return behave


def times(count: int, behaviour: Behaviour) -> Behaviour:
    """Behave so a number of times, and well from then on."""
    return in_turn(*[behaviour] * count, answers())


def limits(headers: Mapping[str, str] | None = None) -> Behaviour:
    """Answer 429."""
    return answers(HTTPStatus.TOO_MANY_REQUESTS, headers, b"slow down")


def wants_seconds(seconds: int) -> Behaviour:
    """Answer 429, and ask for a wait as a number of seconds."""
    return limits({"Retry-After": str(seconds)})


def wants_date(seconds: float) -> Behaviour:
    """Answer 429, and ask for a wait until a time, which is that of the next whole second."""

    def behave(exchange: Exchange) -> None:
        until = math.ceil(exchange.called.at + seconds)
        limits({"Retry-After": formatdate(until, usegmt=True)})(exchange)

    return behave


def tells_limit(seconds: int) -> Behaviour:
    """Answer 429, and say when the limit begins anew ("RateLimit header fields for HTTP", draft 10)."""
    policy, standing = f'"calls";q=10;w={seconds}', f'"calls";r=0;t={seconds}'
    return limits({"RateLimit-Policy": policy, "RateLimit": standing})


def resets() -> Behaviour:
    """Break the connection off."""
    return Exchange.reset


def slow(seconds: float) -> Behaviour:
    """Answer well, but late."""

    def behave(exchange: Exchange) -> None:
        exchange.wait(seconds)
        answers()(exchange)

    return behave


def half() -> Behaviour:
    """Promise a body and send half of it."""
    return lambda exchange: exchange.answer(body=b"half of ", promised=16)


def redirects(to: str | None = None, status: int = HTTPStatus.FOUND) -> Behaviour:
    """Send elsewhere: to a URL, to that in the query's ``to``, or to the same path again."""

    def behave(exchange: Exchange) -> None:
        where = urlsplit(exchange.called.path)
        location = to or parse_qs(where.query).get("to", [exchange.called.path])[0]
        exchange.answer(status, headers={"Location": location})

    return behave


def large(size: int = LARGE_BYTES) -> Behaviour:
    """Answer with a large body."""
    return answers(body=b"x" * size)


def zipped(body: bytes = b'{"zipped": true}') -> Behaviour:
    """Answer with a body that is compressed."""
    return answers(headers={"Content-Encoding": "gzip"}, body=gzip.compress(body))


def rated(calls: int, *, by_address: bool = False) -> Behaviour:
    """Answer so many calls in any second, of all callers or of each address, and to others 429."""
    answered: defaultdict[str, deque[float]] = defaultdict(lambda: deque(maxlen=max(1, calls)))
    lock = threading.Lock()

    def behave(exchange: Exchange) -> None:
        with lock:
            last = answered[exchange.called.client if by_address else ""]
            allowed = len(last) < (last.maxlen or 1) or exchange.called.at - last[0] >= A_SECOND
            if allowed:
                last.append(exchange.called.at)
        (answers() if allowed else wants_seconds(1))(exchange)

    return behave


PATHS: Mapping[str, Callable[[int], Behaviour]] = {
    "status": lambda status: answers(status or HTTPStatus.OK),
    "limited": lambda count: times(count, limits()),
    "retry-after": lambda seconds: times(1, wants_seconds(seconds)),
    "retry-at": lambda seconds: times(1, wants_date(seconds)),
    "rate-limit": lambda seconds: times(1, tells_limit(seconds)),
    "reset": lambda _: resets(),
    "slow": slow,
    "half": lambda _: half(),
    "loop": lambda _: redirects(),
    "redirect": lambda _: redirects(),
    "large": lambda size: large(size or LARGE_BYTES),
    "gzip": lambda _: zipped(),
    "rate": rated,
    "rate-by-address": lambda calls: rated(calls, by_address=True),
}
"""What the first part of a path means; a number may follow."""


def named(path: str) -> Behaviour:
    """Return what a path says; nothing but to be well where it says nothing."""
    name, _, number = path.removeprefix("/").partition("/")
    if name not in PATHS or not (number.isdecimal() or not number):
        return answers()
    return PATHS[name](int(number or 0))


@dataclass
class Upstream:
    """A server, and what it was asked so far."""

    url: str
    calls: list[Called] = field(default_factory=list)
    """In the order in which they came."""
    _behaviours: dict[str, Behaviour] = field(default_factory=dict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def does(self, path: str, *behaviours: Behaviour) -> None:
        """Behave so from now on at a path: in turn, and then for ever like the last."""
        with self._lock:
            self._behaviours[path] = in_turn(*behaviours)

    def at(self, path: str) -> list[Called]:
        """Return the calls of a path."""
        return [each for each in [*self.calls] if urlsplit(each.path).path == path]

    def receive(self, called: Called) -> Behaviour:
        """Note a call, and return what to do with it."""
        path = urlsplit(called.path).path
        with self._lock:
            self.calls.append(called)
            if path not in self._behaviours:
                self._behaviours[path] = named(path)
            return self._behaviours[path]


def most_within(moments: Iterable[float], seconds: float) -> int:
    """Return how many moments the fullest window of this length holds, wherever it begins."""
    ordered = sorted(moments)
    return max(
        (bisect_left(ordered, begin + seconds) - place for place, begin in enumerate(ordered)), default=0
    )


class Server(ThreadingHTTPServer):
    """Serves many callers at once, and lets none of them hold it when it ends."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: str, behave: Callable[[BaseHTTPRequestHandler], None]) -> None:
        """Listen on an address, on a port that is free."""
        self._connections = set[socket.socket]()
        super().__init__((address, 0), handler(behave))

    def process_request(self, request: socket.socket, client_address: tuple[str, int]) -> None:  # type: ignore[override]
        """Keep a connection in mind."""
        self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: socket.socket) -> None:  # type: ignore[override]
        """Forget a connection."""
        self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: object, client_address: object) -> None:
        """Tell of what went wrong, but for callers who went: they may."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]

    def hang_up(self) -> None:
        """End the connections that callers keep."""
        for each in [*self._connections]:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


def handler(behave: Callable[[BaseHTTPRequestHandler], None]) -> type[BaseHTTPRequestHandler]:
    """Return what serves requests of every method alike, on connections that are kept."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            behave(self)

        do_HEAD = do_OPTIONS = do_PUT = do_DELETE = do_POST = do_PATCH = do_GET  # noqa: N815 - its names

        def log_message(self, *_words: object) -> None:
            """Say nothing: what was asked is kept."""

    return Handler


def called(request: BaseHTTPRequestHandler) -> Called:
    """Return what a request asks, with its body."""
    return Called(
        time.time(),
        request.command,
        request.path,
        {name.lower(): value for name, value in request.headers.items()},
        request.rfile.read(int(request.headers.get("Content-Length", 0))),
        *request.client_address,
    )


@contextmanager
def upstream(address: str = "127.0.0.1") -> Iterator[Upstream]:
    """Run an upstream of one's own."""
    known, ended = Upstream(""), threading.Event()

    def behave(request: BaseHTTPRequestHandler) -> None:
        asked = called(request)
        known.receive(asked)(Exchange(request, asked, ended))

    with Server(address, behave) as server:
        known.url = f"http://{address}:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield known
        finally:
            ended.set()
            server.shutdown()
            server.hang_up()
            thread.join()
