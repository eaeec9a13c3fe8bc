"""What each check of a built-in authorizer costs in a warm function."""

import contextlib
import io
import json
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Any, cast

import jwt
from aws_lambda_powertools import Logger
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from handlers import authorizing, emf, jwt_authorizer, token_authorizer
from handlers.authorizing import Authorizer, Log, Request
from handlers.key_sets import FAMILIES, Keys, Place
from local.say import Say
from sluice import tokens
from sluice.limiter.rules import Rules

from .results import Result

NAME = "authorizers"
USUAL_CHECK = "PyJWT's PyJWKClient and Powertools' Logger"
USUAL_LOOKUP = "a dict of tokens and Powertools' Logger"
CHECKS, FEW_CHECKS = 2_000, 20
ROUNDS, FEW_ROUNDS = 9, 2
TOKENS = (1, 30, 1_000)
METHOD = "arn:aws:execute-api:us-east-1:123456789012:a1b2c3d4e5/v1/POST/messages"
ISSUER, AUDIENCE = "https://login.example.com", "orders"
MICRO = 1e6

Check = Callable[[], object]


@dataclass(frozen=True)
class Pair:
    """The same check, our way and the usual one."""

    case: str
    ours: Check
    usual: Check
    usual_name: str


def run(made: Rules, say: Say, *, quick: bool) -> Iterator[Result]:
    """Measure both handlers beside the usual way; no rule matters."""
    del made
    pairs = [*map(token_pair, TOKENS), *map(jwt_pair, FAMILIES)]
    yield from (compared(each, say, quick=quick) for each in pairs)


def compared(pair: Pair, say: Say, *, quick: bool) -> Result:
    """Time checks of ours and of the usual way, in turn, each with the line that it logs."""
    mine, others = [], []
    begun = time.perf_counter()
    for _ in range(FEW_ROUNDS if quick else ROUNDS):
        mine.append(per_check(pair.ours, FEW_CHECKS if quick else CHECKS))
        others.append(per_check(pair.usual, FEW_CHECKS if quick else CHECKS))
    say.step(f"{NAME}: {pair.case}", time.perf_counter() - begun)
    return Result(
        NAME,
        f"{pair.case}, median of {len(mine)}",
        "check",
        "us",
        statistics.median(mine) * MICRO,
        statistics.median(others) * MICRO,
        pair.usual_name,
    )


def per_check(check: Check, times: int) -> float:
    """Return the seconds that one check takes."""
    with contextlib.redirect_stdout(io.StringIO()):
        begun = time.perf_counter()
        for _ in range(times):
            check()
        return (time.perf_counter() - begun) / times


def token_pair(count: int) -> Pair:
    """Return what checks one of so many known tokens."""
    minted = {f"token-{index}": tokens.mint() for index in range(count)}
    known = [{"name": name, "sha256": tokens.digest(each)} for name, each in minted.items()]
    event = asked(minted["token-0"])
    ours = Authorizer(None, token_authorizer.checking({"tokens": known}, log()), log())
    by_token = {token: name for name, token in minted.items()}
    logger = usual_logger()

    def usual() -> object:
        name = by_token[event["authorizationToken"].removeprefix("Bearer ")]
        logger.info("allowed", principal=name)
        return authorizing.decision(event, "Allow", authorizing.Caller(name))

    return Pair(f"token, {count:,} known", lambda: ours.answer(event), usual, USUAL_LOOKUP)


def jwt_pair(algorithm: str) -> Pair:
    """Return what checks a signed token; both ways know the keys already."""
    private, described = key_pair(algorithm)
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "somebody", "exp": int(time.time()) + 3600}
    event = asked(jwt.encode(claims, private, algorithm, headers={"kid": described["kid"]}))
    settings: dict[str, Any] = {
        "issuer": ISSUER,
        "jwks_uri": f"{ISSUER}/keys",
        "audiences": [AUDIENCE],
        "scopes": [],
        "algorithms": [algorithm],
        "leeway_seconds": 30,
        "key_max_age_seconds": 3600,
        "required_claims": {},
        "principal_claim": "sub",
        "claims": {},
    }
    rules = jwt_authorizer.read_rules(settings)
    place = Place(ISSUER, settings["jwks_uri"])
    keys = Keys(place, 3600, time.monotonic, log().settings, fetch=lambda _: {"keys": [described]})
    ours = Authorizer(None, lambda token: jwt_authorizer.check(token, rules, keys), log())
    usual = usual_check(event, algorithm, described)
    return Pair(f"JWT, {algorithm}", lambda: ours.answer(event), usual, USUAL_CHECK)


def usual_check(event: Request, algorithm: str, described: Mapping[str, Any]) -> Check:
    """Return what PyJWT's own documentation shows, with Powertools' Logger."""

    class Offline(jwt.PyJWKClient):
        def fetch_data(self) -> object:
            return {"keys": [described]}

    client = Offline(f"{ISSUER}/keys", cache_keys=True)
    logger = usual_logger()

    def usual() -> object:
        token = event["authorizationToken"].removeprefix("Bearer ")
        key = client.get_signing_key_from_jwt(token)
        claims = jwt.decode(token, key.key, algorithms=[algorithm], audience=AUDIENCE, issuer=ISSUER)
        logger.info("allowed", principal=claims["sub"])
        return authorizing.decision(event, "Allow", authorizing.Caller(claims["sub"]))

    return usual


def key_pair(algorithm: str) -> tuple[Any, dict[str, Any]]:
    """Return a private key, and its public one as a key set holds it."""
    make: dict[str, Callable[[], Any]] = {
        "RS256": lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048),
        "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
        "EdDSA": ed25519.Ed25519PrivateKey.generate,
    }
    private = make[algorithm]()
    public = jwt.get_algorithm_by_name(algorithm).to_jwk(private.public_key())
    return private, {**json.loads(public), "kid": "key", "alg": algorithm, "use": "sig"}


def asked(token: str) -> Request:
    """Return what API Gateway asks."""
    return {"methodArn": METHOD, "authorizationToken": f"Bearer {token}"}


def log() -> Log:
    """Return the log of a function."""
    return Log(emf.Source("Sluice", "authorizer"))


def usual_logger() -> Logger:
    """Return a logger that writes to wherever standard output goes now."""
    return Logger(service="authorizer", stream=cast("IO[str]", Redirected()))


class Redirected(io.TextIOBase):
    """Writes to standard output as it is at that moment."""

    def write(self, text: str) -> int:
        """Write a line."""
        print(text, end="")  # noqa: T201
        return len(text)
