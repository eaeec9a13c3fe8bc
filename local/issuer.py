"""An OpenID Connect issuer for a local run: it tells of its keys, and mints tokens for who asks here."""

import json
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

DISCOVERY = "/.well-known/openid-configuration"
JWKS = "/jwks.json"
AUDIENCE = "local"
SUBJECT = "local-user"
LIFETIME_SECONDS = 3600
RSA_BITS = 2048
HUGE = 2 * 1024 * 1024
"""Bytes of an answer that is too large."""

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
Answer = tuple[int, bytes]

MAKE: Mapping[str, Callable[[], PrivateKey]] = {
    "RS256": lambda: rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS),
    "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate,
}
"""How the key of each algorithm is made."""


@dataclass(frozen=True)
class Key:
    """A key that tokens are signed with."""

    uid: str
    algorithm: str
    private: PrivateKey = field(repr=False)

    @classmethod
    def new(cls, algorithm: str) -> Self:
        """Make a key for an algorithm."""
        return cls(f"{algorithm.lower()}-{secrets.token_hex(4)}", algorithm, MAKE[algorithm]())

    def public(self) -> dict[str, Any]:
        """Return what everybody may know of it, as a JSON Web Key."""
        public = self.private.public_key()
        match public:
            case rsa.RSAPublicKey():
                described = RSAAlgorithm.to_jwk(public, as_dict=True)
            case ec.EllipticCurvePublicKey():
                described = ECAlgorithm.to_jwk(public, as_dict=True)
            case _:
                described = OKPAlgorithm.to_jwk(public, as_dict=True)
        own = {name: value for name, value in described.items() if name != "key_ops"}
        return {**own, "kid": self.uid, "alg": self.algorithm, "use": "sig"}


class Issuer:
    """The issuer, which answers between ``with`` and its end, or ``start`` and ``stop``."""

    def __init__(self, audience: str = AUDIENCE) -> None:
        """Take a free port of loopback; keys are made when they are first used."""
        self.audience = audience
        self.requests: Counter[str] = Counter()
        """How often each path was asked for."""
        self._keys: dict[str, Key] = {}
        self._retired: dict[str, Key] = {}
        self._lock = threading.Lock()
        self._answering: Callable[[Answer], Answer | None] = lambda answer: answer
        self._released = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, name="issuer", daemon=True
        )
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        """What tokens have in ``iss``."""
        self.jwks_uri = f"{self.url}{JWKS}"

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> Self:
        """Begin to answer."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """Answer nobody any more; whoever still waits is let go."""
        self._released.set()
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()

    def mint(self, algorithm: str = "RS256", *, key: str | None = None, **claims: Any) -> str:  # noqa: ANN401 - any JSON
        """Return a token.

        Args:
            algorithm: what it is signed with.
            key: the id of a key to sign with, also of one that is retired; the newest otherwise.
            claims: its claims, beside those that every token has; one that is None is left out.
        """
        signing = self._key(algorithm, key)
        now = int(time.time())
        usual = {
            "iss": self.url,
            "aud": self.audience,
            "sub": SUBJECT,
            "iat": now,
            "exp": now + LIFETIME_SECONDS,
        }
        given = {name: value for name, value in {**usual, **claims}.items() if value is not None}
        return jwt.encode(given, signing.private, signing.algorithm, headers={"kid": signing.uid})

    def add_key(self, algorithm: str = "RS256") -> str:
        """Sign with a new key from now on, and return its id; the older ones are still told of."""
        made = Key.new(algorithm)
        with self._lock:
            self._keys[made.uid] = made
        return made.uid

    def retire(self, uid: str) -> None:
        """Tell no longer of a key; tokens can still be signed with it."""
        with self._lock:
            self._retired[uid] = self._keys.pop(uid)

    def answer_with(self, status: int, body: bytes = b"{}") -> None:
        """Answer everything with this from now on."""
        self._answering = lambda _answer: (status, body)

    def answer_hugely(self) -> None:
        """Answer from now on with what is right, after more spaces than anybody should read."""
        self._answering = lambda answer: (answer[0], b" " * HUGE + answer[1])

    def hang(self) -> None:
        """Answer nobody from now on, until that is over."""
        self._released.clear()
        self._answering = lambda _answer: None

    def recover(self) -> None:
        """Answer as it should be from now on."""
        self._answering = lambda answer: answer
        self._released.set()

    def _key(self, algorithm: str, uid: str | None) -> Key:
        with self._lock:
            if uid is not None:
                return self._keys.get(uid) or self._retired[uid]
            known = [each for each in self._keys.values() if each.algorithm == algorithm]
        return known[-1] if known else self._keys[self.add_key(algorithm)]

    def _answer(self, path: str) -> Answer | None:
        """Return what becomes of a request; nothing where it is not to be answered."""
        with self._lock:
            self.requests[path] += 1
            keys = [each.public() for each in self._keys.values()]
        documents = {DISCOVERY: {"issuer": self.url, "jwks_uri": self.jwks_uri}, JWKS: {"keys": keys}}
        found = path in documents
        status = HTTPStatus.OK if found else HTTPStatus.NOT_FOUND
        return self._answering((status, json.dumps(documents.get(path, {})).encode()))

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                answer = issuer._answer(self.path)
                if answer is None:
                    issuer._released.wait()
                    return
                status, body = answer
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                # Whoever has read enough hangs up.
                with suppress(ConnectionError):
                    self.wfile.write(body)

            def log_message(self, *_words: object) -> None:
                """Say nothing: what was asked is counted."""

        return Handler
