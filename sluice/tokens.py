"""Bearer tokens: minting them, and recognising them by digest alone.

Standard library only: this module runs in the authorizer, where every import is paid on a cold start.
"""

import hashlib
import hmac
import re
from collections.abc import Iterable
from typing import NamedTuple

PREFIX = "sluice_"
"""What a token begins with, so that secret scanners can find one that leaked."""
SECRET_BYTES = 32
NAME = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,30}[a-z0-9])?")
"""A token's name, which becomes the principal."""
NAME_ALLOWED = "1 to 32 lower-case letters, digits, '-' and '_', with a letter or a digit at both ends"
DIGEST = re.compile(r"[0-9a-f]{64}")
"""A SHA-256 digest in hexadecimal."""
BEARER = r"^[Bb]earer sluice_[A-Za-z0-9_-]{43}$"
"""The only form an Authorization header may have (RFC 6750, section 2.1); in the regular-expression
dialect that API Gateway's identity validation and Python share."""


class Token(NamedTuple):
    """What is known of a token: never the token itself."""

    name: str
    sha256: str
    """Its digest, in hexadecimal."""
    expires: int | None = None
    """When it ends, in seconds since 1970."""


def mint() -> str:
    """Return a new token with 256 bits of randomness. Nobody but the caller ever sees it."""
    import secrets  # noqa: PLC0415 - never needed where tokens are recognised

    return PREFIX + secrets.token_urlsafe(SECRET_BYTES)


def digest(token: str) -> str:
    """Return the SHA-256 digest of a token, in hexadecimal: what is stored in its place.

    A plain hash is enough: a token has 256 random bits, so there is nothing to guess.
    """
    return hashlib.sha256(token.encode(errors="surrogatepass")).hexdigest()


def find(token: str, known: Iterable[Token]) -> Token | None:
    """Return the known token that this one is, or None.

    Every digest is compared, each in constant time, so the time taken tells nothing about them.
    """
    presented = digest(token)
    found = None
    for each in known:
        if hmac.compare_digest(presented, each.sha256):
            found = each
    return found
