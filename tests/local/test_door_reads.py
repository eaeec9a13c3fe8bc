"""Reads: what a back end is asked, what callers see of its answers, and what the cache keeps."""

import json
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import quote

import pytest

from local.backend import Backend
from local.emulator import free_port
from local.stack import LocalAws
from sluice import tokens

from .doors import Door, assert_problem, open_door
from .support import Reply, assert_refused, bearer

OF_API_GATEWAY = {"host", "accept", "accept-encoding", "user-agent", "connection", "x-amzn-apigateway-api-id"}
"""What API Gateway itself sends to a back end."""
TTL_SECONDS = 1


@dataclass
class Origin:
    """A back end that answers as it is told, and keeps what it was asked."""

    url: str = ""
    asked: list[tuple[str, Mapping[str, str]]] = field(default_factory=list)
    """Targets as they came, and headers by names in lower case."""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b"{}"

    def answers(
        self, status: int = 200, body: bytes = b"{}", headers: Mapping[str, str] | None = None
    ) -> None:
        """Say what it answers from now on, and forget what it was asked."""
        self.status, self.body, self.headers, self.asked = status, body, headers or {}, []

    @property
    def targets(self) -> list[str]:
        """What it was asked for."""
        return [target for target, _ in self.asked]


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    known = Origin()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known.asked.append((self.path, {name.lower(): each for name, each in self.headers.items()}))
            self.send_response(known.status)
            for name, value in known.headers.items():
                self.send_header(name, value)
            self.end_headers()
            if known.status != 204:
                self.wfile.write(known.body)

        def log_message(self, *_words: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        known.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        yield known
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def silent() -> Iterator[str]:
    """The URL of a back end that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


@pytest.fixture(scope="module")
def library(cloud: LocalAws, origin: Origin, silent: str) -> Door:
    """A front door with reads."""
    return open_door(
        cloud,
        {
            "reads": [
                {
                    "path": "catalog/{sku}",
                    "url": f"{origin.url}/v2/catalog/{{sku}}/parts",
                    "query": ["page", "q"],
                    "headers": ["Accept-Language"],
                },
                {
                    "path": "kept/{sku}",
                    "url": f"{origin.url}/kept/{{sku}}",
                    "query": ["page"],
                    "headers": ["X-Region"],
                    "cache_ttl_seconds": 60,
                },
                {"path": "brief", "url": f"{origin.url}/brief", "cache_ttl_seconds": TTL_SECONDS},
                {"path": "silent", "url": silent, "timeout_ms": 300},
                {"path": "dead", "url": f"http://127.0.0.1:{free_port()}"},
            ],
            "health_path": "health",
        },
    )


def read(door: Door, path: str, headers: Mapping[str, str] | None = None) -> Reply:
    """Send a GET."""
    return door.send(path, None, headers, "GET")


def test_the_health_path_answers_everybody_by_itself(library: Door, guarded: Door) -> None:
    for door in (library, guarded):
        reply = read(door, "health")
        assert reply.status == 200
        assert reply.answer == {"status": "ok", "requestId": reply.headers["x-amzn-requestid"]}
        assert reply.headers["content-type"] == "application/json"
        assert reply.headers["cache-control"] == "no-store"


def test_the_health_path_asks_nothing_of_a_request(library: Door) -> None:
    assert read(library, "health?any=thing", {"Accept": "text/html"}).status == 200


@pytest.mark.parametrize(
    "value",
    ["shoe", "a b", "a+b", "100%", "a?b=c&d", "a#b", "\u00e9 \u4e2d", "a'b\"c", "$x", "a;b", "a%2Fb"],
)
def test_values_are_passed_on_encoded_so_that_each_stays_one_value(
    library: Door, origin: Origin, value: str
) -> None:
    origin.answers()
    sent = quote(value, safe="")

    reply = read(library, f"catalog/{sent}?page={sent}", {"Accept-Language": "de, en;q=0.5"})

    assert reply.status == 200
    ((target, headers),) = origin.asked
    assert target == f"/v2/catalog/{sent}/parts?page={sent}"
    assert headers["accept-language"] == "de, en;q=0.5"


@pytest.mark.parametrize(
    "sent",
    ["..%2F..%2Fadmin", "%2E%2E", "..", "a%2F..%2F..%2Fadmin", "a%5C..", "%252e%252e%252fadmin", "a/../b"],
)
def test_no_value_leads_to_another_path_behind(library: Door, origin: Origin, sent: str) -> None:
    origin.answers()

    reply = read(library, f"catalog/{sent}")

    assert (reply.status == 200) == bool(origin.asked)
    for target in origin.targets:
        version, catalog, sku, parts = target.removeprefix("/").split("/")
        assert (version, catalog, parts) == ("v2", "catalog", "parts")
        assert sku not in {".", ".."}


def test_nothing_else_is_passed_on(library: Door, origin: Origin) -> None:
    origin.answers()
    headers = {
        "Cookie": "session=secret",
        "Authorization": "Bearer secret",
        "X-Api-Key": "secret",
        "X-Forwarded-For": "203.0.113.9",
        "X-Region": "eu",
        "Referer": "https://example.org",
        "If-None-Match": '"1"',
        "User-Agent": "secret",
    }

    read(library, "catalog/shoe?tracker=secret&page=1&PAGE=2&debug", headers)

    ((target, seen),) = origin.asked
    assert target == "/v2/catalog/shoe/parts?page=1"
    assert seen.keys() <= OF_API_GATEWAY
    assert "secret" not in str(seen)


def test_what_is_absent_is_absent_behind(library: Door, origin: Origin) -> None:
    origin.answers()

    read(library, "catalog/shoe")

    ((target, seen),) = origin.asked
    assert target == "/v2/catalog/shoe/parts"
    assert "accept-language" not in seen


def test_of_the_back_end_s_headers_four_are_passed_on(library: Door, origin: Origin) -> None:
    passed_on = {
        "Content-Type": "text/csv",
        "Cache-Control": "max-age=9",
        "ETag": '"7"',
        "Last-Modified": "Sat, 21 Nov 2026 20:00:00 GMT",
    }
    kept_back = {"Set-Cookie": "a=b", "X-Powered-By": "secret", "Location": "/secret", "Retry-After": "7"}
    origin.answers(body=b"a,b\n\xc3\xa9\n", headers={**passed_on, **kept_back})

    reply = read(library, "catalog/shoe")

    assert (reply.status, reply.body) == (200, b"a,b\n\xc3\xa9\n")
    assert {name: reply.headers[name.lower()] for name in passed_on} == passed_on
    for name in kept_back:
        assert name.lower() not in reply.headers


@pytest.mark.parametrize("status", [200, 201, 206])
def test_any_success_is_a_200(library: Door, origin: Origin, status: int) -> None:
    origin.answers(status, b'{"a": 1}')

    reply = read(library, "catalog/shoe")

    assert (reply.status, reply.answer) == (200, {"a": 1})


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "BAD_REQUEST"),
        (404, "NOT_FOUND"),
        (410, "GONE"),
        (422, "UNPROCESSABLE_ENTITY"),
        (429, "TOO_MANY_REQUESTS"),
    ],
)
def test_a_refusal_that_is_the_caller_s_is_told_without_the_back_end_s_words(
    library: Door, origin: Origin, status: int, code: str
) -> None:
    origin.answers(
        status, b'{"trace": "at com.example.secret"}', headers={"Set-Cookie": "a=b", "ETag": '"1"'}
    )

    reply = read(library, "catalog/shoe")

    assert_refused(reply, status, code)
    assert reply.answer["requestId"] == reply.headers["x-amzn-requestid"]
    assert b"secret" not in reply.body
    assert not {"set-cookie", "etag"} & reply.headers.keys()


@pytest.mark.parametrize(
    "status", [301, 302, 304, 307, 401, 402, 403, 405, 409, 418, 451, 500, 502, 503, 504]
)
def test_any_other_answer_is_our_fault(library: Door, origin: Origin, status: int) -> None:
    origin.answers(status, b"" if status == 304 else b"secret", {"Location": f"{origin.url}/elsewhere"})

    reply = read(library, "catalog/shoe")

    assert_refused(reply, 502, "BACKEND_UNAVAILABLE")
    assert "location" not in reply.headers
    assert b"secret" not in reply.body
    assert len(origin.asked) == 1, "no redirect is followed"


def test_a_back_end_that_is_too_slow_is_answered_504_in_time(library: Door) -> None:
    started = time.monotonic()

    reply = read(library, "silent")

    assert_refused(reply, 504, "INTEGRATION_TIMEOUT")
    # As long as the read says, not the 29 s of API Gateway.
    assert 0.3 <= time.monotonic() - started < 10


def test_a_back_end_that_is_not_there_is_answered_504(library: Door) -> None:
    reply = read(library, "dead")

    assert_refused(reply, 504, "INTEGRATION_FAILURE")
    assert reply.answer["requestId"] == reply.headers["x-amzn-requestid"]
    assert b"127.0.0.1" not in reply.body


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_a_read_takes_no_other_method(library: Door, origin: Origin, method: str) -> None:
    origin.answers()

    assert_refused(library.send("catalog/shoe", method=method), 403, "MISSING_AUTHENTICATION_TOKEN")
    assert origin.asked == []


def test_an_uncached_read_asks_each_time(library: Door, origin: Origin) -> None:
    origin.answers()

    for _ in range(3):
        read(library, "catalog/shoe?page=1")

    assert len(origin.asked) == 3


def test_a_cached_read_asks_once_for_each_of_the_values_that_it_depends_on(
    library: Door, origin: Origin
) -> None:
    origin.answers(body=b'{"first": true}', headers={"ETag": '"1"'})
    wanted: list[tuple[str, dict[str, str]]] = [
        ("kept/shoe", {}),
        ("kept/boot", {}),
        ("kept/shoe?page=1", {}),
        ("kept/shoe?page=2", {}),
        ("kept/shoe", {"X-Region": "eu"}),
        ("kept/shoe", {"X-Region": "us"}),
    ]
    first = [read(library, *each) for each in wanted]
    assert len(origin.asked) == len(wanted)
    origin.answers(body=b'{"first": false}', headers={"ETag": '"2"'})

    again = [read(library, *each) for each in wanted]

    assert origin.asked == []
    assert [each.body for each in again] == [each.body for each in first]
    assert {each.headers["etag"] for each in again} == {'"1"'}
    ids = {each.headers["x-amzn-requestid"] for each in (*first, *again)}
    assert len(ids) == 2 * len(wanted), "a cached answer has a request id of its own"


def test_what_the_back_end_does_not_see_does_not_tell_answers_apart(library: Door, origin: Origin) -> None:
    origin.answers(body=b'{"poisoned": false}')
    read(library, "kept/plain?tracker=1&page=7", {"Cookie": "a=b", "X-Forwarded-Host": "evil.example.org"})
    origin.answers(body=b'{"poisoned": true}')

    for path, headers in (
        ("kept/plain?page=7&tracker=2", {"Cookie": "c=d"}),
        ("kept/plain?page=7", {"Authorization": "Bearer other"}),
        ("kept/plain?page=7", {"Cache-Control": "no-cache"}),
    ):
        assert read(library, path, headers).answer == {"poisoned": False}
    assert origin.asked == []


def test_a_refusal_is_not_kept(library: Door, origin: Origin) -> None:
    origin.answers(404)
    assert read(library, "kept/soon").status == 404
    origin.answers(500)
    assert read(library, "kept/soon").status == 502
    origin.answers()
    assert read(library, "kept/soon").status == 200


def test_an_answer_is_kept_as_long_as_its_read_says(library: Door, origin: Origin) -> None:
    origin.answers()
    started = time.monotonic()
    read(library, "brief")
    read(library, "brief")
    if time.monotonic() - started < TTL_SECONDS:
        assert len(origin.asked) == 1
    time.sleep(TTL_SECONDS + 0.1)

    read(library, "brief")

    assert len(origin.asked) == 2


@pytest.mark.parametrize(
    "header", ["max-age=0", "no-cache, max-age=0", "MAX-AGE=0", "max-age=0, must-revalidate"]
)
def test_who_does_not_sign_cannot_empty_the_cache(library: Door, origin: Origin, header: str) -> None:
    origin.answers(body=b'{"n": 1}')
    read(library, "kept/safe")
    origin.answers(body=b'{"n": 2}')

    reply = read(library, "kept/safe", {"Cache-Control": header})

    assert_refused(reply, 403, "ACCESS_DENIED")
    assert origin.asked == []
    assert read(library, "kept/safe").answer == {"n": 1}


def test_such_a_header_does_no_harm_where_there_is_no_cache(library: Door, origin: Origin) -> None:
    origin.answers()

    assert read(library, "catalog/shoe", {"Cache-Control": "max-age=0"}).status == 200
    assert library.send("messages", headers={"Cache-Control": "max-age=0"}).status == 202


def test_the_authorizer_is_asked_before_the_cache(
    guarded: Door, behind: Backend, shown: dict[str, str]
) -> None:
    before = len(behind.asked)
    assert [read(guarded, "secrets/7", shown).status for _ in range(2)] == [200, 200]

    assert_problem(read(guarded, "secrets/7"), 401, "UNAUTHORIZED")
    assert_problem(read(guarded, "secrets/7", bearer(tokens.mint())), 403, "ACCESS_DENIED")
    assert_problem(read(guarded, "secrets/7", {**shown, "Cache-Control": "max-age=0"}), 403, "ACCESS_DENIED")
    asked = behind.asked[before:]
    assert [each.path for each in asked] == ["/7"]
    assert "authorization" not in asked[0].headers


def test_a_problem_of_a_read_is_one_too(guarded: Door, behind: Backend, shown: dict[str, str]) -> None:
    behind.status = 503
    try:
        reply = read(guarded, "secrets/8", shown)
    finally:
        behind.status = 200

    assert_problem(reply, 502, "BACKEND_UNAVAILABLE")
    assert reply.headers["access-control-allow-origin"] == "*"
    assert "etag" not in reply.headers


def test_the_cache_of_one_door_is_not_another_s(cloud: LocalAws, library: Door, origin: Origin) -> None:
    reads = [{"path": "kept/{sku}", "url": f"{origin.url}/other/{{sku}}", "cache_ttl_seconds": 60}]
    other = open_door(cloud, {"reads": reads})
    origin.answers(body=json.dumps({"of": "both"}).encode())

    assert read(library, "kept/mine").status == read(other, "kept/mine").status == 200
    assert origin.targets == ["/kept/mine", "/other/mine"]
