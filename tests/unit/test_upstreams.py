import gzip
import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import pytest

from local.demo_checks import wait_until
from local.upstreams import (
    LARGE_BYTES,
    Called,
    Exchange,
    Upstream,
    answers,
    limits,
    most_within,
    rated,
    redirects,
    tells_limit,
    times,
    upstream,
    wants_date,
    wants_seconds,
)

Answer = tuple[int, dict[str, str], bytes]


@pytest.fixture
def up() -> Iterator[Upstream]:
    with upstream() as running:
        yield running


def connected(up: Upstream, address: str = "127.0.0.1") -> http.client.HTTPConnection:
    where = urlsplit(up.url)
    return http.client.HTTPConnection(where.netloc, timeout=10, source_address=(address, 0))


def told(connection: http.client.HTTPConnection, method: str, path: str, body: bytes | None = None) -> Answer:
    connection.request(method, path, body, {"X-Name": "value"})
    response = connection.getresponse()
    headers = {name.lower(): value for name, value in response.getheaders()}
    return response.status, headers, response.read()


def get(up: Upstream, path: str = "/", address: str = "127.0.0.1") -> Answer:
    with closing(connected(up, address)) as connection:
        return told(connection, "GET", path)


def statuses(up: Upstream, path: str, count: int) -> list[int]:
    return [get(up, path)[0] for _ in range(count)]


def test_every_call_is_kept_as_it_came_and_when(up: Upstream) -> None:
    began = time.time()
    with closing(connected(up, "127.0.0.7")) as connection:
        status, headers, body = told(connection, "POST", "/orders?a=1", b"an order")
        came_from = connection.sock.getsockname()

    (call,) = up.calls
    assert (call.method, call.path, call.body) == ("POST", "/orders?a=1", b"an order")
    assert (call.client, call.port) == came_from
    assert call.client == "127.0.0.7"
    assert call.headers["x-name"] == "value"
    assert began <= call.at <= time.time()
    assert up.at("/orders") == [call]
    assert not up.at("/")
    assert (status, headers["content-type"]) == (200, "application/json")
    assert json.loads(body) == {"status": 200, "method": "POST", "path": "/orders?a=1"}


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "POST", "PATCH"])
def test_every_method_is_answered_and_the_connection_kept(up: Upstream, method: str) -> None:
    with closing(connected(up)) as connection:
        first = told(connection, method, "/")
        kept = connection.sock
        assert told(connection, method, "/") == first
        assert connection.sock is kept

    assert first[0] == 200
    assert bool(first[2]) == (method != "HEAD")
    assert [each.method for each in up.calls] == [method] * 2
    assert len({each.port for each in up.calls}) == 1


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/", [200, 200]),
        ("/status/503", [503, 503]),
        ("/status", [200]),
        ("/limited/2", [429, 429, 200, 200]),
        ("/retry-after/1", [429, 200]),
        ("/retry-at/1", [429, 200]),
        ("/rate-limit/1", [429, 200]),
        ("/status/none", [200]),
        ("/unknown/503", [200]),
    ],
)
def test_a_path_says_what_is_done(up: Upstream, path: str, expected: list[int]) -> None:
    assert statuses(up, path, len(expected)) == expected


def test_paths_count_each_for_itself(up: Upstream) -> None:
    assert statuses(up, "/limited/1?a", 1) + statuses(up, "/limited/2", 1) == [429, 429]
    assert statuses(up, "/limited/1?b", 1) == [200]


def test_a_script_goes_before_and_begins_anew_when_it_is_given_again(up: Upstream) -> None:
    up.does("/status/503", answers(201), times(1, limits()))
    assert statuses(up, "/status/503", 4) == [201, 429, 200, 200]

    up.does("/status/503", answers(204, body=b""))
    assert statuses(up, "/status/503", 2) == [204, 204]


def test_one_may_do_by_the_call_what_one_likes(up: Upstream) -> None:
    def only_orders(exchange: Exchange) -> None:
        exchange.answer(200 if exchange.called.path == "/?order" else 400, b"own", {"X-Own": "1"})

    up.does("/", only_orders)

    status, headers, body = get(up, "/?order")
    assert (status, headers["x-own"], body) == (200, "1", b"own")
    assert get(up)[0] == 400


def test_a_wait_is_asked_for_in_seconds_as_a_date_and_by_rate_limit_fields(up: Upstream) -> None:
    up.does("/", wants_seconds(3), wants_date(3), tells_limit(3))

    (_, seconds, _), (_, date, _), (_, fields, _) = get(up), get(up), get(up)

    assert seconds["retry-after"] == "3"
    wait = parsedate_to_datetime(date["retry-after"]).timestamp() - up.calls[1].at
    assert 3 <= wait <= 4
    assert (fields["ratelimit"], fields["ratelimit-policy"]) == ('"calls";r=0;t=3', '"calls";q=10;w=3')
    assert "retry-after" not in fields


def test_a_connection_is_reset(up: Upstream) -> None:
    with closing(connected(up)) as connection, pytest.raises(ConnectionResetError) as broken:
        told(connection, "GET", "/reset")

    assert broken.type is ConnectionResetError, "not one that was only closed"


def test_half_a_body_is_sent_and_the_connection_closed(up: Upstream) -> None:
    with closing(connected(up)) as connection, pytest.raises(http.client.IncompleteRead) as broken:
        told(connection, "GET", "/half")

    assert (len(broken.value.partial), broken.value.expected) == (8, 8)


def test_a_slow_answer_holds_nobody_else_and_ends_with_the_upstream() -> None:
    before = threading.active_count()
    with upstream() as up, closing(connected(up)) as waiting:
        waiting.request("GET", "/slow/60")
        assert wait_until(lambda: up.at("/slow/60"), bool)
        assert get(up)[0] == 200

    assert wait_until(threading.active_count, lambda found: found == before) == before


def test_redirects_lead_in_a_circle_to_the_query_s_url_and_where_a_script_says(up: Upstream) -> None:
    up.does("/elsewhere", redirects("http://127.0.0.1:1/", 307))

    found = [get(up, each) for each in ("/loop", "/redirect?to=http://a/b", "/elsewhere")]

    assert [(status, headers["location"]) for status, headers, _ in found] == [
        (302, "/loop"),
        (302, "http://a/b"),
        (307, "http://127.0.0.1:1/"),
    ]


def test_bodies_are_large_or_compressed(up: Upstream) -> None:
    assert len(get(up, "/large")[2]) == LARGE_BYTES
    assert len(get(up, "/large/17")[2]) == 17
    _, headers, body = get(up, "/gzip")
    assert (headers["content-encoding"], gzip.decompress(body)) == ("gzip", b'{"zipped": true}')


def at(moment: float, client: str) -> Called:
    return Called(moment, "GET", "/", {}, b"", client, 0)


class Noting(Exchange):
    """An exchange with nobody, of which the status is kept."""

    def __init__(self, called: Called) -> None:
        self.called = called
        self.status = 0

    def answer(self, status: int = 200, *_: object, **__: object) -> None:
        self.status = status


@pytest.mark.parametrize(
    ("by_address", "expected"),
    [(False, [200, 200, 429, 429, 200, 200, 429]), (True, [200, 200, 200, 429, 200, 200, 200])],
)
def test_so_many_calls_of_a_second_are_answered(by_address: bool, expected: list[int]) -> None:
    behave, found = rated(2, by_address=by_address), []
    moments = [(0.0, "a"), (0.2, "a"), (0.3, "b"), (0.9, "a"), (1.0, "a"), (1.2, "a"), (1.25, "b")]
    for moment, client in moments:
        exchange = Noting(at(moment, client))
        behave(exchange)
        found.append(exchange.status)

    assert found == expected


def test_addresses_are_told_apart_on_the_way(up: Upstream) -> None:
    path = "/rate-by-address/1"

    answered = [get(up, path, address) for address in ("127.0.0.1", "127.0.0.2", "127.0.0.1")]

    assert [status for status, _, _ in answered] == [200, 200, 429]
    assert answered[2][1]["retry-after"] == "1"


def test_many_callers_are_served_at_once(up: Upstream) -> None:
    meeting = threading.Barrier(40, timeout=30)

    def meet(exchange: Exchange) -> None:
        meeting.wait()
        exchange.answer()

    up.does("/", meet)

    with ThreadPoolExecutor(40) as pool:
        assert {status for status, _, _ in pool.map(lambda _: get(up), range(40))} == {200}
    assert len(up.calls) == 40


def test_the_end_closes_the_port_and_the_connections_that_are_kept() -> None:
    with upstream() as up, closing(connected(up)) as kept:
        told(kept, "GET", "/")
        connection, where = kept.sock, urlsplit(up.url)
        assert connection is not None
        connection = connection.dup()
    with closing(connection):
        assert connection.recv(1) == b""
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((str(where.hostname), int(where.port or 0)), timeout=1)


@pytest.mark.parametrize(
    ("moments", "seconds", "most"),
    [
        ([], 1, 0),
        ([5], 1, 1),
        ([0, 0.5, 0.9, 1.0], 1, 3),
        ([1.0, 0, 0.9, 0.5], 1.01, 4),
        ([0, 1, 2], 0.5, 1),
        ([0, 5, 5.1, 5.2, 9], 1, 3),
    ],
)
def test_the_fullest_window_is_found_wherever_it_begins(
    moments: list[float], seconds: float, most: int
) -> None:
    assert most_within(moments, seconds) == most
