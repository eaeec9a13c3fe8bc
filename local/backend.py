"""A back end to read from: an HTTP server on loopback that says what it was asked, and counts it."""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit


@dataclass(frozen=True)
class Asked:
    """One request that the back end got."""

    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    """By names in lower case."""


@dataclass
class Backend:
    """The server, and what it was asked so far."""

    url: str
    asked: list[Asked] = field(default_factory=list)
    status: int = HTTPStatus.OK
    """What it answers with from now on."""


@contextmanager
def backend() -> Iterator[Backend]:
    """Run a back end of one's own."""
    known = Backend("")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            where = urlsplit(self.path)
            known.asked.append(
                Asked(
                    unquote(where.path),
                    parse_qs(where.query, keep_blank_values=True),
                    {name.lower(): value for name, value in self.headers.items()},
                )
            )
            body = json.dumps({"path": known.asked[-1].path, "times": len(known.asked)}).encode()
            self.send_response(known.status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("ETag", f'"{len(known.asked)}"')
            self.send_header("Server-Secret", "not for callers")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_words: object) -> None:
            """Say nothing: what was asked is kept."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        known.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield known
        finally:
            server.shutdown()
            thread.join()
