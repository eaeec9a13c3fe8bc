import asyncio
import gzip
import ipaddress
import json
import socket
import ssl
import threading
import time
import tracemalloc
import zlib
from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp.connector
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from handlers.retrier.redirects import MOST_REDIRECTS, TooManyRedirectsError
from handlers.retrier.upstream import (
    LARGEST_BODY,
    Admit,
    Client,
    JudgedResolver,
    ResponseTooLargeError,
    UntrustedUpstreamError,
)
from handlers.retrier.wire import Answer, Failure, Request, Trouble
from sluice.retrier import targets
from sluice.retrier.rules import Rules
from sluice.retrier.targets import ForbiddenTargetError, Target

from .raw_upstream import END, LOOPBACK, Script, Seen, answer, saying, serving, until_it_leaves
from .retrier_rules import rules

LOCAL = ("127.0.0.0/8",)
PUBLIC = "93.184.215.14"
AT_MOST = 10.0
"""Seconds, for what does not look at the clock."""
SOON = 0.1
"""Seconds after which a request has to be over, where it is never answered."""
SOON_REDIRECTED = 0.5
"""The same, where it is redirected before."""
MEGABYTE = 1024 * 1024
KEPT_METHODS = (301, "GET"), (302, "GET"), (303, "GET"), (307, "GET"), (308, "GET"), (303, "HEAD")


def ours(*origins: str) -> Rules:
    """Return the rules of a retrier that may call servers on this machine."""
    return rules(*origins, private_networks=LOCAL)


def request(url: str, known: Rules, **given: Any) -> Request:
    given = {"method": "GET", "headers": {}, "body": None, **given}
    return Request(target=targets.judge(url, known.upstreams), **given)


async def sent(one: Request, known: Rules, seconds: float = AT_MOST) -> Answer | Failure:
    client = Client(known)
    try:
        return await client.send(one, seconds)
    finally:
        await client.close()


def ask(url: str, known: Rules, seconds: float = AT_MOST, **given: Any) -> Answer | Failure:
    return asyncio.run(sent(request(url, known, **given), known, seconds))


def told(script: Script, seconds: float = AT_MOST, **given: Any) -> Answer | Failure:
    """Return what comes of one request to a server that answers it in some way."""
    with serving(script) as upstream:
        return ask(f"{upstream.origin}/", ours(upstream.origin), seconds, **given)


def answered(script: Script, **given: Any) -> Answer:
    found = told(script, **given)
    assert isinstance(found, Answer)
    return found


def test_an_answer_is_its_status_its_headers_and_its_body() -> None:
    found = answered(saying(answer(b"none left", "X-Shop: Open", "Content-Type: text/plain", status=404)))
    assert (found.status, found.body) == (404, b"none left")
    assert found.headers == {"content-length": "9", "x-shop": "Open", "content-type": "text/plain"}


def test_a_request_is_sent_as_it_is() -> None:
    with serving(saying(answer())) as upstream:
        url = f"{upstream.origin}/a%2Fb/../%C3%BC//c;x?q=%20+'&r=%zz&q=2#top"
        headers = {"x-shop": "1", "content-type": "text/x-shop"}
        ask(url, ours(upstream.origin), method="PATCH", headers=headers, body=b"\x00\xffbody")
        (seen,) = upstream.seen
        assert (seen.method, seen.path) == ("PATCH", "/a%2Fb/../%C3%BC//c;x?q=%20+'&r=%zz&q=2")
        assert seen.body == b"\x00\xffbody"
        assert seen.headers.items() >= headers.items()
        assert seen.headers["host"] == f"{LOOPBACK}:{upstream.port}"


@pytest.mark.parametrize("body", [None, b"", b"{}"])
def test_no_type_is_made_up_for_a_body(body: bytes | None) -> None:
    with serving(saying(answer())) as upstream:
        ask(f"{upstream.origin}/", ours(upstream.origin), method="POST", body=body)
        assert "content-type" not in upstream.seen[0].headers
        assert upstream.seen[0].headers["content-length"] == str(len(body or b""))


def test_it_names_itself_unless_the_call_does() -> None:
    with serving(saying(answer())) as upstream:
        for headers in ({}, {"user-agent": "shop/2"}):
            ask(f"{upstream.origin}/", ours(upstream.origin), headers=headers)
        assert [each.headers["user-agent"] for each in upstream.seen] == ["sluice-retrier", "shop/2"]


def test_values_of_one_header_are_joined() -> None:
    found = answered(saying(answer(b"", "X-A: 1", "Link: <a>", "x-a: 2", "LINK: <b>", "X-A: 3")))
    assert (found.headers["x-a"], found.headers["link"]) == ("1, 2, 3", "<a>, <b>")


@pytest.mark.parametrize("value", ["caf\xe9", "\xff\xfe"], ids=ascii)
def test_a_header_that_is_no_ascii_can_be_carried_as_json(value: str) -> None:
    found = answered(saying(answer(b"", f"X-Shop: {value}")))
    assert json.dumps(dict(found.headers), ensure_ascii=False).encode()


def raw_deflate(body: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(body) + packer.flush()


@pytest.mark.parametrize(
    ("coding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress), ("deflate", raw_deflate)]
)
def test_a_compressed_body_is_given_as_it_was(coding: str, pack: Callable[[bytes], bytes]) -> None:
    body = b"an order; " * 10_000
    found = answered(saying(answer(pack(body), f"Content-Encoding: {coding}")))
    assert found.body == body


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_a_body_that_is_not_compressed_as_it_says_is_no_answer(coding: str) -> None:
    found = told(saying(answer(b"plain text", f"Content-Encoding: {coding}")))
    assert isinstance(found, Failure)
    assert found.trouble is Trouble.CONNECTION


def test_a_body_may_be_chunked() -> None:
    chunks = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n"
    assert answered(saying(chunks)).body == b"abcde"


def test_a_head_has_no_body_whatever_its_length_says() -> None:
    found = answered(saying(answer(b"", "Content-Encoding: gzip", length=500)), method="HEAD")
    assert (found.status, found.body) == (200, b"")


@pytest.mark.parametrize("status", [204, 304])
def test_an_answer_may_be_without_a_body(status: int) -> None:
    found = answered(saying(f"HTTP/1.1 {status} Whatever".encode() + END))
    assert (found.status, found.body) == (status, b"")


def test_an_early_hint_is_not_the_answer() -> None:
    found = answered(saying(b"HTTP/1.1 103 Early Hints\r\nLink: <a>" + END + answer(b"late")))
    assert (found.status, found.body, "link" in found.headers) == (200, b"late", False)


def test_the_largest_body_is_carried() -> None:
    assert answered(saying(answer(b"x" * LARGEST_BODY))).body == b"x" * LARGEST_BODY


def test_one_byte_more_is_too_large() -> None:
    large = answer(b"x" * (LARGEST_BODY + 1), "Retry-After: 7", status=503)
    with pytest.raises(ResponseTooLargeError, match=r"answer 503 has more than 153600 bytes") as refusal:
        told(saying(large))
    kept = refusal.value.answer
    assert (kept.status, kept.headers["retry-after"], kept.body) == (503, "7", b"")


def test_a_body_of_three_megabytes_is_not_read_to_its_end() -> None:
    left = threading.Event()

    def all_but_a_part(_seen: Seen, connection: socket.socket) -> None:
        # What is missing never comes: who reads all of it waits in vain.
        connection.sendall(answer(b"x" * (LARGEST_BODY + 1), length=3 * MEGABYTE))
        until_it_leaves(connection)
        left.set()

    async def send(one: Request, known: Rules) -> None:
        client = Client(known)
        with pytest.raises(ResponseTooLargeError):
            await client.send(one, AT_MOST)
        assert await asyncio.to_thread(left.wait, AT_MOST), "the connection is closed before the client is"
        await client.close()

    with serving(all_but_a_part) as upstream:
        known = ours(upstream.origin)
        asyncio.run(send(request(f"{upstream.origin}/", known), known))


def test_what_is_small_until_it_is_unpacked_is_never_held() -> None:
    bomb = gzip.compress(b"\0" * 50 * MEGABYTE, compresslevel=9)
    assert len(bomb) < LARGEST_BODY
    with serving(saying(answer(bomb, "Content-Encoding: gzip"))) as upstream:
        tracemalloc.start()
        try:
            with pytest.raises(ResponseTooLargeError):
                ask(f"{upstream.origin}/", ours(upstream.origin))
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert most < 10 * MEGABYTE


def closed(half: bytes) -> Script:
    def say(_seen: Seen, connection: socket.socket) -> None:
        connection.sendall(half)
        connection.shutdown(socket.SHUT_RDWR)

    return say


def reset(_seen: Seen, connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    connection.close()


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
BROKEN: Mapping[str, Script] = {
    "half a body": closed(answer(b"half", length=8)),
    "half a compressed body": closed(
        answer(gzip.compress(b"x" * 999)[:12], "Content-Encoding: gzip", length=40)
    ),
    "half of the chunks": closed(CHUNKED + b"4\r\nhalf\r\n"),
    "half a chunk": closed(CHUNKED + b"8\r\nhalf"),
    "no such chunk": closed(CHUNKED + b"zz\r\nhalf\r\n"),
    "half a head": closed(b"HTTP/1.1 200 OK\r\nX-Shop: op"),
    "nothing": closed(b""),
    "reset": reset,
    "no HTTP": closed(b"220 mail.example.com ESMTP\r\n"),
    "no status": closed(b"HTTP/1.1 OK" + END),
    "two lengths": closed(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2" + END + b"ab"),
    "an endless header": closed(b"HTTP/1.1 200 OK\r\nX-Shop: " + b"x" * MEGABYTE),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_answer_is_none(name: str) -> None:
    found = told(BROKEN[name], method="POST")
    assert isinstance(found, Failure)
    assert found.trouble is Trouble.CONNECTION
    assert "127.0.0.1" not in found.detail


def test_a_closed_port_is_no_answer() -> None:
    with serving(saying(answer())) as upstream:
        gone = upstream.origin
    found = ask(f"{gone}/", ours(gone))
    assert isinstance(found, Failure)
    assert found.trouble is Trouble.CONNECTION


def never(_seen: Seen, connection: socket.socket) -> None:
    until_it_leaves(connection)


def dripping(head: bytes, endless: bytes) -> Script:
    """Say something at once, and then one byte after the other, without end."""

    def drip(_seen: Seen, connection: socket.socket) -> None:
        connection.sendall(head)
        connection.settimeout(SOON / 20)
        while True:
            connection.sendall(endless)
            try:
                if not connection.recv(1):
                    return
            except TimeoutError:
                continue

    return drip


SILENT: Mapping[str, Script] = {
    "never": never,
    "only a head": lambda _seen, connection: connection.sendall(answer(b"", length=5)),
    "headers byte by byte": dripping(b"HTTP/1.1 200 OK\r\nX-Shop: ", b"x"),
    "a body byte by byte": dripping(answer(b"", length=MEGABYTE), b"x"),
    "chunks byte by byte": dripping(CHUNKED, b"1\r\nx\r\n"),
    "hints without end": dripping(b"", b"HTTP/1.1 103 Early Hints" + END),
}


@pytest.mark.parametrize("name", SILENT)
def test_the_time_is_for_all_of_an_answer(name: str) -> None:
    began = time.monotonic()
    found = told(SILENT[name], SOON)
    assert SOON <= time.monotonic() - began < AT_MOST
    assert isinstance(found, Failure)
    assert found.trouble is Trouble.TIMEOUT


def test_the_time_is_for_all_redirects_together() -> None:
    def slowly(seen: Seen, connection: socket.socket) -> None:
        connection.settimeout(SOON_REDIRECTED * 0.3)
        try:
            connection.recv(1)
        except TimeoutError:
            connection.settimeout(None)
            connection.sendall(answer(b"", f"Location: {seen.path}x", status=307))

    with serving(slowly) as upstream:
        found = ask(f"{upstream.origin}/", ours(upstream.origin), SOON_REDIRECTED)
        assert isinstance(found, Failure)
        assert found.trouble is Trouble.TIMEOUT, "and not that it was redirected too often, each time in time"
        assert len(upstream.seen) > 1


def test_no_time_is_no_answer() -> None:
    found = told(never, -1.0)
    assert isinstance(found, Failure)
    assert found.trouble is Trouble.TIMEOUT


def test_more_than_five_seconds_are_not_rounded_up(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[aiohttp.ClientTimeout] = []

    def noted(_self: aiohttp.ClientSession, *_args: object, **options: Any) -> None:
        given.append(options["timeout"])
        raise aiohttp.ClientError

    monkeypatch.setattr(aiohttp.ClientSession, "request", noted)
    told(never, 7.3)
    (found,) = given
    assert found.total is not None
    # The library rounds what is longer than this up to a whole second of its clock.
    assert found.total < found.ceil_threshold


def test_an_answer_before_all_is_sent_does_not_wait_for_the_rest() -> None:
    finished = threading.Event()

    def without_reading(door: socket.socket) -> None:
        connection, _ = door.accept()
        with connection:
            connection.recv(100)
            connection.sendall(answer(b"too much", status=413))
            finished.wait(AT_MOST)

    with closing(socket.create_server((LOOPBACK, 0))) as door:
        door.settimeout(AT_MOST)
        door.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        server = threading.Thread(target=without_reading, args=(door,))
        server.start()
        origin = f"http://{LOOPBACK}:{door.getsockname()[1]}"
        try:
            found = ask(f"{origin}/", ours(origin), method="POST", body=b"x" * 900_000)
            assert not finished.is_set()
        finally:
            finished.set()
            server.join()
    assert isinstance(found, Answer)
    assert (found.status, found.body) == (413, b"too much")


def redirecting(status: int, location: str) -> Script:
    """Redirect whoever asks for / and answer whatever else is asked for."""

    def say(seen: Seen, connection: socket.socket) -> None:
        there = answer(b"", f"Location: {location}", status=status)
        connection.sendall(there if seen.path == "/" else answer(b""))

    return say


def followed(status: int, method: str, body: bytes | None) -> Seen:
    """Return the second request, after a redirect."""
    with serving(redirecting(status, "/there")) as upstream:
        headers = {"content-type": "text/x-shop", "content-language": "de", "x-shop": "1"}
        found = ask(f"{upstream.origin}/", ours(upstream.origin), method=method, headers=headers, body=body)
        assert isinstance(found, Answer)
        assert found.status == 200
        first, second = upstream.seen
        assert (first.path, second.path) == ("/", "/there")
        assert second.headers["x-shop"] == "1"
        return second


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("status", [307, 308])
def test_a_redirect_that_keeps_the_method_keeps_the_body(status: int, method: str) -> None:
    found = followed(status, method, b"an order")
    assert (found.method, found.body) == (method, b"an order")
    assert found.headers["content-type"] == "text/x-shop"


@pytest.mark.parametrize(
    ("status", "method"), [(301, "POST"), (302, "POST"), *((303, each) for each in ("POST", "PUT", "DELETE"))]
)
def test_a_redirect_to_what_came_of_it_gets_it(status: int, method: str) -> None:
    found = followed(status, method, b"an order")
    assert (found.method, found.body) == ("GET", b"")
    assert not {name for name in found.headers if name.startswith("content-")}


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("status", [301, 302])
def test_only_a_post_becomes_a_get_where_something_has_moved(status: int, method: str) -> None:
    # RFC 9110, 15.4.2 and 15.4.3: what is to be deleted there is not deleted by getting it.
    found = followed(status, method, b"an order")
    assert (found.method, found.body) == (method, b"an order")


@pytest.mark.parametrize(("status", "method"), KEPT_METHODS)
def test_what_only_reads_stays_what_it_is(status: int, method: str) -> None:
    assert followed(status, method, None).method == method


@pytest.mark.parametrize("status", [201, 300, 304, 305, 399])
def test_other_answers_are_no_redirects(status: int) -> None:
    found = answered(redirecting(status, "/there"))
    assert (found.status, found.headers["location"]) == (status, "/there")


def test_a_redirect_to_nowhere_is_an_answer() -> None:
    assert answered(saying(answer(b"moved", status=302))).status == 302


@pytest.mark.parametrize(
    "location", ["/", "", "#top", "?", "//127.0.0.1:{port}/", "http://127.0.0.1:{port}/"]
)
def test_a_redirect_to_itself_is_a_circle(location: str) -> None:
    def around(seen: Seen, connection: socket.socket) -> None:
        port = connection.getsockname()[1]
        connection.sendall(answer(b"", f"Location: {location.format(port=port)}", status=302))

    with pytest.raises(TooManyRedirectsError):
        told(around)


def test_a_circle_ends_where_it_began() -> None:
    def around(seen: Seen, connection: socket.socket) -> None:
        steps = {"/": "/a", "/a": "/b", "/b": "/"}
        connection.sendall(answer(b"", f"Location: {steps[seen.path]}", status=302))

    with serving(around) as upstream:
        with pytest.raises(TooManyRedirectsError, match="in a circle"):
            ask(f"{upstream.origin}/", ours(upstream.origin))
        assert len(upstream.seen) == 3


def test_a_post_may_be_sent_back_to_where_it_was_posted() -> None:
    def stored(seen: Seen, connection: socket.socket) -> None:
        back = answer(b"", "Location: /", status=303)
        connection.sendall(back if seen.method == "POST" else answer(b"stored"))

    assert answered(stored, method="POST", body=b"an order").body == b"stored"


@pytest.mark.parametrize("more", [0, 1])
def test_so_many_redirects_and_no_more(more: int) -> None:
    def on(seen: Seen, connection: socket.socket) -> None:
        far = len(seen.path) - 1
        there = answer(b"", f"Location: {seen.path}x", status=307)
        connection.sendall(there if far < MOST_REDIRECTS + more else answer(b"here"))

    if not more:
        assert answered(on).body == b"here"
        return
    with pytest.raises(TooManyRedirectsError, match=f"more than {MOST_REDIRECTS} times"):
        told(on)


FORBIDDEN = [
    "http://evil.example/",
    "//evil.example/",
    "http://169.254.169.254/latest/meta-data/",
    "http://[fd00:ec2::254]/",
    "http://127.0.0.1:1/",
    "http://2130706433/",
    "http://user:pass@{here}/there",
    "http://{here}@evil.example/",
    "http://evil.example#@{here}/",
    "http://evil.example\\@{here}/",
    "\\\\evil.example/",
    "file:///etc/passwd",
    "gopher://{here}/",
    "data:text/plain,x",
    "http://[::1",
    "/th\u00e9re",
]


@pytest.mark.parametrize("location", FORBIDDEN, ids=ascii)
def test_a_redirect_leads_nowhere_else(location: str) -> None:
    def away(seen: Seen, connection: socket.socket) -> None:
        here = f"{LOOPBACK}:{connection.getsockname()[1]}"
        connection.sendall(answer(b"", f"Location: {location.format(here=here)}", status=307))

    with serving(away) as upstream:
        with pytest.raises(ForbiddenTargetError):
            ask(f"{upstream.origin}/", ours(upstream.origin))
        assert len(upstream.seen) == 1


def test_an_address_that_is_an_upstream_is_refused_when_it_is_the_metadata_service_s() -> None:
    metadata = "http://169.254.169.254"
    with serving(redirecting(307, f"{metadata}/latest/")) as upstream:
        known = rules(upstream.origin, metadata, private_networks=("0.0.0.0/0",))
        with pytest.raises(ForbiddenTargetError, match=r"169\.254\.169\.254"):
            ask(f"{upstream.origin}/", known)


PRIVATE = {
    "authorization": "Bearer shop",
    "cookie": "a=b",
    "proxy-authorization": "Basic x",
    "x-secret": "hush",
}
UNKNOWN = {"x-shop": "1", "x-api-key": "hush", "api-token": "hush", "origin": "https://shop.example.com"}
"""What may be private; nobody has said that it is not."""
OPEN = {
    "idempotency-key": "order-1",
    "content-type": "text/x-shop",
    "content-language": "de",
    "accept": "text/x-shop",
    "accept-language": "de",
    "user-agent": "shop/2",
}


def test_what_is_private_is_not_sent_to_another_origin() -> None:
    with serving(saying(answer(b"there"))) as other, serving(redirecting(307, f"{other.origin}/x")) as first:
        known = ours(first.origin, other.origin)
        ask(
            f"{first.origin}/",
            known,
            method="POST",
            headers={**PRIVATE, **UNKNOWN, **OPEN},
            body=b"an order",
            private=frozenset({"x-secret"}),
        )
        (before,), (after,) = first.seen, other.seen
        assert before.headers.items() >= {**PRIVATE, **UNKNOWN, **OPEN}.items()
        assert after.headers.items() >= OPEN.items()
        assert not after.headers.keys() & {*PRIVATE, *UNKNOWN}
        assert after.headers["host"] == f"{LOOPBACK}:{other.port}"
        assert after.body == b"an order"


@pytest.mark.parametrize("name", ["accept-token", "content-token", "user-agent", "idempotency-key"])
def test_a_secret_is_not_sent_to_another_origin_whatever_its_name(name: str) -> None:
    with serving(saying(answer(b"there"))) as other, serving(redirecting(307, f"{other.origin}/x")) as first:
        known = ours(first.origin, other.origin)
        ask(f"{first.origin}/", known, headers={name: "hush"}, private=frozenset({name}))
        assert first.seen[0].headers[name] == "hush"
        assert other.seen[0].headers.get(name) != "hush"


def test_a_key_is_sent_to_another_origin_in_the_header_that_upstreams_know() -> None:
    with serving(saying(answer(b"there"))) as other, serving(redirecting(307, f"{other.origin}/x")) as first:
        known = rules(first.origin, other.origin, private_networks=LOCAL, idempotency_header="x-once")
        ask(f"{first.origin}/", known, headers={"x-once": "order-1", "idempotency-key": "another"})
        assert other.seen[0].headers["x-once"] == "order-1"
        assert "idempotency-key" not in other.seen[0].headers


def test_whose_answer_it_is_is_told_after_a_redirect() -> None:
    with serving(saying(answer(b"there"))) as other, serving(redirecting(307, f"{other.origin}/x")) as first:
        known = ours(first.origin, other.origin)
        moved, stayed = ask(f"{first.origin}/", known), ask(f"{first.origin}/x", known)
        assert (moved.origin, stayed.origin) == (other.origin, first.origin)


@pytest.mark.parametrize(
    ("name", "seconds"),
    [
        *((each, AT_MOST) for each in ("reset", "nothing", "half a body", "no HTTP")),
        ("never", SOON_REDIRECTED),
    ],
)
def test_who_did_not_answer_is_told_after_a_redirect(name: str, seconds: float) -> None:
    script = {**BROKEN, **SILENT}[name]
    with serving(script) as other, serving(redirecting(307, f"{other.origin}/x")) as first:
        found = ask(f"{first.origin}/", ours(first.origin, other.origin), seconds)
        assert isinstance(found, Failure)
        assert found.origin == other.origin


def admitted(url: str, known: Rules, admit: Admit) -> Answer | Failure:
    """Return what comes of a request whose redirects are asked about."""

    async def send() -> Answer | Failure:
        client = Client(known)
        try:
            return await client.send(request(url, known), AT_MOST, admit)
        finally:
            await client.close()

    return asyncio.run(send())


def test_each_redirect_is_asked_about_before_it_is_followed() -> None:
    with serving(saying(answer(b"there"))) as other, serving(redirecting(307, f"{other.origin}/x")) as first:
        asked: list[tuple[str, int, int, int]] = []

        async def admit(target: Target, status: int) -> None:
            asked.append((target.url, status, len(first.seen), len(other.seen)))

        admitted(f"{first.origin}/", ours(first.origin, other.origin), admit)
        there = f"{other.origin}/x"
        assert asked == [(there, 307, 1, 0)], "and the first request is not"
        assert len(other.seen) == 1


def test_a_redirect_that_is_not_admitted_is_not_followed() -> None:
    class HeldError(Exception):
        pass

    async def admit(_target: Target, _status: int) -> None:
        raise HeldError

    with serving(saying(answer(b"there"))) as other, serving(redirecting(307, f"{other.origin}/x")) as first:
        with pytest.raises(HeldError):
            admitted(f"{first.origin}/", ours(first.origin, other.origin), admit)
        assert (len(first.seen), other.connected) == (1, 0)


def test_a_circle_is_not_asked_about_again() -> None:
    asked: list[str] = []

    async def admit(target: Target, _status: int) -> None:
        asked.append(target.url)

    with serving(redirecting(307, "/")) as upstream:
        with pytest.raises(TooManyRedirectsError):
            admitted(f"{upstream.origin}/", ours(upstream.origin), admit)
        assert asked == []


def test_what_is_private_does_not_come_back_either() -> None:
    def back(_seen: Seen, connection: socket.socket) -> None:
        connection.sendall(answer(b"", f"Location: {first.origin}/back", status=307))

    with serving(back) as other, serving(redirecting(307, f"{other.origin}/x")) as first:
        known = ours(first.origin, other.origin)
        ask(f"{first.origin}/", known, headers=PRIVATE, private=frozenset({"x-secret"}))
        assert [each.path for each in first.seen] == ["/", "/back"]
        assert not first.seen[-1].headers.keys() & PRIVATE.keys()


def test_what_is_private_stays_with_its_own_origin() -> None:
    with serving(redirecting(302, "/there")) as upstream:
        ask(
            f"{upstream.origin}/",
            ours(upstream.origin),
            headers=PRIVATE,
            private=frozenset({"x-secret"}),
        )
        assert upstream.seen[1].headers.items() >= PRIVATE.items()


def test_no_cookie_is_kept() -> None:
    with serving(saying(answer(b"", "Set-Cookie: a=b; Path=/"))) as upstream:
        known = ours(upstream.origin)

        async def twice() -> None:
            client = Client(known)
            for _ in range(2):
                await client.send(request(f"{upstream.origin}/", known), AT_MOST)
            await client.close()

        asyncio.run(twice())
        assert len(upstream.seen) == 2
        assert not any("cookie" in each.headers for each in upstream.seen)


def test_the_environment_s_proxies_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(saying(answer(b"proxy"))) as proxy, serving(saying(answer(b"upstream"))) as upstream:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "https_proxy"):
            monkeypatch.setenv(name, proxy.origin)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        found = ask(f"{upstream.origin}/", ours(upstream.origin))
        assert isinstance(found, Answer)
        assert (found.body, proxy.connected) == (b"upstream", 0)


def test_a_netrc_is_ignored(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "netrc").write_text(f"machine {LOOPBACK} login a password b\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with serving(saying(answer())) as upstream:
        ask(f"{upstream.origin}/", ours(upstream.origin))
        assert "authorization" not in upstream.seen[0].headers


def test_a_connection_is_kept_from_one_run_of_the_loop_to_the_next() -> None:
    with serving(saying(answer(b"here"))) as upstream, closing(asyncio.new_event_loop()) as loop:
        known = ours(upstream.origin)
        client = Client(known)
        for _ in range(3):
            loop.run_until_complete(client.send(request(f"{upstream.origin}/", known), AT_MOST))
        loop.run_until_complete(client.close())
        assert len({each.peer for each in upstream.seen}) == upstream.connected == 1
        assert len(upstream.seen) == 3


def test_a_connection_that_the_upstream_closed_meanwhile_is_not_used_again() -> None:
    gone = threading.Semaphore(0)

    def once(_seen: Seen, connection: socket.socket) -> None:
        connection.sendall(answer(b"here"))
        connection.shutdown(socket.SHUT_RDWR)
        gone.release()

    with serving(once) as upstream, closing(asyncio.new_event_loop()) as loop:
        known = ours(upstream.origin)
        client = Client(known)
        one = request(f"{upstream.origin}/", known, method="POST", body=b"an order")

        async def after_something_else() -> Answer | Failure:
            await asyncio.to_thread(int)
            return await client.send(one, AT_MOST)

        found = []
        for _ in range(3):
            found.append(loop.run_until_complete(after_something_else()))
            assert gone.acquire(timeout=AT_MOST)
        loop.run_until_complete(client.close())
        assert [isinstance(each, Answer) for each in found] == [True] * 3


def resolving(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    """Let every name have these addresses."""

    def look_up(host: str, port: int, *args: object, **options: object) -> list[object]:
        kinds = {each: socket.AF_INET6 if ":" in each else socket.AF_INET for each in addresses}
        return [
            (
                kind,
                socket.SOCK_STREAM,
                socket.IPPROTO_TCP,
                "",
                (each, port, 0, 0) if kind == socket.AF_INET6 else (each, port),
            )
            for each, kind in kinds.items()
        ]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)


HERE = ["127.0.0.1", "10.0.0.1", "169.254.169.254", "0.0.0.0", "::1", "::ffff:127.0.0.1", "fd00:ec2::254"]


@pytest.mark.parametrize("address", HERE)
def test_a_name_of_a_private_address_is_refused(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    resolving(monkeypatch, address)
    known = rules("http://api.example.com")
    with pytest.raises(ForbiddenTargetError, match=r"api\.example\.com has no address"):
        ask("http://api.example.com/", known)


@pytest.mark.parametrize("address", HERE)
def test_of_several_addresses_a_private_one_is_never_tried(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []

    def noted(self: Client, address: aiohttp.AddrInfoType) -> socket.socket:
        tried.append(str(address[4][0]))
        raise OSError("not here")

    monkeypatch.setattr(Client, "_socket", noted)
    resolving(monkeypatch, address, PUBLIC)
    found = ask("http://api.example.com/", rules("http://api.example.com"))
    assert isinstance(found, Failure)
    assert set(tried) == {PUBLIC}


def test_a_name_may_have_a_private_address_where_its_network_is_allowed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with serving(saying(answer(b"here"))) as upstream:
        resolving(monkeypatch, LOOPBACK)
        origin = f"http://api.example.com:{upstream.port}"
        found = ask(f"{origin}/", ours(origin))
        assert isinstance(found, Answer)
        assert upstream.seen[0].headers["host"] == f"api.example.com:{upstream.port}"


def test_each_look_up_is_judged_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    async def look_up() -> list[str]:
        return [each["host"] for each in await JudgedResolver(()).resolve("api.example.com", 80)]

    resolving(monkeypatch, PUBLIC, "10.0.0.1")
    assert asyncio.run(look_up()) == [PUBLIC]
    resolving(monkeypatch, "10.0.0.1")
    with pytest.raises(ForbiddenTargetError):
        asyncio.run(look_up())


@pytest.mark.parametrize("address", ["10.0.0.1", "169.254.169.254", "::1"])
def test_a_redirect_to_an_upstream_s_name_is_judged_by_its_address(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolving(monkeypatch, address)
    other = "http://api.example.com"
    with serving(redirecting(307, f"{other}/x")) as upstream:
        with pytest.raises(ForbiddenTargetError, match=r"api\.example\.com has no address"):
            ask(f"{upstream.origin}/", ours(upstream.origin, other))
        assert len(upstream.seen) == 1, "it was asked, and its redirect refused"


def test_a_redirect_to_an_upstream_s_name_is_followed_to_an_address_that_is_allowed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resolving(monkeypatch, LOOPBACK)
    with serving(saying(answer(b"there"))) as other:
        named = f"http://api.example.com:{other.port}"
        with serving(redirecting(307, f"{named}/x")) as first:
            found = ask(f"{first.origin}/", ours(first.origin, named))
    assert isinstance(found, Answer)
    assert (found.body, found.origin) == (b"there", named)


def test_a_name_that_nobody_has_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_args: object, **_options: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    found = ask("http://api.example.com/", rules("http://api.example.com"))
    assert isinstance(found, Failure)
    assert found.trouble is Trouble.CONNECTION


@pytest.mark.parametrize("private", [(), ("10.0.0.0/8",), ("::1/128",)])
def test_a_literal_address_is_judged_before_it_is_connected_to(private: tuple[str, ...]) -> None:
    with serving(saying(answer())) as upstream:
        with pytest.raises(ForbiddenTargetError, match=r"127\.0\.0\.1 is no address"):
            ask(f"{upstream.origin}/", rules(upstream.origin, private_networks=private))
        assert upstream.connected == 0


@pytest.mark.parametrize("host", ["0x7f000001", "[::ffff:7f00:1]"])
def test_another_way_to_write_an_address_is_judged_too(host: str) -> None:
    with serving(saying(answer())) as upstream:
        origin = f"http://{host}:{upstream.port}"
        with pytest.raises(ForbiddenTargetError, match="address that may be connected to"):
            ask(f"{origin}/", rules(origin))
        assert upstream.connected == 0


@pytest.mark.parametrize("host", ["127.1", "2130706433", "0177.0.0.1", "0"])
def test_what_is_half_an_address_is_never_connected_to(host: str) -> None:
    with serving(saying(answer())) as upstream:
        origin = f"http://{host}:{upstream.port}"
        assert isinstance(ask(f"{origin}/", ours(origin)), Failure)
        assert upstream.connected == 0


class Certificates:
    """A certificate for this machine's address, and who trusts it."""

    def __init__(self, folder: Path, name: str = LOOPBACK, days: int = 1) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "an upstream")])
        ends = datetime.now(UTC) + timedelta(days=days)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(ends - timedelta(days=3))
            .not_valid_after(ends)
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(name))]), False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )
        self._file = folder / "certificate.pem"
        self._file.write_bytes(
            certificate.public_bytes(serialization.Encoding.PEM)
            + key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )

    def shown(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._file)
        return context

    def trusted(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let the client take this certificate's maker for one of those whom everybody trusts."""
        context = ssl.create_default_context(cafile=self._file)
        monkeypatch.setattr(aiohttp.connector, "_SSL_CONTEXT_VERIFIED", context)


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path)


def test_a_certificate_that_nobody_trusts_ends_the_call(certificates: Certificates) -> None:
    with serving(saying(answer()), certificates.shown()) as upstream:
        with pytest.raises(UntrustedUpstreamError, match=r"certificate of 127\.0\.0\.1"):
            ask(f"{upstream.origin}/", ours(upstream.origin), headers={"authorization": "Bearer shop"})
        assert upstream.seen == []


@pytest.mark.parametrize(("name", "days"), [("127.0.0.2", 1), (LOOPBACK, -1)], ids=["another's", "expired"])
def test_a_certificate_that_is_not_good_ends_the_call(
    name: str, days: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = Certificates(tmp_path, name, days)
    bad.trusted(monkeypatch)
    with serving(saying(answer()), bad.shown()) as upstream:
        with pytest.raises(UntrustedUpstreamError):
            ask(f"{upstream.origin}/", ours(upstream.origin))
        assert upstream.seen == []


def test_a_certificate_that_is_trusted_is_taken(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificates.trusted(monkeypatch)
    with serving(saying(answer(b"hush")), certificates.shown()) as upstream:
        found = ask(f"{upstream.origin}/", ours(upstream.origin))
        assert isinstance(found, Answer)
        assert found.body == b"hush"


def test_no_redirect_leads_from_tls_to_none(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificates.trusted(monkeypatch)
    with (
        serving(saying(answer())) as plain,
        serving(redirecting(307, f"{plain.origin}/x"), certificates.shown()) as upstream,
    ):
        with pytest.raises(ForbiddenTargetError, match="from https to http"):
            ask(f"{upstream.origin}/", ours(upstream.origin, plain.origin))
        assert (len(upstream.seen), plain.connected) == (1, 0)


def test_a_plain_answer_where_tls_is_spoken_is_no_answer() -> None:
    with serving(saying(answer())) as upstream:
        origin = upstream.origin.replace("http:", "https:")
        found = ask(f"{origin}/", ours(origin), SOON)
        assert isinstance(found, Failure)
