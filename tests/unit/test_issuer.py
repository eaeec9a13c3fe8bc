import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import jwt
import pytest

from local.issuer import DISCOVERY, HUGE, JWKS, MAKE, Issuer

OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with Issuer("orders") as running:
        yield running


def read(url: str, seconds: float = 10) -> bytes:
    with OPENER.open(url, timeout=seconds) as answer:
        body: bytes = answer.read()
        return body


def keys(issuer: Issuer) -> dict[str, dict[str, Any]]:
    return {each["kid"]: each for each in json.loads(read(issuer.jwks_uri))["keys"]}


def verified(issuer: Issuer, token: str) -> dict[str, Any]:
    """Return the claims of a token as who knows nothing but the issuer's URL reads them."""
    found = json.loads(read(issuer.url + DISCOVERY))
    assert found["issuer"] == issuer.url
    header = jwt.get_unverified_header(token)
    known = {each["kid"]: each for each in json.loads(read(found["jwks_uri"]))["keys"]}
    key = jwt.PyJWK(known[header["kid"]])
    claims: dict[str, Any] = jwt.decode(
        token, key.key, algorithms=[header["alg"]], audience="orders", issuer=issuer.url
    )
    return claims


@pytest.mark.parametrize("algorithm", MAKE)
def test_a_token_is_verified_with_the_key_that_the_issuer_tells_of(issuer: Issuer, algorithm: str) -> None:
    claims = verified(issuer, issuer.mint(algorithm, tenant="ann"))

    assert (claims["sub"], claims["tenant"]) == ("local-user", "ann")
    assert claims["iat"] <= time.time() < claims["exp"]


def test_a_claim_that_every_token_has_can_be_another_or_left_out(issuer: Issuer) -> None:
    token = issuer.mint(sub="ann", exp=1, aud=None)

    claims = jwt.decode(token, options={"verify_signature": False})
    assert (claims["sub"], claims["exp"]) == ("ann", 1)
    assert "aud" not in claims


def test_nothing_private_is_told(issuer: Issuer) -> None:
    for algorithm in MAKE:
        issuer.add_key(algorithm)

    public = {"kty", "kid", "alg", "use", "n", "e", "crv", "x", "y"}
    assert len(keys(issuer)) == len(MAKE)
    assert all(each.keys() <= public for each in keys(issuer).values())


def test_keys_are_rotated(issuer: Issuer) -> None:
    old = issuer.add_key("ES256")
    first = issuer.mint("ES256")
    new = issuer.add_key("ES256")

    assert jwt.get_unverified_header(issuer.mint("ES256"))["kid"] == new
    assert verified(issuer, first)
    issuer.retire(old)
    assert set(keys(issuer)) == {new}
    assert jwt.get_unverified_header(issuer.mint("ES256", key=old))["kid"] == old


def test_requests_are_counted_by_their_path(issuer: Issuer) -> None:
    keys(issuer)
    keys(issuer)
    with pytest.raises(urllib.error.HTTPError, match="404"):
        read(f"{issuer.url}/other")

    assert issuer.requests == {JWKS: 2, "/other": 1}


def test_it_fails_as_it_is_told_until_it_recovers(issuer: Issuer) -> None:
    issuer.answer_with(503)
    with pytest.raises(urllib.error.HTTPError, match="503"):
        read(issuer.jwks_uri)
    issuer.answer_with(200, b"<html>")
    assert read(issuer.jwks_uri) == b"<html>"
    issuer.answer_hugely()
    assert len(read(issuer.jwks_uri)) > HUGE
    issuer.recover()
    assert json.loads(read(issuer.jwks_uri)) == {"keys": []}


def test_it_hangs_until_it_recovers(issuer: Issuer) -> None:
    issuer.hang()
    with pytest.raises(TimeoutError):
        read(issuer.jwks_uri, seconds=0.2)
    issuer.recover()
    assert keys(issuer) == {}


def test_who_waits_when_it_ends_is_let_go() -> None:
    failures: list[Exception] = []

    def wait(url: str) -> None:
        try:
            read(url)
        except OSError as error:
            failures.append(error)

    with Issuer() as issuer:
        issuer.hang()
        waiting = threading.Thread(target=wait, args=(issuer.jwks_uri,))
        waiting.start()
        while not issuer.requests:
            time.sleep(0.01)
    waiting.join(5)

    assert not waiting.is_alive()
    assert failures
    with pytest.raises(urllib.error.URLError, match="refused"):
        read(issuer.jwks_uri)
