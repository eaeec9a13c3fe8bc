"""An issuer of tokens in memory: its keys, what it tells of them, and tokens as anybody could write them."""

import base64
import functools
import json
from collections.abc import Callable, Mapping
from typing import Any

import jwt

from handlers.key_sets import DISCOVERY, FetchError, Keys, Place
from local.issuer import MAKE, Key

NOW = 1_750_000_000
"""Seconds since 1970, at which every token here is checked."""
ISSUER = "https://issuer.example.com"
KEYS_URL = f"{ISSUER}/keys"
AUDIENCE = "sluice"
CLAIMS: Mapping[str, Any] = {
    "iss": ISSUER,
    "aud": AUDIENCE,
    "sub": "ann",
    "iat": NOW - 5,
    "exp": NOW + 300,
}
"""Of a good token."""
MAX_AGE = 3600


@functools.cache
def made(uid: str, algorithm: str) -> Key:
    """Return a key, which is made once: for RSA that takes long."""
    return Key(uid, algorithm, MAKE[algorithm]())


def key(uid: str = "one", algorithm: str = "RS256") -> Key:
    """Return the key of an id, the same each time."""
    return made(uid, algorithm)


def renamed(signing: Key, uid: str) -> Key:
    """Return the same key under another id."""
    return Key(uid, signing.algorithm, signing.private)


def encoded(value: bytes | str) -> str:
    """Return the base64url of a part of a token (RFC 7515, section 2)."""
    content = value.encode() if isinstance(value, str) else value
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def signature(signing: Key, algorithm: str | None = None) -> Callable[[bytes], bytes]:
    """Return what signs with a key."""
    signer = jwt.get_algorithm_by_name(algorithm or signing.algorithm)
    return lambda content: signer.sign(content, signing.private)


def compact(header: str, claims: str, sign: Callable[[bytes], bytes]) -> str:
    """Return a token of any two texts."""
    content = f"{encoded(header)}.{encoded(claims)}"
    return f"{content}.{encoded(sign(content.encode()))}"


def mint(
    signing: Key | None = None,
    claims: Mapping[str, Any] | None = None,
    header: Mapping[str, Any] | None = None,
    without: str = "",
) -> str:
    """Return a good token, but for what is changed.

    Args:
        signing: the key.
        claims: in addition to `CLAIMS`, or in place of them.
        header: in addition to what the key makes of it, or in place of that.
        without: a claim to leave out.
    """
    signing = signing or key()
    given = {name: value for name, value in {**CLAIMS, **(claims or {})}.items() if name != without}
    named = {"typ": "JWT", "alg": signing.algorithm, "kid": signing.uid, **(header or {})}
    return compact(json.dumps(named), json.dumps(given), signature(signing))


class Clock:
    """Seconds, which only a test lets pass."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Issuer:
    """What an issuer's host answers, in the place of the network."""

    def __init__(self, *keys: Key | Mapping[str, Any]) -> None:
        self.keys: list[Mapping[str, Any]] = []
        self.publish(*keys)
        self.configuration: Mapping[str, Any] = {"issuer": ISSUER, "jwks_uri": KEYS_URL}
        self.asked: list[str] = []
        """Every URL that was asked for."""
        self.down = False
        self.clock = Clock()
        self.troubles: list[str] = []

    def publish(self, *keys: Key | Mapping[str, Any]) -> None:
        """Tell of these keys from now on."""
        self.keys = [each.public() if isinstance(each, Key) else each for each in keys]

    def fetch(self, url: str) -> Mapping[str, Any]:
        """Answer as a host would."""
        self.asked.append(url)
        if self.down:
            raise FetchError("it is down")
        if url.endswith(DISCOVERY):
            return self.configuration
        return {"keys": self.keys}

    def known(self, jwks_uri: str | None = KEYS_URL, issuer: str = ISSUER) -> Keys:
        """Return its keys as a warm function holds them."""
        return Keys(Place(issuer, jwks_uri), MAX_AGE, self.clock, self.troubles.append, self.fetch)
