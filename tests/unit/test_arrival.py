from typing import Any

import pytest

from local import emulator_arrival
from local.emulator_arrival import Arrival, current, note, read

TOLD: dict[str, Any] = {
    "context": {"requestId": "r-1", "identity": {"sourceIp": "192.0.2.1", "userAgent": None}},
    "host": "api.example.com",
    "target": "/shop/orders",
    "path": "/shop/orders",
    "names": ["Host", "X-Given", "aUTHorization", "X-GIVEN", "X-Forwarded-For"],
    "forwarded": ["192.0.2.66"],
}
GIVEN = [
    (b"host", b"127.0.0.1:5000"),
    (b"x-given", b"1"),
    (b"authorization", b"a"),
    (b"x-given", "\u00e9".encode("latin-1")),
    (b"x-forwarded-for", b"192.0.2.1"),
    (b"x-edge-domain", b"api.example.com"),
    (b"x-edge-arrival", b"{}"),
    (b"accept", b"*/*"),
    (b"content-length", b"2"),
]


@pytest.fixture
def arrival() -> Arrival:
    return read(TOLD, GIVEN)


def test_headers_are_as_the_client_spelled_them_with_what_api_gateway_adds(arrival: Arrival) -> None:
    assert arrival.headers == {
        "X-Given": ["1", "\u00e9"],
        "aUTHorization": ["a"],
        "Host": ["api.example.com"],
        "X-Forwarded-For": ["192.0.2.66, 192.0.2.1"],
        "X-Forwarded-Port": ["443"],
        "X-Forwarded-Proto": ["https"],
    }


def test_a_header_is_found_by_its_name_in_whatever_case(arrival: Arrival) -> None:
    assert arrival.values("AUTHORIZATION") == ["a"]
    assert arrival.values("x-given") == ["1", "\u00e9"]
    assert arrival.values("Accept") == [], "it was added on the way"


def test_a_signature_is_about_what_the_client_sent(arrival: Arrival) -> None:
    assert sorted(arrival.raw_headers) == [
        (b"authorization", b"a"),
        (b"host", b"api.example.com"),
        (b"x-forwarded-for", b"192.0.2.66"),
        (b"x-given", b"1"),
        (b"x-given", b"\xe9"),
    ]


@pytest.mark.parametrize(
    ("path", "arrived"),
    [("/_aws/execute-api/abc/v1/orders", True), ("/restapis/abc", False), ("/", False)],
)
def test_a_request_of_the_edge_s_comes_from_whom_it_names(path: str, arrived: bool) -> None:
    told = b'{"context": {"identity": {"sourceIp": "192.0.2.9"}}, "host": "h", "target": "/", "path": "/",'
    told += b' "names": [], "forwarded": []}'
    scope = {"path": path, "client": ("127.0.0.1", 5), "headers": [(emulator_arrival.ARRIVAL, told)]}

    note(scope)

    assert scope["client"][0] == ("192.0.2.9" if arrived else "127.0.0.1")
    assert (current() is not None) is arrived
    assert bool(scope["headers"]) is not arrived, "it goes no further"


def test_any_other_request_is_left_as_it_is() -> None:
    scope = {"path": "/_aws/execute-api/abc/v1", "client": ("127.0.0.1", 5), "headers": [(b"a", b"b")]}

    note(scope)

    assert current() is None
    assert scope["client"] == ("127.0.0.1", 5)
