from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components import cors
from components.cors import ALLOW_ORIGIN, Cors
from local.standin.velocity import Request, render

SHOP, WWW = "https://shop.example.com", "https://www.example.com:8443"
ONE = Cors([SHOP])
SEVERAL = Cors([SHOP, WWW])
ANYBODY = Cors(["*"])
CREDENTIALS = "Access-Control-Allow-Credentials"


def preflight(allowing: Cors, headers: dict[str, str]) -> dict[str, str]:
    """Return the headers on the answer to a preflight."""
    made = render(allowing.preflight_template(), Request("", headers), {})
    assert (made.text, made.status) == ("", None)
    assert set(made.headers) <= set(allowing.overridden)
    fixed = {name: value.strip("'") for name, value in allowing.preflight_headers(["POST"]).items()}
    return {**fixed, **made.headers}


def lets_through(allowing: Cors, origin: str) -> bool:
    """Whether a browser lets a page of an origin call (Fetch standard, CORS check)."""
    answered = preflight(allowing, {"Origin": origin}).get(ALLOW_ORIGIN)
    return answered in {"*", origin}


@pytest.mark.parametrize(
    ("allowing", "origin", "through"),
    [
        (ONE, SHOP, True),
        (ONE, WWW, False),
        (SEVERAL, SHOP, True),
        (SEVERAL, WWW, True),
        (SEVERAL, "https://www.example.com", False),
        (SEVERAL, "http://shop.example.com", False),
        (SEVERAL, f"{SHOP}.evil.example", False),
        (SEVERAL, "null", False),
        (SEVERAL, "*", False),
        (SEVERAL, "", False),
        (ANYBODY, SHOP, True),
        (ANYBODY, "null", True),
    ],
)
def test_a_preflight_lets_through_the_origins_of_the_list_alone(
    allowing: Cors, origin: str, through: bool
) -> None:
    assert lets_through(allowing, origin) is through


origins = st.from_regex(r"https?://[a-z]{1,3}\.example(:8[0-9])?", fullmatch=True)


@given(st.lists(origins, min_size=1, max_size=4, unique=True), origins | st.text())
def test_no_origin_is_let_through_that_is_not_of_the_list(known: list[str], asking: str) -> None:
    assert lets_through(Cors(known), asking) is (asking in known)
    assert all(lets_through(Cors(known), each) for each in known)


@pytest.mark.parametrize("name", ["Origin", "origin", "ORIGIN"])
def test_the_origin_s_header_is_found_in_whatever_case(name: str) -> None:
    assert preflight(SEVERAL, {name: WWW})[ALLOW_ORIGIN] == WWW


def test_a_preflight_without_an_origin_names_none_of_several() -> None:
    assert ALLOW_ORIGIN not in preflight(SEVERAL, {})


def test_an_answer_that_depends_on_the_origin_says_so_to_caches() -> None:
    assert SEVERAL.preflight_headers(["POST"])["Vary"] == "'Origin'"
    assert "Vary" not in ONE.preflight_headers(["POST"])
    assert (ONE.overridden, SEVERAL.overridden) == ((), (ALLOW_ORIGIN,))


def test_a_page_may_send_every_header_that_is_looked_at_each_once() -> None:
    listed = {"cors_origins": [SHOP], "cors_headers": ["X-One", "content-type"]}
    found = cors.of(listed, ["X-Tenant", "x-one", "Content-Type", "X-TENANT"])
    assert found is not None
    # Headers have no case: one that comes again is the same.
    assert [each.lower() for each in found.headers] == ["x-one", "content-type", "x-tenant"]


def test_what_is_looked_at_is_added_to_what_every_page_may_send() -> None:
    found = cors.of({"cors_origins": [SHOP]}, iter(["X-Tenant"]))
    assert found is not None
    assert list(found.headers) == ["Authorization", "Content-Type", "X-Api-Key", "X-Tenant"]


def test_a_preflight_tells_methods_headers_and_for_how_long() -> None:
    allowing = Cors([SHOP], ["X-One", "X-Two"], max_age_seconds=5)
    assert allowing.preflight_headers(["POST", "GET"]) == {
        ALLOW_ORIGIN: f"'{SHOP}'",
        "Access-Control-Allow-Headers": "'X-One,X-Two'",
        "Access-Control-Allow-Methods": "'POST,GET'",
        "Access-Control-Max-Age": "'5'",
    }


@pytest.mark.parametrize(("allowing", "origin"), [(ONE, SHOP), (SEVERAL, "*"), (ANYBODY, "*")])
def test_every_answer_can_be_read_by_those_that_may_call(allowing: Cors, origin: str) -> None:
    assert allowing.answer_headers() == {
        ALLOW_ORIGIN: f"'{origin}'",
        "Access-Control-Expose-Headers": "'x-amzn-RequestId,Retry-After'",
    }


def test_with_credentials_the_origin_is_named_everywhere() -> None:
    # Browsers take no "*" for a page that sent cookies.
    allowing = Cors([SHOP], credentials=True)
    for headers in (allowing.answer_headers(), allowing.preflight_headers(["POST"])):
        assert (headers[ALLOW_ORIGIN], headers[CREDENTIALS]) == (f"'{SHOP}'", "'true'")
    assert CREDENTIALS not in ONE.answer_headers()
    assert CREDENTIALS not in ONE.preflight_headers(["POST"])


def test_without_origins_no_page_may_call() -> None:
    assert cors.of({}) is None
    assert cors.of({}, ["X-Tenant"]) is None


def test_arguments_mean_what_they_say_and_have_defaults() -> None:
    assert cors.of({"cors_origins": [SHOP]}) == Cors([SHOP], ["Authorization", "Content-Type", "X-Api-Key"])
    given_all = {
        "cors_origins": [SHOP],
        "cors_headers": ["X-One"],
        "cors_credentials": True,
        "cors_max_age_seconds": 0,
    }
    assert cors.of(given_all) == Cors([SHOP], ["X-One"], True, 0)


@pytest.mark.parametrize(
    "args",
    [
        {},
        {"cors_origins": ["*"]},
        {"cors_origins": [SHOP, WWW, "http://localhost:3000"]},
        {"cors_origins": [SHOP], "cors_credentials": True},
        {"cors_origins": [SHOP, WWW], "cors_credentials": False},
        {"cors_origins": [SHOP], "cors_headers": [], "cors_max_age_seconds": 86_400},
        {"cors_origins": [f"https://{index}.example.com" for index in range(20)]},
        {"cors_origins": [SHOP, WWW], "reads": [{}]},
        {"cors_origins": [SHOP, WWW], "allow_cidrs": ["10.0.0.0/8"]},
        {"cors_origins": [SHOP, WWW], "reads": [{}], "deny_cidrs": ["10.0.0.0/8"]},
        {"cors_origins": [SHOP], "reads": [{}], "allow_cidrs": ["10.0.0.0/8"], "vpc_endpoint_ids": ["x"]},
    ],
)
def test_good_arguments_have_no_problem(args: dict[str, Any]) -> None:
    assert not cors.problems(args)


@pytest.mark.parametrize(
    ("args", "path"),
    [
        ({"cors_origins": []}, "cors_origins"),
        ({"cors_origins": SHOP}, "cors_origins"),
        ({"cors_origins": [f"https://{index}.example.com" for index in range(21)]}, "cors_origins"),
        ({"cors_origins": [SHOP, "*"]}, "cors_origins"),
        ({"cors_origins": [SHOP, WWW], "cors_credentials": True}, "cors_origins"),
        ({"cors_origins": ["*"], "cors_credentials": True}, "cors_origins"),
        ({"cors_origins": [SHOP, f"{SHOP}/"]}, "cors_origins[1]"),
        ({"cors_origins": ["shop.example.com"]}, "cors_origins[0]"),
        ({"cors_origins": ["https://*.example.com"]}, "cors_origins[0]"),
        ({"cors_origins": ['https://x"y']}, "cors_origins[0]"),
        ({"cors_origins": ["https://Shop.example.com"]}, "cors_origins[0]"),
        ({"cors_origins": ["HTTPS://shop.example.com"]}, "cors_origins[0]"),
        ({"cors_origins": ["null"]}, "cors_origins[0]"),
        ({"cors_origins": [None]}, "cors_origins[0]"),
        ({"cors_origins": [SHOP], "cors_headers": ["X Y"]}, "cors_headers[0]"),
        ({"cors_origins": [SHOP], "cors_headers": ["X'Y"]}, "cors_headers[0]"),
        ({"cors_origins": [SHOP], "cors_headers": "X"}, "cors_headers"),
        ({"cors_origins": [SHOP], "cors_credentials": "true"}, "cors_credentials"),
        ({"cors_origins": [SHOP], "cors_max_age_seconds": -1}, "cors_max_age_seconds"),
        ({"cors_origins": [SHOP], "cors_max_age_seconds": 86_401}, "cors_max_age_seconds"),
        # A GET asks for no preflight, and an answer that names no origin is for every page of that network.
        ({"cors_origins": [SHOP, WWW], "reads": [{}], "allow_cidrs": ["10.0.0.0/8"]}, "cors_origins"),
        ({"cors_origins": [SHOP, WWW], "reads": [{}], "vpc_endpoint_ids": ["x"]}, "cors_origins"),
        ({"cors_headers": ["X-One"]}, "cors_headers"),
        ({"cors_credentials": True}, "cors_credentials"),
        ({"cors_max_age_seconds": 5}, "cors_max_age_seconds"),
    ],
)
def test_a_bad_argument_is_named(args: dict[str, Any], path: str) -> None:
    assert [each.path for each in cors.problems(args)] == [path]
