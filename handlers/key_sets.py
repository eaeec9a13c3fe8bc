"""The public keys of an issuer: fetched once, kept for a bounded time, and looked at again for a new key.

An issuer that is down is not noticed for half of that time, and one that is asked for keys it does not have
is not asked again and again.
"""

import functools
import http.client
import json
import ssl
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import jwt

from .authorizing import RefusedError, SettingsError

DISCOVERY = "/.well-known/openid-configuration"
"""("OpenID Connect Discovery 1.0", section 4)"""
TIMEOUT_SECONDS = 2
"""For each step of one question: to connect, to read."""
DEADLINE_SECONDS = 3
"""For everything that is asked, so that a function tells of it before Lambda ends it."""
LARGEST_ANSWER = 512 * 1024
REFRESH_SECONDS = 30
"""How long keys are not asked for again while some are known, whatever keys callers name."""
RETRY_SECONDS = 5
"""How long they are not asked for again after that failed, while none are known."""
LEAST_RSA_BITS = 2048
"""(RFC 7518, section 3.3)"""
FAMILIES = {"RS256": ("RSA", None), "ES256": ("EC", "P-256"), "EdDSA": ("OKP", "Ed25519")}
"""The only algorithms, with the type and the curve of their keys (RFC 7518, section 3.1; RFC 8037)."""
LOOPBACK = ("127.0.0.1", "localhost")
"""Where an issuer beside a local run is; of nobody else keys are taken over plain HTTP."""

Fetch = Callable[[str], Mapping[str, Any]]
"""Gets a JSON object from a URL; raises `FetchError`."""


class FetchError(Exception):
    """Why a URL gave nothing that can be used."""


class Place(NamedTuple):
    """Where an issuer's keys are."""

    issuer: str
    jwks_uri: str | None
    """None where the issuer itself tells."""


class Keys:
    """The keys of one issuer, in one warm function."""

    def __init__(
        self,
        place: Place,
        max_age_seconds: int,
        clock: Callable[[], float],
        trouble: Callable[[str], None],
        fetch: Fetch | None = None,
    ) -> None:
        """Fetch nothing yet.

        Args:
            place: where they are.
            max_age_seconds: for how long they are good; after half of it they are asked for again.
            clock: tells seconds since 1970, since other clocks may stand still while a function is frozen.
            trouble: is told where asking failed while the known keys are still good.
            fetch: gets a JSON object from a URL.
        """
        self._place = place
        self._max_age = max_age_seconds
        self._clock = clock
        self._trouble = trouble
        self._fetch = fetch or read_json
        self._known: dict[str, list[jwt.PyJWK]] = {}
        self._fetched = float("-inf")
        self._asked = float("-inf")
        self._next = float("-inf")
        """Before this they are not asked for again."""
        self._failing = False

    def find(self, key_id: object, algorithm: str) -> jwt.PyJWK:
        """Return the key that a token names, for exactly its algorithm.

        Raises:
            RefusedError: if the issuer has no such key.
            SettingsError: if the issuer's keys cannot be had.
        """
        self._renew()
        found = self._of(key_id, algorithm)
        if found is None and self._may_ask():
            self._ask()
            found = self._of(key_id, algorithm)
        if found is None and self._failing:
            # It may be a new one: a refusal would be kept, and the caller is not to blame.
            raise SettingsError("a token names a key that the issuer could not be asked for a moment ago")
        if found is None:
            raise RefusedError("unknown key")
        return found

    def _of(self, key_id: object, algorithm: str) -> jwt.PyJWK | None:
        fitting = self._known.get(algorithm, [])
        named = fitting if key_id is None else [each for each in fitting if each.key_id == key_id]
        # A token may name no key only where there is one.
        return named[0] if named and (key_id is not None or len(fitting) == 1) else None

    def _renew(self) -> None:
        age = self._clock() - self._fetched
        if not 0 <= age < self._max_age:
            self._forget()
            if not self._may_ask():
                raise SettingsError("the issuer's keys could not be had a moment ago")
            self._ask()
        elif age >= self._max_age / 2 and self._may_ask():
            try:
                self._ask()
            except SettingsError as error:
                # The known ones stay as good as they were.
                self._trouble(str(error))

    def _forget(self) -> None:
        """Know no keys any more, and wait no longer for new ones than where none are known."""
        if self._known:
            self._known = {}
            self._next = min(self._next, self._asked + RETRY_SECONDS)

    def _may_ask(self) -> bool:
        # A clock that was set back says nothing of how long ago it was.
        return not self._asked <= self._clock() < self._next

    def _ask(self) -> None:
        self._failing = True
        self._asked = self._clock()
        self._next = self._asked + (REFRESH_SECONDS if self._known else RETRY_SECONDS)
        try:
            found = by_algorithm(in_time(lambda: self._fetch(self._find_uri())))
        except FetchError as error:
            raise SettingsError(f"the issuer's keys cannot be had: {error}") from error
        if not found:
            raise SettingsError("the issuer has no key that can be used")
        self._failing = False
        self._known = found
        self._fetched = self._clock()
        self._next = self._fetched + REFRESH_SECONDS

    def _find_uri(self) -> str:
        issuer, uri = self._place
        if uri:
            return uri
        told = self._fetch(issuer.rstrip("/") + DISCOVERY)
        # Section 4.3: else one issuer could speak for another.
        if told.get("issuer") != issuer:
            raise FetchError("its configuration is another issuer's")
        found = told.get("jwks_uri")
        if not isinstance(found, str):
            raise FetchError("its configuration names no jwks_uri")
        return found


def in_time(fetch: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any]:
    """Return what is fetched, unless that takes too long: also where each step of it is quick enough.

    Raises:
        FetchError: if there is nothing by then.
    """
    threads = ThreadPoolExecutor(max_workers=1)
    try:
        return threads.submit(fetch).result(DEADLINE_SECONDS)
    except TimeoutError as error:
        raise FetchError(f"no answer within {DEADLINE_SECONDS} seconds") from error
    finally:
        threads.shutdown(wait=False)


def by_algorithm(key_set: Mapping[str, Any]) -> dict[str, list[jwt.PyJWK]]:
    """Return the keys of a set that may sign tokens, by their algorithm; others are passed over."""
    given = key_set.get("keys")
    found: dict[str, list[jwt.PyJWK]] = {}
    for each in given if isinstance(given, list) else []:
        algorithm = algorithm_of(each)
        key = read_key(each, algorithm) if algorithm else None
        if algorithm and key:
            found.setdefault(algorithm, []).append(key)
    return found


def algorithm_of(described: object) -> str | None:
    """Return the algorithm that a key of a set is for; none if it is no key for signatures of ours."""
    if not isinstance(described, dict) or described.get("use", "sig") != "sig" or "d" in described:
        return None
    for algorithm, (kind, curve) in FAMILIES.items():
        if described.get("kty") == kind and curve in (None, described.get("crv")):
            return algorithm if described.get("alg", algorithm) == algorithm else None
    return None


def read_key(described: Mapping[str, Any], algorithm: str) -> jwt.PyJWK | None:
    """Return a key of a set; nothing where it is malformed or too weak."""
    try:
        key = jwt.PyJWK({**described}, algorithm=algorithm)
    except (jwt.PyJWTError, ValueError, TypeError, KeyError):
        return None
    weak = algorithm == "RS256" and key.key.key_size < LEAST_RSA_BITS
    return None if weak else key


def read_json(url: str) -> Mapping[str, Any]:
    """Return the JSON object at a URL; where it leads elsewhere, nobody follows.

    Raises:
        FetchError: if there is none.
    """
    try:
        address = address_of(url)
        with closing(connection_to(address)) as connection:
            headers = {"Accept": "application/json", "User-Agent": "sluice"}
            connection.request("GET", address.path, headers=headers)
            answer = connection.getresponse()
            content = read_soon(answer)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise FetchError(f"{shown_host(url)} cannot be reached ({type(error).__name__})") from error
    if answer.status != http.client.OK:
        raise FetchError(f"{address.host} answered {answer.status}")
    return json_object(content, address.host)


def read_soon(answer: http.client.HTTPResponse) -> bytes:
    """Return a body, or as much of it as there is when it is too large or takes too long."""
    end, content = time.monotonic() + DEADLINE_SECONDS, b""
    while len(content) <= LARGEST_ANSWER and time.monotonic() < end and (part := answer.read1()):
        content += part
    return content


def shown_host(url: str) -> str:
    """Return the host of a URL for the log; nothing else of one that is none."""
    try:
        return urlsplit(url).hostname or "a URL without a host"
    except ValueError:
        return "what is no URL"


class Address(NamedTuple):
    """What a URL says that keys may be taken from."""

    secure: bool
    host: str
    port: int | None
    path: str


def connection_to(address: Address) -> http.client.HTTPConnection:
    """Return a connection that is not open yet."""
    if not address.secure:
        return http.client.HTTPConnection(address.host, address.port, timeout=TIMEOUT_SECONDS)
    return http.client.HTTPSConnection(
        address.host, address.port, timeout=TIMEOUT_SECONDS, context=trusted_roots()
    )


@functools.cache
def trusted_roots() -> ssl.SSLContext:
    """Return what tells whom to trust; to read it takes longer than to ask."""
    return ssl.create_default_context()


def address_of(url: str) -> Address:
    """Return where a URL leads.

    Raises:
        ValueError: if it is none that keys may be taken from.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    path = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
    if not host or "@" in parts.netloc:
        raise ValueError(parts.scheme)
    if parts.scheme != "https" and not (parts.scheme == "http" and host in LOOPBACK):
        raise ValueError(parts.scheme)
    return Address(parts.scheme == "https", host, parts.port, path)


def json_object(content: bytes, host: str) -> Mapping[str, Any]:
    """Return the object that an answer holds.

    Raises:
        FetchError: if it holds none, or is too large.
    """
    try:
        found = json.loads(content) if len(content) <= LARGEST_ANSWER else None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise FetchError(f"{host} answered with no JSON object of at most {LARGEST_ANSWER} bytes")
    return found
