import http.client
import http.server
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from local.standin.http_backend import Parts, get, url_of
from local.standin.mappings import ConfigurationError

Respond = Callable[[http.server.BaseHTTPRequestHandler], None]


def parts(path: dict[str, str] | None = None, query: dict[str, str] | None = None) -> Parts:
    return Parts(path or {}, query or {}, {})


@contextmanager
def backend(respond: Respond) -> Iterator[str]:
    """Run a back end, and yield its URL."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with suppress(OSError):
                respond(self)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def answering(status: int, body: bytes, *headers: tuple[str, str]) -> Respond:
    def respond(request: http.server.BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        for name, value in headers:
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(body)

    return respond


@pytest.mark.parametrize(
    ("uri", "given", "wanted"),
    [
        ("https://h/orders/{id}", parts({"id": "7"}), "https://h/orders/7"),
        ("https://h/{a}/x/{b}", parts({"a": "1", "b": "2"}), "https://h/1/x/2"),
        ("https://h/orders/{id}", parts({"id": "a/../b?c#d%é&="}), "https://h/orders/a%2F..%2Fb%3Fc%23d%25%C3%A9%26%3D"),
        ("https://h/x", parts(query={"q": "a&b=c d", "é": "1"}), "https://h/x?q=a%26b%3Dc%20d&%C3%A9=1"),
        ("https://h/x?k=v", parts(query={"q": "1"}), "https://h/x?k=v&q=1"),
        ("http://127.0.0.1:80/x", parts(), "http://127.0.0.1:80/x"),
        ("http://localhost/x", parts(), "http://localhost/x"),
        ("http://[::1]:8080/x", parts(), "http://[::1]:8080/x"),
    ],
)  # fmt: skip
def test_a_value_stays_where_it_is_mapped_to(uri: str, given: Parts, wanted: str) -> None:
    assert url_of(uri, given) == wanted


def test_a_variable_without_a_value_is_an_error() -> None:
    with pytest.raises(ConfigurationError, match="has no value"):
        url_of("https://h/{id}", parts())


@pytest.mark.parametrize(
    "uri", ["http://example.com/", "http://127.0.0.1.example.com/", "ftp://127.0.0.1/", "https:///x", "x", ""]
)
def test_a_back_end_elsewhere_is_called_over_tls_only(uri: str) -> None:
    with pytest.raises(ConfigurationError):
        url_of(uri, parts())


def test_the_back_end_gets_what_is_sent_and_its_answer_comes_back() -> None:
    seen: list[Any] = []

    def respond(request: http.server.BaseHTTPRequestHandler) -> None:
        seen.append((request.command, request.path, dict(request.headers)))
        answering(203, "é".encode(), ("ETag", '"1"'), ("Vary", "a"), ("vary", "b"))(request)

    with backend(respond) as url:
        reply = get(f"{url}/a%2Fb?c=d", {"Accept": "x/y", "X-Name": "é"}, 5)

    assert (reply.status, reply.body, reply.headers["etag"], reply.headers["vary"]) == (
        203,
        "é",
        '"1"',
        "a, b",
    )
    command, path, headers = seen[0]
    assert (command, path) == ("GET", "/a%2Fb?c=d")
    assert headers.keys() == {"Host", "Accept-Encoding", "Accept", "X-Name"}
    assert headers["X-Name"].encode("latin-1").decode() == "é"


@pytest.mark.parametrize("status", [204, 304, 404, 500])
def test_any_status_is_an_answer(status: int) -> None:
    with backend(answering(status, b"")) as url:
        assert get(url, {}, 5).status == status


def test_a_redirect_is_not_followed() -> None:
    with backend(answering(302, b"", ("Location", "/elsewhere"))) as url:
        reply = get(url, {}, 5)
    assert (reply.status, reply.headers["location"]) == (302, "/elsewhere")


def test_a_back_end_that_is_silent_times_out() -> None:
    started = time.monotonic()
    with backend(lambda _request: time.sleep(0.5)) as url, pytest.raises(TimeoutError):
        get(url, {}, 0.1)
    assert time.monotonic() - started < 5


def test_a_back_end_that_answers_drop_by_drop_times_out_as_well() -> None:
    def respond(request: http.server.BaseHTTPRequestHandler) -> None:
        answering(200, b"")(request)
        for _ in range(40):
            request.wfile.write(b"x")
            time.sleep(0.05)

    with backend(respond) as url, pytest.raises(TimeoutError):
        get(url, {}, 0.3)


def test_an_answer_that_breaks_off_is_no_answer() -> None:
    with (
        backend(answering(200, b"ab", ("Content-Length", "5"))) as url,
        pytest.raises(http.client.IncompleteRead),
    ):
        get(url, {}, 5)


def test_a_back_end_that_is_not_there_is_an_error() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(ConnectionRefusedError):
            get(f"http://127.0.0.1:{taken.getsockname()[1]}/", {}, 5)


def test_a_value_that_would_begin_another_header_is_not_sent() -> None:
    with backend(answering(200, b"")) as url, pytest.raises(OSError, match="cannot be sent"):
        get(url, {"X-Name": "a\r\nX-Other: b"}, 5)
