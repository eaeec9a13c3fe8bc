"""An upstream that says byte by byte what a test wants, as no proper server would."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

LOOPBACK = "127.0.0.1"
END = b"\r\n\r\n"


@dataclass(frozen=True)
class Seen:
    """A request as it came over the wire."""

    method: str
    path: str
    headers: Mapping[str, str]
    """By names in lower case."""
    body: bytes
    peer: int
    """The port from which it came."""


Script = Callable[[Seen, socket.socket], object]
"""Answers a request in whatever way."""


def answer(body: bytes = b"", *headers: str, status: int = 200, length: int | None = None) -> bytes:
    """Return an answer with a length, which need not be that of its body."""
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body) if length is None else length}"]
    return "\r\n".join([*lines, *headers]).encode("latin-1") + END + body


def saying(*answers: bytes) -> Script:
    """Answer one request after the other; all that come later like the last."""
    left = list(answers)

    def say(_seen: Seen, connection: socket.socket) -> None:
        connection.sendall(left.pop(0) if len(left) > 1 else left[0])

    return say


def until_it_leaves(connection: socket.socket) -> None:
    """Return when the other side has closed the connection."""
    with suppress(OSError):
        while connection.recv(65_536):
            pass


@dataclass
class RawUpstream:
    """A server of one test; each connection has a thread of its own."""

    script: Script
    tls: ssl.SSLContext | None = None
    seen: list[Seen] = field(default_factory=list)
    connected: int = 0
    """How many connections it took."""

    def __post_init__(self) -> None:
        self._door = socket.create_server((LOOPBACK, 0))
        self._connections: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._listen)]
        self._threads[0].start()

    @property
    def port(self) -> int:
        return int(self._door.getsockname()[1])

    @property
    def origin(self) -> str:
        return f"{'https' if self.tls else 'http'}://{LOOPBACK}:{self.port}"

    def close(self) -> None:
        with suppress(OSError):
            self._door.shutdown(socket.SHUT_RDWR)
        self._threads[0].join()
        for each in self._connections:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads[1:]:
            thread.join()
        self._door.close()

    def _listen(self) -> None:
        with suppress(OSError):
            while True:
                connection, (_, peer) = self._door.accept()
                self.connected += 1
                self._connections.append(connection)
                self._threads.append(threading.Thread(target=self._serve, args=(connection, peer)))
                self._threads[-1].start()

    def _serve(self, plain: socket.socket, peer: int) -> None:
        with plain, suppress(OSError):
            connection = plain
            if self.tls:
                connection = self.tls.wrap_socket(plain, server_side=True)
                self._connections.append(connection)
            with connection:
                while seen := read(connection, peer):
                    self.seen.append(seen)
                    self.script(seen, connection)


def read(connection: socket.socket, peer: int) -> Seen | None:
    """Return the next request on a connection; none at its end."""
    head = b""
    while END not in head:
        part = connection.recv(65_536)
        if not part:
            return None
        head += part
    top, _, body = head.partition(END)
    line, *fields = top.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (each.partition(":") for each in fields)}
    while len(body) < int(headers.get("content-length", 0)):
        body += connection.recv(65_536)
    method, path, _ = line.split(" ")
    return Seen(method, path, headers, body, peer)


@contextmanager
def serving(script: Script, tls: ssl.SSLContext | None = None) -> Iterator[RawUpstream]:
    """Serve as long as the block lasts."""
    upstream = RawUpstream(script, tls)
    try:
        yield upstream
    finally:
        upstream.close()
