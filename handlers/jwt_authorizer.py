"""Entry of the JWT authorizer: a signed token of an issuer in, a policy that is safe to cache out.

The checks are those of RFC 8725 ("JSON Web Token Best Current Practices"); PyJWT does the cryptography.
"""

import hashlib
import json
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import jwt

from . import authorizing
from .authorizing import Caller, Check, Log, RefusedError, Settings, SettingsError
from .key_sets import FAMILIES, Keys, Place, address_of

LONGEST_TOKEN = 8192
"""Bytes; all headers of a request may have 10,240 ("Quotas for configuring and running a REST API")."""
LONGEST_CLAIM = 1024
HASHED = "sha256:"
PRINCIPAL = re.compile(rf"(?!{HASHED})[A-Za-z0-9][A-Za-z0-9._:@|+=~/-]{{0,63}}")
"""What may stand in a log line as it is: no quotes, not too long, and nobody else's name there."""
UNPASSABLE = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What no message may hold ("SendMessage", Amazon SQS API reference)."""
REASONS: Mapping[type[jwt.PyJWTError], str] = {
    jwt.ExpiredSignatureError: "expired",
    jwt.ImmatureSignatureError: "not yet valid",
    jwt.InvalidIssuerError: "another issuer",
    jwt.InvalidSignatureError: "signature",
    jwt.MissingRequiredClaimError: "a claim is missing",
}
"""What the log says of a token; of one that is none it says malformed."""

Claims = Mapping[str, Any]


class Rules(NamedTuple):
    """What a token has to be."""

    issuer: str
    audiences: Sequence[str]
    scopes: Sequence[str]
    """Of which it has at least one; none are asked for where there are none."""
    algorithms: Sequence[str]
    leeway_seconds: int
    required_claims: Mapping[str, str]
    """What some of its claims say, word for word."""
    principal_claim: str
    claims: Mapping[str, str]
    """What integrations may read, by the name that the context gives it."""


def read_rules(settings: Settings) -> Rules:
    """Return the rules that were shipped.

    Raises:
        SettingsError: if they would let in nobody, or anybody.
    """
    rules = Rules(**{name: settings[name] for name in Rules._fields})
    if not rules.issuer:
        raise SettingsError("issuer is empty")
    try:
        address_of(rules.issuer)
    except ValueError as error:
        raise SettingsError("issuer is no https URL") from error
    if not rules.audiences or not all(rules.audiences):
        raise SettingsError("audiences holds none, or an empty one")
    if not rules.algorithms or not set(rules.algorithms) <= FAMILIES.keys():
        raise SettingsError(f"algorithms holds another than {', '.join(FAMILIES)}")
    return rules


def checking(settings: Settings, log: Log, clock: Callable[[], float] = time.time) -> Check:
    """Return what lets the holders of an issuer's tokens in.

    Raises:
        SettingsError: if the settings would let in nobody, or anybody.
    """
    rules = read_rules(settings)
    place = Place(rules.issuer, settings["jwks_uri"])
    keys = Keys(place, settings["key_max_age_seconds"], clock, log.settings)
    return lambda token: check(token, rules, keys)


def check(token: str, rules: Rules, keys: Keys) -> Caller:
    """Return whose a token is.

    Raises:
        RefusedError: if it lets nobody in.
        SettingsError: if the issuer's keys cannot be had.
    """
    claims = verified(token, rules, keys)
    require_audience(claims, rules.audiences)
    require_scope(claims, rules.scopes)
    if any(claims.get(claim) != wanted for claim, wanted in rules.required_claims.items()):
        raise RefusedError("a required claim")
    context = {name: text_of(claims.get(claim)) for name, claim in rules.claims.items()}
    return Caller(
        principal_of(claims, rules.principal_claim), {name: each for name, each in context.items() if each}
    )


def verified(token: str, rules: Rules, keys: Keys) -> Claims:
    """Return the claims of a token that the issuer signed and that is valid now.

    The algorithm is one of the rules', and the key is one of exactly this algorithm: the token's header alone
    decides nothing (RFC 8725, sections 2.1, 3.1 and 3.2).

    Raises:
        RefusedError: if it is none such.
        SettingsError: if the issuer's keys cannot be had.
    """
    if len(token) > LONGEST_TOKEN:
        raise RefusedError("too long")
    with blaming_the_token():
        header = jwt.get_unverified_header(token)
    algorithm = str(header.get("alg"))
    if algorithm not in rules.algorithms:
        raise RefusedError("algorithm")
    # What must be understood (RFC 7515, section 4.1.11) is not.
    if "crit" in header:
        raise RefusedError("critical header")
    key = keys.find(header.get("kid"), algorithm).key
    with blaming_the_token():
        found: Claims = jwt.decode(
            token,
            key,
            algorithms=[algorithm],
            issuer=rules.issuer,
            leeway=rules.leeway_seconds,
            options={"require": ["exp", "iss"], "verify_aud": False},
        )
    return found


@contextmanager
def blaming_the_token() -> Iterator[None]:
    """Refuse a token that PyJWT cannot read or does not take."""
    try:
        yield
    except jwt.PyJWTError as error:
        raise RefusedError(REASONS.get(type(error), "malformed")) from error
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        # JSON that is nested too deeply, or numbers that are none.
        raise RefusedError("malformed") from error


def require_audience(claims: Claims, audiences: Iterable[str]) -> None:
    """Refuse a token that is for somebody else.

    Where there is no ``aud``, ``client_id`` counts, as Amazon Cognito's access tokens have it ("Control
    access to HTTP APIs with JWT authorizers in API Gateway").
    """
    named = claims.get("aud", claims.get("client_id"))
    if not set(audiences) & set(listed(named)):
        raise RefusedError("another audience")


def require_scope(claims: Claims, scopes: Sequence[str]) -> None:
    """Refuse a token that has none of the scopes, in ``scope`` (RFC 8693, section 4.2) or ``scp``."""
    given = claims.get("scope", claims.get("scp"))
    granted = given.split() if isinstance(given, str) else listed(given)
    if scopes and not set(scopes) & set(granted):
        raise RefusedError("scope")


def listed(value: object) -> list[str]:
    """Return the texts of a claim that is one, or a list of them."""
    return [each for each in (value if isinstance(value, list) else [value]) if isinstance(each, str)]


def principal_of(claims: Claims, claim: str) -> str:
    """Return who a token is about, in a form that no line of a log is broken by."""
    name = claims.get(claim)
    if not isinstance(name, str) or not name:
        raise RefusedError("no principal")
    if PRINCIPAL.fullmatch(name):
        return name
    return f"{HASHED}{hashlib.sha256(name.encode(errors='surrogatepass')).hexdigest()[:32]}"


def text_of(value: object) -> str:
    """Return a claim as the context carries it: texts as they are, lists of them with spaces between.

    Raises:
        RefusedError: if it is too long, or holds what no message attribute may.
    """
    if value is None:
        return ""
    if isinstance(value, list) and len(listed(value)) == len(value):
        found = " ".join(value)
    else:
        found = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
    if len(found) > LONGEST_CLAIM or UNPASSABLE.search(found):
        raise RefusedError("a claim that cannot be passed on")
    return found


handler = authorizing.handler(checking)
